//! An overlayfs for tests: the file system on which a mapped page does not keep a lock.

use std::ffi::CString;
use std::path::Path;

/// Run `body` in a folder on an overlayfs that only its threads see. Where mounting is not
/// permitted, `body` does not run.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn on_overlay(body: impl FnOnce(&Path) + Send) {
    let layers = tempfile::tempdir().unwrap();
    let at = |name: &str| layers.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    let merged = at("merged");
    // A thread is used because a mount namespace can belong to one thread, and ends with it.
    let is_mounted = std::thread::scope(|scope| {
        let run = || mount_unseen(&merged, &options).then(|| body(&merged)).is_some();
        scope.spawn(run).join().unwrap()
    });
    if !is_mounted {
        eprintln!("SKIPPED: mounting is not permitted");
    }
}

fn mount_unseen(at: &Path, options: &str) -> bool {
    let (none, kind) = (c"none".as_ptr(), c"overlay".as_ptr());
    let at = CString::new(at.to_str().unwrap()).unwrap();
    let options = CString::new(options).unwrap();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: strings that end with a zero and outlive the calls; the mounts go with this thread.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()) == 0
            && libc::mount(kind, at.as_ptr(), kind, 0, options.as_ptr().cast()) == 0
    }
}
