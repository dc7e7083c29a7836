//! The bytes of a seat pool file, and a read-only report of them.
//!
//! The library maps the file and changes it; the license server's doctor only reads it. Both take
//! offsets and bit positions from here, so that they cannot disagree. Nothing here touches a file
//! or shared memory.
//!
//! ```text
//! 0x000 u64  magic        0x008 u32 version      0x00c u32 entries       0x010 u128 file id
//! 0x020 u64  settled at (machine's monotonic ms, openers wait for it; 0 settled, u64::MAX unknown)
//! 0x040 u64  grant        seats:32 | number:32
//! 0x048 u32  mark         0x04c u32 waiters      0x050 u32 wake word (futex)
//! 0x080 u128 pool word    low: used:20 | held:20 | attachment:24  high: entry:16 | seq:48
//! 0x1000 + 128·s          entry s
//!       0x00 u128 entry word    low: 0:20 | held:20 | attachment:24    high: 0:16 | seq:48
//!       0x10 u32  flag         0 | thread id of the guardian | OWNER_DIED
//!       0x40 u32  pid   0x48 u64 since   0x50 [u8; 32] name   0x70 u64 pid namespace      diagnostics only
//! ```
//!
//! | attachment | flag | lock of the entry | the entry is |
//! | --- | --- | --- | --- |
//! | even | any | free | free |
//! | even | any | held | being attached or detached |
//! | odd | 0 | held | attached, no guardian (yet) |
//! | odd | thread id | held | attached and guarded |
//! | odd | OWNER_DIED | held or free | dead: its seats may be reclaimed |
//! | odd | any | free | dead |

use std::fmt;

/// First eight bytes of the file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SMseats\n");
/// Version of this layout.
pub const VERSION: u32 = 1;
/// Processes that can be attached at one time. A power of two, so that an index from shared memory
/// can be masked instead of trusted.
pub const ENTRIES: u32 = 4096;
/// The largest number of seats that is granted. It leaves three spare bits in the counters.
pub const SEATS_MAX: u32 = 65_536;

/// Bytes before the first entry.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of one entry. A search for dead owners reads one cache line of each entry.
pub const ENTRY_BYTES: usize = 128;
/// Length of the file. It never changes, because a mapped file that shrinks kills the process that
/// maps it.
pub const FILE_BYTES: usize = HEADER_BYTES + ENTRIES as usize * ENTRY_BYTES;
/// Byte of the file whose lock says that the owner of entry 0 lives; entry s has the s-th byte
/// after it. It is far beyond the end of the file: the lock is a name, not a range of data.
pub const LOCK_BASE: i64 = 1 << 40;

/// Offset of the magic.
pub const AT_MAGIC: usize = 0x00;
/// Offset of the version.
pub const AT_VERSION: usize = 0x08;
/// Offset of the number of entries.
pub const AT_ENTRIES: usize = 0x0c;
/// Offset of the random file id.
pub const AT_FILE_ID: usize = 0x10;
/// Offset of the instant until which openers wait.
pub const AT_SETTLED: usize = 0x20;
/// Offset of the grant.
pub const AT_GRANT: usize = 0x40;
/// Offset of the high-water mark: entries at and above it were never attached.
pub const AT_HIGH_WATER_MARK: usize = 0x48;
/// Offset of the word that says whether a waiter may be asleep on the wake word.
pub const AT_WAITERS: usize = 0x4c;
/// Offset of the futex that waiters sleep on.
pub const AT_WAKE_WORD: usize = 0x50;
/// Offset of the pool word.
pub const AT_POOL: usize = 0x80;
/// Offset of the guardian's flag within an entry.
pub const IN_ENTRY_FLAG: usize = 0x10;
/// Offset of the owner's process id within an entry.
pub const IN_ENTRY_PID: usize = 0x40;
/// Offset of the instant of attachment (Unix seconds) within an entry.
pub const IN_ENTRY_SINCE: usize = 0x48;
/// Offset of the owner's name within an entry.
pub const IN_ENTRY_NAME: usize = 0x50;
/// Bytes of the owner's name.
pub const NAME_BYTES: usize = 32;
/// Offset of the owner's pid namespace within an entry.
pub const IN_ENTRY_NAMESPACE: usize = 0x70;

