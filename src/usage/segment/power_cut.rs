//! A disk as a power cut would leave it: of each file what was in it when it was last made durable.

use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

thread_local! {
    static DISK: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// From now on this thread keeps copies here, under the names of the files.
pub fn keep_copies_in(folder: &Path) {
    DISK.set(Some(folder.to_owned()));
}

pub(crate) fn keep_copy(path: &Path) {
    if let Some(disk) = DISK.with_borrow(Clone::clone) {
        // What is there now is on the disk when the call that follows returns; what comes later may
        // not be.
        let name = path.file_name().expect("files that are made durable have names");
        match fs::copy(path, disk.join(name)) {
            // Of a file that has lost its name nothing would be found.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            copied => _ = copied.expect("a test has room for its copies"),
        }
    }
}
