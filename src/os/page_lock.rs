//! Tests whether a mapped page keeps a lock whose descriptor is closed. On most file systems it
//! does. On some (overlayfs) the page refers to a file underneath, and the lock is lost with the
//! descriptor.
//!
//! The test uses a lock that nobody else can have, on a random byte far beyond all bytes that are
//! used. Checking the lock that is wanted would prove nothing. It may be the lock of another
//! holder, who shares it or who took it at the moment in which ours was lost.
//!
//! | the random byte, with the descriptor closed | with the page gone, too | the page |
//! |---|---|---|
//! | locked | free | keeps locks |
//! | free | – | keeps none |
//! | locked | locked | is not what keeps this one: a forked child has the descriptor. Asked again |
//!
//! A child that ends between the two checks would look like a page that keeps locks. So this result
//! must come twice.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::filesystem::file_system_type;
use super::mapped::Mapping;
use super::range_lock::{is_range_locked, try_lock_byte};
use super::{PerProcess, random_bytes};
use crate::os::locks::{INNERMOST, Mutex};

/// The size of a page that keeps a lock, in bytes; only the mapping matters.
pub(super) const PAGE_BYTES: usize = 4096;

/// The first of the bytes among which a random one is locked: beyond those of the seats, which are
/// at 2⁴⁰.
const FIRST_BYTE: i64 = 1 << 60;

/// The most tests of one file system. A host that forks without a pause gets locks that are kept by
/// descriptors.
const ASKED_MAX: u32 = 8;

/// The most file systems that are remembered: a process has its state on one or two.
const KNOWN_MAX: usize = 16;

/// A file system by its device and its type: an overlayfs may show the device of what it lies over.
type FileSystem = (u64, u32);

/// The results of the tests. A forked child tests anew, so that it need not wait for a lock of its
/// parent.
static KNOWN: PerProcess<Mutex<Vec<(FileSystem, bool)>, INNERMOST>> = PerProcess::new();

/// Say whether the file system of `file` keeps a lock with a mapped page alone. Test each file
/// system once; return false where the test is not possible. `reopen` returns another open
/// description of the file, for reading and writing.
pub fn page_keeps_locks(file: &File, reopen: impl Fn() -> io::Result<File>) -> bool {
    let Ok(of) = file_system(file) else { return false };
    let known = KNOWN.get(|_| Mutex::default());
    if let Some((_, keeps)) = known.lock().iter().find(|(known, _)| *known == of) {
        return *keeps;
    }
    let Some(keeps) = find_out(file, &reopen) else { return false };
    let mut known = known.lock();
    if known.len() < KNOWN_MAX && known.iter().all(|(known, _)| *known != of) {
        known.push((of, keeps));
    }
    keeps
}

fn file_system(file: &File) -> io::Result<FileSystem> {
    Ok((file.metadata()?.dev(), file_system_type(file)?))
}

fn find_out(file: &File, reopen: &impl Fn() -> io::Result<File>) -> Option<bool> {
    let mut heard = 0;
    for _ in 0..ASKED_MAX {
        match ask(file, reopen).ok()? {
            Seen::Kept => heard += 1,
            Seen::Gone => return Some(false),
            Seen::KeptByAnother => {}
        }
        if heard == 2 {
            return Some(true);
        }
    }
    None
}

enum Seen {
    Kept,
    Gone,
    KeptByAnother,
}

fn ask(file: &File, reopen: &impl Fn() -> io::Result<File>) -> io::Result<Seen> {
    let own = reopen()?;
    let byte = random_byte();
    if !try_lock_byte(&own, byte)? {
        return Ok(Seen::KeptByAnother);
    }
    let page = Mapping::new(&own, PAGE_BYTES)?;
    drop(own);
    if !is_range_locked(file.as_raw_fd(), byte, 1)? {
        return Ok(Seen::Gone);
    }
    drop(page);
    Ok(if is_range_locked(file.as_raw_fd(), byte, 1)? { Seen::KeptByAnother } else { Seen::Kept })
}

fn random_byte() -> i64 {
    let [.., a, b, c, d, e, f] = random_bytes();
    FIRST_BYTE | i64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::os::on_overlay;

    fn ask_about(folder: &Path) -> bool {
        let path = folder.join("file");
        let open = || {
            File::options().create(true).truncate(false).read(true).write(true).open(&path).unwrap()
        };
        let file = open();
        let answers = [(); 2].map(|()| page_keeps_locks(&file, || Ok(open())));
        assert_eq!(answers[0], answers[1], "what was found out is remembered");
        assert!(!is_range_locked(open().as_raw_fd(), 0, 0).unwrap(), "no lock is left behind");
        answers[0]
    }

    #[test]
    fn a_page_keeps_locks_on_most_file_systems_and_not_on_an_overlayfs() {
        let shared_memory = tempfile::tempdir_in("/dev/shm").unwrap();
        assert!(ask_about(shared_memory.path()));
        on_overlay(|folder| assert!(!ask_about(folder)));
    }

    #[test]
    fn a_child_that_has_the_descriptor_is_not_taken_for_a_page() {
        on_overlay(|folder| {
            let path = folder.join("file");
            let open = || {
                File::options()
                    .create(true)
                    .truncate(false)
                    .read(true)
                    .write(true)
                    .open(&path)
                    .unwrap()
            };
            // The descriptors that a child would have inherited are held open here.
            let inherited = Mutex::new(Vec::new());
            let reopen = || {
                let own = open();
                inherited.lock().push(own.try_clone()?);
                Ok(own)
            };
            assert_eq!(find_out(&open(), &reopen), None);
            inherited.lock().clear();
            assert_eq!(find_out(&open(), &|| Ok(open())), Some(false));
        });
    }
}
