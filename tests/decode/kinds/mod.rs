//! Kinds of pictures. Each is read as other programs read it, or refused by name. The same picture
//! gives the same result in every way in which it can come.
#![allow(clippy::print_stderr, reason = "a test says what it skips")]

mod by_hand;
mod jpeg;
mod matrix;
mod memory;
mod tiff_by_hand;
mod ways;

use seatmeter::reader::for_each_page;

/// A page of a file: its columns, rows and shades.
type Page = (u32, u32, Vec<u8>);

/// The pages of a file with their numbers, and the error that ended the reading.
type Read = (Vec<(u32, Page)>, Option<(i32, String)>);

/// Read a file: return the number of each page with its shades, and the error.
fn read(file: &[u8]) -> Read {
    let mut pages = Vec::new();
    let end = for_each_page(file, &mut |number, page| {
        pages.push((number, (page.width, page.height, page.pixels.into_owned())));
        Ok(true)
    });
    (pages, end.err().map(|error| (error.code.0, error.message)))
}

/// Return the shades of a file with one page, which must be read without an error.
fn shades(what: &str, file: &[u8]) -> Vec<u8> {
    let (mut pages, failure) = read(file);
    assert_eq!(failure, None, "{what}");
    assert_eq!(pages.len(), 1, "{what}");
    pages.remove(0).1.2
}

/// Return the code and the message for a file of which nothing is read.
fn refusal(what: &str, file: &[u8]) -> (i32, String) {
    let (pages, failure) = read(file);
    assert_eq!(pages.len(), 0, "{what}");
    failure.unwrap_or_else(|| panic!("{what} was read"))
}
