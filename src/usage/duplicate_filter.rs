//! The duplicate filter: it remembers which barcodes of a frame sequence were counted a short while
//! ago.
//!
//! A camera shows the same barcode in many frames. The barcode is counted once, and again only when
//! the forget time has passed since it was *counted*, however often it was seen in between.
//!
//! The filter keeps a keyed hash of each barcode's symbology and content, in a table of fixed
//! lines. The key is random and belongs to this reader alone. So the hash shows nothing about the
//! content, and nobody can create contents that collide. Two different barcodes are taken for the
//! same with a chance of eight in 2^64 per look-up. An exact count would need the contents
//! themselves, in unbounded memory.
//!
//! ```text
//! line      8 entries: their hashes (u64, 0: empty), then when each was counted (u64, milliseconds)
//! table     1 line at first, doubled when there is no room, up to 8 192 lines (1 MiB)
//! ```
//!
//! A barcode may be in one of two lines, found by the low and by the high half of its hash. It goes
//! into the emptier one, so that the table fills evenly. In a table of the largest size, the oldest
//! entry is replaced. With more than some 40 000 different barcodes within the forget time, a
//! barcode may be counted again too early.
//!
//! | entry | meaning | next time it is seen |
//! |---|---|---|
//! | younger than the forget time | counted | repeated: not counted |
//! | as old, or older | forgotten | counted, becomes young |

use seatmeter_protocol::signature::random_bytes;
use xxhash_rust::xxh3::xxh3_64_with_secret;

use super::Barcode;

const ENTRIES: usize = 1 << ENTRY_BITS;
const ENTRY_BITS: u32 = 3;
const LINES_MAX: usize = 8192;

/// The milliseconds that are added to all times. An empty entry, counted at 0, is then older than
/// any forget time, even right after the machine has started.
const LONG_AGO_MS: u64 = 1 << 32;

/// The bytes of the hash's key; the function needs 136 or more.
const KEY_BYTES: usize = 192;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(128))]
struct Line {
    hashes: [u64; ENTRIES],
    counted_at_ms: [u64; ENTRIES],
}

impl Line {
    #[inline]
    fn find(&self, hash: u64) -> Option<usize> {
        self.hashes.iter().position(|known| *known == hash)
    }

    /// Return the state of the line at this time, in one pass without a branch.
    #[inline]
    fn survey(&self, now_ms: u64, forget_ms: u32) -> Survey {
        let mut survey = Survey { room: 0, oldest: u64::MAX };
        for (entry, counted_at_ms) in self.counted_at_ms.into_iter().enumerate() {
            survey.room += u32::from(!is_younger(counted_at_ms, now_ms, forget_ms));
            survey.oldest = survey.oldest.min(counted_at_ms << ENTRY_BITS | entry as u64);
        }
        survey
    }

    fn put(&mut self, entry: usize, hash: u64, counted_at_ms: u64) {
        self.hashes[entry] = hash;
        self.counted_at_ms[entry] = counted_at_ms;
    }
}

/// The state of a line.
#[derive(Clone, Copy, Debug)]
struct Survey {
    /// The number of entries in which nothing is remembered. If it is not 0, the oldest entry is
    /// one of them.
    room: u32,
    /// The time at which the oldest entry was counted, with the number of this entry in the lowest
    /// bits.
    oldest: u64,
}

impl Survey {
    fn oldest_entry(self) -> usize {
        usize::try_from(self.oldest).unwrap_or(0) % ENTRIES
    }

    /// Return whether a new entry should go here instead of there: into the line with more free
    /// entries, else into the line with the oldest entry.
    fn is_better_than(self, other: Self) -> bool {
        self.room > other.room || self.room == other.room && self.oldest < other.oldest
    }
}

/// The duplicate filter of one reader.
#[derive(Debug)]
pub struct DuplicateFilter {
    key: Box<[u8; KEY_BYTES]>,
    lines: Vec<Line>,
}

impl DuplicateFilter {
    /// Return an empty filter; `None` if the system has no random numbers.
    pub fn new() -> Option<Self> {
        Some(Self { key: Box::new(random_bytes()?), lines: vec![Line::default()] })
    }

    /// Return the hash by which this filter knows a barcode.
    #[inline]
    pub fn hash(&self, barcode: &Barcode<'_>) -> u64 {
        let content = xxh3_64_with_secret(barcode.bytes, self.key.as_slice());
        // An odd multiplier spreads the symbology over all bits, one to one.
        let hash = content ^ u64::from(barcode.format).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash.max(1)
    }

