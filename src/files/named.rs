//! Names and their files: whether a name still means the file that was opened under it.
//!
//! A mapped file works even after its name is gone, but no other process will ever read what is
//! written into it. So a process that keeps a file mapped checks the name once a second, and
//! carries the content into a new file.

use std::io::ErrorKind;
use std::path::Path;

use crate::fault_injection::disk::{self, Use};
use crate::os::system::FileIdentity;

/// The meaning of a name, for a process that has mapped the file that had it.
///
/// | the name | standing |
/// |---|---|
/// | means that file, which is not shorter than before | `Same` |
/// | cannot be checked: no permission, a failing disk | `Same`: nothing contradicts it |
/// | means nothing, or another file: deleted, renamed, replaced by a copy, under a mount | `Lost` |
/// | means that file, which was cut short: the content beyond its end is gone | `Short` |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The name means the mapped file.
    Same,
    /// The mapped file has lost the name by which others find it.
    Lost,
    /// The file has only this many bytes left; the bytes beyond must not be touched.
    Short(u64),
}

impl Standing {
    /// Return the standing of a file of at least `length` bytes that was opened under this name.
    pub fn of(path: &Path, identity: FileIdentity, length: usize) -> Self {
        let named = disk::allows(Use::Look).and_then(|()| path.symlink_metadata());
        match named {
            Ok(named) if FileIdentity::from(&named) != identity => Self::Lost,
            Ok(named) if named.len() < length as u64 => Self::Short(named.len()),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Self::Lost
            }
            Ok(_) | Err(_) => Self::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::MetadataExt;

    use super::super::{file_made_if_missing, new_file, private_file};
    use super::*;

    #[test]
    fn a_name_is_lost_when_it_means_nothing_or_another_file_and_short_when_the_file_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        let file = file_made_if_missing(&path, OpenOptions::new().write(true)).unwrap();
        file.set_len(100).unwrap();
        let identity = FileIdentity::of(&file).unwrap();
        let standing = || Standing::of(&path, identity, 100);
        assert_eq!(standing(), Standing::Same);
        file.set_len(99).unwrap();
        assert_eq!(standing(), Standing::Short(99));
        file.set_len(200).unwrap();
        assert_eq!(standing(), Standing::Same, "longer does no harm");
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert_eq!(standing(), Standing::Lost);
        fs::copy(&aside, &path).unwrap();
        assert_eq!(standing(), Standing::Lost, "a copy is another file");
        fs::rename(&aside, &path).unwrap();
        assert_eq!(standing(), Standing::Same);
        fs::remove_dir_all(folder.path().join("deep")).unwrap();
        assert_eq!(standing(), Standing::Lost);
        fs::write(folder.path().join("deep"), "").unwrap();
        assert_eq!(standing(), Standing::Lost, "no folder any more");
    }

    #[test]
    fn folders_that_were_removed_are_made_again_for_who_makes_a_file_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        private_file(&path, OpenOptions::new().read(true)).unwrap_err();
        assert!(!folder.path().join("a").exists());
        new_file(&path).unwrap();
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().mode() & 0o777, 0o700);
    }
}
