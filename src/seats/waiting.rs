//! Waiting for a seat, asleep.
//!
//! Who waits sleeps on the bell, a futex in the shared file. Who gives a seat back rings it, if the word
//! `waiters` says that somebody may be asleep; a dying process rings it through its guardian's robust list.
//! FIFO is not promised: a seat goes to whoever takes it first.
//!
//! | who waits | who gives |
//! | --- | --- |
//! | reads the bell | gives the seat |
//! | sets `waiters` | takes `waiters`, if it is set |
//! | tries to take | counts the bell up |
//! | sleeps if the bell is as read | wakes one; if there was one, sets `waiters` again |
//!
//! No wake is lost: if the give came too late for the try, then `waiters` was set before it, and the bell is
//! counted up before the sleep or wakes it. The bell has two bits only (see `BELL_STEP`), and a ringer may be
//! killed in between; so a sleeper looks for itself from time to time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seatmeter_protocol::seat_layout::BELL_STEP;

use super::system::{futex_wait, futex_wake};
use super::view::View;
use crate::kill_points::kill_point;

/// How long a sleeper sleeps at most before it looks for itself.
const SLEEP_MAX: Duration = Duration::from_millis(250);

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
    let (waiters, bell) = (view.mapping.waiters(), view.mapping.bell());
    if waiters.swap(0, Ordering::SeqCst) == 0 {
        return;
    }
    bell.fetch_add(BELL_STEP, Ordering::SeqCst);
    kill_point("ring: before the wake");
    if futex_wake(bell, sleepers, true) > 0 {
        // There may be more of them. If there are not, the next ring finds out.
        waiters.store(1, Ordering::SeqCst);
    }
}

/// Try until it works or `timeout` is over, asleep in between. `attempt` answers `None` to be called again.
pub(super) fn wait<'v, T>(
    timeout: Duration,
    view: impl Fn() -> &'v View,
    mut attempt: impl FnMut(bool) -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        let view = view();
        let bell = view.mapping.bell().load(Ordering::SeqCst);
        view.mapping.waiters().store(1, Ordering::SeqCst);
        let left = timeout.saturating_sub(begun.elapsed());
        match attempt(left.is_zero()) {
            Some(answer) => return answer,
            None => futex_wait(view.mapping.bell(), bell, left.min(SLEEP_MAX), true),
        }
    }
}
