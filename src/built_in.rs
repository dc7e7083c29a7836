//! The vendor's settings that are built into this library, as text that is readable in its file
//! (`seatmeterd doctor --library`).

use std::hint::black_box;

use seatmeter_protocol::built_in::{BEGINNING, PARTS};
use seatmeter_protocol::version::Version;

/// The vendor's root key, from the environment of the build.
pub const ROOT_KEY: Option<&str> = option_env!("SEATMETER_ROOT_KEY");
/// The version of the product.
pub const PRODUCT_VERSION: Option<&str> = option_env!("SEATMETER_PRODUCT_VERSION");
/// The edition of the product.
pub const PRODUCT_EDITION: Option<&str> = option_env!("SEATMETER_PRODUCT_EDITION");

/// Return the version of the product, if its vendor has built one in (`SEATMETER_PRODUCT_VERSION`).
///
/// # Errors
/// Returns the reason in a sentence if that is no version.
pub fn product_version() -> Result<Option<Version>, String> {
    PRODUCT_VERSION.map(str::parse).transpose().map_err(|why: String| {
        format!("this library was built with a wrong SEATMETER_PRODUCT_VERSION: {why}")
    })
}

const TEXTS: [&str; 9] = [
    BEGINNING,
    env!("CARGO_PKG_VERSION"),
    PARTS[0],
    or_nothing(ROOT_KEY),
    PARTS[1],
    or_nothing(PRODUCT_VERSION),
    PARTS[2],
    or_nothing(PRODUCT_EDITION),
    "\n",
];

#[used]
static LINE: [u8; length(&TEXTS)] = join(&TEXTS);

const fn or_nothing(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}

const fn length(texts: &[&str]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < texts.len() {
        sum += texts[at].len();
        at += 1;
    }
    sum
}

const fn join<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut end, mut at) = (0, 0);
    while at < texts.len() {
        let text = texts[at].as_bytes();
        let mut byte = 0;
        while byte < text.len() {
            bytes[end] = text[byte];
            end += 1;
            byte += 1;
        }
        at += 1;
    }
    bytes
}

/// Keep the line in the library: a linker leaves out what nothing refers to.
pub fn keep() {
    black_box(&LINE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_built_in() {
        let found = seatmeter_protocol::built_in::find(&LINE[..]).unwrap();
        assert_eq!(found.library, env!("CARGO_PKG_VERSION"));
        assert_eq!(found.root_key, ROOT_KEY.unwrap_or_default());
        assert_eq!(found.product_edition, PRODUCT_EDITION.unwrap_or_default());
    }
}
