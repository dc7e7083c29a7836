//! Files that may be anything: a user names them, or they lie in a directory that others use.
//!
//! Nobody waits for a pipe or a terminal here, and nothing without an end fills the memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Error, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Open a regular file for reading.
///
/// # Errors
/// Returns the error of the file system, or `InvalidInput` if it is not a regular file.
pub fn open_named(path: &Path) -> io::Result<File> {
    // With these flags a pipe opens at once, and a terminal does not become the controlling one.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Return the content of a regular file. Some files call themselves regular, and have no end
/// (`/proc/kmsg`): reading stops at `bytes_max`, and never waits.
///
/// # Errors
/// Returns the error of [`open_named`], or `FileTooLarge` if the file has more bytes.
pub fn read_named(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_named(path)?.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        let why = format!("it has more than {} MiB", bytes_max >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: u64 = 1 << 20;

    #[test]
    fn a_file_without_an_end_or_beyond_the_bound_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(BYTES_MAX + 1).unwrap();
        for path in [&*pipe, &*large, "/dev/zero".as_ref(), "/proc/kmsg".as_ref()] {
            assert!(read_named(path, BYTES_MAX).is_err(), "{}", path.display());
        }
        File::create(&large).unwrap().set_len(BYTES_MAX).unwrap();
        assert!(read_named(&large, BYTES_MAX).is_ok());
    }
}
