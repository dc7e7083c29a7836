//! The opening and the creation of files in the state directory.
//!
//! | what is in the file's place | what happens |
//! | --- | --- |
//! | a regular file with one name | it is opened |
//! | a symbolic link, even as the folder | refused: it is not followed |
//! | a directory, a pipe, a device | refused |
//! | a file with a second name, in a directory that others can write or of another owner | refused: a link to a file that only this process can write would make it write for somebody else |
//! | nothing | created on request, and shared as widely as the directory (`os/sharing.rs`) |
//!
//! The path of the state directory itself may contain links: the person who named it has chosen
//! them.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use seatmeter_protocol::sharing::{file_mode, home_mode};

use super::drafts::lock_draft;
use super::set_aside::{set_aside, sync_folder};
use crate::fault_injection::disk::{self, Use};
use crate::os::{
    StandardDescriptors, draft_of, make_folder, make_home, random_bytes, rename_to_new, share_file,
};
use crate::os::{errors, open_flags};

/// The folders of a state directory.
pub(super) const FOLDERS: [&str; 3] = ["licenses", "seats", "usage"];

/// The number of folders from a usage file up to the state directory.
const FOLDERS_DEEP: usize = 3;

/// The most attempts to open a file that was created and is gone before it was opened. After that,
/// another program is the cause.
const TRIES_MAX: u32 = 16;

/// Open an existing file of the state directory, never through a symbolic link, and never waiting
/// for the other end of a pipe.
///
/// # Errors
/// Returns the error of the file system, or `InvalidData` if it is not a file with one name.
pub fn private_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let _standard = StandardDescriptors::hold();
    let folder = hold(path.parent().unwrap_or(Path::new("/")))?;
    let file = open_in(&folder, path, options)?;
    require_plain(&file, &folder)?;
    Ok(file)
}

/// Create a file that does not exist, for all who share its folder to read and write. A removed
/// folder is created again.
///
/// # Errors
/// Returns the error of the file system, even if only the sharing of the file fails.
pub fn new_file(path: &Path) -> io::Result<File> {
    with_folders(path, || make_file(path, file_mode))
}

/// Create a folder of the state directory. Anything else in its place contains nothing of ours: it
/// is set aside.
///
/// # Errors
/// Returns the error of the file system; for a symbolic link, that it is not followed.
pub fn folder_made_if_missing(folder: &Path) -> io::Result<()> {
    if is_link(folder) {
        return Err(linked(folder));
    }
    clear_way(folder)?;
    make_folder(folder)
}

/// Create something. If a folder that it needs was removed, create that folder again and try once
/// more.
fn with_folders<T>(path: &Path, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match (make(), path.parent()) {
        (Err(e), Some(folder)) if is_without_folder(&e) && !folder.is_dir() => {
            disk::allows(Use::Grow)?;
            clear_way(folder)?;
            make_home(folder)?;
            // A folder that cannot be made durable now is made durable before a report.
            let _ = folder.ancestors().take(FOLDERS_DEEP).try_for_each(sync_folder);
            make()
        }
        (made, _) => made,
    }
}

/// Set aside whatever is in the place of a folder inside a state directory, and of the folder
/// around it.
fn clear_way(folder: &Path) -> io::Result<()> {
    if let (true, Some(outer)) = (is_inside(folder), folder.parent()) {
        clear_way(outer)?;
        if folder.symlink_metadata().is_ok_and(|of| !of.is_dir() && !of.is_symlink()) {
            set_aside(folder)?;
        }
    }
    Ok(())
}

fn is_without_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn make_file(path: &Path, mode: fn(u32) -> u32) -> io::Result<File> {
    let _standard = StandardDescriptors::hold();
    let folder = hold(path.parent().unwrap_or(Path::new("/")))?;
    let options = &mut OpenOptions::new();
    let file = open_in(&folder, path, options.create_new(true).read(true).write(true))?;
    let of = folder.metadata()?;
    share_file(&file, mode(of.mode()), &of).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(file)
}

