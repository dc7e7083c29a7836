//! The failures of the system, sorted by what they mean to this library.

use std::io;

fn is_one_of(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// Say whether a link, a directory, a pipe or a device stands in the place of a file.
pub fn is_no_plain_file(error: &io::Error) -> bool {
    is_one_of(error, &[libc::ELOOP, libc::EISDIR, libc::ENXIO, libc::ENODEV])
}

/// Say whether the file system has no files without names.
pub fn lacks_unnamed_files(error: &io::Error) -> bool {
    // Kernels that do not know the flag answer EISDIR.
    is_one_of(error, &[libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL, libc::ENOENT])
}

/// Say whether the file system cannot do this.
pub fn is_not_supported(error: &io::Error) -> bool {
    is_one_of(error, &[libc::EOPNOTSUPP])
}

/// Say whether a file would have become larger than this process may make one.
pub fn is_over_the_limit_of_files(error: &io::Error) -> bool {
    is_one_of(error, &[libc::EFBIG])
}

/// Say whether a call was to read memory that no longer exists, because its file became shorter.
pub fn is_of_lost_memory(error: &io::Error) -> bool {
    is_one_of(error, &[libc::EFAULT])
}

/// Return the failure of a disk.
pub fn broken_disk() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

/// Return the error for a file that was replaced by another.
pub fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

/// Return the error for a lock that the kernel cannot give.
pub fn no_locks() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOLCK)
}