/// The bit that the kernel sets in the flag when the guardian's thread ends while the flag carries
/// its id.
pub const OWNER_DIED: u32 = 0x4000_0000;
/// The step in which the wake word counts. When a process dies, the kernel wakes a sleeper on the
/// wake word only while the 30 low bits, the place of a thread id, are zero. So the wake word
/// counts in the two high bits.
pub const WAKE_STEP: u32 = 0x4000_0000;

const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const ATTACHMENT_MASK: u64 = (1 << 24) - 1;
const SEQ_BITS: u32 = 48;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;

/// Return the offset of entry `entry`; an index beyond the last wraps round.
#[must_use]
#[inline(always)]
pub const fn entry_offset(entry: u16) -> usize {
    HEADER_BYTES + (entry as u32 & (ENTRIES - 1)) as usize * ENTRY_BYTES
}

/// Return whether this attachment number of an entry means that a process is attached. The numbers
/// count 0, 1, 2, …: odd is attached, even is free.
#[must_use]
#[inline(always)]
pub const fn is_attached(attachment: u32) -> bool {
    attachment & 1 == 1
}

/// Return the number of the attachment that begins after `attachment`.
#[must_use]
pub const fn next_attached(attachment: u32) -> u32 {
    (if is_attached(attachment) { attachment + 2 } else { attachment + 1 }) & ATTACHMENT_MASK as u32
}

/// Return the number of the free entry after `attachment` has ended.
#[must_use]
pub const fn next_free(attachment: u32) -> u32 {
    (attachment + 1) & ATTACHMENT_MASK as u32
}

/// The pool word: the number of used seats, and the count of the entry that acted last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolWord {
    /// Seats held by all entries together.
    pub used: u32,
    /// Seats held by `entry`.
    pub held: u32,
    /// Attachment of `entry`.
    pub attachment: u32,
    /// The entry that acted last.
    pub entry: u16,
    /// Number of this write of the word.
    pub seq: u64,
}

impl PoolWord {
    /// Make the word from its low and high half, as they are in memory.
    #[must_use]
    #[inline(always)]
    pub const fn unpack([low, high]: [u64; 2]) -> Self {
        Self {
            used: (low & COUNT_MASK) as u32,
            held: (low >> COUNT_BITS & COUNT_MASK) as u32,
            attachment: (low >> (2 * COUNT_BITS)) as u32,
            entry: (high & 0xffff) as u16,
            seq: high >> 16,
        }
    }

    /// Return the low and high half.
    #[must_use]
    #[inline(always)]
    pub const fn pack(self) -> [u64; 2] {
        let counts = self.used as u64 & COUNT_MASK | (self.held as u64 & COUNT_MASK) << COUNT_BITS;
        [counts | (self.attachment as u64 & ATTACHMENT_MASK) << (2 * COUNT_BITS), self.high()]
    }

    /// Return the high half: no two writes of the pool word have the same one.
    #[must_use]
    #[inline(always)]
    pub const fn high(self) -> u64 {
        self.entry as u64 | (self.seq & SEQ_MASK) << 16
    }

    /// Return the word that follows this one when `entry` acts.
    #[must_use]
    #[inline(always)]
    pub const fn followed_by(self, used: u32, entry: u16, held: u32, attachment: u32) -> Self {
        Self { used, held, attachment, entry, seq: (self.seq + 1) & SEQ_MASK }
    }

    /// Return the words that follow `words` when the entry in them takes one seat.
    #[must_use]
    #[inline(always)]
    pub const fn one_taken([low, high]: [u64; 2]) -> [u64; 2] {
        [low.wrapping_add(1 | 1 << COUNT_BITS), high.wrapping_add(1 << 16)]
    }

