//! Code 39. The engine reads it as more than is printed: as Code 32, in which six characters mean a
//! number, and as full ASCII, in which two characters mean one.
//!
//! The engine's Rust binding leaks memory when it is asked for only the plain symbology. So this
//! module converts unrequested readings back to the printed characters.

use zxingcpp::Barcode;

/// The digits of Code 32, a number to the base of 32.
const DIGITS_32: &[u8; 32] = b"0123456789BCDFGHJKLMNPQRSTUVWXYZ";

/// The engine's reading of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code39 {
    /// The printed characters.
    Plain,
    /// Full ASCII.
    Extended,
    /// The number of Code 32.
    Number,
}

impl Code39 {
    /// Return the kind of reading. Its value is missing in the binding's enum, so the name decides.
    pub(super) fn of(barcode: &Barcode) -> Self {
        let all = barcode.extra_with_key("ALL");
        // Quotes in other values are escaped, so this text cannot be part of another value.
        let is = |name: &str| all.contains(&format!("\"Format\":\"{name}\""));
        if is("Code 39 Extended") {
            Self::Extended
        } else if is("Code 32") {
            Self::Number
        } else {
            Self::Plain
        }
    }

    /// Return the printed characters of a text that the engine returned.
    pub(super) fn printed(self, text: &str) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Extended => text.bytes().map(pair).collect(),
            Self::Number => number_32(text),
        }
    }
}

/// Return the six characters of a number, which the engine returns as `A` and nine digits.
fn number_32(text: &str) -> Option<String> {
    let mut number: u32 = text.strip_prefix('A')?.parse().ok()?;
    let mut characters = [0; 6];
    for place in characters.iter_mut().rev() {
        *place = DIGITS_32[(number % 32) as usize];
        number /= 32;
    }
    Some(characters.map(char::from).iter().collect())
}

/// Return the one or two characters that mean a byte (ISO/IEC 16388, table of full ASCII).
fn pair(byte: u8) -> Option<String> {
    let letter =
        |shift: char, from: u8, first: u8| format!("{shift}{}", char::from(first + (byte - from)));
    Some(match byte {
        0 => "%U".into(),
        1..=26 => letter('$', 1, b'A'),
        27..=31 => letter('%', 27, b'A'),
        b'!'..=b',' | b'/' => letter('/', b'!', b'A'),
        b':' => "/Z".into(),
        b';'..=b'?' => letter('%', b';', b'F'),
        b'@' => "%V".into(),
        b'['..=b'_' => letter('%', b'[', b'K'),
        b'`' => "%W".into(),
        b'a'..=b'z' => letter('+', b'a', b'A'),
        b'{'..=127 => letter('%', b'{', b'P'),
        b' ' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' => char::from(byte).into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_made_of_it_is_put_back() {
        let printed = |kind: Code39, text: &str| kind.printed(text);
        assert_eq!(
            printed(Code39::Extended, "ab 1-Z!\u{1}:@[{~").unwrap(),
            "+A+B 1-Z/A$A/Z%V%K%P%S"
        );
        assert_eq!(printed(Code39::Extended, "/,$%+").unwrap(), "/O/L/D/E/K");
        assert_eq!(printed(Code39::Number, "A012345676").unwrap(), "0CSSBD");
        assert_eq!(printed(Code39::Plain, "ANY"), None);
    }
}
