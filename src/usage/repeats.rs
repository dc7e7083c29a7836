//! Which barcodes of a frame sequence were counted a short while ago.
//!
//! A camera shows the same barcode in many frames; it is counted once, and again only when the forget time has
//! passed since it was *counted*, however often it was seen in between.
//!
//! What is kept of a barcode is a keyed hash of symbology and content, in a table of fixed lines. The key is
//! random and of this reader alone, so that the hash tells nothing about the content, and nobody can make
//! contents that collide. Two different barcodes are taken for one with a chance of eight in 2^64 per look-up;
//! a count that is exact byte for byte would need the contents themselves, without a bound.
//!
//! ```text
//! line      8 entries
//! entry     hash: u64 (0: empty) | counted at: u64, milliseconds
//! table     1 line at first, doubled when there is no room, up to 8 192 lines (1 MiB)
//! ```
//!
//! A barcode may be in one of two lines, found by the low and by the high half of its hash, and goes into the
//! emptier one: so the table fills evenly. In one of the largest size the oldest entry gives way: above some
//! 40 000 different barcodes within the forget time, one may be counted again too early.
//!
//! | entry | meaning | next time it is seen |
//! |---|---|---|
//! | younger than the forget time | counted | repeated: not counted |
//! | as old, or older | forgotten | counted, becomes young |

use seatmeter_protocol::signature::random_bytes;
use xxhash_rust::xxh3::xxh3_64_with_secret;

use super::Barcode;

const ENTRIES: usize = 8;
const LINES_MAX: usize = 8192;

/// Bytes of the hash's key; the function needs 136 or more.
const KEY_BYTES: usize = 192;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u64,
    counted_at_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(128))]
struct Line([Entry; ENTRIES]);

/// The memory of one reader.
#[derive(Debug)]
pub struct Repeats {
    key: Box<[u8; KEY_BYTES]>,
    lines: Vec<Line>,
}

impl Repeats {
    /// Remembers nothing yet. `None` when the system has no random numbers.
    pub fn new() -> Option<Self> {
        Some(Self { key: Box::new(random_bytes()?), lines: vec![Line::default()] })
    }