    /// Return whether a barcode counts now, because it was not counted within the forget time. It
    /// is then noted as counted.
    #[inline(always)]
    pub fn counts(&mut self, hash: u64, now_ms: u64, forget_ms: u32) -> bool {
        let now_ms = now_ms + LONG_AGO_MS;
        for line in self.lines_of(hash) {
            let line = &mut self.lines[line];
            if let Some(entry) = line.find(hash) {
                let counts = !is_younger(line.counted_at_ms[entry], now_ms, forget_ms);
                if counts {
                    line.counted_at_ms[entry] = now_ms;
                }
                return counts;
            }
        }
        self.note(hash, now_ms, forget_ms);
        true
    }

    /// Take back that a barcode was noted: it could not be counted, and must count the next time.
    #[cold]
    pub fn take_back(&mut self, hash: u64) {
        for line in self.lines_of(hash) {
            if let Some(entry) = self.lines[line].find(hash) {
                self.lines[line].put(entry, 0, 0);
            }
        }
    }

    /// Note a barcode that is not in the table.
    #[inline(never)]
    fn note(&mut self, hash: u64, now_ms: u64, forget_ms: u32) {
        while !self.place(hash, now_ms, now_ms, forget_ms) {
            self.grow(now_ms, forget_ms);
        }
    }

    /// Put an entry where nothing is remembered; in the largest table, replace the oldest entry if
    /// needed. Return whether there was such a place.
    #[inline]
    fn place(&mut self, hash: u64, counted_at_ms: u64, now_ms: u64, forget_ms: u32) -> bool {
        let [first, second] = self.lines_of(hash);
        let surveys = [first, second].map(|line| self.lines[line].survey(now_ms, forget_ms));
        let (survey, line) = if surveys[1].is_better_than(surveys[0]) {
            (surveys[1], second)
        } else {
            (surveys[0], first)
        };
        let placed = survey.room > 0 || self.lines.len() == LINES_MAX;
        if placed {
            self.lines[line].put(survey.oldest_entry(), hash, counted_at_ms);
        }
        placed
    }

    /// Return the bytes of memory that the filter uses.
    pub fn memory_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>() + KEY_BYTES
    }

    fn lines_of(&self, hash: u64) -> [usize; 2] {
        let mask = self.lines.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only low bits are wanted")]
        let (low, high) = (hash as usize, (hash >> 32) as usize);
        [low & mask, high & mask]
    }

    /// Double the table, and double it again if an entry found no place in it. Forgotten entries
    /// are not copied.
    fn grow(&mut self, now_ms: u64, forget_ms: u32) {
        let old = std::mem::take(&mut self.lines);
        let mut size = old.len();
        loop {
            size *= 2;
            self.lines = vec![Line::default(); size];
            let all_found_room = old.iter().all(|line| {
                let mut entries = line.hashes.into_iter().zip(line.counted_at_ms);
                entries.all(|(hash, counted_at_ms)| {
                    !is_younger(counted_at_ms, now_ms, forget_ms)
                        || self.place(hash, counted_at_ms, now_ms, forget_ms)
                })
            });
            if all_found_room {
                return;
            }
        }
    }
}

