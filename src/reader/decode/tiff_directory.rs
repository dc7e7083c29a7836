//! The directories of a TIFF file: one for each page, in a chain.
//!
//! | | classic | BigTIFF |
//! |---|---|---|
//! | bytes 2, 3 | 42 | 43, then 8 and 0 |
//! | place of the first directory | at 4, 4 bytes | at 8, 8 bytes |
//! | number of entries | 2 bytes | 8 bytes |
//! | an entry: tag, type, number of values, values or their place | 2, 2, 4, 4 bytes | 2, 2, 8, 8 bytes |
//!
//! All numbers come from the file: places and lengths are checked against the file's size. A chain
//! that comes back to a directory would have no end.

/// Most entries of one directory that are read: as many as a classic file can have.
const ENTRIES_MAX: u64 = u16::MAX as u64;

/// The file, and the layout of its numbers.
#[derive(Clone, Copy)]
pub(super) struct TiffFile<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_little: bool,
    is_big: bool,
}

/// The facts of a page: the tag, type, count and place of each entry.
pub(super) struct Directory<'a> {
    file: TiffFile<'a>,
    entries: Vec<Entry>,
    /// The place of the next directory; 0 after the last.
    pub(super) next: u64,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The place of the entry's values.
    at: usize,
}

impl<'a> TiffFile<'a> {
    /// Read the head of the file; return the place of its first directory, too.
    pub(super) fn open(bytes: &'a [u8]) -> Option<(Self, u64)> {
        let is_little = match bytes.first_chunk::<2>()? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut file = Self { bytes, is_little, is_big: false };
        match file.number(2, 2)? {
            42 => Some((file, file.number(4, 4)?)),
            43 if file.number(4, 2)? == 8 => {
                file.is_big = true;
                Some((file, file.number(8, 8)?))
            }
            _ => None,
        }
    }

    fn number(&self, at: usize, length: usize) -> Option<u64> {
        let word = self.bytes.get(at..at.checked_add(length)?)?;
        let more = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_little {
            word.iter().rev().fold(0, more)
        } else {
            word.iter().fold(0, more)
        })
    }

    /// Return the directory at a place, or `None` when it does not lie in the file.
    pub(super) fn directory(&self, at: u64) -> Option<Directory<'a>> {
        let (count_bytes, word) = if self.is_big { (8, 8) } else { (2, 4) };
        let at = usize::try_from(at).ok()?;
        let count = self.number(at, count_bytes).filter(|count| *count <= ENTRIES_MAX)?;
        let mut place = at + count_bytes;
        let mut entries = Vec::new();
        for _ in 0..count {
            let kind = self.number(place + 2, 2)? as u16;
            let count = self.number(place + 4, word)?;
            let values = place + 4 + word;
            let bytes = size_of_type(kind).and_then(|size| count.checked_mul(size));
            // Values that fit into the field of their place stand there themselves.
            let at = match bytes {
                Some(bytes) if bytes <= word as u64 => values,
                _ => usize::try_from(self.number(values, word)?).ok()?,
            };
            entries.push(Entry { tag: self.number(place, 2)? as u16, kind, count, at });
            place = values + word;
        }
        // A file that ends with its last directory may lack the place of the next.
        let next = self.number(place, word).unwrap_or(0);
        Some(Directory { file: *self, entries, next })
    }
}

fn size_of_type(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

impl<'a> Directory<'a> {
    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Return the values of an entry as they are in the file.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let entry = self.entry(tag)?;
        let length = usize::try_from(entry.count.checked_mul(size_of_type(entry.kind)?)?).ok()?;
        self.file.bytes.get(entry.at..entry.at.checked_add(length)?)
    }

    /// Return the values of an entry of whole numbers; `None` when there is no such entry, or it
    /// claims more values than the file has.
    pub(super) fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        let size = match self.entry(tag)?.kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        let values = self.bytes(tag)?.chunks_exact(size);
        let more = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.file.is_little {
            values.map(|value| value.iter().rev().fold(0, more)).collect()
        } else {
            values.map(|value| value.iter().fold(0, more)).collect()
        })
    }

    /// Return the first value of an entry, or `otherwise` if there is no entry.
    pub(super) fn number(&self, tag: u16, otherwise: u64) -> u64 {
        self.numbers(tag).and_then(|numbers| numbers.first().copied()).unwrap_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Make a file with one directory. The entries have tag, type, count, and the bytes of their
    /// values or place.
    fn file(is_little: bool, is_big: bool, entries: &[(u16, u16, u64, u64)]) -> Vec<u8> {
        let mut bytes = if is_little { b"II".to_vec() } else { b"MM".to_vec() };
        let mut put = |number: u64, width: usize| {
            let mut word = number.to_le_bytes()[..width].to_vec();
            if !is_little {
                word.reverse();
            }
            bytes.extend(word);
        };
        let word = if is_big { 8 } else { 4 };
        put(if is_big { 43 } else { 42 }, 2);
        if is_big {
            put(8, 2);
            put(0, 2);
        }
        put(if is_big { 16 } else { 8 }, word);
        put(entries.len() as u64, if is_big { 8 } else { 2 });
        for (tag, kind, count, value) in entries {
            put((*tag).into(), 2);
            put((*kind).into(), 2);
            put(*count, word);
            // A short value is at the lower address.
            let length = match (kind, count) {
                (3, 1) => 2,
                (4, 1) => 4,
                _ => word,
            };
            put(*value, length);
            put(0, word - length);
        }
        put(0, word);
        bytes
    }

    #[test]
    fn numbers_are_read_from_all_four_kinds_of_files() {
        for (is_little, is_big) in [(true, false), (false, false), (true, true), (false, true)] {
            let bytes =
                file(is_little, is_big, &[(256, 3, 1, 700), (257, 4, 1, 70_000), (258, 2, 1, 9)]);
            let (file, first) = TiffFile::open(&bytes).unwrap();
            let directory = file.directory(first).unwrap();
            assert_eq!((directory.number(256, 0), directory.number(257, 0)), (700, 70_000));
            assert_eq!(
                (directory.number(258, 5), directory.number(259, 1)),
                (5, 1),
                "text, and nothing"
            );
            assert_eq!(directory.next, 0);
        }
    }

    #[test]
    fn what_claims_more_than_the_file_has_is_not_there() {
        for (kind, count, at) in
            [(3, u64::from(u32::MAX), 8), (3, 9, u64::from(u32::MAX)), (99, 1, 8), (4, 3, 200)]
        {
            let bytes = file(true, false, &[(273, kind, count, at)]);
            let (file, first) = TiffFile::open(&bytes).unwrap();
            assert_eq!(file.directory(first).unwrap().numbers(273), None, "{kind} {count} {at}");
        }
        let mut bytes = file(true, true, &[]);
        bytes[16..24].fill(0xff);
        let (file, first) = TiffFile::open(&bytes).unwrap();
        assert!(file.directory(first).is_none() && file.directory(u64::MAX).is_none());
    }

    #[test]
    fn whatever_is_in_a_file_is_looked_through_to_its_end() {
        for is_big in [false, true] {
            let whole = file(true, is_big, &[(256, 3, 1, 7), (273, 4, 2, 8)]);
            for end in 0..whole.len() {
                for byte in [0, 0x7f, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[end] = byte;
                    for bytes in [&whole[..end], &bytes[..]] {
                        let Some((file, first)) = TiffFile::open(bytes) else { continue };
                        let Some(directory) = file.directory(first) else { continue };
                        let _ =
                            (directory.numbers(256), directory.numbers(273), directory.bytes(273));
                    }
                }
            }
        }
    }
}
