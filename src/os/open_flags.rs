//! Flags for files that the standard library opens.

/// The flags to open a directory as a starting point for other paths, not for reading.
pub const PLACE: i32 = libc::O_PATH | libc::O_DIRECTORY;
/// The flag not to follow a link at the end of the path.
pub const NO_LINK: i32 = libc::O_NOFOLLOW;
/// The flags not to wait for the other end of a pipe, and not to make a terminal the process's own.
pub const NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;
/// The flag for a file without a name, in the directory that the path names.
pub const UNNAMED: i32 = libc::O_TMPFILE;
/// The flag to accept a directory only.
pub const DIRECTORY: i32 = libc::O_DIRECTORY;