    /// Return the words that follow `words` when the entry in them, which has a seat, gives one
    /// back.
    #[must_use]
    #[inline(always)]
    pub const fn one_given([low, high]: [u64; 2]) -> [u64; 2] {
        [low.wrapping_sub(1 | 1 << COUNT_BITS), high.wrapping_add(1 << 16)]
    }

    /// Return the word that belongs into the word of `self.entry`.
    #[must_use]
    #[inline(always)]
    pub const fn as_entry(self) -> EntryWord {
        EntryWord { held: self.held, attachment: self.attachment, seq: self.seq }
    }
}

/// The word of an entry: its count as of write `seq` of the pool word. It is valid while the pool
/// word holds another entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntryWord {
    /// Seats held by the entry.
    pub held: u32,
    /// Attachment of the entry.
    pub attachment: u32,
    /// The write of the pool word from which this count was taken.
    pub seq: u64,
}

impl EntryWord {
    /// Make the word from its low and high half, as they are in memory.
    #[must_use]
    #[inline(always)]
    pub const fn unpack([low, high]: [u64; 2]) -> Self {
        let word = PoolWord::unpack([low, high]);
        Self { held: word.held, attachment: word.attachment, seq: word.seq }
    }

    /// Return the low and high half.
    #[must_use]
    #[inline(always)]
    pub const fn pack(self) -> [u64; 2] {
        PoolWord { used: 0, held: self.held, attachment: self.attachment, entry: 0, seq: self.seq }
            .pack()
    }
}

/// The number of seats that the device may use, and the number of the grant behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    /// Seats of the device.
    pub seats: u32,
    /// Number of the grant. The highest number is the newest grant.
    pub number: u32,
}

impl Grant {
    /// Make the grant from the word in memory. More than `SEATS_MAX` seats count as `SEATS_MAX`.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        let seats = word as u32;
        Self {
            seats: if seats > SEATS_MAX { SEATS_MAX } else { seats },
            number: (word >> 32) as u32,
        }
    }

    /// Return the word in memory.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.seats as u64 | (self.number as u64) << 32
    }
}

/// Return the first 64 bytes of a new file.
#[must_use]
pub fn new_header(file_id: [u8; 16], settled_at_ms: u64) -> [u8; 64] {
    let mut header = [0; 64];
    header[AT_MAGIC..][..8].copy_from_slice(&MAGIC.to_le_bytes());
    header[AT_VERSION..][..4].copy_from_slice(&VERSION.to_le_bytes());
    header[AT_ENTRIES..][..4].copy_from_slice(&ENTRIES.to_le_bytes());
    header[AT_FILE_ID..][..16].copy_from_slice(&file_id);
    header[AT_SETTLED..][..8].copy_from_slice(&settled_at_ms.to_le_bytes());
    header
}

/// The reason why a file is not a pool of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The file has no bytes at all, as a power cut can leave it.
    Empty,
    /// The file is ours, but it does not have the length that it must have.
    Torn,
    /// The file is not ours.
    Foreign,
    /// The file is ours, of an older version.
    Older(u32),
    /// The file is ours, of a newer version.
    Newer(u32),
    /// The file is ours, but its counts contradict one another.
    Inconsistent,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty"),
            Self::Torn => write!(f, "its length is wrong (a pool has {FILE_BYTES} bytes)"),
            Self::Foreign => write!(f, "it is not a seat pool"),
            Self::Older(version) => {
                write!(f, "it has the older version {version} (this is {VERSION})")
            }
            Self::Newer(version) => {
                write!(f, "it has the newer version {version} (this is {VERSION})")
            }
            Self::Inconsistent => write!(f, "its counts contradict one another"),
        }
    }
}

