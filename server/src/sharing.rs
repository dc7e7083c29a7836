//! Files that the server's user can use, whichever user has run the command that made them. Owner,
//! group and mode follow those of the directory (`protocol/src/sharing.rs`), but nothing is ever
//! shared with everybody.
//!
//! Thus an operator may run a command as root on the data directory of the server's user. Operators
//! with a common group may share a directory of mode 2770 with the server.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use nix::unistd::geteuid;
use seatmeter_protocol::sharing::{
    self, Denied, Names, Owned, advice, file_mode, folder_mode, home_mode, is_name_of_ours, whose,
};
use seatmeter_protocol::signature::random_id;

/// The marker in the name of a file that does not have its final name yet.
pub const DRAFT: &str = ".draft-";

/// The mode bits that a directory passes to its contents: some for its group, none for everybody.
const OWNER_AND_GROUP: u32 = 0o7770;

/// Return owner, group and mode from this metadata.
pub fn owned(of: &Metadata) -> Owned {
    Owned { uid: of.uid(), gid: of.gid(), mode: of.mode() }
}

/// Make an empty file where there is none, for the users who share its directory.
///
/// # Errors
/// Returns the error of the file system, also when the file cannot be shared.
pub fn new_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
    let directory = fs::metadata(directory_of(path))?;
    let shared = share(&file, file_mode(directory.mode() & OWNER_AND_GROUP), &directory);
    shared.inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// Require room for so many bytes on the disk of this file. They are taken and given back at once.
///
/// # Errors
/// Returns the error of the file system, which is that of a full disk if there is no room.
pub fn require_room(beside: &Path, bytes: u64) -> io::Result<()> {
    let id = random_id().ok_or_else(|| io::Error::other("the system has no random numbers"))?;
    let path = directory_of(beside).join(format!("room{DRAFT}{id}"));
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    // Without a name, the file is gone when this process ends, however it ends.
    fs::remove_file(&path)?;
    let length = bytes.try_into().map_err(io::Error::other)?;
    Ok(nix::fcntl::posix_fallocate(&file, 0, length)?)
}

/// Make a directory inside one of the same kind, for the users who share that one.
///
/// # Errors
/// Returns the error of the file system, also when the directory exists already.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let parent = fs::metadata(directory_of(path))?;
    fs::DirBuilder::new().mode(0o700).create(path)?;
    give_folder(path, folder_mode(parent.mode() & OWNER_AND_GROUP), &parent)
}

/// Make a directory, with the parents that it lacks, for the owner of its parent. An existing
/// directory is not changed.
///
/// # Errors
/// Returns the error of the file system.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = directory_of(path);
    make_directory(parent)?;
    let parent = fs::metadata(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    give_folder(path, home_mode(parent.mode()), &parent)
}

fn give_folder(path: &Path, mode: u32, parent: &Metadata) -> io::Result<()> {
    // The directory must be accessible whatever the umask is. Some file systems do not allow
    // setting a mode.
    if fs::metadata(path)?.mode() & 0o700 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    share(&File::open(path)?, mode, parent)
}

fn share(file: &File, mode: u32, directory: &Metadata) -> io::Result<()> {
    let (uid, gid) = (directory.uid(), directory.gid());
    let owner = geteuid().is_root().then_some(uid);
    let given = fchown(file, owner, Some(gid)).err();
    // The mode is set after the owner, because a change of the owner removes bits of the mode.
    let refused = file.set_permissions(Permissions::from_mode(mode)).err().or(given);
    let has = owned(&file.metadata()?);
    match refused {
        Some(cause) if !has.is_of_use_in(&owned(directory), geteuid().as_raw()) => Err(cause),
        _ => Ok(()),
    }
}

/// Return the directory that contains a path.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Return whether only the users of a secret file's directory can open the file: its owner, and its
/// group if that may write in the directory.
pub fn is_secret(file: &Metadata, path: &Path) -> bool {
    let for_group = || {
        let directory = fs::metadata(directory_of(path));
        directory
            .is_ok_and(|directory| directory.mode() & 0o020 != 0 && directory.gid() == file.gid())
    };
    file.mode() & 0o007 == 0 && (file.mode() & 0o070 == 0 || for_group())
}

/// Return the owner of the file that was denied to this process, and the command that gives access;
/// `None` when access was not the cause. `folder` is the directory of ours that is used.
pub fn advice_about(path: &Path, folder: &Path, cause: &io::Error) -> Option<String> {
    with_denied(path, folder, cause, advice)
}

/// Return the same as [`advice_about`], for a file or folder directly in a directory of ours.
pub fn advice_around(path: &Path, cause: &io::Error) -> Option<String> {
    let whole = std::path::absolute(path).ok()?;
    advice_about(&whole, whole.parent().unwrap_or(&whole), cause)
}

/// Return the owner of the file that was denied to this process; `None` when access was not the
/// cause.
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
    let (path, folder) = (std::path::absolute(path).ok()?, std::path::absolute(folder).ok()?);
    sharing::with_denied(&path, &folder, geteuid().as_raw(), &Files, |denied| say(denied, &names()))
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

/// Return whether this directory contains something, but nothing of ours. A directory that cannot
/// be listed was named for our use.
pub fn holds_others_alone(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.collect();
    !names.is_empty() && !names.iter().any(|name| name.to_str().is_some_and(is_name_of_ours))
}

/// Return the names of this machine's own users and groups.
pub fn names() -> Names {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Names { users: read("/etc/passwd"), groups: read("/etc/group") }
}
