//! Drafts: files whose writers died before these could take the place of others.
//!
//! A draft has a random name of its own, and its writer holds the file's lock (`flock`) until it
//! has given the file its final name. So a process that gets the lock of a draft knows that no
//! process is writing it any more, and may remove it.
//!
//! | what | name | written by |
//! | --- | --- | --- |
//! | a framed file | `….new-<32 digits>` | `framed.rs` |
//! | a seat pool, where there are no unnamed files | `.<item>.<32 digits>.new` | `seats/file.rs` |
//! | a probe, where there are no unnamed files, removed at once | `.probe-<32 digits>` | `private.rs` |

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::private_file;
use crate::os::wall_seconds;

/// The number of random hexadecimal digits in a draft's name.
const DIGITS: usize = 32;

/// Lock a new draft. Return `false` if another process was so fast that it took the draft for an
/// abandoned one. The draft is then gone, or will be in a moment.
///
/// # Errors
/// Returns the error of the file system.
pub fn lock_draft(file: &File) -> io::Result<bool> {
    Ok(file.try_lock().is_ok() && file.metadata()?.nlink() > 0)
}

/// Remove the drafts in a folder whose writers have died. A draft that cannot be removed only takes
/// up space.
pub fn sweep_drafts(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_draft(&path) {
            let _ = sweep(&path);
        }
    }
}

/// Return whether a file is a draft, by its name.
pub fn is_draft(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_at_random =
        |text: &str| text.len() == DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let pool = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
    name.rsplit_once(".new-").is_some_and(|(_, end)| is_at_random(end))
        || pool.and_then(|pool| pool.rsplit_once('.')).is_some_and(|(_, end)| is_at_random(end))
        || name.strip_prefix(".probe-").is_some_and(is_at_random)
}

/// Remove a draft, unless its writer is alive.
///
/// # Errors
/// Returns the error of the file system.
pub fn sweep(path: &Path) -> io::Result<()> {
    let file = private_file(path, OpenOptions::new().read(true))?;
    let of = file.metadata()?;
    if !is_old(of.ctime()) || file.try_lock().is_err() {
        return Ok(());
    }
    // If it was finished just before, it has its final name by now, and this one is gone.
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Return whether a file was changed longer than a second ago. If a clock was set back meanwhile,
/// this is true later.
fn is_old(changed_at: i64) -> bool {
    i64::try_from(wall_seconds()).is_ok_and(|now| now > changed_at.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::state::{FramedFile, Kind, StateDirectory};

    const LEFT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn drafts_that_stay_after_kills_are_swept_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(folder.path().to_owned()).unwrap();
        let left = [
            state.path().join(format!("clock.new-{LEFT}")),
            state.path().join(format!(".probe-{LEFT}")),
            state.licenses().join(format!("name.new-{LEFT}")),
            state.seats().join(format!(".item.{LEFT}.new")),
        ];
        let others = [
            state.path().join("clock"),
            state.path().join("clock.new-thing"),
            state.licenses().join("name.grant"),
            state.seats().join("item.pool"),
        ];
        left.iter().chain(&others).for_each(|path| fs::write(path, "torn").unwrap());
        let at_it = File::open(&left[0]).unwrap();
        assert!(lock_draft(&at_it).unwrap());
        let until_swept = |expected: [bool; 4]| {
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                StateDirectory::open(folder.path().to_owned()).unwrap();
                let swept = left.each_ref().map(|path| !path.exists());
                if swept == expected {
                    return;
                }
                assert!(Instant::now() < end, "{swept:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        until_swept([false, true, true, true]);
        assert!(left[0].exists(), "a living process is just finishing it");
        drop(at_it);
        until_swept([true; 4]);
        assert!(others.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_draft_that_was_swept_before_it_was_locked_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("clock.new-{LEFT}"));
        let mine = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!lock_draft(&mine).unwrap());
        let theirs = File::create(&path).unwrap();
        assert!(lock_draft(&theirs).unwrap());
        assert!(!lock_draft(&File::open(&path).unwrap()).unwrap());
    }

    #[test]
    fn who_writes_while_others_sweep_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep_drafts(folder.path());
                }
            });
            let file = FramedFile::new(folder.path().join("device"), Kind::Device);
            for n in 0..300_u32 {
                file.store(&n).unwrap();
                assert_eq!(file.peek::<u32>(), Some(n));
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
