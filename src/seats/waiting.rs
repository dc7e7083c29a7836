//! Waiting for a seat, asleep.
//!
//! Who waits sleeps on the wake word, a futex in the shared file. Who gives a seat back counts it
//! up and wakes, if the word `waiters` says that somebody may be asleep; a dying process counts it
//! up and wakes through its guardian's robust list. FIFO is not promised: a seat goes to whoever
//! takes it first.
//!
//! | who waits | who gives | who dies |
//! | --- | --- | --- |
//! | reads the wake word | gives the seat | |
//! | sets `waiters` | takes `waiters`, if it is set | |
//! | reads the flags of the others | | |
//! | tries to take | counts the wake word up | marks its flag |
//! | sleeps if wake word and flags are as read | wakes one; if there was one, sets `waiters` again | wakes one |
//!
//! No wake is lost: if the give came too late for the try, then `waiters` was set before it, and
//! the wake word is counted up before the sleep or wakes it. A death cannot count the wake word up,
//! for the kernel only wakes there. So the sleeper asks for the flags, too, in the same call that
//! lets it sleep: wake word first, so that a death whose flag is seen too early wakes who sleeps on
//! the wake word already. A seat that came to a process whose flag was not read came from one who
//! gave it, or died, since. The wake word has two bits only (see `WAKE_STEP`), a ringer may be
//! killed in between, and a death without a guardian wakes nobody; so a sleeper looks for itself
//! from time to time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use seatmeter_protocol::seat_layout::{AT_HIGH_WATER_MARK, ENTRIES, OWNER_DIED, WAKE_STEP};

use super::view::View;
use crate::fault_injection::kill_points::kill_point;
use crate::os::system::{SLEEP_WORDS_MAX, Sleep, futex_wait, futex_wait_many, futex_wake};

/// How long a sleeper sleeps at most before it looks for itself.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// The first sleep where flags cannot be asked for, because the kernel is too old or there are too
/// many; the next ones are each twice as long. A death just before a sleep costs that sleep.
const BLIND_SLEEP: Duration = Duration::from_millis(2);

/// A seat was given back: wake one who waits, if somebody does.
#[inline(always)]
pub(super) fn ring(view: &View) {
    // The exchange of the pool word came before, and orders this load after it.
    if view.mapping.waiters().load(Ordering::SeqCst) != 0 {
        ring_for(view, 1);
    }
}

/// Wake all who wait: there may be many seats, or another file.
pub(super) fn ring_all(view: &View) {
    ring_for(view, i32::MAX);
}

#[cold]
fn ring_for(view: &View, sleepers: i32) {
    let (waiters, wake_word) = (view.mapping.waiters(), view.mapping.wake_word());
    if waiters.swap(0, Ordering::SeqCst) == 0 {
        return;
    }
    wake_word.fetch_add(WAKE_STEP, Ordering::SeqCst);
    kill_point("ring: before the wake");
    if futex_wake(wake_word, sleepers, true) > 0 {
        // There may be more of them. If there are not, the next ring finds out.
        waiters.store(1, Ordering::SeqCst);
    }
}

/// Try until it works or `timeout` is over, asleep in between. `attempt` answers `None` to be
/// called again.
pub(super) fn wait<'v, T>(
    timeout: Duration,
    view: impl Fn() -> &'v View,
    mut attempt: impl FnMut(bool) -> Option<T>,
) -> T {
    let begun = Instant::now();
    let mut blind = BLIND_SLEEP;
    loop {
        let view = view();
        let alarm = Alarm::set(view);
        let left = timeout.saturating_sub(begun.elapsed());
        if let Some(answer) = attempt(left.is_zero()) {
            return answer;
        }
        if alarm.sleep(left.min(SLEEP_MAX)) == Sleep::Unknown {
            futex_wait(view.mapping.wake_word(), alarm.wake_word, left.min(blind), true);
            blind = (2 * blind).min(SLEEP_MAX);
        }
    }
}

/// What a waiter has read before it tries: if any of it has changed since, it does not sleep.
struct Alarm<'a> {
    wake_word: u32,
    /// The wake word first.
    words: Vec<(&'a AtomicU32, u32)>,
}

impl<'a> Alarm<'a> {
    fn set(view: &'a View) -> Self {
        let mapping = &view.mapping;
        let wake_word = mapping.wake_word().load(Ordering::SeqCst);
        mapping.waiters().store(1, Ordering::SeqCst);
        let high_water_mark =
            mapping.half(AT_HIGH_WATER_MARK).load(Ordering::SeqCst).min(ENTRIES) as u16;
        let flags = (0..high_water_mark)
            .map(|entry| mapping.flag(entry))
            .map(|flag| (flag, flag.load(Ordering::SeqCst)));
        // Without a guardian nothing is told; of one that has died the try will know.
        let living = flags.filter(|(_, flag)| *flag != 0 && flag & OWNER_DIED == 0);
        Self {
            wake_word,
            words: std::iter::once((mapping.wake_word(), wake_word)).chain(living).collect(),
        }
    }

    fn sleep(&self, limit: Duration) -> Sleep {
        if self.words.len() > SLEEP_WORDS_MAX {
            Sleep::Unknown
        } else {
            futex_wait_many(&self.words, limit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Home;
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_death_or_a_gift_between_the_try_and_the_sleep_lets_nobody_sleep() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path(), "pool").unwrap();
        let view = View::new(home.open_or_create(&mut Vec::new()).unwrap(), &home.path).unwrap();
        view.mapping.half(AT_HIGH_WATER_MARK).store(3, Ordering::SeqCst);
        view.mapping.flag(1).store(4711, Ordering::SeqCst);
        let alarm = Alarm::set(&view);
        // What the kernel does for one that dies before anybody sleeps: it marks the flag, and
        // wakes nobody.
        view.mapping.flag(1).fetch_or(OWNER_DIED, Ordering::SeqCst);
        assert_eq!(alarm.sleep(LONG), Sleep::NotBegun);
        let alarm = Alarm::set(&view);
        assert_eq!(
            alarm.sleep(Duration::from_millis(1)),
            Sleep::Over,
            "a death that the try knows of is past"
        );
        let alarm = Alarm::set(&view);
        ring(&view);
        assert_eq!(alarm.sleep(LONG), Sleep::NotBegun);
    }

    #[test]
    fn a_death_wakes_who_sleeps_on_the_bell_and_the_flags() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path(), "pool").unwrap();
        let view = View::new(home.open_or_create(&mut Vec::new()).unwrap(), &home.path).unwrap();
        view.mapping.half(AT_HIGH_WATER_MARK).store(1, Ordering::SeqCst);
        view.mapping.flag(0).store(4711, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| Alarm::set(&view).sleep(LONG));
            while !sleeper.is_finished() {
                // As the kernel does it at a death: the wake word stays as it is.
                futex_wake(view.mapping.wake_word(), 1, true);
                std::thread::yield_now();
            }
            assert_eq!(sleeper.join().unwrap(), Sleep::Over);
        });
    }
}
