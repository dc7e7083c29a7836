//! The committed pictures hold what the examples and tests say they hold.

use std::path::Path;

use seatmeter::reader::{DecodeEngine, Search, ZxingEngine, load_gray};

fn texts(name: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("c_examples/images").join(name);
    let mut found: Vec<(String, String)> = ZxingEngine
        .decode(&load_gray(&path).unwrap(), &Search::default())
        .unwrap()
        .into_iter()
        .map(|barcode| (barcode.format_name, barcode.text))
        .collect();
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn four_different_barcodes_are_found_in_one_picture() {
    let expected = [
        ("CODE_128", "SN-2026-000042"),
        ("DATAMATRIX", "LOT 7, BOX 12"),
        ("EAN_13", "4006381333931"),
        ("QR_CODE", "https://example.org/ticket/4711"),
    ];
    assert_eq!(texts("four_barcodes.png"), pairs(&expected));
}

#[test]
fn png_and_jpeg_are_read_alike() {
    let expected = pairs(&[("QR_CODE", "seatmeter: one QR code")]);
    assert_eq!(texts("one_qr.png"), expected);
    assert_eq!(texts("one_qr.jpg"), expected);
}

#[test]
fn a_code_that_is_there_twice_is_returned_twice() {
    assert_eq!(texts("same_qr_twice.png").len(), 2);
}

#[test]
fn a_white_page_holds_nothing() {
    assert!(texts("no_barcode.png").is_empty());
}
