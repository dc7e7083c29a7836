//! What a disk refuses where a test says so: it is full, it is dead, or one use of it fails.
//!
//! Whoever writes asks here first. Without the feature `kill-points` the question compiles to
//! nothing.

/// What is about to be done to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// A file is made or gets longer.
    Grow,
    /// A name is changed or goes.
    Rename,
    /// What was written is made durable.
    Sync,
    /// A name is looked at. No disk fails this, but one that hangs lets it wait.
    Look,
}

/// Whether the disk lets this be done.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub(crate) fn allows(_use: Use) -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "kill-points")]
pub(crate) use played::allows;
#[cfg(feature = "kill-points")]
pub use played::{Disk, Hang, play};

#[cfg(feature = "kill-points")]
mod played {
    use std::cell::Cell;
    use std::io;

    use super::Use;
    use crate::os::locks::{Condvar, Mutex};

    /// How a disk is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub enum Disk {
        /// It does what it is told.
        #[default]
        Sound,
        /// Nothing can be made or get longer.
        Full,
        /// Nothing can be changed or made durable.
        Dead,
        /// The nth use from here fails (from 1), and then it is sound.
        FailsOnce(u32),
        /// Every use waits until the disk is let go.
        Hangs(&'static Hang),
    }

    /// A disk that gives no answer, and who waits for it.
    #[derive(Debug, Default)]
    pub struct Hang {
        state: Mutex<HangState>,
        changed: Condvar,
    }

    #[derive(Debug, Default)]
    struct HangState {
        is_over: bool,
        waiting: u32,
    }

    impl PartialEq for Hang {
        fn eq(&self, other: &Self) -> bool {
            std::ptr::eq(self, other)
        }
    }

    impl Eq for Hang {}

    impl Hang {
        fn wait(&self) {
            let mut state = self.state.lock();
            state.waiting += 1;
            self.changed.notify_all();
            while !state.is_over {
                self.changed.wait(&mut state);
            }
        }

        /// Waits until somebody waits for the disk.
        pub fn await_one(&self) {
            let mut state = self.state.lock();
            while state.waiting == 0 {
                self.changed.wait(&mut state);
            }
        }

        /// The disk answers again.
        pub fn let_go(&self) {
            self.state.lock().is_over = true;
            self.changed.notify_all();
        }
    }

    thread_local! {
        static DISK: Cell<Disk> = const { Cell::new(Disk::Sound) };
    }

    /// From now on the disk of this thread is like this; gives what has become of the one before.
    pub fn play(disk: Disk) -> Disk {
        DISK.replace(disk)
    }

    pub(crate) fn allows(what: Use) -> io::Result<()> {
        match DISK.get() {
            Disk::Hangs(hang) => {
                hang.wait();
                Ok(())
            }
            _ if what == Use::Look => Ok(()),
            Disk::Full if what == Use::Grow => Err(io::ErrorKind::StorageFull.into()),
            Disk::Sound | Disk::Full => Ok(()),
            Disk::Dead => Err(crate::os::errors::broken_disk()),
            Disk::FailsOnce(left) => {
                let is_due = left <= 1;
                DISK.set(if is_due { Disk::Sound } else { Disk::FailsOnce(left - 1) });
                if is_due { Err(crate::os::errors::broken_disk()) } else { Ok(()) }
            }
        }
    }
}
