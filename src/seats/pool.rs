//! The algorithm: taking, giving, reclaiming, attaching, over single accesses to the shared words.
//!
//! Seats need no identity, so two numbers must change together: the seats used, and the seats held
//! by this process. The pool word holds both for the entry that acted last, like a cache with one
//! line; the counts of the other entries rest in words of their own. The invariant that every write
//! keeps:
//!
//! > `used` is the sum of the counts of all entries, where the count of the entry in the pool word
//! > is the one in the pool word.
//!
//! A process may be killed between any two accesses: each write of the pool word is one 128-bit
//! exchange from a true state to a true state. A write of an entry word repeats what the pool word
//! said and changes no truth.
//!
//! A loop here starts over only if another process has made progress. `ROUNDS_MAX` ends it if
//! another program writes to the memory.

use seatmeter_protocol::seat_layout::{
    EntryWord, Grant, OWNER_DIED, PoolWord, is_attached, next_attached, next_free,
};

use super::memory::{Cell, Locksmith, Memory, Witness};
use crate::fault_injection::kill_points::kill_point;

/// The most lost exchanges in a row, with pauses in between: some seconds of work. More of them are
/// not contention: another program is writing to the words.
const ROUNDS_MAX: u32 = 1 << 22;

/// The most tries to read both halves of a word. They are read within a few nanoseconds, so another
/// write does not come in between that often.
const READS_MAX: u32 = 10_000;

/// A process as the shared words know it: an entry, in one of its attachments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Me {
    pub(crate) entry: u16,
    pub(crate) attachment: u32,
}

impl Me {
    #[inline(always)]
    fn is_in(self, seen: PoolWord) -> bool {
        seen.entry == self.entry && seen.attachment == self.attachment
    }
}

/// The result of a take or a give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// No seat is free.
    Full { used: u32, capacity: u32 },
    /// This attachment of the entry is over, and the process has to attach again.
    Lost,
    /// There is nothing to give back.
    Nothing,
    /// `ROUNDS_MAX` was reached.
    Scribbled,
}

/// Take one seat if one exchange can do it: this entry acted last, and a seat is free. This is by
/// far the usual case, so the function adds to the packed words instead of unpacking them.
#[inline(always)]
pub(crate) fn take_at_once<M: Memory>(m: &M, me: Me) -> Result<bool, M::Halt> {
    let words = [m.load(Cell::PoolLow)?, m.load(Cell::PoolHigh)?];
    let seen = PoolWord::unpack(words);
    let is_free = seen.used < Grant::unpack(m.load(Cell::Grant)?).seats;
    // If the halves are of two different writes, the exchange fails, as in `change`.
    let is_done = is_free && me.is_in(seen) && m.replace_pool(words, PoolWord::one_taken(words))?;
    if is_done {
        kill_point("at once: exchanged");
    }
    Ok(is_done)
}

/// Give one seat back if one exchange can do it.
#[inline(always)]
pub(crate) fn give_at_once<M: Memory>(m: &M, me: Me) -> Result<bool, M::Halt> {
    let words = [m.load(Cell::PoolLow)?, m.load(Cell::PoolHigh)?];
    let seen = PoolWord::unpack(words);
    let is_held = seen.held > 0 && seen.used > 0;
    let is_done = is_held && me.is_in(seen) && m.replace_pool(words, PoolWord::one_given(words))?;
    if is_done {
        kill_point("at once: exchanged");
    }
    Ok(is_done)
}

/// Take one seat.
pub(crate) fn take<M: Memory>(m: &M, me: Me) -> Result<Outcome, M::Halt> {
    change(m, me, |used, held, capacity| {
        if used >= capacity {
            Err(Outcome::Full { used, capacity })
        } else {
            Ok((used + 1, held + 1))
        }
    })
}

/// Give one seat back.
pub(crate) fn give<M: Memory>(m: &M, me: Me) -> Result<Outcome, M::Halt> {
    change(m, me, |used, held, _| {
        if held == 0 { Err(Outcome::Nothing) } else { Ok((used.saturating_sub(1), held - 1)) }
    })
}

/// Count `seats` that this process already holds, whatever the capacity is. They come from a file
/// that this one replaces.
pub(crate) fn adopt<M: Memory>(m: &M, me: Me, seats: u32) -> Result<Outcome, M::Halt> {
    change(m, me, |used, held, _| Ok((used + seats, held + seats)))
}

