//! One picture in every way in which it can come.

use std::io::Cursor;
use std::sync::mpsc;

use base64::Engine as _;
use image::{DynamicImage, ImageFormat, RgbImage};
use seatmeter::reader::{BitmapHeader, FrameOptions, Picture, PixelLayout, Reader};
use zxingcpp::BarcodeFormat as F;

/// The visible part of a barcode without a license: its format, its place, and the length of its
/// text.
type Seen = (u32, [(i32, i32); 4], usize);

/// Draw two barcodes in these colors.
fn drawn(dark: [u8; 3], light: [u8; 3]) -> RgbImage {
    let mut page = RgbImage::from_pixel(900, 700, image::Rgb(light));
    for (format, text, top) in [(F::QRCode, "one picture", 20), (F::Code128, "ONE-RESULT", 400)] {
        let barcode = zxingcpp::create(format).from_str(text).unwrap();
        let image = barcode.to_image_with(&zxingcpp::write().scale(5)).unwrap();
        let (width, pixels) = (image.width() as usize, image.data());
        for (i, _) in pixels.iter().enumerate().filter(|(_, shade)| **shade == 0) {
            // The engine draws linear symbols only a few rows high.
            let rows = if format == F::Code128 {
                0..200
            } else {
                (i / width) as u32..(i / width) as u32 + 1
            };
            rows.for_each(|y| page.put_pixel(30 + (i % width) as u32, top + y, image::Rgb(dark)));
        }
    }
    page
}

