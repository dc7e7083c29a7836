//! Opening and creating files: never through a link where others may write, never waiting for a
//! pipe, and shared as widely as their directory. Damaged files are set aside, and unfinished files
//! of dead processes are swept away.

mod drafts;
mod named;
mod private;
mod set_aside;

pub use drafts::{is_draft, lock_draft, sweep, sweep_drafts};
pub use named::Standing;
pub use private::{
    file_made_if_missing, folder_made_if_missing, log_file, log_file_again, new_file, private_file,
    state_directory_of,
};
pub(crate) use private::{is_link, try_to_write};
pub(crate) use set_aside::is_no_file;
pub use set_aside::{set_aside, set_aside_same, sync_folder};

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use crate::os::system::FileIdentity;
use crate::os::{StandardDescriptors, open_flags};

/// Open a file that the program or its user names, for reading. Symbolic links are followed. Only a
/// regular file is accepted: a pipe would block, and a device may have no end.
///
/// # Errors
/// Returns the error of the file system, or `InvalidInput` if it is not a regular file.
pub fn named_file(path: &Path) -> io::Result<File> {
    let _standard = StandardDescriptors::hold();
    // With these flags a pipe opens at once, and a terminal does not become the controlling one.
    let flags = open_flags::NO_WAIT;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Return the content of a file that the program or its user names. Some files call themselves
/// regular, and have no end (`/proc/kmsg`): reading stops at `bytes_max`, and never waits.
///
/// # Errors
/// Returns the error of [`named_file`], or `FileTooLarge` if the file has more bytes.
pub fn read_named_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    named_file(path)?.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        let why = format!("it has more than {} MiB", bytes_max >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(content)
}

/// Write a file that the program names, as [`std::fs::write`] does, but never wait for the other
/// end of a pipe.
///
/// # Errors
/// Returns the error of the file system.
pub fn write_named_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let _standard = StandardDescriptors::hold();
    let options = &mut OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(open_flags::NO_WAIT);
    options.open(path)?.write_all(content)
}

/// Open a file that serves only as a lock, and create it if it is missing. Anything else in its
/// place is set aside.
///
/// # Errors
/// Returns the error of the file system.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let open = || file_made_if_missing(path, OpenOptions::new().read(true).write(true));
    match open() {
        Err(e) if is_no_file(&e) => set_aside(path).and_then(|_| open()),
        opened => opened,
    }
}
