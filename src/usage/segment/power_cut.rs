//! A disk as a power cut would leave it: of each segment what was in it when it was last made durable.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

thread_local! {
    static DISK: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// From now on this thread keeps copies here.
pub(crate) fn keep_copies_in(folder: &Path) {
    DISK.set(Some(folder.to_owned()));
}

pub(super) fn keep_copy(path: &Path) {
    if let Some(disk) = DISK.with_borrow(Clone::clone) {
        // What is there now is on the disk when the call that follows returns; what comes later may not be.
        fs::copy(path, disk.join(path.file_name().unwrap())).unwrap();
    }
}