fn change<M: Memory>(
    m: &M,
    me: Me,
    next: impl Fn(u32, u32, u32) -> Result<(u32, u32), Outcome>,
) -> Result<Outcome, M::Halt> {
    let begin = m.begin();
    for round in 0..ROUNDS_MAX {
        m.again(begin);
        let capacity = Grant::unpack(m.load(Cell::Grant)?).seats;
        // The halves may be of two different writes. Then the exchange fails, because the high half
        // of no other write is the same.
        let mut seen = PoolWord::unpack([m.load(Cell::PoolLow)?, m.load(Cell::PoolHigh)?]);
        let mut held = seen.held;
        if !me.is_in(seen) {
            let Some(word) = read_pool(m)? else { continue };
            seen = word;
            let Some(own) = truth(m, seen, me.entry)? else { continue };
            if own.attachment != me.attachment {
                return Ok(Outcome::Lost);
            }
            held = own.held;
        }
        let (used, held) = match next(seen.used, held, capacity) {
            Ok(counts) => counts,
            // A refusal has no exchange that would prove the halves to be of one write.
            Err(refusal) if is_unchanged(m, seen)? => return Ok(refusal),
            Err(_) => continue,
        };
        if m.replace_pool(
            seen.pack(),
            seen.followed_by(used, me.entry, held, me.attachment).pack(),
        )? {
            kill_point("change: exchanged");
            return Ok(Outcome::Done);
        }
        m.pause(round);
    }
    Ok(Outcome::Scribbled)
}

/// Read both halves of the pool word. Return `None` if they are not of one write.
pub(crate) fn read_pool<M: Memory>(m: &M) -> Result<Option<PoolWord>, M::Halt> {
    let high = m.load(Cell::PoolHigh)?;
    let low = m.load(Cell::PoolLow)?;
    Ok((m.load(Cell::PoolHigh)? == high).then(|| PoolWord::unpack([low, high])))
}

/// Repeat `read_pool` while other processes write.
#[inline(always)]
fn read_pool_patiently<M: Memory>(m: &M) -> Result<Option<PoolWord>, M::Halt> {
    let begin = m.begin();
    for _ in 0..READS_MAX {
        m.again(begin);
        if let Some(seen) = read_pool(m)? {
            return Ok(Some(seen));
        }
    }
    Ok(None)
}

/// Say whether the pool word is still of the write `seen`.
pub(crate) fn is_unchanged<M: Memory>(m: &M, seen: PoolWord) -> Result<bool, M::Halt> {
    Ok(m.load(Cell::PoolHigh)? == seen.high())
}

/// Make the word of the entry in `seen` carry what `seen` says, before another entry moves into the
/// pool word.
fn flush<M: Memory>(m: &M, seen: PoolWord) -> Result<(), M::Halt> {
    let begin = m.begin();
    for _ in 0..ROUNDS_MAX {
        m.again(begin);
        let high = m.load(Cell::EntryHigh(seen.entry))?;
        let low = m.load(Cell::EntryLow(seen.entry))?;
        if EntryWord::unpack([low, high]).seq == seen.seq {
            return Ok(());
        }
        // Once another write is in the pool word, the entry's word may contain something newer than
        // `seen`. That must not be overwritten, and the exchange for which this flush was made
        // fails anyway.
        if !m.is_still(seen)? {
            return Ok(());
        }
        kill_point("flush: before the exchange");
        if m.replace_entry(seen.entry, [low, high], seen.as_entry().pack())? {
            kill_point("flush: exchanged");
            return Ok(());
        }
        // A failed exchange is not a success: a late flush of an older write may have caused it.
        // Check again.
    }
    Ok(())
}

/// Return count and attachment of `entry` if the pool word is still `seen`, or else `None`.
fn truth<M: Memory>(m: &M, seen: PoolWord, entry: u16) -> Result<Option<EntryWord>, M::Halt> {
    if seen.entry == entry {
        return Ok(Some(seen.as_entry()));
    }
    flush(m, seen)?;
    let own = EntryWord::unpack([m.load(Cell::EntryLow(entry))?, 0]);
    Ok(is_unchanged(m, seen)?.then_some(own))
}

/// End the attachment `dead`, and free its seats. Return the number of freed seats: 0 if another
/// process was faster.
#[cold]
#[inline(never)]
pub(crate) fn reclaim<M: Memory>(m: &M, dead: Me) -> Result<u32, M::Halt> {
    end_attachment(m, dead, |used, held| (used.saturating_sub(held), 0))
}

/// End the attachment `me`, but let its seats stay counted for ever. The file is no longer the
/// pool, and nobody may take here what the process takes along. Return the number of these seats.
pub(crate) fn leave<M: Memory>(m: &M, me: Me) -> Result<u32, M::Halt> {
    end_attachment(m, me, |used, held| (used, held))
}

fn end_attachment<M: Memory>(
    m: &M,
    dead: Me,
    next: impl Fn(u32, u32) -> (u32, u32),
) -> Result<u32, M::Halt> {
    let begin = m.begin();
    for round in 0..ROUNDS_MAX {
        m.again(begin);
        let Some(seen) = read_pool(m)? else { continue };
        let Some(own) = truth(m, seen, dead.entry)? else { continue };
        if !m.is_same_attachment(own.attachment, dead.attachment) {
            return Ok(0);
        }
        let (used, held) = next(seen.used, own.held);
        let new = seen.followed_by(used, dead.entry, held, next_free(own.attachment));
        if m.replace_pool(seen.pack(), new.pack())? {
            kill_point("end of attachment: exchanged");
            return Ok(own.held);
        }
        m.pause(round);
    }
    Ok(0)
}

