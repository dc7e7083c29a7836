//! The system calls that the standard library does not offer: opening files with flags, sleeping on
//! words of shared memory.

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::os::{StandardDescriptors, descriptor_name};

/// The identity of the file to which a name or a descriptor refers. An inode that is open or mapped
/// is never given to another file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl From<&Metadata> for FileIdentity {
    fn from(of: &Metadata) -> Self {
        Self { device: of.dev(), inode: of.ino() }
    }
}

impl FileIdentity {
    /// Return the identity of an open file.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|of| Self::from(&of))
    }

    /// Return the identity of the file that has this name now, or `None` if there is none.
    pub(crate) fn of_name(path: &Path) -> io::Result<Option<Self>> {
        match path.symlink_metadata() {
            Ok(of) => Ok(Some(Self::from(&of))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Say whether this descriptor still refers to this file. The host may have closed the
    /// descriptor and used its number anew.
    pub(crate) fn is_of_descriptor(self, descriptor: RawFd) -> bool {
        let mut answer = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the kernel fills `answer`, and refuses a descriptor that is closed.
        if unsafe { libc::fstat(descriptor, answer.as_mut_ptr()) } != 0 {
            return false;
        }
        // SAFETY: the call succeeded, so the kernel has filled it.
        let answer = unsafe { answer.assume_init() };
        (answer.st_dev, answer.st_ino) == (self.device, self.inode)
    }
}

/// Open a directory, to which the path may lead through links.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Open a directory, but no link to one.
pub(crate) fn open_directory_itself(path: &Path) -> io::Result<File> {
    open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)
}

/// Open a file that other processes use, too, for reading and writing. Do not follow a link, and do
/// not wait for the other end of a pipe.
pub(crate) fn open_shared(path: &Path) -> io::Result<File> {
    open(path, libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)
}

/// Open the file behind `descriptor` once more, as another open file. Use `path` where there is no
/// `/proc`.
pub(crate) fn open_again(descriptor: RawFd, path: &Path) -> io::Result<File> {
    open(&descriptor_name(descriptor), libc::O_RDWR, 0)
        .or_else(|_| open(path, libc::O_RDWR | libc::O_NOFOLLOW, 0))
}

/// Create a file without a name in this directory, for its owner alone.
pub(crate) fn create_unnamed(directory: &Path) -> io::Result<File> {
    open(directory, libc::O_TMPFILE | libc::O_RDWR, 0o600)
}

/// Create a file under a name that is not in use, for its owner alone.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o600)
}

/// Take the lock of a whole file if it is free. The lock ends with the open file.
pub(crate) fn try_lock_whole(file: &File) -> bool {
    // SAFETY: only the descriptor is used.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Open a file that is not inherited through exec.
fn open(path: &Path, flags: i32, mode: u32) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = flags | libc::O_CLOEXEC;
    let _standard = StandardDescriptors::hold();
    // SAFETY: `path` is a string that ends with a zero and outlives the call.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags, libc::c_uint::from(mode)) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Give an unnamed file, opened as `file`, a name that is not in use.
pub(crate) fn link_unnamed(file: &File, path: &Path) -> io::Result<()> {
    let from =
        CString::new(descriptor_name(file.as_raw_fd()).into_os_string().into_encoded_bytes())?;
    let to = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: both are strings that end with a zero and outlive the call.
    let answer = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Give the file its blocks now. A hole in a full file system would kill the process that touches
/// its page.
pub(crate) fn allocate(file: &File, bytes: usize) -> io::Result<()> {
    // SAFETY: only the descriptor is used.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as i64) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Sleep while `word` is `expected`, until another thread wakes the sleeper or `timeout` is over.
/// The call may also return early.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration, shared: bool) {
    let private = if shared { 0 } else { libc::FUTEX_PRIVATE_FLAG };
    let limit = libc::timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: `word` and `limit` outlive the call; the kernel only reads them.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | private,
            expected,
            &raw const limit,
            0_usize,
            0_u32,
        )
    };
}

/// The result of a sleep on several words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sleep {
    /// One of the words was not as expected, so the thread has not slept.
    NotBegun,
    /// Another thread has woken the sleeper, or the time was over.
    Over,
    /// The kernel cannot do it (before Linux 5.16, or where a sandbox forbids it).
    Unknown,
}

/// The most words that the kernel accepts.
pub(crate) const SLEEP_WORDS_MAX: usize = 128;

/// A word of another process, as the kernel reads it (`struct futex_waitv`).
#[repr(C)]
struct SharedWord {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// The flag for words of 32 bits that are shared with other processes.
const FUTEX2_SIZE_U32: u32 = 2;

/// Sleep on words that other processes share, while each has its expected value. The kernel checks
/// the words in order; a wake on a word that it has already checked ends the sleep.
pub(crate) fn futex_wait_many(words: &[(&AtomicU32, u32)], timeout: Duration) -> Sleep {
    let words: Vec<SharedWord> = words
        .iter()
        .take(SLEEP_WORDS_MAX)
        .map(|(word, expected)| SharedWord {
            value: u64::from(*expected),
            address: word.as_ptr().addr() as u64,
            flags: FUTEX2_SIZE_U32,
            reserved: 0,
        })
        .collect();
    let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills `until`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut until) };
    let nanoseconds = until.tv_nsec + libc::c_long::from(timeout.subsec_nanos());
    until.tv_sec += timeout.as_secs() as i64 + nanoseconds / 1_000_000_000;
    until.tv_nsec = nanoseconds % 1_000_000_000;
    // SAFETY: `words` and `until` outlive the call, and the words that they name outlive it by the
    // caller's references; the kernel only reads them.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            words.as_ptr(),
            words.len() as libc::c_uint,
            0_u32,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    };
    if woken >= 0 {
        return Sleep::Over;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Sleep::NotBegun,
        Some(libc::ETIMEDOUT | libc::EINTR) => Sleep::Over,
        _ => Sleep::Unknown,
    }
}

/// Wake up to `count` sleepers, and return how many there were.
pub(crate) fn futex_wake(word: &AtomicU32, count: i32, shared: bool) -> u32 {
    let private = if shared { 0 } else { libc::FUTEX_PRIVATE_FLAG };
    // SAFETY: the kernel uses the address as a name only.
    let woken =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | private, count) };
    u32::try_from(woken).unwrap_or(0)
}

/// Close a descriptor that was kept as a number.
pub(crate) fn close(descriptor: RawFd) {
    // SAFETY: callers have checked that the descriptor still is the file that they opened.
    unsafe { libc::close(descriptor) };
}
