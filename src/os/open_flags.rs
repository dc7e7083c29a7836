//! Flags for files that the standard library opens.

/// The place of a directory: for going on from it, not for reading.
pub const PLACE: i32 = libc::O_PATH | libc::O_DIRECTORY;
/// A link at the end of the path is not followed.
pub const NO_LINK: i32 = libc::O_NOFOLLOW;
/// The other end of a pipe is not waited for, and a terminal does not become the process's own.
pub const NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;
/// A file without a name, in the directory that the path names.
pub const UNNAMED: i32 = libc::O_TMPFILE;
/// A directory, and nothing else that has the name.
pub const DIRECTORY: i32 = libc::O_DIRECTORY;