fn file(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn tiff(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder
        .write_image::<tiff::encoder::colortype::RGB8>(picture.width(), picture.height(), picture)
        .unwrap();
    bytes.into_inner()
}

/// Return pixels in a format of the DBR API, with a gap after each row.
fn pixels(picture: &RgbImage, format: i32) -> (PixelLayout, Vec<u8>) {
    let (width, height) = (picture.width(), picture.height());
    let wide =
        |samples: &[u8]| samples.iter().flat_map(|sample| [99, *sample]).collect::<Vec<u8>>();
    let rows = picture.rows().map(|row| {
        let pixels = row.map(|pixel| {
            let [r, g, b] = pixel.0;
            match format {
                6 => vec![b, g, r],
                7 => vec![b, g, r, 255],
                8 => wide(&[b, g, r]),
                9 => wide(&[b, g, r, 255]),
                10 => vec![r, g, b, 255],
                11 => wide(&[r, g, b, 255]),
                12 => vec![r, g, b],
                _ => panic!("{format}"),
            }
        });
        let mut row = pixels.collect::<Vec<_>>().concat();
        row.extend([77; 5]);
        row
    });
    let rows: Vec<Vec<u8>> = rows.collect();
    let stride = rows[0].len() as i32;
    (PixelLayout::new(width as i32, height as i32, stride, format).unwrap(), rows.concat())
}

/// Return a bitmap in memory: a BMP file without its first header.
fn bitmap(picture: &RgbImage) -> (BitmapHeader, Vec<u8>) {
    let bytes = file(picture, ImageFormat::Bmp).split_off(14);
    let header = BitmapHeader::understand(bytes.first_chunk().unwrap()).unwrap();
    (header, bytes)
}

fn seen(barcodes: &[seatmeter::reader::Decoded]) -> Vec<Seen> {
    let mut seen: Vec<Seen> =
        barcodes.iter().map(|one| (one.format, one.corners, one.text.len())).collect();
    seen.sort();
    seen
}

fn decoded(picture: Picture<'_>) -> Vec<Seen> {
    let reader = Reader::vacant();
    // Without a license all barcodes are found, and their texts are masked.
    assert!(reader.decode(picture, "").is_err());
    // The library writes faults to its log. A test must show them.
    drop(std::panic::take_hook());
    reader.with_outcome(|outcome| seen(&outcome.barcodes))
}

/// Return the result of a frame.
fn framed(layout: PixelLayout, frame: &[u8]) -> Vec<Seen> {
    let (sender, receiver) = mpsc::channel();
    let reader: &'static Reader = Box::leak(Box::new(Reader::vacant()));
    reader
        .listen(|listeners| {
            listeners.results = Some(std::sync::Arc::new(move |_, outcome| {
                sender.send(seen(&outcome.barcodes)).unwrap()
            }));
        })
        .unwrap();
    reader.start_frames(&FrameOptions { queue_length: 1, layout, forget_ms: None }, "").unwrap();
    reader.append_frame(frame).unwrap();
    let seen = receiver.recv().unwrap();
    reader.stop_frames().unwrap();
    seen
}

fn shades_of_file(bytes: &[u8]) -> Vec<u8> {
    super::shades("a file", bytes)
}

#[test]
fn one_picture_has_one_gray_and_one_result_by_every_way() {
    let folder = tempfile::tempdir().unwrap();
    for (dark, light) in [
        ([0, 0, 0], [255, 255, 255]),
        ([0, 0, 0], [0, 0, 255]),
        // 0 and 23 are closer together than the engine can tell apart.
        ([0, 0, 0], [0, 0, 200]),
        ([0, 0, 0], [200, 0, 0]),
        ([0, 60, 0], [0, 200, 255]),
        ([120, 0, 0], [255, 230, 180]),
        ([40, 40, 90], [128, 140, 90]),
    ] {
        let picture = drawn(dark, light);
        let (layout, buffer) = pixels(&picture, 12);
        let gray = layout.gray(&buffer).unwrap().pixels.into_owned();
        let result = decoded(Picture::Pixels(layout, &buffer));
        let what = format!("{dark:?} on {light:?}");
        assert_eq!(result.len(), 2, "{what}");

        for format in [6, 7, 8, 9, 10, 11] {
            let (layout, buffer) = pixels(&picture, format);
            assert_eq!(*layout.gray(&buffer).unwrap().pixels, gray, "{what}: format {format}");
            assert_eq!(
                decoded(Picture::Pixels(layout, &buffer)),
                result,
                "{what}: format {format}"
            );
        }
        let files = [
            ("PNG", file(&picture, ImageFormat::Png)),
            ("BMP", file(&picture, ImageFormat::Bmp)),
            ("GIF", file(&picture, ImageFormat::Gif)),
            ("TIFF", tiff(&picture)),
        ];
        for (name, bytes) in &files {
            assert_eq!(shades_of_file(bytes), gray, "{what}: {name}");
            assert_eq!(decoded(Picture::Bytes(bytes)), result, "{what}: {name}");
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(decoded(Picture::File(&path)), result, "{what}: {name} as a file");
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            assert_eq!(
                decoded(Picture::Base64(text.as_bytes())),
                result,
                "{what}: {name} as base64"
            );
        }
        let (header, bytes) = bitmap(&picture);
        assert_eq!(*header.gray(&bytes).unwrap().pixels, gray, "{what}: bitmap");
        assert_eq!(decoded(Picture::Bitmap(header, &bytes)), result, "{what}: bitmap");
        assert_eq!(framed(layout, &buffer), result, "{what}: frame");
    }
}

#[test]
fn a_jpeg_file_has_the_gray_of_the_colors_that_are_in_it() {
    let picture = drawn([0, 0, 0], [0, 0, 200]);
    let bytes = file(&picture, ImageFormat::Jpeg);
    let colors = image::load_from_memory(&bytes).unwrap().into_rgb8();
    let (layout, buffer) = pixels(&colors, 12);
    assert_eq!(shades_of_file(&bytes), *layout.gray(&buffer).unwrap().pixels);
    assert_eq!(decoded(Picture::Bytes(&bytes)), decoded(Picture::Pixels(layout, &buffer)));
}

#[test]
fn black_on_nothing_is_black_on_white_by_every_way() {
    let page = DynamicImage::ImageRgb8(drawn([0, 0, 0], [255, 255, 255])).into_luma8();
    let clear = image::RgbaImage::from_fn(page.width(), page.height(), |x, y| {
        image::Rgba([0, 0, 0, 255 - page.get_pixel(x, y).0[0]])
    });
    let mut bytes = Cursor::new(Vec::new());
    clear.write_to(&mut bytes, ImageFormat::Png).unwrap();
    assert_eq!(shades_of_file(&bytes.into_inner()), *page.as_raw());
    for format in [7, 10] {
        let layout =
            PixelLayout::new(page.width() as i32, page.height() as i32, 0, format).unwrap();
        assert_eq!(*layout.gray(clear.as_raw()).unwrap().pixels, *page.as_raw(), "format {format}");
    }
}

#[test]
fn white_on_nothing_is_white_on_black_by_every_way() {
    let page = DynamicImage::ImageRgb8(drawn([0, 0, 0], [255, 255, 255])).into_luma8();
    let clear = image::RgbaImage::from_fn(page.width(), page.height(), |x, y| {
        [255, 255, 255, page.get_pixel(x, y).0[0]].into()
    });
    for format in [ImageFormat::Png, ImageFormat::Bmp] {
        let mut bytes = Cursor::new(Vec::new());
        clear.write_to(&mut bytes, format).unwrap();
        assert_eq!(shades_of_file(&bytes.into_inner()), *page.as_raw(), "{format:?}");
    }
    for format in [7, 10] {
        let layout =
            PixelLayout::new(page.width() as i32, page.height() as i32, 0, format).unwrap();
        assert_eq!(*layout.gray(clear.as_raw()).unwrap().pixels, *page.as_raw(), "format {format}");
    }
}

/// Return shades of noise between two values, the same in each run.
fn noise(darkest: u8, shades: u32) -> RgbImage {
    let mut state = 4711_u32;
    RgbImage::from_fn(900, 700, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([darkest + ((state >> 16) % shades) as u8; 3])
    })
}

#[test]
fn nothing_is_invented_in_flat_pages_without_barcodes() {
    for (darkest, shades) in [(0, 24), (190, 64), (240, 16), (100, 30)] {
        let (layout, buffer) = pixels(&noise(darkest, shades), 12);
        assert_eq!(decoded(Picture::Pixels(layout, &buffer)), [], "{darkest} and {shades} more");
    }
}
