//! The engine reads what it draws: every symbology that it can draw, turned, scaled, blurred,
//! noisy, inverted, in perspective, and up to twenty in one picture.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};
use seatmeter::reader::{Decoded, Profile, ZxingEngine, read_page};
use zxingcpp::BarcodeFormat as F;

const DRAWN: [(F, &str, &str, &str); 13] = [
    (F::Codabar, "A123456B", "CODABAR", "A123456B"),
    (F::Code39, "CODE-39", "CODE_39", "CODE-39"),
    (F::Code93, "CODE-93", "CODE_93", "CODE-93"),
    (F::Code128, "Code 128: a", "CODE_128", "Code 128: a"),
    (F::ITF, "12345670", "ITF", "12345670"),
    (F::EAN13, "4006381333931", "EAN_13", "4006381333931"),
    (F::EAN8, "96385074", "EAN_8", "96385074"),
    (F::UPCA, "036000291452", "UPC_A", "036000291452"),
    (F::UPCE, "01234565", "UPC_E", "01234565"),
    (F::PDF417, "PDF417 text", "PDF417", "PDF417 text"),
    (F::Aztec, "Aztec text", "AZTEC", "Aztec text"),
    (F::QRCode, "QR text", "QR_CODE", "QR text"),
    (F::DataMatrix, "Data Matrix text", "DATAMATRIX", "Data Matrix text"),
];

fn drawn(format: F, text: &str, scale: i32) -> GrayImage {
    let barcode = zxingcpp::create(format).from_str(text).unwrap();
    let image =
        barcode.to_image_with(&zxingcpp::write().scale(scale).add_quiet_zones(true)).unwrap();
    let (width, height) = (image.width().cast_unsigned(), image.height().cast_unsigned());
    let symbol = GrayImage::from_raw(width, height, image.data()).unwrap();
    let mut page = GrayImage::from_pixel(width + 80, height + 80, Luma([255]));
    imageops::overlay(&mut page, &symbol, 40, 40);
    page
}

/// The places of settings in `PublicRuntimeSettings`, in numbers of four bytes.
const EXPECTED_COUNT: usize = 3;
const FORMATS: usize = 4;
const DEBLUR_LEVEL: usize = 129;

fn read(picture: &GrayImage, changes: &[(usize, i32)]) -> Vec<Decoded> {
    let image = seatmeter::reader::GrayImage {
        width: picture.width(),
        height: picture.height(),
        pixels: picture.as_raw().into(),
    };
    let mut profile = Profile::default();
    let mut words = *profile.settings().words();
    for (at, value) in changes {
        words[*at] = *value;
    }
    profile.update(words).unwrap();
    read_page(&mut ZxingEngine, &profile, &image).unwrap().barcodes
}

/// Draw a picture whose points are points of the old one.
fn warped(picture: &GrayImage, from: impl Fn(f32, f32) -> (f32, f32)) -> GrayImage {
    GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
        let (x, y) = from(x as f32, y as f32);
        imageops::interpolate_bilinear(picture, x, y).unwrap_or(Luma([255]))
    })
}

fn turned(picture: &GrayImage, degrees: f32) -> GrayImage {
    let side = picture.width().max(picture.height()) * 3 / 2;
    let mut large = GrayImage::from_pixel(side, side, Luma([255]));
    let place = |length: u32| i64::from((side - length) / 2);
    imageops::overlay(&mut large, picture, place(picture.width()), place(picture.height()));
    let (sin, cos) = degrees.to_radians().sin_cos();
    let center = side as f32 / 2.0;
    warped(&large, |x, y| {
        let (x, y) = (x - center, y - center);
        (x * cos - y * sin + center, x * sin + y * cos + center)
    })
}

fn noisy(picture: &GrayImage, strength: i32) -> GrayImage {
    let mut random = fastrand::Rng::with_seed(1);
    let mut picture = picture.clone();
    for pixel in picture.pixels_mut() {
        let noise = random.i32(-strength..strength);
        pixel.0[0] = u8::try_from((i32::from(pixel.0[0]) + noise).clamp(0, 255)).unwrap();
    }
    picture
}

