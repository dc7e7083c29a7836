//! The search for secrets in what was recorded: as they are, in every common encoding, and as
//! digests; also in what the recorded text encodes.

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::digests::digests;

/// The bytes by which a place is looked up.
const GRAM: usize = 4;

/// Of a needle with less than this, only a whole word counts: so few bytes also come up by chance.
const BYTES_MIN: usize = 6;

/// Digests are found by this much of them, so that those that were cut are, too.
const DIGEST_BYTES: usize = 8;

/// How often encodings are looked for in each other.
const DEPTH: usize = 4;

struct Needle {
    what: String,
    bytes: Vec<u8>,
    is_whole: bool,
}

/// A search for secrets. Letters are compared without their case.
pub(super) struct Search {
    needles: Vec<Needle>,
    places: HashMap<[u8; GRAM], Vec<usize>>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { needles: Vec::new(), places: HashMap::new() }
    }

    /// Look for this text, and for its digests.
    pub(super) fn add(&mut self, what: &str, text: &[u8]) {
        assert!(text.len() >= GRAM, "{what} is too short to be told from chance: {text:?}");
        self.add_encoded(what, text, text.len() < BYTES_MIN);
        self.add_digests(what, text);
    }

    /// Look for this content of a barcode, also together with its symbology.
    pub(super) fn add_content(&mut self, what: &str, content: &str, symbology: (&str, u32)) {
        self.add(what, content.as_bytes());
        let (name, number) = symbology;
        for between in ["", " ", ":", ": ", ",", "\0", "\n", "\t"] {
            for first in [name, &name.to_lowercase(), &number.to_string()] {
                self.add_digests(what, format!("{first}{between}{content}").as_bytes());
                self.add_digests(what, format!("{content}{between}{first}").as_bytes());
            }
        }
        for bytes in [number.to_le_bytes(), number.to_be_bytes()] {
            self.add_digests(what, &[&bytes, content.as_bytes()].concat());
            self.add_digests(what, &[content.as_bytes(), &bytes].concat());
        }
    }

    fn add_digests(&mut self, what: &str, text: &[u8]) {
        let lower = text.to_ascii_lowercase();
        let with_nul = [text, b"\0"].concat();
        for form in [text, &lower, &with_nul] {
            for (name, digest) in digests(form) {
                let is_short = digest.len() < BYTES_MIN;
                let what = format!("{what}, as {name}");
                let cut = &digest[..digest.len().min(DIGEST_BYTES)];
                self.add_encoded(&what, cut, is_short);
                if let Ok(number) = digest[..].try_into().map(u64::from_be_bytes) {
                    self.add_needle(&what, number.to_string().as_bytes(), true);
                } else if let Ok(number) = digest[..].try_into().map(u32::from_be_bytes) {
                    self.add_needle(&what, number.to_string().as_bytes(), true);
                }
            }
        }
    }

    fn add_encoded(&mut self, what: &str, bytes: &[u8], is_whole: bool) {
        let mut backwards = bytes.to_vec();
        backwards.reverse();
        for (what, bytes) in [(what, bytes), (&*format!("{what}, backwards"), &backwards)] {
            self.add_needle(what, bytes, is_whole);
            let digits = hex::encode(bytes);
            self.add_needle(&format!("{what}, in hexadecimal digits"), digits.as_bytes(), is_whole);
            for start in 0..3 {
                let whole = STANDARD_NO_PAD.encode([&[0; 2][..start], bytes].concat());
                // What depends on the bytes around is left out.
                let known = &whole[(start * 8).div_ceil(6)..(start + bytes.len()) * 8 / 6];
                for known in [known.to_owned(), known.replace('+', "-").replace('/', "_")] {
                    self.add_needle(&format!("{what}, in base64"), known.as_bytes(), is_whole);
                }
            }
            if let Ok(text) = str::from_utf8(bytes) {
                let wide: Vec<u16> = text.encode_utf16().collect();
                let little: Vec<u8> = wide.iter().flat_map(|unit| unit.to_le_bytes()).collect();
                let big: Vec<u8> = wide.iter().flat_map(|unit| unit.to_be_bytes()).collect();
                // In the little form, the last byte is that of the next character, in the other the
                // first that of the one before.
                self.add_needle(&format!("{what}, in UTF-16"), &little[..little.len() - 1], false);
                self.add_needle(&format!("{what}, in UTF-16"), &big[1..], false);
                let digits = hex::encode(&little);
                self.add_needle(&format!("{what}, in UTF-16"), digits.as_bytes(), false);
            }
        }
    }

    fn add_needle(&mut self, what: &str, bytes: &[u8], is_whole: bool) {
        let bytes = bytes.to_ascii_lowercase();
        let Some(Ok(gram)) = bytes.get(..GRAM).map(<[u8; GRAM]>::try_from) else { return };
        self.places.entry(gram).or_default().push(self.needles.len());
        self.needles.push(Needle { what: what.to_owned(), bytes, is_whole });
    }

    /// Return which secrets these bytes contain, and how.
    pub(super) fn find(&self, recorded: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.find_in(recorded, false, DEPTH, &mut found);
        found
    }

    fn find_in(&self, view: &[u8], is_decoded: bool, depth: usize, found: &mut BTreeSet<String>) {
        let lower = view.to_ascii_lowercase();
        for at in 0..lower.len().saturating_sub(GRAM - 1) {
            let gram: [u8; GRAM] = lower[at..at + GRAM].try_into().unwrap();
            for needle in self.places.get(&gram).into_iter().flatten().map(|n| &self.needles[*n]) {
                if lower[at..].starts_with(&needle.bytes)
                    && is_there(&lower, at, needle, is_decoded)
                {
                    found.insert(needle.what.clone());
                }
            }
        }
        if depth > 0 {
            for plain in [without_escapes(view), without_percents(view)].into_iter().flatten() {
                self.find_in(&plain, is_decoded, depth - 1, found);
            }
            for decoded in decoded_words(view) {
                self.find_in(&decoded, true, depth - 1, found);
            }
        }
    }
}