    /// The hash under which a barcode is known here.
    #[inline]
    pub fn hash(&self, barcode: &Barcode<'_>) -> u64 {
        let content = xxh3_64_with_secret(barcode.bytes, self.key.as_slice());
        // An odd multiplier spreads the symbology over all bits, one to one.
        let hash = content ^ (u64::from(barcode.format) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash.max(1)
    }

    /// Whether a barcode counts now: it was not counted within the forget time.
    #[inline]
    pub fn is_fresh(&self, hash: u64, now_ms: u64, forget_ms: u32) -> bool {
        let remembered = |line: usize| {
            self.lines[line]
                .0
                .iter()
                .any(|entry| entry.hash == hash && is_remembered(entry, now_ms, forget_ms))
        };
        let [first, second] = self.lines_of(hash);
        !(remembered(first) || remembered(second))
    }

    /// Notes that a barcode was counted.
    pub fn note(&mut self, hash: u64, now_ms: u64, forget_ms: u32) {
        let new = Entry { hash, counted_at_ms: now_ms };
        while !self.place(new, now_ms, forget_ms) {
            if self.lines.len() == LINES_MAX {
                let [first, second] = self.lines_of(hash);
                let oldest = if self.oldest_in(first) <= self.oldest_in(second) { first } else { second };
                if let Some(entry) = self.lines[oldest].0.iter_mut().min_by_key(|entry| entry.counted_at_ms) {
                    *entry = new;
                }
                return;
            }
            self.grow(now_ms, forget_ms);
        }
    }

    /// Puts an entry where it was, or else where nothing is remembered; says whether there was such a place.
    fn place(&mut self, new: Entry, now_ms: u64, forget_ms: u32) -> bool {
        let lines = self.lines_of(new.hash);
        for line in lines {
            if let Some(known) = self.lines[line].0.iter_mut().find(|entry| entry.hash == new.hash) {
                *known = new;
                return true;
            }
        }
        let room =
            |line: usize| self.lines[line].0.iter().filter(|e| !is_remembered(e, now_ms, forget_ms)).count();
        let line = if room(lines[0]) >= room(lines[1]) { lines[0] } else { lines[1] };
        let free = self.lines[line].0.iter_mut().find(|entry| !is_remembered(entry, now_ms, forget_ms));
        free.map(|entry| *entry = new).is_some()
    }

    fn oldest_in(&self, line: usize) -> u64 {
        self.lines[line].0.iter().map(|entry| entry.counted_at_ms).min().unwrap_or(0)
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>() + KEY_BYTES
    }

    fn lines_of(&self, hash: u64) -> [usize; 2] {
        let mask = self.lines.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only low bits are wanted")]
        let (low, high) = (hash as usize, (hash >> 32) as usize);
        [low & mask, high & mask]
    }

    /// Doubles the table, again if something found no room in it; what is forgotten stays behind.
    fn grow(&mut self, now_ms: u64, forget_ms: u32) {
        let old = std::mem::take(&mut self.lines);
        let mut size = old.len();
        loop {
            size *= 2;
            self.lines = vec![Line::default(); size];
            let mut remembered =
                old.iter().flat_map(|line| line.0).filter(|entry| is_remembered(entry, now_ms, forget_ms));
            if remembered.all(|entry| self.place(entry, now_ms, forget_ms)) || size >= LINES_MAX {
                return;
            }
        }
    }
}

fn is_remembered(entry: &Entry, now_ms: u64, forget_ms: u32) -> bool {
    entry.hash != 0 && now_ms.saturating_sub(entry.counted_at_ms) < u64::from(forget_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Sees a barcode once; whether it counts.
    fn see(repeats: &mut Repeats, hash: u64, now_ms: u64, forget_ms: u32) -> bool {
        let fresh = repeats.is_fresh(hash, now_ms, forget_ms);
        if fresh {
            repeats.note(hash, now_ms, forget_ms);
        }
        fresh
    }

    #[test]
    fn the_forget_time_runs_from_the_count_and_ends_on_the_millisecond() {
        let mut repeats = Repeats::new().unwrap();
        assert!(see(&mut repeats, 7, 10_000, 3000));
        for seen_at in [10_001, 11_500, 12_998, 12_999] {
            assert!(!see(&mut repeats, 7, seen_at, 3000), "{seen_at}");
        }
        assert!(see(&mut repeats, 7, 13_000, 3000), "3 000 ms after the count, however often it was seen");
        assert!(!see(&mut repeats, 7, 15_999, 3000));
        assert!(see(&mut repeats, 7, 16_001, 3000));
    }

    #[test]
    fn a_forget_time_of_0_counts_every_time() {
        let mut repeats = Repeats::new().unwrap();
        assert!(see(&mut repeats, 7, 5, 0));
        assert!(see(&mut repeats, 7, 5, 0));
    }

    #[test]
    fn symbology_and_content_both_make_the_difference() {
        let repeats = Repeats::new().unwrap();
        let barcodes: Vec<(u32, Vec<u8>)> = (0..40)
            .flat_map(|format| (0..40_usize).map(move |length| (format, vec![b'x'; length])))
            .collect();
        let mut hashes: Vec<u64> = barcodes
            .iter()
            .map(|(format, bytes)| repeats.hash(&Barcode { format: *format, bytes }))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), barcodes.len());
        let other = Repeats::new().unwrap();
        let barcode = Barcode { format: 1, bytes: b"secret" };
        assert_ne!(repeats.hash(&barcode), other.hash(&barcode), "each reader has its own key");
    }

    #[test]
    fn it_agrees_with_a_map_over_a_long_random_history() {
        let mut repeats = Repeats::new().unwrap();
        let mut model: HashMap<u64, u64> = HashMap::new();
        let mut random = 88_172_645_463_325_252_u64;
        let mut now_ms = 0;
        for _ in 0..200_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            now_ms += random % 7;
            let hash = spread(random % 2000);
            let expected = model.get(&hash).is_none_or(|counted| now_ms - counted >= 3000);
            if expected {
                model.insert(hash, now_ms);
            }
            assert_eq!(see(&mut repeats, hash, now_ms, 3000), expected);
        }
    }

    #[test]
    fn memory_is_small_at_first_and_bounded_under_a_flood() {
        let mut repeats = Repeats::new().unwrap();
        assert!(repeats.memory_bytes() < 512);
        for n in 0..1_000_000 {
            see(&mut repeats, spread(n), 0, 3000);
        }
        assert_eq!(repeats.memory_bytes(), LINES_MAX * 128 + KEY_BYTES);
        // When all that is forgotten the table goes on as before.
        assert!(see(&mut repeats, 42, 10_000, 3000));
        assert!(!see(&mut repeats, 42, 10_001, 3000));
    }

    #[test]
    fn forty_thousand_codes_within_the_forget_time_are_each_counted_once() {
        let mut repeats = Repeats::new().unwrap();
        let counted = (0..80_000).filter(|n| see(&mut repeats, spread(n % 40_000), 0, 3000)).count();
        assert_eq!(counted, 40_000);
    }

    /// Spreads a number over all bits, one to one, as a hash would: the finaliser of SplitMix64.
    fn spread(n: u64) -> u64 {
        let mut bits = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}