fn views(format: F, text: &str) -> Vec<(&'static str, GrayImage)> {
    let page = drawn(format, text, 4);
    let (width, height) = (page.width() as f32, page.height() as f32);
    let mut inverted = page.clone();
    imageops::invert(&mut inverted);
    vec![
        ("upright", page.clone()),
        ("turned by 90", imageops::rotate90(&page)),
        ("turned by 180", imageops::rotate180(&page)),
        ("turned by 270", imageops::rotate270(&page)),
        ("turned by 7", turned(&page, 7.0)),
        ("of two pixels a module", drawn(format, text, 2)),
        (
            "large",
            imageops::resize(&page, page.width() * 3, page.height() * 3, FilterType::Triangle),
        ),
        ("blurred", imageops::blur(&page, 1.2)),
        ("noisy", noisy(&page, 40)),
        ("inverted", inverted),
        ("from aside", warped(&page, |x, y| (x + (x - width / 2.0) * 0.1 * (y / height), y))),
    ]
}

#[test]
fn every_symbology_is_read_in_every_view() {
    let mut missed = Vec::new();
    for (format, text, name, expected) in DRAWN {
        for (view, picture) in views(format, text) {
            let found = read(&picture, &[]);
            let is_right =
                matches!(&found[..], [one] if one.format_name == name && one.text == expected);
            if !is_right {
                let found: Vec<_> = found.iter().map(|one| (&one.format_name, &one.text)).collect();
                missed.push(format!("{name} {view}: {found:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn speed_reads_what_is_upright() {
    for (format, text, name, expected) in DRAWN {
        let found = read(&drawn(format, text, 4), &[(DEBLUR_LEVEL, 0)]);
        assert!(matches!(&found[..], [one] if one.text == expected), "{name}: {found:?}");
    }
}

#[test]
fn one_to_twenty_codes_are_all_found() {
    for count in [1_u32, 2, 5, 10, 20] {
        let codes: Vec<GrayImage> =
            (0..count).map(|i| drawn(F::QRCode, &format!("code {i}"), 3)).collect();
        let (width, height) = (codes[0].width(), codes[0].height());
        let mut sheet = GrayImage::from_pixel(width * 5, height * count.div_ceil(5), Luma([255]));
        for (i, code) in (0_u32..).zip(&codes) {
            imageops::overlay(
                &mut sheet,
                code,
                i64::from(i % 5 * width),
                i64::from(i / 5 * height),
            );
        }
        let mut texts: Vec<String> = read(&sheet, &[]).into_iter().map(|one| one.text).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count as usize);
        let some = read(&sheet, &[(EXPECTED_COUNT, 1)]);
        assert_eq!(some.len(), 1);
    }
}

#[test]
fn which_symbology_is_asked_for_decides_what_a_upc_symbol_is() {
    let page = drawn(F::UPCA, "036000291452", 4);
    let only = |formats| read(&page, &[(FORMATS, formats)]);
    assert_eq!((only(0x80)[0].format, only(0x80)[0].text.as_str()), (0x80, "036000291452"));
    assert_eq!((only(0x20)[0].format, only(0x20)[0].text.as_str()), (0x20, "0036000291452"));
    assert_eq!(only(0x80)[0].bytes, b"036000291452");
    assert!(only(0x400_0000).is_empty());
}

#[test]
fn code_39_stays_what_is_printed_unless_the_extended_one_is_asked_for() {
    // Six characters and a check digit are also a number of Code 32, which nobody has asked for
    // here.
    let text = "0CSS81";
    let page = drawn(F::Code39, text, 4);
    assert_eq!(read(&page, &[])[0].text, text);
    let page = drawn(F::Code39, "+A+B", 4);
    let extended = read(&page, &[(FORMATS, 0x401)]);
    assert_eq!((extended[0].format, extended[0].text.as_str()), (0x400, "ab"));
    let plain = read(&page, &[(FORMATS, 1)]);
    assert_eq!((plain[0].format, plain[0].text.as_str()), (1, "+A+B"));
}
