//! Opening and making files: never through a link where others may write, never waiting for a pipe,
//! as widely shared as their directory. What is damaged is set aside, and what dead processes left
//! half made is swept away.

mod drafts;
mod named;
mod private;
mod set_aside;

pub use drafts::{is_draft, lock_draft, sweep, sweep_drafts};
pub use named::{Identity, Standing};
pub use private::{
    file_made_if_missing, folder_made_if_missing, log_file, log_file_again, new_file, private_file,
    state_directory_of,
};
pub(crate) use private::{is_link, linked, try_to_write};
pub(crate) use set_aside::is_no_file;
pub use set_aside::{set_aside, set_aside_same, sync_folder};

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::os::{StandardDescriptors, open_flags};

/// Open a file that the program or its user names, for reading. Symbolic links are followed; what
/// is no regular file is refused: a pipe would be waited for, a device may have no end.
///
/// # Errors
/// What the file system says; `InvalidInput` for something else than a regular file.
pub fn named_file(path: &Path) -> io::Result<File> {
    let _standard = StandardDescriptors::hold();
    // A pipe opens at once like this, and for a terminal nobody becomes its owner.
    let flags = open_flags::NO_WAIT;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Write a file that the program names, as [`std::fs::write`] does, but never wait for the other
/// end of a pipe.
///
/// # Errors
/// What the file system says.
pub fn write_named_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let _standard = StandardDescriptors::hold();
    let options = &mut OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(open_flags::NO_WAIT);
    options.open(path)?.write_all(content)
}

/// Opens a file whose lock is all that matters of it, made when it is missing. What stands in its
/// place and is no file is set aside.
///
/// # Errors
/// What the file system says.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let open = || file_made_if_missing(path, OpenOptions::new().read(true).write(true));
    match open() {
        Err(e) if is_no_file(&e) => set_aside(path).and_then(|_| open()),
        opened => opened,
    }
}