#[inline]
fn is_younger(counted_at_ms: u64, now_ms: u64, forget_ms: u32) -> bool {
    now_ms.wrapping_sub(counted_at_ms) < u64::from(forget_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_forget_time_runs_from_the_count_and_ends_on_the_millisecond() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        assert!(duplicates.counts(7, 10_000, 3000));
        for seen_at in [10_001, 11_500, 12_998, 12_999] {
            assert!(!duplicates.counts(7, seen_at, 3000), "{seen_at}");
        }
        assert!(
            duplicates.counts(7, 13_000, 3000),
            "3 000 ms after the count, however often it was seen"
        );
        assert!(!duplicates.counts(7, 15_999, 3000));
        assert!(duplicates.counts(7, 16_001, 3000));
    }

    #[test]
    fn a_forget_time_of_0_counts_every_time() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        assert!(duplicates.counts(7, 5, 0));
        assert!(duplicates.counts(7, 5, 0));
    }

    #[test]
    fn symbology_and_content_both_make_the_difference() {
        let duplicates = DuplicateFilter::new().unwrap();
        let barcodes: Vec<(u32, Vec<u8>)> = (0..40)
            .flat_map(|format| (0..40_usize).map(move |length| (format, vec![b'x'; length])))
            .collect();
        let mut hashes: Vec<u64> = barcodes
            .iter()
            .map(|(format, bytes)| duplicates.hash(&Barcode { format: *format, bytes }))
            .collect();
        // Half of all bits are set: a few of them choose the line.
        let set: u32 = hashes.iter().map(|hash| hash.count_ones()).sum();
        assert!((28..36).contains(&(set / 1600)), "{set} bits of 1600 hashes");
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), barcodes.len());
        let other = DuplicateFilter::new().unwrap();
        let barcode = Barcode { format: 1, bytes: b"secret" };
        assert_ne!(duplicates.hash(&barcode), other.hash(&barcode), "each reader has its own key");
    }

    #[test]
    fn it_agrees_with_a_map_over_a_long_random_history() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        let mut model: HashMap<u64, u64> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        let mut now_ms = 0;
        for _ in 0..if cfg!(miri) { 2_000 } else { 200_000 } {
            now_ms += random.u64(..7);
            let hash = spread(random.u64(..2000));
            let expected = model.get(&hash).is_none_or(|counted| now_ms - counted >= 3000);
            if expected {
                model.insert(hash, now_ms);
            }
            assert_eq!(duplicates.counts(hash, now_ms, 3000), expected);
        }
    }

    #[test]
    fn what_is_forgotten_takes_no_memory() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        let known = |duplicates: &DuplicateFilter| {
            let hashes = duplicates.lines.iter().flat_map(|line| line.hashes);
            hashes.filter(|hash| *hash != 0).count()
        };
        // Eight are in a line, and eight others take their places later.
        for now_ms in [0, 3000, 6000] {
            for n in 0..8 {
                assert!(duplicates.counts(spread(now_ms + n), now_ms, 3000));
            }
            assert_eq!((duplicates.lines.len(), known(&duplicates)), (1, 8));
        }
        // Four of them are forgotten when there are too many: the table holds the others alone.
        for n in 0..4 {
            assert!(duplicates.counts(spread(6000 + n), 9000, 3000));
        }
        duplicates.grow(9000 + LONG_AGO_MS, 3000);
        assert_eq!(known(&duplicates), 4);
    }

    #[test]
    fn a_barcode_goes_where_most_is_free_or_else_where_the_oldest_is() {
        let survey = |room, oldest| Survey { room, oldest };
        for (one, other, is_better) in [
            (survey(2, 9), survey(1, 4), true),
            (survey(1, 4), survey(2, 9), false),
            (survey(1, 4), survey(1, 5), true),
            (survey(1, 5), survey(1, 5), false),
            (survey(1, 5), survey(1, 4), false),
        ] {
            assert_eq!(one.is_better_than(other), is_better, "{one:?} {other:?}");
        }
        let mut line = Line::default();
        (0..ENTRIES).for_each(|entry| line.put(entry, 1, 100 - entry as u64));
        let survey = line.survey(3093, 3000);
        // Those that were counted at 93 and before are forgotten.
        assert_eq!((survey.room, survey.oldest_entry()), (1, ENTRIES - 1));
        assert_eq!(line.survey(3092, 3000).room, 0);
        assert_eq!(line.survey(3095, 3000).room, 3);
    }

    #[test]
    fn what_was_taken_back_counts_the_next_time_and_nothing_else_does() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        for n in 0..100 {
            assert!(duplicates.counts(spread(n), 0, 3000));
        }
        duplicates.take_back(spread(7));
        duplicates.take_back(spread(1000));
        for n in 0..100 {
            assert_eq!(duplicates.counts(spread(n), 1, 3000), n == 7, "{n}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "hours")]
    fn memory_is_small_at_first_and_bounded_under_a_flood() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        assert!(duplicates.memory_bytes() < 512);
        for n in 0..1_000_000 {
            duplicates.counts(spread(n), 0, 3000);
        }
        assert_eq!(duplicates.memory_bytes(), LINES_MAX * 128 + KEY_BYTES);
        // After everything is forgotten, the table works as before.
        assert!(duplicates.counts(42, 10_000, 3000));
        assert!(!duplicates.counts(42, 10_001, 3000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "hours")]
    fn forty_thousand_codes_within_the_forget_time_are_each_counted_once() {
        let mut duplicates = DuplicateFilter::new().unwrap();
        let counted =
            (0..80_000).filter(|n| duplicates.counts(spread(n % 40_000), 0, 3000)).count();
        assert_eq!(counted, 40_000);
    }

    /// Spread a number over all bits, one to one, as a hash would: the finalizer of SplitMix64.
    fn spread(n: u64) -> u64 {
        let mut bits = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}
