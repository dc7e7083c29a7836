//! Waiting for a seat, asleep.
//!
//! A waiter sleeps on the wake word, a futex in the shared file. A process that gives a seat back
//! increments the wake word and wakes a waiter, if the word `waiters` says that one may be asleep.
//! A dying process wakes a waiter through its guardian's robust list. FIFO is not promised: a seat
//! goes to the first process that takes it.
//!
//! | waiter | process that gives | process that dies |
//! | --- | --- | --- |
//! | reads the wake word | gives the seat | |
//! | sets `waiters` | takes `waiters`, if it is set | |
//! | reads the flags of the others | | |
//! | tries to take | increments the wake word | marks its flag |
//! | sleeps if wake word and flags are as read | wakes one waiter; if there was one, sets `waiters` again | wakes one waiter |
//!
//! No wake is lost. If a seat is given back too late for the try, then `waiters` was set before,
//! and the increment of the wake word prevents the sleep or ends it. A death cannot increment the
//! wake word, because the kernel only wakes there. So the sleeper also passes the flags to the call
//! that lets it sleep. The wake word comes first in that list: a death whose flag is seen too early
//! then wakes a thread that already sleeps on the wake word. If a seat came to a process whose flag
//! was not read, then its previous owner has given it back, or died, since.
//!
//! The wake word has two bits only (see `WAKE_STEP`), a process may be killed between increment and
//! wake, and a death without a guardian wakes nobody. So a sleeper also tries again from time to
//! time.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use seatmeter_protocol::seat_layout::{AT_HIGH_WATER_MARK, ENTRIES, OWNER_DIED, WAKE_STEP};

use super::view::View;
use crate::fault_injection::kill_points::kill_point;
use crate::os::system::{SLEEP_WORDS_MAX, Sleep, futex_wait, futex_wait_many, futex_wake};

/// The longest sleep before a sleeper tries again without a wake.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// The first sleep where the call cannot wait for flags, because the kernel is too old or there are
/// too many of them. Each further sleep is twice as long. A death just before a sleep costs that
/// sleep.
const BLIND_SLEEP: Duration = Duration::from_millis(2);

/// Wake one waiter, if there is one, after a seat was given back.
#[inline(always)]
pub(super) fn wake_one(view: &View) {
    // The exchange of the pool word came before, and orders this load after it.
    if view.mapping.waiters().load(Ordering::SeqCst) != 0 {
        wake(view, 1);
    }
}

/// Wake all waiters, because many seats may be free, or the file was replaced.
pub(super) fn wake_all(view: &View) {
    wake(view, i32::MAX);
}

#[cold]
fn wake(view: &View, sleepers: i32) {
    let (waiters, wake_word) = (view.mapping.waiters(), view.mapping.wake_word());
    if waiters.swap(0, Ordering::SeqCst) == 0 {
        return;
    }
    wake_word.fetch_add(WAKE_STEP, Ordering::SeqCst);
    kill_point("wake: before the system call");
    if futex_wake(wake_word, sleepers, true) > 0 {
        // There may be more waiters. If there are none, the next call finds that.
        waiters.store(1, Ordering::SeqCst);
    }
}

/// Call `attempt` until it answers or `timeout` is over, and sleep in between. `attempt` returns
/// `None` to be called again.
pub(super) fn wait<'v, T>(
    timeout: Duration,
    view: impl Fn() -> &'v View,
    mut attempt: impl FnMut(bool) -> Option<T>,
) -> T {
    let begun = Instant::now();
    let mut blind = BLIND_SLEEP;
    loop {
        let view = view();
        let wait_set = WaitSet::read(view);
        let left = timeout.saturating_sub(begun.elapsed());
        if let Some(answer) = attempt(left.is_zero()) {
            return answer;
        }
        if wait_set.sleep(left.min(SLEEP_MAX)) == Sleep::Unknown {
            futex_wait(view.mapping.wake_word(), wait_set.wake_word, left.min(blind), true);
            blind = (2 * blind).min(SLEEP_MAX);
        }
    }
}

/// The values that a waiter has read before it tries. If any of them has changed since, it does not
/// sleep.
struct WaitSet<'a> {
    wake_word: u32,
    /// The words and their values, with the wake word first.
    words: Vec<(&'a AtomicU32, u32)>,
}

impl<'a> WaitSet<'a> {
    fn read(view: &'a View) -> Self {
        let mapping = &view.mapping;
        let wake_word = mapping.wake_word().load(Ordering::SeqCst);
        mapping.waiters().store(1, Ordering::SeqCst);
        // The try that follows must not read the pool word before others can see the store: the
        // giver's exchange is a barrier between the pool word and `waiters` in the other order. The
        // loads of the try only acquire, which does not keep them behind the store.
        fence(Ordering::SeqCst);
        let high_water_mark =
            mapping.half(AT_HIGH_WATER_MARK).load(Ordering::SeqCst).min(ENTRIES) as u16;
        let flags = (0..high_water_mark)
            .map(|entry| mapping.flag(entry))
            .map(|flag| (flag, flag.load(Ordering::SeqCst)));
        // A process without a guardian changes no flag at its death. If a guardian has already
        // died, the try finds its seats.
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
        let wait_set = WaitSet::read(&view);
        // This is what the kernel does for a process that dies before anybody sleeps: it marks the
        // flag, and wakes nobody.
        view.mapping.flag(1).fetch_or(OWNER_DIED, Ordering::SeqCst);
        assert_eq!(wait_set.sleep(LONG), Sleep::NotBegun);
        let wait_set = WaitSet::read(&view);
        assert_eq!(
            wait_set.sleep(Duration::from_millis(1)),
            Sleep::Over,
            "a death that the try knows of is past"
        );
        let wait_set = WaitSet::read(&view);
        wake_one(&view);
        assert_eq!(wait_set.sleep(LONG), Sleep::NotBegun);
    }

    #[test]
    fn a_death_wakes_who_sleeps_on_the_bell_and_the_flags() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path(), "pool").unwrap();
        let view = View::new(home.open_or_create(&mut Vec::new()).unwrap(), &home.path).unwrap();
        view.mapping.half(AT_HIGH_WATER_MARK).store(1, Ordering::SeqCst);
        view.mapping.flag(0).store(4711, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| WaitSet::read(&view).sleep(LONG));
            while !sleeper.is_finished() {
                // The kernel wakes like this at a death: the wake word keeps its value.
                futex_wake(view.mapping.wake_word(), 1, true);
                std::thread::yield_now();
            }
            assert_eq!(sleeper.join().unwrap(), Sleep::Over);
        });
    }
}