/// Open a log to append to it, and create it if it does not exist. A new log belongs to the owner
/// of its folder. It is private, unless the folder was created for sharing. The log may also be a
/// terminal or a pipe.
///
/// # Errors
/// Returns the same errors as [`private_file`].
pub fn log_file(path: &Path) -> io::Result<File> {
    let _standard = StandardDescriptors::hold();
    let folder = hold(path.parent().unwrap_or(Path::new("/")))?;
    for _ in 0..TRIES_MAX {
        match open_in(&folder, path, OpenOptions::new().append(true)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_empty(path, |folder| home_mode(folder) & 0o666)?
            }
            opened => {
                let file = opened?;
                return require_one_name(&file, &folder).map(|()| file);
            }
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Open a log as [`log_file`] does. If its folder was removed, create the folder again.
///
/// # Errors
/// Returns the same errors as [`log_file`].
pub fn log_file_again(path: &Path) -> io::Result<File> {
    with_folders(path, || log_file(path))
}

/// Open a file as [`private_file`] does, and create an empty one first if it does not exist. It has
/// its owner and its mode from the first moment in which others can find it.
///
/// # Errors
/// Returns the same errors as [`private_file`] and [`new_file`].
pub fn file_made_if_missing(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    for _ in 0..TRIES_MAX {
        match private_file(path, options) {
            Err(e) if is_without_folder(&e) => {
                with_folders(path, || make_empty(path, file_mode))?;
            }
            opened => return opened,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn make_empty(path: &Path, mode: fn(u32) -> u32) -> io::Result<()> {
    let draft = draft_of(path);
    let named = make_file(&draft, mode).and_then(|file| {
        // The lock is held until the file has its name, so that no process takes it for an
        // abandoned draft.
        lock_draft(&file).and_then(|_| rename_to_new(&draft, path))
    });
    if named.is_err() {
        let _ = fs::remove_file(&draft);
    }
    match named {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named,
    }
}

/// Create a file in this folder that is gone at once. It has no name if the file system supports
/// unnamed files: a death in between leaves nothing behind.
///
/// # Errors
/// Returns the same errors as [`new_file`].
pub(crate) fn try_to_write(folder: &Path) -> io::Result<()> {
    let _standard = StandardDescriptors::hold();
    let held = hold(folder)?;
    let through = place_in(&held, OsStr::new(""));
    let place = if through.exists() { &through } else { folder };
    let options = &mut OpenOptions::new();
    match options.write(true).mode(0o600).custom_flags(open_flags::UNNAMED).open(place) {
        Ok(file) => {
            let of = held.metadata()?;
            share_file(&file, file_mode(of.mode()), &of)
        }
        Err(e) if errors::lacks_unnamed_files(&e) => {
            let probe = folder.join(format!(".probe-{}", hex::encode(random_bytes())));
            match new_file(&probe).and_then(|_| fs::remove_file(&probe)) {
                // If this process was stopped in between, another one may have swept the file away.
                Err(e) if e.kind() != io::ErrorKind::NotFound || !folder.is_dir() => Err(e),
                _ => Ok(()),
            }
        }
        Err(e) => Err(e),
    }
}

/// Open the file through its folder, which cannot become a link any more.
fn open_in(folder: &File, path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // The standard library sets O_CLOEXEC already.
    options.mode(0o600).custom_flags(open_flags::NO_LINK | open_flags::NO_WAIT);
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
    match options.open(place_in(folder, name)) {
        // Without /proc, a file cannot be opened through the folder.
        Err(_) if !place_in(folder, OsStr::new("")).exists() => options.open(path),
        opened => opened,
    }
}

fn place_in(folder: &File, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)
}

/// Open a folder, only to find files in it. A folder inside a state directory is never opened
/// through a link.
fn hold(folder: &Path) -> io::Result<File> {
    let open = |path: &Path, flags| {
        let flags = open_flags::PLACE | flags;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let Some((outer, name)) = inner(folder) else { return open(folder, 0) };
    let outer = hold(outer)?;
    let held = match open(&place_in(&outer, name), open_flags::NO_LINK) {
        Err(_) if !place_in(&outer, OsStr::new("")).exists() => open(folder, open_flags::NO_LINK),
        held => held,
    };
    match held {
        Err(_) if is_link(folder) && is_inside(folder) => Err(linked(folder)),
        Err(_) if is_link(folder) => open(folder, 0),
        held => held,
    }
}

/// Return the error for a folder inside the state directory that is a symbolic link.
fn linked(folder: &Path) -> io::Error {
    let folder = folder.display();
    io::Error::other(format!(
        "{folder} is a symbolic link, and links inside the state directory are not followed. Put \
         a directory in its \
         place, or move the whole state directory and make that a link"
    ))
}

pub(crate) fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|of| of.is_symlink())
}

/// Return the parent and the name of a folder whose name is that of a folder inside a state
/// directory.
fn inner(folder: &Path) -> Option<(&Path, &OsStr)> {
    let (outer, name) = (folder.parent()?, folder.file_name()?);
    (is_name_of_ours(folder) || outer.file_name().is_some_and(|outer| outer == "usage"))
        .then_some((outer, name))
}

fn is_name_of_ours(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| FOLDERS.iter().any(|ours| name == *ours))
}

/// Return whether this is a folder inside a state directory, and not a state directory with such a
/// name.
fn is_inside(folder: &Path) -> bool {
    is_one_of_ours(folder)
        || folder.parent().is_some_and(|outer| outer.ends_with("usage") && is_one_of_ours(outer))
}

/// Return whether this is one of a state directory's folders: such a folder has the others beside
/// it.
fn is_one_of_ours(folder: &Path) -> bool {
    let beside = |name: &&str| {
        folder
            .parent()
            .is_some_and(|parent| parent.join(name) != folder && parent.join(name).is_dir())
    };
    is_name_of_ours(folder) && FOLDERS.iter().any(beside)
}

/// Return the state directory to which a path in it belongs, by the names of its folders.
pub fn state_directory_of(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(path);
    let ours =
        [Some(folder), folder.parent()].into_iter().flatten().find(|folder| is_one_of_ours(folder));
    ours.map_or(folder, |ours| ours.parent().unwrap_or(ours))
}

fn require_plain(file: &File, folder: &File) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    require_one_name(file, folder)
}

fn require_one_name(file: &File, folder: &File) -> io::Result<()> {
    let (of, folder) = (file.metadata()?, folder.metadata()?);
    let may_be_anothers = folder.uid() != of.uid() || folder.mode() & 0o022 != 0;
    if of.is_file() && of.nlink() > 1 && may_be_anothers {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has another name elsewhere (a hard link)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn read() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true);
        options
    }

    #[test]
    fn a_file_is_made_as_widely_shared_as_its_folder_and_opened_then() {
        let folder = tempfile::tempdir().unwrap();
        for (directory, mode) in [(0o700, 0o600), (0o2770, 0o660)] {
            fs::set_permissions(folder.path(), PermissionsExt::from_mode(directory)).unwrap();
            let path = folder.path().join(format!("{directory:o}"));
            file_made_if_missing(&path, &mut read()).unwrap();
            file_made_if_missing(&path, &mut read()).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_folder_inside_that_is_a_link_is_not_followed_and_a_state_directory_that_is_one_is() {
        let place = tempfile::tempdir().unwrap();
        let (state, elsewhere) = (place.path().join("state"), place.path().join("elsewhere"));
        for folder in [state.join("licenses"), state.join("usage"), elsewhere.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(&elsewhere, state.join("seats")).unwrap();
        symlink(&elsewhere, state.join("usage/name")).unwrap();
        for path in ["seats/item.users", "usage/name/x.segment"] {
            let error = new_file(&state.join(path)).unwrap_err();
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        // The person who names a directory in this way has chosen the link.
        for link in ["home", "licenses"] {
            symlink(&elsewhere, place.path().join(link)).unwrap();
            new_file(&place.path().join(link).join(format!("of-{link}"))).unwrap();
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 2);
    }

    #[test]
    fn a_file_with_a_second_name_is_refused_where_others_could_have_given_it() {
        let place = tempfile::tempdir().unwrap();
        let (victim, path) = (place.path().join("victim"), place.path().join("x.users"));
        fs::write(&victim, "precious").unwrap();
        fs::hard_link(&victim, &path).unwrap();
        private_file(&path, &mut read()).unwrap();
        fs::set_permissions(place.path(), PermissionsExt::from_mode(0o2770)).unwrap();
        let error = private_file(&path, &mut read()).unwrap_err();
        assert!(
            error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("hard link"),
            "{error}"
        );
    }

    #[test]
    fn the_state_directory_of_a_file_is_known_by_its_folders() {
        let place = tempfile::tempdir().unwrap();
        // A directory with the name of one of our folders is distinguished from such a folder.
        for state in ["state", "usage"].map(|name| place.path().join(name)) {
            FOLDERS.iter().for_each(|folder| fs::create_dir_all(state.join(folder)).unwrap());
            for path in ["device", "licenses/x.grant", "usage/name/x.segment", "seats"] {
                assert_eq!(state_directory_of(&state.join(path)), state, "{path}");
            }
        }
    }
}
