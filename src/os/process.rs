//! The system's facts about this process: from /proc where that is mounted, otherwise from another
//! source, if there is one.
//!
//! The names are those of the calling thread. `/proc/self` is the main thread's, which has neither
//! descriptors nor a program after it has ended (`pthread_exit`).

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Return a name under which a descriptor of this process can be opened anew.
#[must_use]
pub fn descriptor_name(descriptor: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{descriptor}"))
}

/// Open another description of the file behind a descriptor.
///
/// # Errors
/// /proc is not mounted, or the file may not be opened anew.
pub fn reopen(descriptor: RawFd) -> io::Result<File> {
    File::options().read(true).write(true).open(descriptor_name(descriptor))
}

/// Return the name of the program that this process runs, without its folder; empty where the
/// system does not say.
#[must_use]
pub fn program_name() -> Vec<u8> {
    let path = std::fs::read_link("/proc/thread-self/exe").unwrap_or_else(|_| started_as());
    path.file_name().unwrap_or_default().as_bytes().to_vec()
}

/// Return the path by which the kernel has started the program.
fn started_as() -> PathBuf {
    // SAFETY: asks for a number.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const libc::c_char;
    if path.is_null() {
        return PathBuf::new();
    }
    // SAFETY: the kernel has put a string there that ends with a zero and lives as long as the
    // process.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_has_the_same_name_with_and_without_proc() {
        let name = program_name();
        assert!(!name.is_empty());
        assert_eq!(started_as().file_name().unwrap().as_bytes(), name);
    }
}
