//! Descriptors 0, 1 and 2 are the host's, also when it has closed them.
//!
//! A host without standard output may continue to print. If one of the library's files got
//! descriptor 1, the host would write into it. So while the library opens something, it fills the
//! empty places with a descriptor that answers every read and write as an empty place does (EBADF).
//! It empties them again afterwards, so that a daemon that then opens its own files gets these
//! places.
//!
//! | place | when the first holder comes | when the last one goes |
//! |---|---|---|
//! | the host's | left alone | left alone |
//! | empty | filled with an O_PATH descriptor of the root folder | emptied, unless the host has put something there |

use std::os::fd::RawFd;

use super::PerProcess;
use crate::os::locks::{INNERMOST, Mutex};

const STANDARD: std::ops::Range<RawFd> = 0..3;

/// The number of holders of the places. A forked child begins with none; its first holder empties
/// what the parent had filled.
static HOLDERS: PerProcess<Mutex<u32, INNERMOST>> = PerProcess::new();

/// A hold on the three places: while it lives, no new descriptor of this process is 0, 1 or 2.
#[derive(Debug)]
pub struct StandardDescriptors(());

impl StandardDescriptors {
    /// Fill the empty places until the last hold is dropped.
    pub fn hold() -> Self {
        let mut holders = holders();
        // Each holder fills, not only the first, because the host may have closed some since.
        fill();
        *holders += 1;
        Self(())
    }
}

impl Drop for StandardDescriptors {
    fn drop(&mut self) {
        let mut holders = holders();
        // A child that was forked in between has counted no holder.
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            STANDARD.filter(|descriptor| is_filling(*descriptor)).for_each(close);
        }
    }
}

fn holders() -> crate::os::locks::MutexGuard<'static, u32> {
    HOLDERS.get(|_| Mutex::default()).lock()
}

fn fill() {
    for _ in STANDARD {
        if !STANDARD.into_iter().any(is_empty) {
            return;
        }
        // SAFETY: a constant string that ends with a zero.
        let filling = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        if !STANDARD.contains(&filling) {
            // Another thread has filled the place, or there are no descriptors left. In the second
            // case the library's own open fails, too.
            if filling >= 0 {
                close(filling);
            }
            return;
        }
    }
}

fn is_empty(descriptor: RawFd) -> bool {
    // SAFETY: asks about a number.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) == -1 }
}

fn is_filling(descriptor: RawFd) -> bool {
    // SAFETY: asks about a number.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags != -1 && flags & libc::O_PATH != 0
}

fn close(descriptor: RawFd) {
    // SAFETY: a descriptor of ours, as the caller has seen.
    unsafe { libc::close(descriptor) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a forked child, where the standard descriptors may be closed.
    fn in_a_child(body: fn() -> bool) {
        // SAFETY: the child calls what is safe after a fork, and ends by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_good = body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!is_good)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }

    fn open_null() -> RawFd {
        // SAFETY: a constant string that ends with a zero.
        unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) }
    }

    #[test]
    fn empty_places_are_held_and_given_back_and_those_of_the_host_are_left_alone() {
        in_a_child(|| {
            [0, 2].into_iter().for_each(close);
            let outer = StandardDescriptors::hold();
            let inner = StandardDescriptors::hold();
            let is_held = open_null() > 2;
            drop(inner);
            let is_still_held = open_null() > 2;
            drop(outer);
            is_held
                && is_still_held
                && is_empty(0)
                && !is_empty(1)
                && open_null() == 0
                && open_null() == 2
        });
    }

    #[test]
    fn what_the_host_opens_there_meanwhile_is_not_closed() {
        in_a_child(|| {
            close(0);
            let held = StandardDescriptors::hold();
            // SAFETY: numbers only.
            unsafe { libc::dup2(open_null(), 0) };
            drop(held);
            !is_empty(0)
        });
    }
}
