//! A segment belongs to its owner exactly as long as that process lives, whatever the host does
//! with descriptors, and whatever children it has. Each test is a process of its own, because a
//! child that another test makes at the wrong moment has a copy of a descriptor that is about to be
//! closed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

use seatmeter::usage::{Attribution, Counter, Segment, SlotEntries};
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::PublicKey;

use crate::own_process::in_a_process_of_its_own;

const ID: &str = "00112233445566778899aabbccddeeff";

fn attribution() -> Attribution {
    let server = PublicKey::from_bytes([7; 32]);
    Attribution { license_id: ID.into(), device_uuid: ID.into(), server }
}

/// Return a word that this process and its children share. It needs no descriptor.
fn shared_word() -> &'static AtomicI32 {
    // SAFETY: a fresh anonymous mapping touches no existing memory.
    let page = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            access,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: page-aligned, zeroed, never unmapped.
    unsafe { &*page.cast() }
}

/// A child process that has done its work and waits for its end.
struct Child(libc::pid_t);

impl Child {
    fn that_does(work: impl FnOnce()) -> Self {
        let done = shared_word();
        // SAFETY: the child uses only what is safe in a child that was forked from a test's thread:
        // files, memory, atomics.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            work();
            done.store(1, Ordering::SeqCst);
            loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            }
        }
        while done.load(Ordering::SeqCst) == 0 {
            let mut status = 0;
            // SAFETY: asks after the child made above.
            let died = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
            assert_eq!(died, 0, "it died early");
            std::thread::yield_now();
        }
        Self(pid)
    }

    fn kill(self) {
        // SAFETY: this is our own child, which no other code waits for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

fn count_one(folder: &Path) -> Counter {
    let counter = Counter::new(folder.to_owned(), attribution());
    counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
    counter
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    path
}

/// Return whether another process would take the owner for dead.
fn is_orphan(path: &Path) -> bool {
    Segment::open(path).unwrap().is_held()
}

#[test]
fn a_daemon_that_closes_all_its_descriptors_keeps_its_segment() {
    in_a_process_of_its_own(|| {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Child::that_does(|| {
            std::mem::forget(count_one(folder.path()));
            // SAFETY: closes every descriptor of this child, as a daemon does when it begins.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        });
        let path = only_file(folder.path());
        assert!(!is_orphan(&path), "its owner lives, and may count more");
        daemon.kill();
        assert!(is_orphan(&path));
    });
}

#[test]
fn a_child_that_outlives_its_parent_does_not_keep_the_parents_segment() {
    in_a_process_of_its_own(|| {
        let folder = tempfile::tempdir().unwrap();
        let grandchild = shared_word();
        let parent = Child::that_does(|| {
            std::mem::forget(count_one(folder.path()));
            grandchild.store(Child::that_does(|| ()).0, Ordering::SeqCst);
        });
        let path = only_file(folder.path());
        assert!(!is_orphan(&path));
        parent.kill();
        assert!(is_orphan(&path), "the child is not the owner");
        // SAFETY: the process made above, which lives: nobody has waited for it.
        unsafe { libc::kill(grandchild.load(Ordering::SeqCst), libc::SIGKILL) };
    });
}

#[test]
fn a_child_that_drops_what_it_inherited_takes_nothing_from_its_parent() {
    in_a_process_of_its_own(|| {
        let folder = tempfile::tempdir().unwrap();
        let counter = count_one(folder.path());
        let path = only_file(folder.path());
        let mut inherited = Some(counter);
        let child = Child::that_does(|| drop(inherited.take()));
        assert!(!is_orphan(&path));
        let counter = inherited.take().unwrap();
        counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 4, 1)]).unwrap();
        assert_eq!(Segment::open(&path).unwrap().totals()[0].usage.total, 2);
        child.kill();
    });
}

#[test]
fn counting_leaves_no_descriptor_open() {
    in_a_process_of_its_own(|| {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let folder = tempfile::tempdir().unwrap();
        let before = open();
        let _counter = count_one(folder.path());
        assert_eq!(open(), before);
    });
}
