//! A lock on a file that the kernel drops when its holder dies, whatever the death.
//!
//! Open-file-description locks (Linux 3.15): unlike POSIX record locks they are not lost when some other
//! part of the process opens and closes the same file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// An exclusive lock on the first byte of a file, held until dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Locks the file, or gives `None` when another holder has it. Never waits.
    ///
    /// # Errors
    /// When the file system has no such locks.
    pub fn try_lock(file: File) -> io::Result<Option<Self>> {
        match set_lock(&file, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Self { file })),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A failure leaves the lock to the close that follows.
        let _ = set_lock(&self.file, libc::F_UNLCK);
    }
}

fn set_lock(file: &File, kind: libc::c_int) -> io::Result<()> {
    let request = libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or(libc::c_short::MAX),
        l_whence: 0, // SEEK_SET
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: `request` is a valid description that the call only reads; the descriptor is open.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_dropping_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let open =
            || File::options().create(true).truncate(false).read(true).write(true).open(&path).unwrap();
        let first = FileLock::try_lock(open()).unwrap().expect("free");
        assert!(FileLock::try_lock(open()).unwrap().is_none());
        drop(first);
        assert!(FileLock::try_lock(open()).unwrap().is_some());
    }
}
