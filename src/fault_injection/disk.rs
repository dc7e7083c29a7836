//! The disk faults that a test can inject: the disk is full, it is dead, or one use of it fails.
//!
//! All code that writes calls [`allows`] first. Without the feature `kill-points` this call
//! compiles to nothing.

/// A use of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// A file is created or gets longer.
    Grow,
    /// A name is changed or removed.
    Rename,
    /// The written bytes are made durable.
    Sync,
    /// A name is read. No disk fails this, but a disk that hangs lets it wait.
    Look,
}

/// Return whether the disk allows this use.
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

    /// The state of a disk.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub enum Disk {
        /// The disk works.
        #[default]
        Sound,
        /// No file can be created or get longer.
        Full,
        /// No file can be changed or made durable.
        Dead,
        /// The nth use from now fails (from 1). After that, the disk works.
        FailsOnce(u32),
        /// Every use waits until the disk is released.
        Hangs(&'static Hang),
    }

    /// A disk that does not answer, and the number of threads that wait for it.
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

        /// Wait until a thread waits for the disk.
        pub fn await_one(&self) {
            let mut state = self.state.lock();
            while state.waiting == 0 {
                self.changed.wait(&mut state);
            }
        }

        /// Let the disk answer again.
        pub fn let_go(&self) {
            self.state.lock().is_over = true;
            self.changed.notify_all();
        }
    }

    thread_local! {
        static DISK: Cell<Disk> = const { Cell::new(Disk::Sound) };
    }

    /// Put the disk of this thread into this state. Return the state that the previous one has
    /// reached.
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
