//! Real processes that the tests start and end.

use std::path::Path;

use seatmeter::seats::{Seat, SeatPool};

/// A state directory that is removed with its test.
pub(crate) struct Device {
    pub(crate) directory: tempfile::TempDir,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pool_file(&self) -> std::path::PathBuf {
        self.path().join("license.pool")
    }

    pub(crate) fn pool(&self) -> SeatPool {
        SeatPool::open(self.path(), "license").unwrap()
    }

    pub(crate) fn pool_of(&self, seats: u32) -> SeatPool {
        let pool = self.pool();
        assert!(pool.grant(seats, 1));
        pool
    }
}

pub(crate) fn take_all(pool: &SeatPool) -> Vec<Seat> {
    std::iter::from_fn(|| pool.take().ok()).collect()
}

/// The end of a process: its exit code, or the signal that killed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
}

pub(crate) const KILLED: End = End::Signal(libc::SIGKILL);

/// A forked child, which is killed when the value is dropped.
pub(crate) struct Process {
    pub(crate) pid: i32,
    end: Option<End>,
}

impl Process {
    /// Run `body` in a forked child. Its return value is the exit code; a panic is code 101.
    pub(crate) fn fork(body: impl FnOnce() -> i32) -> Self {
        // SAFETY: the child runs test code only and ends by `_exit`; glibc renews its own locks in
        // a child.
        match unsafe { libc::fork() } {
            0 => {
                let run = std::panic::AssertUnwindSafe(body);
                let code = std::panic::catch_unwind(run).unwrap_or(101);
                // SAFETY: ends the process without running what belongs to the parent.
                unsafe { libc::_exit(code) }
            }
            pid => {
                assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
                Self { pid, end: None }
            }
        }
    }

    pub(crate) fn signal(&self, signal: i32) {
        assert!(self.end.is_none());
        // SAFETY: our own child, not yet waited for, so the id is still its.
        unsafe { libc::kill(self.pid, signal) };
    }

    pub(crate) fn wait(&mut self) -> End {
        if let Some(end) = self.end {
            return end;
        }
        let mut status = 0;
        // SAFETY: the kernel fills `status`.
        assert_eq!(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }, self.pid);
        let end = if libc::WIFSIGNALED(status) {
            End::Signal(libc::WTERMSIG(status))
        } else {
            End::Exit(libc::WEXITSTATUS(status))
        };
        *self.end.insert(end)
    }

    pub(crate) fn kill(&mut self) -> End {
        self.signal(libc::SIGKILL);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.kill();
        }
    }
}

/// A pipe through which a child reports that it has come to a certain point.
pub(crate) struct Pipe {
    ends: [i32; 2],
}

impl Pipe {
    pub(crate) fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: the kernel fills two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        Self { ends }
    }

    pub(crate) fn tell(&self) {
        // SAFETY: one byte of a constant.
        assert_eq!(unsafe { libc::write(self.ends[1], [1_u8].as_ptr().cast(), 1) }, 1);
    }

    /// Wait until a process has called `tell`.
    pub(crate) fn hear(&self) {
        let mut byte = [0_u8];
        // SAFETY: one byte into a local.
        assert_eq!(unsafe { libc::read(self.ends[0], byte.as_mut_ptr().cast(), 1) }, 1);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for end in self.ends {
            // SAFETY: both are ours.
            unsafe { libc::close(end) };
        }
    }
}

/// Sleep until a signal ends this process.
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: no memory is involved.
        unsafe { libc::pause() };
    }
}

/// Start a child that holds `seats` seats of the device's pool until it is killed.
pub(crate) fn holder(device: &Device, seats: u32) -> Process {
    let pipe = Pipe::new();
    let holder = Process::fork(|| {
        let pool = device.pool();
        for _ in 0..seats {
            let _ = pool.take().unwrap();
        }
        pipe.tell();
        sleep_for_ever()
    });
    pipe.hear();
    holder
}
