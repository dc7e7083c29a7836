//! Files without one of their parts, as cameras, browsers and old programs leave them. The library
//! reads as much of them as browsers do.

use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat};

use super::{read, refusal, shades};

fn picture() -> GrayImage {
    GrayImage::from_fn(40, 32, |x, y| image::Luma([(x * 5 + y * 3) as u8]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(picture()).into_rgb8().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let rgb = DynamicImage::ImageLuma8(picture()).into_rgb8();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.write_image(&rgb, 40, 32, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// Split a JPEG stream into the segments before its pixels, and the rest.
fn segments(stream: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut at, mut found) = (2, Vec::new());
    while stream[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
        found.push(stream[at..at + length].to_vec());
        at += length;
    }
    (found, stream[at..].to_vec())
}

#[test]
fn a_png_without_its_end_is_read() {
    let whole = encoded(ImageFormat::Png);
    let end = whole.len() - 12;
    assert_eq!(&whole[end + 4..end + 8], b"IEND");
    assert_eq!(shades("no end", &whole[..end]), picture().into_raw());
    assert_eq!(shades("trailing", &[&whole[..], b"more"].concat()), picture().into_raw());
}

#[test]
fn a_png_that_is_cut_short_gives_what_there_is_and_says_so() {
    // The file is not compressed, so that each row is there as far as the file goes.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header().unwrap().write_image_data(picture().as_raw()).unwrap();
    let (pages, failure) = read(&bytes[..bytes.len() - 700]);
    let (code, message) = failure.unwrap();
    assert!(code == -10012 && message.contains("cut short"), "{message}");
    let (_, (width, height, shades)) = &pages[0];
    assert_eq!((*width, *height), (40, 32));
    assert_eq!(shades[..40], picture().as_raw()[..40], "the first row");
    assert_eq!(shades[31 * 40..], [255; 40], "the last row");
}

#[test]
fn a_png_whose_alpha_would_hide_everything_is_read_without_it() {
    let holes =
        image::RgbaImage::from_fn(40, 32, |x, _| if x % 7 < 3 { [0; 4] } else { [255; 4] }.into());
    let mut bytes = Cursor::new(Vec::new());
    holes.write_to(&mut bytes, ImageFormat::Png).unwrap();
    let expected: Vec<u8> = holes.pixels().map(|pixel| pixel.0[0]).collect();
    assert_eq!(shades("holes", &bytes.into_inner()), expected);
}

#[test]
fn of_an_animated_png_the_first_picture_is_read_and_the_others_are_an_error() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(picture().as_raw()).unwrap();
    writer.write_image_data(&[255; 40 * 32]).unwrap();
    writer.finish().unwrap();
    let (pages, failure) = read(&bytes);
    assert_eq!(pages, [(0, (40, 32, picture().into_raw()))]);
    let (code, message) = failure.unwrap();
    assert!(code == -10012 && message.contains("animation of 2 pictures"), "{message}");
}

#[test]
fn a_gif_whose_first_picture_is_larger_than_its_screen_is_read_whole() {
    let whole = encoded(ImageFormat::Gif);
    let expected = shades("whole", &whole);
    for (width, height) in [(0, 0), (1, 1), (40, 3), (5, 32)] {
        let mut small = whole.clone();
        small[6..10].copy_from_slice(&[width, 0, height, 0]);
        assert_eq!(shades("small", &small), expected, "{width} by {height}");
    }
}

#[test]
fn a_gif_without_its_trailer_is_read_and_one_that_is_cut_in_a_picture_gives_those_before() {
    let whole = encoded(ImageFormat::Gif);
    assert_eq!(whole.last(), Some(&b';'));
    let expected = shades("whole", &whole);
    assert_eq!(shades("no trailer", &whole[..whole.len() - 1]), expected);
    let mut pages = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut pages);
    let frame = DynamicImage::ImageLuma8(picture()).into_rgba8();
    for _ in 0..2 {
        encoder.encode_frame(image::Frame::new(frame.clone())).unwrap();
    }
    drop(encoder);
    let (read_pages, failure) = read(&pages[..pages.len() - 100]);
    assert_eq!(read_pages.len(), 1);
    let (code, message) = failure.unwrap();
    assert!(code == -10012 && message.contains("picture 2"), "{message}");
}

#[test]
fn a_frame_of_a_webcam_without_huffman_tables_is_read() {
    let whole = jpeg();
    let (found, rest) = segments(&whole);
    let kept: Vec<u8> =
        found.iter().filter(|segment| segment[1] != 0xc4).flatten().copied().collect();
    assert!(kept.len() + 400 < found.concat().len());
    let without = [&[0xff, 0xd8][..], &kept, &rest].concat();
    assert_eq!(shades("without tables", &without), shades("whole", &whole));
}

#[test]
fn a_jpeg_without_its_end_is_read_and_one_that_is_cut_short_gives_what_there_is_and_says_so() {
    let whole = jpeg();
    let expected = shades("whole", &whole);
    assert_eq!(shades("no end", &whole[..whole.len() - 2]), expected);
    let (pages, failure) = read(&whole[..whole.len() - 300]);
    let (code, message) = failure.unwrap();
    assert!(code == -10012 && message.contains("cut short"), "{message}");
    assert_eq!(pages[0].1.2[..8], expected[..8]);
}

#[test]
fn kinds_of_jpeg_that_are_not_read_are_named() {
    let (found, rest) = segments(&jpeg());
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut found = found.clone();
        change(found.iter_mut().find(|segment| segment[1] == 0xc0).unwrap());
        [&[0xff, 0xd8][..], &found.concat(), &rest].concat()
    };
    for (marker, names) in [(0xc9, "arithmetic"), (0xc3, "without loss"), (0xc5, "hierarchical")] {
        let (code, message) = refusal(names, &with(&|frame| frame[1] = marker));
        assert!(code == -10012 && message.contains(names), "{message}");
    }
    let (_, message) = refusal("12 bits", &with(&|frame| frame[4] = 12));
    assert!(message.contains("12 bits"), "{message}");
    let (_, message) = refusal("no height", &with(&|frame| frame[5..7].fill(0)));
    assert!(message.contains("height"), "{message}");
}

#[test]
fn a_bitmap_of_runs_without_its_end_is_read_and_one_that_is_cut_short_is_refused() {
    let head = |size: u32| {
        let colors = [[0_u8, 0, 0, 0], [255, 255, 255, 0]].concat();
        let mut header = b"BM".to_vec();
        for word in [0, 0, 14 + 40 + 8, 40, 3, 2, 1 | 8 << 16, 1, size, 0, 0, 2, 0] {
            header.extend(u32::to_le_bytes(word));
        }
        [header, colors].concat()
    };
    let rows = [3, 1, 0, 0, 1, 0, 2, 1];
    assert_eq!(shades("no end", &[head(8), rows.to_vec()].concat()), [0, 255, 255, 255, 255, 255]);
    let (code, message) = refusal("one row", &[head(4), rows[..2].to_vec()].concat());
    assert!(code == -10012 && message.contains("cut short"), "{message}");
}
