//! Texts have the encoded characters, and bytes the encoded bytes. Neither has anything that is
//! only displayed.

use seatmeter::reader::{DecodeEngine, Decoded, GrayImage, Search, ZxingEngine};
use zxingcpp::{Barcode, BarcodeFormat as F};

fn read(barcode: &Barcode) -> Decoded {
    let image = barcode.to_image_with(&zxingcpp::write().scale(3).add_quiet_zones(true)).unwrap();
    let (width, height) = (image.width().cast_unsigned(), image.height().cast_unsigned());
    // The engine draws linear symbols only a few rows high.
    let rows = height.max(60).div_ceil(height) as usize;
    let drawn = image.data();
    let tall = drawn
        .chunks(width as usize)
        .flat_map(|row| std::iter::repeat_n(row, rows))
        .flatten()
        .copied();
    let is_linear = rows > 1;
    let pixels: Vec<u8> = if is_linear { tall.collect() } else { drawn };
    let height = u32::try_from(pixels.len()).unwrap() / width;
    let search = Search { formats: u32::MAX, ..Search::default() };
    let found =
        ZxingEngine.decode(&GrayImage { width, height, pixels: pixels.into() }, &search).unwrap();
    let [one] = &found[..] else { panic!("{} symbols were found", found.len()) };
    one.clone()
}

fn of_bytes(format: F, bytes: &[u8]) -> Decoded {
    read(&zxingcpp::create(format).from_slice(bytes).unwrap())
}

fn of_text(format: F, text: &str) -> Decoded {
    read(&zxingcpp::create(format).from_str(text).unwrap())
}

fn of_gs1(format: F, text: &str) -> Decoded {
    read(&zxingcpp::create(format).options("gs1").from_str(text).unwrap())
}

#[test]
fn a_control_character_is_itself_and_its_name_in_letters_is_letters() {
    for format in [F::QRCode, F::DataMatrix, F::Aztec, F::PDF417] {
        let control = of_bytes(format, b"A\x1dB");
        assert_eq!(
            (control.text.as_str(), &control.bytes[..]),
            ("A\x1dB", &b"A\x1dB"[..]),
            "{format}"
        );
        let letters = of_text(format, "A<GS>B");
        assert_eq!(
            (letters.text.as_str(), &letters.bytes[..]),
            ("A<GS>B", &b"A<GS>B"[..]),
            "{format}"
        );
        let lines = of_bytes(format, b"a\r\n\tb\x1b\x7f");
        assert_eq!(lines.text, "a\r\n\tb\x1b\x7f", "{format}");
    }
}

#[test]
fn a_nul_is_a_character_like_others_and_what_follows_it_is_there() {
    for format in [F::QRCode, F::DataMatrix, F::Aztec, F::PDF417] {
        let content = b"A\0B<NUL>\"\\u0000\0";
        let found = of_bytes(format, content);
        assert_eq!(found.text, std::str::from_utf8(content).unwrap(), "{format}");
        assert_eq!(found.bytes, content, "{format}");
    }
    assert_eq!(of_bytes(F::QRCode, b"\0").text, "\0");
}

#[test]
fn gs1_contents_have_no_brackets_and_separators_where_they_are_encoded() {
    for format in [F::QRCode, F::DataMatrix, F::Code128, F::Aztec] {
        let found = of_gs1(format, "[01]09501101530003[10]AB-123[21]9");
        assert_eq!(found.text, "010950110153000310AB-123\x1d219", "{format}");
        assert_eq!(found.bytes, found.text.as_bytes(), "{format}");
    }
    for format in [F::DataBarOmni, F::DataBarLtd, F::DataBarStk] {
        assert_eq!(of_text(format, "0950110153000").text, "0109501101530003", "{format}");
    }
    assert_eq!(of_text(F::DataBarExp, "[01]09501101530003[10]A").text, "010950110153000310A");
}

#[test]
fn envelopes_of_iso_15434_are_characters_too() {
    let content = b"[)>\x1e06\x1d1PABC\x1dQ10\x1e\x04";
    for format in [F::QRCode, F::PDF417] {
        let found = of_bytes(format, content);
        assert_eq!(
            (found.text.as_bytes(), &found.bytes[..]),
            (&content[..], &content[..]),
            "{format}"
        );
    }
}

#[test]
fn characters_of_any_script_are_utf_8_whatever_they_were_encoded_in() {
    for format in [F::QRCode, F::DataMatrix, F::Aztec, F::PDF417] {
        assert_eq!(of_text(format, "Grüße, 漢字, Ω").text, "Grüße, 漢字, Ω", "{format}");
    }
    let latin_1 = of_bytes(F::QRCode, b"Gr\xfc\xdfe");
    assert_eq!((latin_1.text.as_str(), &latin_1.bytes[..]), ("Grüße", &b"Gr\xfc\xdfe"[..]));
}
