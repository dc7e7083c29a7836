//! A disk in the state after a power cut: each file has the content that it had when it was last
//! made durable.

use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

thread_local! {
    static DISK: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Keep copies of this thread's files in this folder from now on, under the names of the files.
pub fn keep_copies_in(folder: &Path) {
    DISK.set(Some(folder.to_owned()));
}

pub(crate) fn keep_copy(path: &Path) {
    if let Some(disk) = DISK.with_borrow(Clone::clone) {
        // The present content is on the disk when the call that follows returns; later content may
        // not be.
        let name = path.file_name().expect("files that are made durable have names");
        match fs::copy(path, disk.join(name)) {
            // A file that has lost its name would not be found after the power cut.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            copied => _ = copied.expect("a test has room for its copies"),
        }
    }
}