/// Check that a file of `length` bytes that begins with `start` is a pool of this version.
///
/// # Errors
/// Returns the fault of the file.
pub fn check(start: &[u8], length: u64) -> Result<(), Unfit> {
    if length == 0 {
        return Err(Unfit::Empty);
    }
    if u64_at(start, AT_MAGIC) != Some(MAGIC) {
        return Err(Unfit::Foreign);
    }
    match u32_at(start, AT_VERSION) {
        Some(version) if version < VERSION => return Err(Unfit::Older(version)),
        Some(version) if version > VERSION => return Err(Unfit::Newer(version)),
        Some(_) => {}
        None => return Err(Unfit::Torn),
    }
    if u32_at(start, AT_ENTRIES) != Some(ENTRIES) || length != FILE_BYTES as u64 {
        return Err(Unfit::Torn);
    }
    Ok(())
}

/// The content of a pool file at the moment it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolReport {
    /// Version of the layout.
    pub version: u32,
    /// Random id of the file.
    pub file_id: [u8; 16],
    /// Seats granted, and the grant's number.
    pub grant: Grant,
    /// Seats used.
    pub used: u32,
    /// Entries that were attached at some time.
    pub high_water_mark: u32,
    /// Whether a waiter for a seat may be asleep.
    pub waiters: bool,
    /// The attached entries, with their seats.
    pub entries: Vec<EntryReport>,
}

/// An attached entry of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryReport {
    /// Number of the entry: byte `LOCK_BASE + entry` is locked while its owner lives.
    pub entry: u16,
    /// Seats that the entry holds.
    pub held: u32,
    /// Number of the entry's attachment; odd.
    pub attachment: u32,
    /// Whether the owner is known to be dead. If not, the lock decides.
    pub died: bool,
    /// Thread id of the guardian; 0 if there is none.
    pub guardian: u32,
    /// Process id, as the process itself sees it.
    pub pid: u32,
    /// Inode of the pid namespace in which `pid` is valid.
    pub pid_namespace: u64,
    /// Instant of attachment, Unix seconds.
    pub since: u64,
    /// Name of the process.
    pub name: String,
}

/// Read a whole pool file.
///
/// A file that is in use may change while it is read. The report then does not show a single
/// instant.
///
/// # Errors
/// Returns the fault of the file.
pub fn parse(bytes: &[u8]) -> Result<PoolReport, Unfit> {
    check(bytes, bytes.len() as u64)?;
    let word = |at| u64_at(bytes, at).ok_or(Unfit::Torn);
    let half = |at| u32_at(bytes, at).ok_or(Unfit::Torn);
    let pool = PoolWord::unpack([word(AT_POOL)?, word(AT_POOL + 8)?]);
    let high_water_mark = half(AT_HIGH_WATER_MARK)?.min(ENTRIES);
    let mut file_id = [0; 16];
    file_id.copy_from_slice(&bytes[AT_FILE_ID..][..16]);
    let mut entries = Vec::new();
    for entry in 0..high_water_mark as u16 {
        let at = entry_offset(entry);
        let own = EntryWord::unpack([word(at)?, word(at + 8)?]);
        let (held, attachment) = if pool.entry == entry {
            (pool.held, pool.attachment)
        } else {
            (own.held, own.attachment)
        };
        if !is_attached(attachment) {
            continue;
        }
        let flag = half(at + IN_ENTRY_FLAG)?;
        entries.push(EntryReport {
            entry,
            held,
            attachment,
            died: flag & OWNER_DIED != 0,
            guardian: if flag & OWNER_DIED == 0 { flag } else { 0 },
            pid: half(at + IN_ENTRY_PID)?,
            pid_namespace: word(at + IN_ENTRY_NAMESPACE)?,
            since: word(at + IN_ENTRY_SINCE)?,
            name: name_from(&bytes[at + IN_ENTRY_NAME..][..NAME_BYTES]),
        });
    }
    Ok(PoolReport {
        version: VERSION,
        file_id,
        grant: Grant::unpack(word(AT_GRANT)?),
        used: pool.used,
        high_water_mark,
        waiters: half(AT_WAITERS)? != 0,
        entries,
    })
}

