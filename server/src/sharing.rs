//! Files that the server's user can use, whichever user has run the command that made them: owner,
//! group and mode follow the directory's (`protocol/src/sharing.rs`), but nothing is ever shared
//! with everybody.
//!
//! So an operator may run a command as root on the data directory of the server's user, and
//! operators with a group in common may share one of mode 2770 with the server.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use nix::unistd::geteuid;
use seatmeter_protocol::sharing::{
    Denied, Names, Owned, Place, advice, file_mode, folder_mode, home_mode, is_name_of_ours, whose,
};

/// What a directory shares of what is in it: something with its group, nothing with everybody.
const OWNER_AND_GROUP: u32 = 0o7770;

/// Owner, group and mode of what this describes.
pub fn owned(of: &Metadata) -> Owned {
    Owned { uid: of.uid(), gid: of.gid(), mode: of.mode() }
}

/// Make an empty file where there is none, for those who share its directory.
///
/// # Errors
/// What the file system says, also when it lets the file not be shared.
pub fn new_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
    let directory = fs::metadata(directory_of(path))?;
    let shared = share(&file, file_mode(directory.mode() & OWNER_AND_GROUP), &directory);
    shared.inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// Make a directory inside one of the same kind, for those who share that.
///
/// # Errors
/// What the file system says, also that it is there.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let parent = fs::metadata(directory_of(path))?;
    fs::DirBuilder::new().mode(0o700).create(path)?;
    give_folder(path, folder_mode(parent.mode() & OWNER_AND_GROUP), &parent)
}

/// Make a directory, with the parents that it lacks, for the owner of its parent. One that is there
/// stays as it is.
///
/// # Errors
/// What the file system says.
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
    // Whatever the umask says, it must be opened. Some file systems let no mode be set.
    if fs::metadata(path)?.mode() & 0o700 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    share(&File::open(path)?, mode, parent)
}

fn share(file: &File, mode: u32, directory: &Metadata) -> io::Result<()> {
    let (uid, gid) = (directory.uid(), directory.gid());
    let owner = geteuid().is_root().then_some(uid);
    let given = fchown(file, owner, Some(gid)).err();
    // After the owner: changing that takes bits of the mode away.
    let refused = file.set_permissions(Permissions::from_mode(mode)).err().or(given);
    let has = owned(&file.metadata()?);
    match refused {
        Some(cause) if !has.is_of_use_in(&owned(directory), geteuid().as_raw()) => Err(cause),
        _ => Ok(()),
    }
}

/// The directory in which a path is.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Whether those who can open a secret file are those for whom its directory is: its owner, and its
/// group where that may write in the directory.
pub fn is_secret(file: &Metadata, path: &Path) -> bool {
    let for_group = || {
        let directory = fs::metadata(directory_of(path));
        directory
            .is_ok_and(|directory| directory.mode() & 0o020 != 0 && directory.gid() == file.gid())
    };
    file.mode() & 0o007 == 0 && (file.mode() & 0o070 == 0 || for_group())
}

/// Return whose the file is that was denied to this process, and the command that mends it; `None`
/// where access was not the matter. `folder` is the directory of ours that is to be used.
pub fn advice_about(path: &Path, folder: &Path, cause: &io::Error) -> Option<String> {
    with_denied(path, folder, cause, advice)
}

/// As [`advice_about`], for a file or folder directly in a directory of ours.
pub fn advice_around(path: &Path, cause: &io::Error) -> Option<String> {
    let whole = std::path::absolute(path).ok()?;
    advice_about(&whole, whole.parent().unwrap_or(&whole), cause)
}

/// Return whose the file is that was denied to this process; `None` where access was not the
/// matter.
pub fn owner_of(path: &Path, cause: &io::Error) -> Option<String> {
    with_denied(path, path, cause, whose)
}

fn with_denied(
    path: &Path,
    folder: &Path,
    cause: &io::Error,
    say: fn(&Denied<'_>, &Names) -> String,
) -> Option<String> {
    if cause.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let (whole, folder) = (std::path::absolute(path).ok()?, std::path::absolute(folder).ok()?);
    // What cannot even be looked at is in a directory that denies it.
    let mut beneath = ErrorKind::NotFound;
    let found = whole.ancestors().find_map(|path| match path.symlink_metadata() {
        Ok(of) => Some((path, of)),
        Err(e) => {
            beneath = e.kind();
            None
        }
    });
    let (found, of) = found?;
    let place = match found.starts_with(&folder) {
        true if holds_others_alone(&folder) => Place::Others,
        true => Place::Ours(owned(&fs::metadata(&folder).ok()?)),
        false if beneath == ErrorKind::NotFound => Place::Missing,
        false => Place::Hidden,
    };
    let denied = Denied {
        path: &found.display().to_string(),
        of: owned(&of),
        folder: &folder.display().to_string(),
        place,
        me: geteuid().as_raw(),
    };
    Some(say(&denied, &names()))
}

/// Whether something is in this directory, and nothing of ours. What cannot be listed was named for
/// us.
pub fn holds_others_alone(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.collect();
    !names.is_empty() && !names.iter().any(|name| name.to_str().is_some_and(is_name_of_ours))
}

/// Names of this machine's own users and groups.
pub fn names() -> Names {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Names { users: read("/etc/passwd"), groups: read("/etc/group") }
}