/// Give back what dead processes hold. Return the number of seats that came back.
///
/// Death is final: an attachment takes its lock before others can see the attachment, and keeps it
/// to the end. So a lock found free *after* the attachment was read proves that this attachment is
/// over. If another attachment has begun, `reclaim` does nothing. The kernel is asked only about
/// entries without a guardian, unless `ask_all` is set.
#[inline]
pub(crate) fn reclaim_dead<M: Memory>(
    m: &M,
    witness: &impl Witness<Halt = M::Halt>,
    but: Option<u16>,
    ask_all: bool,
) -> Result<u32, M::Halt> {
    let high_water_mark = m.load(Cell::HighWaterMark)?.min(u64::from(m.entry_count())) as u16;
    let Some(seen) = read_pool_patiently(m)? else { return Ok(0) };
    let mut freed = 0;
    for entry in 0..high_water_mark {
        // Nearly all entries are guarded and live, which one load shows. The next look finds a dead
        // process that is passed over here.
        if !ask_all && is_guarded(m.load(Cell::Flag(entry))? as u32) {
            continue;
        }
        let own = if seen.entry == entry {
            seen.as_entry()
        } else {
            EntryWord::unpack([m.load(Cell::EntryLow(entry))?, 0])
        };
        if own.held > 0
            && Some(entry) != but
            && is_dead(m, witness, entry, own.attachment, ask_all)?
        {
            freed += reclaim(m, Me { entry, attachment: own.attachment })?;
        }
    }
    Ok(freed)
}

#[inline(always)]
fn is_guarded(flag: u32) -> bool {
    flag != 0 && flag & OWNER_DIED == 0
}

#[inline(always)]
fn is_dead<M: Memory>(
    m: &M,
    witness: &impl Witness<Halt = M::Halt>,
    entry: u16,
    attachment: u32,
    ask: bool,
) -> Result<bool, M::Halt> {
    if !is_attached(attachment) {
        return Ok(false);
    }
    let flag = m.load(Cell::Flag(entry))? as u32;
    Ok(flag & OWNER_DIED != 0 || ((ask || !is_guarded(flag)) && !witness.is_locked(entry)?))
}

/// Become the owner of an entry. Return `None` if all are taken.
pub(crate) fn attach<M: Memory>(
    m: &M,
    locksmith: &impl Locksmith<Halt = M::Halt>,
) -> Result<Option<Me>, M::Halt> {
    // The first round does not ask the kernel about guarded entries, which takes half a microsecond
    // each.
    for ask_all in [false, true] {
        for entry in 0..m.entry_count() {
            if let Some(me) = attach_to(m, locksmith, entry, ask_all)? {
                return Ok(Some(me));
            }
        }
    }
    Ok(None)
}

/// Become the owner of `entry` if no living process is.
fn attach_to<M: Memory>(
    m: &M,
    locksmith: &impl Locksmith<Halt = M::Halt>,
    entry: u16,
    ask: bool,
) -> Result<Option<Me>, M::Halt> {
    let Some(seen) = read_pool_patiently(m)? else { return Ok(None) };
    let own = if seen.entry == entry {
        seen.as_entry()
    } else {
        EntryWord::unpack([m.load(Cell::EntryLow(entry))?, 0])
    };
    if is_attached(own.attachment) {
        if !is_dead(m, locksmith, entry, own.attachment, ask)? {
            return Ok(None);
        }
        // The seats come first, then the lock. If this process were stopped while it held the lock,
        // nobody could see that the seats of the dead owner are free.
        if own.held > 0 {
            reclaim(m, Me { entry, attachment: own.attachment })?;
        }
    }
    if !locksmith.try_lock(entry)? {
        return Ok(None);
    }
    kill_point("attach: locked");
    // The flag may still say that an earlier owner died.
    m.clear_flag(entry)?;
    m.raise_high_water_mark(entry)?;
    kill_point("attach: before the exchange");
    begin_attachment(m, entry)
}

fn begin_attachment<M: Memory>(m: &M, entry: u16) -> Result<Option<Me>, M::Halt> {
    let begin = m.begin();
    for round in 0..ROUNDS_MAX {
        m.again(begin);
        let Some(seen) = read_pool(m)? else { continue };
        let Some(own) = truth(m, seen, entry)? else { continue };
        let attachment = next_attached(own.attachment);
        let used = seen.used.saturating_sub(own.held);
        if m.replace_pool(seen.pack(), seen.followed_by(used, entry, 0, attachment).pack())? {
            kill_point("attach: exchanged");
            return Ok(Some(Me { entry, attachment }));
        }
        m.pause(round);
    }
    Ok(None)
}

/// Return the number of free seats, after dead processes gave theirs back.
#[inline]
pub(crate) fn free_seats<M: Memory>(m: &M) -> Result<u32, M::Halt> {
    let used = PoolWord::unpack([m.load(Cell::PoolLow)?, 0]).used;
    Ok(Grant::unpack(m.load(Cell::Grant)?).seats.saturating_sub(used))
}
