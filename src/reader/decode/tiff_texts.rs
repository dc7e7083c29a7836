//! Texts in TIFF files that claim more bytes than there are.
//!
//! The decoder would refuse such a text, too, but not without a line on standard error, which is the host's. So the directories of
//! a file are looked through before the decoder has it.

use super::image_file::{MEMORY_BYTES_MAX, PAGES_MAX};

/// The number of the type of texts (TIFF 6.0, section 2).
const ASCII: u64 = 2;

/// Most entries of one directory that are looked at: as many as a classic file can have. BigTIFF could have so many that looking
/// took longer than anybody waits.
const ENTRIES_MAX: u64 = u16::MAX as u64;

/// How a kind of file is laid out: bytes of offsets and of the count in an entry, of the number of entries, and where the offset
/// of the first directory is.
struct Layout {
    size: u64,
    entries: u64,
    first: u64,
}

const CLASSIC: Layout = Layout { size: 4, entries: 2, first: 4 };
const BIG: Layout = Layout { size: 8, entries: 8, first: 8 };

/// Whether a text in one of the directories claims more than the file has, or a text or directory more than may be read.
pub(super) fn claims_too_long_a_text(bytes: &[u8]) -> bool {
    find(bytes, (bytes.len() as u64).min(MEMORY_BYTES_MAX)).is_some()
}

/// How much is claimed, if it is too much. What is no directory is left to the decoder, which refuses it.
fn find(bytes: &[u8], most: u64) -> Option<u64> {
    let is_little = bytes.starts_with(b"II");
    let word = |at: u64, length: u64| {
        let (at, length) = (usize::try_from(at).ok()?, usize::try_from(length).ok()?);
        let word = bytes.get(at..at.checked_add(length)?)?;
        let more = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if is_little { word.iter().rev().fold(0, more) } else { word.iter().fold(0, more) })
    };
    let Layout { size, entries, first } = match word(2, 2)? {
        42 => CLASSIC,
        43 => BIG,
        _ => return None,
    };
    let entry_bytes = 4 + 2 * size;
    let mut directory = word(first, size)?;
    for _ in 0..PAGES_MAX {
        // The last one names none.
        if directory == 0 {
            return None;
        }
        let count = word(directory, entries)?;
        if count > ENTRIES_MAX {
            return Some(count);
        }
        let begin = directory.checked_add(entries)?;
        for i in 0..count {
            let entry = begin.checked_add(i * entry_bytes)?;
            let length = word(entry + 4, size)?;
            if word(entry + 2, 2)? == ASCII && length > most {
                return Some(length);
            }
        }
        directory = word(begin.checked_add(count * entry_bytes)?, size)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two directories of one entry each; a text in the second claims so many bytes.
    fn file(is_little: bool, layout: &Layout, length: u64) -> Vec<u8> {
        let mut bytes = if is_little { b"II".to_vec() } else { b"MM".to_vec() };
        let mut put = |number: u64, width: u64| {
            let word = &number.to_le_bytes()[..width as usize];
            let mut word = word.to_vec();
            if !is_little {
                word.reverse();
            }
            bytes.extend(word);
        };
        let is_big = layout.size == 8;
        put(if is_big { 43 } else { 42 }, 2);
        if is_big {
            put(8, 2);
            put(0, 2);
        }
        let first = layout.first + layout.size;
        let second = first + layout.entries + 4 + 3 * layout.size;
        put(first, layout.size);
        for (kind, count, next) in [(3, 1, second), (ASCII, length, 0)] {
            put(1, layout.entries);
            put(0x0100, 2);
            put(kind, 2);
            put(count, layout.size);
            put(8, layout.size);
            put(next, layout.size);
        }
        bytes
    }

    #[test]
    fn a_text_is_found_that_claims_more_than_the_file_has() {
        for is_little in [true, false] {
            for layout in [&CLASSIC, &BIG] {
                for (length, is_too_long) in [(5, false), (10_000, true), (u64::from(u32::MAX), true)] {
                    let bytes = file(is_little, layout, length);
                    assert_eq!(claims_too_long_a_text(&bytes), is_too_long, "{is_little} {length} {bytes:?}");
                }
            }
        }
        assert!(claims_too_long_a_text(&file(false, &BIG, u64::MAX)));
    }

    #[test]
    fn a_directory_is_refused_that_claims_more_entries_than_anybody_would_look_through() {
        let mut bytes = file(true, &BIG, 5);
        let first = usize::try_from(BIG.first + BIG.size).unwrap();
        bytes[first..first + 8].copy_from_slice(&(ENTRIES_MAX + 1).to_le_bytes());
        assert!(claims_too_long_a_text(&bytes));
    }

    #[test]
    fn whatever_is_in_a_file_is_looked_through_to_its_end() {
        for layout in [&CLASSIC, &BIG] {
            let whole = file(true, layout, 5);
            for end in 0..whole.len() {
                assert!(!claims_too_long_a_text(&whole[..end]));
                for byte in [0, 0x7f, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[end] = byte;
                    claims_too_long_a_text(&bytes);
                }
            }
            // A directory that is its own successor.
            let mut bytes = whole;
            let (end, first) = (bytes.len(), (layout.first + layout.size).to_le_bytes());
            bytes[end - layout.size as usize..].copy_from_slice(&first[..layout.size as usize]);
            assert!(!claims_too_long_a_text(&bytes));
        }
    }
}