/// Return whether a needle counts that was found at this place.
fn is_there(view: &[u8], at: usize, needle: &Needle, is_decoded: bool) -> bool {
    if !needle.is_whole {
        return true;
    }
    let end = at + needle.bytes.len();
    let begins = at == 0 || !is_decoded && !view[at - 1].is_ascii_alphanumeric();
    let ends = end == view.len() || !is_decoded && !view[end].is_ascii_alphanumeric();
    begins && ends
}

/// Replace the escapes of JSON; return `None` if there are none.
fn without_escapes(view: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(view.len());
    let mut at = 0;
    while at < view.len() {
        let escape = (view[at] == b'\\').then(|| view.get(at + 1)).flatten();
        let unit = |at: usize| {
            let digits = str::from_utf8(view.get(at + 2..at + 6)?).ok()?;
            view[at..].starts_with(b"\\u").then(|| u16::from_str_radix(digits, 16).ok())?
        };
        match escape {
            Some(b'u') if unit(at).is_some() => {
                let units: Vec<u16> =
                    [unit(at), unit(at + 6)].into_iter().map_while(|u| u).collect();
                // A pair stands for one character; otherwise the second one is looked at later.
                let one = char::decode_utf16(units).next().and_then(Result::ok);
                let one = one.unwrap_or(char::REPLACEMENT_CHARACTER);
                plain.extend(one.encode_utf8(&mut [0; 4]).as_bytes());
                at += 6 * one.len_utf16();
            }
            Some(letter) => {
                plain.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                at += 2;
            }
            None => {
                plain.push(view[at]);
                at += 1;
            }
        }
    }
    (plain.len() < view.len()).then_some(plain)
}

/// Replace percent signs with two digits behind; return `None` if there are none.
fn without_percents(view: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(view.len());
    let mut at = 0;
    while at < view.len() {
        let digits = view.get(at + 1..at + 3).filter(|_| view[at] == b'%');
        if let Some(byte) = digits.and_then(|digits| hex::decode(digits).ok()) {
            plain.extend(byte);
            at += 3;
        } else {
            plain.push(view[at]);
            at += 1;
        }
    }
    (plain.len() < view.len()).then_some(plain)
}

/// Return what the words encode that may be hexadecimal digits or base64.
fn decoded_words(view: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let is_of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    for word in view.split(|byte| !is_of_base64(byte)).filter(|word| word.len() >= 2 * GRAM) {
        let hex_word =
            |word: &&[u8]| word.len() >= 2 * GRAM && word.iter().all(u8::is_ascii_hexdigit);
        let parts = word.split(|byte| !byte.is_ascii_hexdigit()).filter(hex_word);
        decoded.extend(parts.filter_map(|part| hex::decode(&part[..part.len() & !1]).ok()));
        // A word with a remainder that cannot be is taken without it.
        let whole = if word.len() % 4 == 1 { &word[..word.len() - 1] } else { word };
        let lenient = |engine: &base64::engine::GeneralPurpose| {
            engine.decode(whole).or_else(|_| engine.decode(&whole[..whole.len() & !3])).ok()
        };
        decoded.extend(lenient(&STANDARD_NO_PAD).or_else(|| lenient(&URL_SAFE_NO_PAD)));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Ticket 4711 für Ä" in every form, made by other programs (coreutils, Python).
    const FORMS: &[(&str, &str)] = include!("forms.in");

    fn search() -> Search {
        let mut search = Search::new();
        search.add_content("the ticket", "Ticket 4711 für Ä", ("QR_CODE", 0x0400_0000));
        search
    }

    #[test]
    fn a_secret_is_found_in_every_form_whatever_it_is_wrapped_in() {
        let search = search();
        for (what, form) in FORMS {
            let quoted = serde_json::to_string(form).unwrap();
            let twice = serde_json::to_string(&format!("{{\"name\":{quoted}}}")).unwrap();
            for text in [
                format!("{{\"name\":{quoted}}}"),
                format!("{{\"payload\":{twice}}}"),
                format!("X-Name: {form}\r\n"),
                format!("{{\"name\":\"{}\"}}", STANDARD.encode(form)),
                format!("{{\"name\":\"{}\"}}", hex::encode(form)),
            ] {
                assert!(!search.find(text.as_bytes()).is_empty(), "{what} is not found in {text}");
            }
        }
    }

    #[test]
    fn bytes_that_encode_a_secret_are_found_and_others_are_not() {
        let search = search();
        for wide in [
            "Ticket 4711 für Ä".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            "Ticket 4711 für Ä".encode_utf16().flat_map(u16::to_be_bytes).collect(),
            hex::decode(FORMS.iter().find(|form| form.0 == "SHA-256").unwrap().1).unwrap(),
        ] {
            assert!(!search.find(&wide).is_empty(), "{wide:?}");
            assert!(!search.find(STANDARD.encode(&wide).as_bytes()).is_empty(), "{wide:?}");
        }
        let random = [ring::digest::digest(&ring::digest::SHA256, b"other").as_ref(); 200].concat();
        for other in [&b"Ticket 4712 for A"[..], &random, hex::encode(&random).as_bytes()] {
            assert_eq!(search.find(other), BTreeSet::new());
        }
    }
}
