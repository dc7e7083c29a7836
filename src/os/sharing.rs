//! Files and directories that are usable by everybody who shares the directory in which they are
//! made, whatever the umask and the user of the process. Owner, group and mode follow the directory
//! (`protocol/src/sharing.rs` has the table).
//!
//! A new file gets owner, group and mode before it gets its name, so that nobody ever finds it half
//! shared.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use seatmeter_protocol::sharing::{
    self, Denied, Names, Owned, advice, folder_mode, home_mode, is_name_of_ours, whose,
};

use super::filesystem::rename_to_new;
use super::{random_bytes, user_id};

/// The bits of a mode that are permissions, without the bits of the file type.
const MODE: u32 = 0o7777;

/// Return the owner, group and mode of the file that `of` describes.
pub fn owned(of: &Metadata) -> Owned {
    Owned { uid: of.uid(), gid: of.gid(), mode: of.mode() }
}

/// Give a new file or directory to the owner and the group of its directory, with this mode. Change
/// only what has to be changed. Then check the result, because file systems have rules of their
/// own.
///
/// # Errors
/// The file system refuses the change, and the new file would be of no use to those who share the
/// directory.
pub fn share_file(file: &File, mode: u32, directory: &Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    let (uid, gid) = (directory.uid(), directory.gid());
    let mut refused = None;
    if made.uid() != uid || made.gid() != gid {
        // Only root may change a file's owner. Its group can be changed by everybody who is in the
        // new group.
        let owner = (user_id() == 0).then_some(uid);
        refused = fchown(file, owner, Some(gid)).err();
    }
    // Set the mode after the owner, because a change of owner removes bits of the mode.
    if file.metadata()?.mode() & MODE != mode {
        refused = file.set_permissions(fs::Permissions::from_mode(mode)).err().or(refused);
    }
    let has = owned(&file.metadata()?);
    match refused {
        Some(cause) if !has.is_of_use_in(&owned(directory), user_id()) => Err(io::Error::new(
            cause.kind(),
            format!(
                "it cannot be given to user {uid} and group {gid}, whose directory it is in, with \
                 mode {mode:o}: {cause}"
            ),
        )),
        _ => Ok(()),
    }
}

/// Make a directory inside one of ours, as widely shared as its parent. Leave an existing directory
/// unchanged.
///
/// # Errors
/// The directory cannot be made, or cannot be given to those who share its parent.
pub fn make_folder(path: &Path) -> io::Result<()> {
    make(path, folder_mode)
}

/// Make the first of our directories, and the parents that it lacks. It belongs to the owner of its
/// parent, and is private unless the parent is made for sharing. Leave an existing directory
/// unchanged.
///
/// # Errors
/// The directory cannot be made, or cannot be given to that owner.
pub fn make_home(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_home(parent)?,
        _ => {}
    }
    make(path, home_mode)
}

fn make(path: &Path, mode: impl Fn(u32) -> u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    let draft = draft_of(path);
    fs::DirBuilder::new().mode(0o700).create(&draft)?;
    let made = give_folder(&draft, mode(parent.mode()), &parent)
        .and_then(|()| rename_to_new(&draft, path));
    if made.is_err() {
        let _ = fs::remove_dir(&draft);
    }
    match made {
        // Another process was faster. If it did not make a directory, the first use reports that.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        made => made,
    }
}

fn give_folder(folder: &Path, mode: u32, parent: &Metadata) -> io::Result<()> {
    // With a umask of 0777 nobody can open the directory yet. Its name is unknown to others. Some
    // file systems have no modes, and refuse to set one.
    if fs::metadata(folder)?.mode() & 0o700 != 0o700 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    // A directory that is not shared with the parent's group keeps the group that the system gave
    // it.
    share_file(&File::open(folder)?, mode, parent)
}

/// Return a name in the same directory that nobody else uses, for a draft of `path`.
pub fn draft_of(path: &Path) -> PathBuf {
    // The name is random: processes of two containers can have the same id, and one process can
    // hold two copies of the library.
    path.with_extension(format!("new-{}", hex::encode(random_bytes())))
}

/// Return the owner of the file to which this process was denied access, and the command that mends
/// it. `folder` is the directory of ours that is to be used. Return `None` if access was not the
/// problem.
pub fn advice_about(path: &Path, folder: &Path, cause: &io::Error) -> Option<String> {
    with_denied(path, folder, cause, advice)
}

/// Return the owner of the file to which this process was denied access. Return `None` if access
/// was not the problem.
pub fn owner_of(path: &Path, cause: &io::Error) -> Option<String> {
    with_denied(path, path, cause, whose)
}

fn with_denied(
    path: &Path,
    folder: &Path,
    cause: &io::Error,
    say: fn(&Denied<'_>, &Names) -> String,
) -> Option<String> {
    if cause.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    sharing::with_denied(path, folder, user_id(), &Files, |denied| say(denied, &names()))
}

/// The files of this machine.
struct Files;

impl sharing::Look for Files {
    fn itself(&self, path: &Path) -> Result<Owned, io::ErrorKind> {
        path.symlink_metadata().map(|of| owned(&of)).map_err(|e| e.kind())
    }

    fn directory(&self, path: &Path) -> Option<Owned> {
        fs::metadata(path).ok().map(|of| owned(&of))
    }

    fn holds_others_alone(&self, path: &Path) -> bool {
        holds_others_alone(path)
    }
}

/// Say whether this directory contains something, and nothing of ours. A directory that cannot be
/// listed counts as ours, because somebody named it to us.
pub fn holds_others_alone(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.collect();
    !names.is_empty() && !names.iter().any(|name| name.to_str().is_some_and(is_name_of_ours))
}

/// Return the names of users and groups from this machine's own files, because the system's name
/// service may take long.
pub fn names() -> Names {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Names { users: read("/etc/passwd"), groups: read("/etc/group") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & MODE
    }

    #[test]
    fn folders_are_private_or_shared_as_what_they_are_in() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("a/home");
        make_home(&home).unwrap();
        make_home(&home).unwrap();
        make_folder(&home.join("seats")).unwrap();
        assert_eq!((mode_of(&home), mode_of(&home.join("seats"))), (0o700, 0o700));
        fs::set_permissions(&home, fs::Permissions::from_mode(0o2770)).unwrap();
        make_folder(&home.join("usage")).unwrap();
        make_home(&home.join("inner")).unwrap();
        assert_eq!((mode_of(&home.join("usage")), mode_of(&home.join("inner"))), (0o2770, 0o2770));
        assert_eq!(fs::read_dir(&home).unwrap().count(), 3, "no draft is left");
    }

    #[test]
    fn racing_makers_of_a_folder_all_find_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("folder");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| make_folder(&path).unwrap());
            }
        });
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
