//! A reader of usage segments for a program that only reads them: `seatmeterd doctor`. The library,
//! which counts into segments in shared memory, draws every byte in src/usage/segment/mod.rs; a
//! test there compares the two.

use crate::message::{UsageKind, UsageTotal};

const MAGIC: &[u8; 8] = b"SMSEGMT\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 0x1000;
const ENTRY_BYTES: usize = 32;

/// A counter of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The counter's total.
    pub usage: UsageTotal,
    /// The part of the total that the server has acknowledged.
    pub acknowledged: u64,
}

/// Return all counters of a segment that are not zero.
///
/// # Errors
/// Returns the reason why the file is not a segment of a known version.
pub fn read_segment(bytes: &[u8]) -> Result<Vec<Counted>, String> {
    let Some((header, entries)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(format!("it has {} bytes, less than its header", bytes.len()));
    };
    if &header[..8] != MAGIC {
        return Err("it is not a segment".into());
    }
    match word(header, 8) {
        VERSION => Ok(entries.chunks_exact(ENTRY_BYTES).filter_map(read_entry).collect()),
        version => Err(format!("its version is {version}, this program knows {VERSION}")),
    }
}

fn read_entry(entry: &[u8]) -> Option<Counted> {
    let kind = UsageKind::from_number(u8::try_from(word(entry, 4)).ok()?)?;
    let long = |at| u64::from(word(entry, at)) | u64::from(word(entry, at + 4)) << 32;
    let usage = UsageTotal { slot: word(entry, 0), kind, what: word(entry, 8), total: long(0x10) };
    (usage.total > 0).then_some(Counted { usage, acknowledged: long(0x18) })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_segment_is_refused_with_the_reason() {
        assert!(read_segment(b"").unwrap_err().contains("0 bytes"));
        assert!(read_segment(&[7; 0x2000]).unwrap_err().contains("not a segment"));
        let mut newer = [0; 0x1000];
        newer[..8].copy_from_slice(MAGIC);
        newer[8] = 2;
        assert!(read_segment(&newer).unwrap_err().contains("version is 2"));
    }
}