/// Return a process name as an entry holds it: up to the first zero, without characters that could
/// control a terminal.
#[must_use]
pub fn name_from(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_file() -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES];
        bytes[..64].copy_from_slice(&new_header([7; 16], 0));
        bytes
    }

    #[test]
    fn words_come_back_as_they_were_packed() {
        let word =
            PoolWord { used: 65_536, held: 3, attachment: 0xab_cdef, entry: 4095, seq: SEQ_MASK };
        assert_eq!(PoolWord::unpack(word.pack()), word);
        assert_eq!(EntryWord::unpack(word.as_entry().pack()), word.as_entry());
        let grant = Grant { seats: 65_536, number: u32::MAX };
        assert_eq!(Grant::unpack(grant.pack()), grant);
    }

    #[test]
    fn one_taken_and_one_given_are_the_arithmetic_of_the_fields() {
        let word = PoolWord { used: 7, held: 3, attachment: 5, entry: 9, seq: SEQ_MASK };
        let taken = word.followed_by(8, 9, 4, 5);
        assert_eq!(PoolWord::one_taken(word.pack()), taken.pack());
        assert_eq!(PoolWord::one_given(taken.pack()), taken.followed_by(7, 9, 3, 5).pack());
    }

    #[test]
    fn lives_keep_their_parity_when_the_counter_wraps() {
        let last = ATTACHMENT_MASK as u32;
        assert_eq!((next_free(last), next_attached(last), next_attached(0)), (0, 1, 1));
        assert_eq!(next_attached(last - 1), last);
    }

    #[test]
    fn a_new_file_reads_as_an_empty_pool() {
        let report = parse(&new_file()).unwrap();
        assert_eq!((report.used, report.high_water_mark, report.entries.len()), (0, 0, 0));
    }

    #[test]
    fn a_slot_in_the_pool_word_is_read_from_there() {
        let mut bytes = new_file();
        let pool = PoolWord { used: 5, held: 2, attachment: 1, entry: 1, seq: 9 }.pack();
        bytes[AT_POOL..][..8].copy_from_slice(&pool[0].to_le_bytes());
        bytes[AT_POOL + 8..][..8].copy_from_slice(&pool[1].to_le_bytes());
        bytes[AT_HIGH_WATER_MARK] = 2;
        let other = EntryWord { held: 3, attachment: 5, seq: 8 }.pack();
        bytes[entry_offset(0)..][..8].copy_from_slice(&other[0].to_le_bytes());
        bytes[entry_offset(1) + IN_ENTRY_NAME..][..3].copy_from_slice(b"a\x1bb");
        let report = parse(&bytes).unwrap();
        let held: Vec<_> = report
            .entries
            .iter()
            .map(|entry| (entry.entry, entry.held, entry.attachment))
            .collect();
        assert_eq!(held, [(0, 3, 5), (1, 2, 1)]);
        assert_eq!(report.entries[1].name, "a?b");
    }

    #[test]
    fn every_unfit_file_is_named() {
        let mut newer = new_file();
        newer[AT_VERSION] = 9;
        let mut older = new_file();
        older[AT_VERSION] = 0;
        for (bytes, unfit) in [
            (vec![], Unfit::Empty),
            (new_file()[..FILE_BYTES / 2].to_vec(), Unfit::Torn),
            (new_file()[..9].to_vec(), Unfit::Torn),
            (vec![0x5a; FILE_BYTES], Unfit::Foreign),
            (vec![0; FILE_BYTES], Unfit::Foreign),
            (older, Unfit::Older(0)),
            (newer, Unfit::Newer(9)),
        ] {
            assert_eq!(parse(&bytes), Err(unfit));
        }
    }

    #[test]
    fn scribbled_bytes_are_read_without_a_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..if cfg!(miri) { 1 } else { 20 } {
            let mut bytes = new_file();
            random.fill(&mut bytes[64..]);
            let report = parse(&bytes).unwrap();
            assert!(report.high_water_mark <= ENTRIES && report.grant.seats <= SEATS_MAX);
        }
    }
}
