//! Small files in a frame by which a reader distinguishes damage from content.
//!
//! The frame is described in `protocol/src/state_frame.rs`.
//!
//! A file is replaced by writing a new one beside it, making that durable, and renaming it: a
//! reader sees the old content or the new, never a mixture. A file that is torn, empty, foreign or
//! from a newer version is renamed out of the way, never deleted, and counts as absent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use seatmeter_protocol::state_frame::{CONTENT_BYTES_MAX, HEADER_BYTES, frame, unframe};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use seatmeter_protocol::state_frame::Kind;

use crate::error::{Error, Result};
use crate::fault_injection::disk::{self, Use};
use crate::files::{
    is_no_file, lock_draft, new_file, private_file, set_aside, set_aside_same, sync_folder,
};
use crate::log::{Level, say};
use crate::os::{draft_of, exchange_names, rename_to_new};

/// The result of reading a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    /// The content of the file.
    Content(T),
    /// No such file exists.
    Absent,
    /// The file was damaged, and was renamed so that people can examine it.
    SetAside {
        /// The new name.
        path: PathBuf,
        /// The kind of damage.
        reason: String,
    },
}

/// A file with one JSON document in a frame.
#[derive(Clone, Debug)]
pub struct FramedFile {
    path: PathBuf,
    kind: Kind,
}

impl FramedFile {
    /// Return the file at this path. No file is opened yet.
    pub fn new(path: PathBuf, kind: Kind) -> Self {
        Self { path, kind }
    }

    /// Return the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Read the file.
    ///
    /// # Errors
    /// Fails if the file exists and cannot be read, or if it is damaged and cannot be set aside.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Loaded<T>> {
        for _ in 0..LOAD_TRIES_MAX {
            let (bytes, file) = match self.read() {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Absent),
                Err(e) if is_no_file(&e) => {
                    return Ok(self.kept_as(self.set_aside()?, e.to_string()));
                }
                Err(e) => return Err(Error::state(&self.path, "read", &e)),
            };
            match self.parse(&bytes) {
                Ok(content) => return Ok(Loaded::Content(content)),
                Err(reason) => {
                    let aside = set_aside_same(&self.path, &file);
                    if let Some(path) =
                        aside.map_err(|e| Error::state(&self.path, "set aside", &e))?
                    {
                        return Ok(self.kept_as(path, reason));
                    }
                }
            }
        }
        Err(Error::state(&self.path, "read", &io::ErrorKind::InvalidData.into()))
    }

    fn kept_as<T>(&self, path: PathBuf, reason: String) -> Loaded<T> {
        say(
            Level::Warning,
            format_args!(
                "{} cannot be used ({reason}); it is kept as {}",
                self.path.display(),
                path.display()
            ),
        );
        Loaded::SetAside { path, reason }
    }

    /// Read the file if it is whole, and leave it alone if not. Callers that must not change the
    /// file use this.
    pub fn peek<T: DeserializeOwned>(&self) -> Option<T> {
        self.parse(&self.read().ok()?.0).ok()
    }

    fn read(&self) -> io::Result<(Vec<u8>, File)> {
        let mut bytes = Vec::new();
        let limit = (HEADER_BYTES + CONTENT_BYTES_MAX + 1) as u64;
        let file = private_file(&self.path, OpenOptions::new().read(true))?;
        (&file).take(limit).read_to_end(&mut bytes)?;
        Ok((bytes, file))
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> std::result::Result<T, String> {
        let content = unframe(bytes, self.kind)?;
        serde_json::from_slice(content).map_err(|e| e.to_string())
    }

    /// Replace the file durably.
    ///
    /// # Errors
    /// Fails if the file cannot be written. The old content is then still there.
    pub fn store<T: Serialize>(&self, content: &T) -> Result<()> {
        let (temporary, _at_it) = self.write_beside(content)?;
        let renamed = disk::allows(Use::Rename).and_then(|()| fs::rename(&temporary, &self.path));
        if renamed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        renamed
            .and_then(|()| sync_folder(&self.path))
            .map_err(|e| Error::state(&self.path, "write", &e))
    }

    /// Replace the file durably, unless its content is no longer `seen`. Return whether it was
    /// replaced. So a process that was stopped between reading and writing does not overwrite what
    /// others have written since.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn store_over<T>(&self, seen: Option<&T>, content: &T) -> Result<bool>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let Some(seen) = seen else { return self.store_new(content) };
        let (temporary, _at_it) = self.write_beside(content)?;
        let failed = |e: io::Error| Error::state(&self.path, "write", &e);
        let outcome = disk::allows(Use::Rename).and_then(|()| self.replace_seen(seen, &temporary));
        // It contains either the previous content, or the new content that did not get its name.
        let _ = fs::remove_file(&temporary);
        let is_replaced = outcome.map_err(failed)?;
        if is_replaced {
            sync_folder(&self.path).map_err(failed)?;
        }
        Ok(is_replaced)
    }

    /// Put a file in the place of this one if the content of this one is `seen`.
    fn replace_seen<T>(&self, seen: &T, temporary: &Path) -> io::Result<bool>
    where
        T: DeserializeOwned + PartialEq,
    {
        let is_seen = |file: &Self| file.peek::<T>().is_some_and(|content| content == *seen);
        if !is_seen(self) {
            return Ok(false);
        }
        match exchange_names(temporary, &self.path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            // If the file system cannot exchange names, a change since the comparison is not
            // noticed.
            Err(_) => return fs::rename(temporary, &self.path).map(|()| true),
        }
        // The draft now contains what the file contained at the very moment of the exchange.
        if is_seen(&Self::new(temporary.to_owned(), self.kind)) {
            return Ok(true);
        }
        exchange_names(temporary, &self.path).map(|()| false)
    }

    /// Write the file unless it exists. Return whether it was written. If processes race, one wins
    /// and the others read what it wrote.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn store_new<T: Serialize>(&self, content: &T) -> Result<bool> {
        let (temporary, _at_it) = self.write_beside(content)?;
        let named = disk::allows(Use::Rename).and_then(|()| rename_to_new(&temporary, &self.path));
        if named.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        match named {
            Ok(()) => sync_folder(&self.path)
                .map(|()| true)
                .map_err(|e| Error::state(&self.path, "write", &e)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(Error::state(&self.path, "write", &e)),
        }
    }

    /// Rename the file out of the way, for content that is whole but must not be used.
    ///
    /// # Errors
    /// Fails if the file cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf> {
        set_aside(&self.path).map_err(|e| Error::state(&self.path, "set aside", &e))
    }

    /// Rename the file durably to another file of the same kind and folder. It need not exist.
    ///
    /// # Errors
    /// Fails if the file cannot be renamed.
    pub fn move_to(&self, other: &Self) -> Result<()> {
        match disk::allows(Use::Rename).and_then(|()| fs::rename(&self.path, &other.path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome
                .and_then(|()| sync_folder(&self.path))
                .map_err(|e| Error::state(&self.path, "rename", &e)),
        }
    }

    /// Write a draft. It belongs to this process as long as the file is open.
    fn write_beside<T: Serialize>(&self, content: &T) -> Result<(PathBuf, File)> {
        let failed = |e: io::Error| Error::state(&self.path, "write", &e);
        let bytes = serde_json::to_vec(content)
            .map_err(io::Error::from)
            .map(|json| frame(&json, self.kind));
        let bytes = disk::allows(Use::Grow).and(bytes).map_err(failed)?;
        let (temporary, mut file) = self.draft().map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            failed(e)
        })?;
        Ok((temporary, file))
    }

    fn draft(&self) -> io::Result<(PathBuf, File)> {
        for _ in 0..DRAFT_TRIES_MAX {
            let path = draft_of(&self.path);
            let file = new_file(&path)?;
            if lock_draft(&file)? {
                return Ok((path, file));
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// The most attempts to load a file that is damaged and then replaced by another. After that,
/// another program is the cause.
const LOAD_TRIES_MAX: u32 = 16;

/// The most attempts to lock a new draft before others sweep it away. After that, it is no
/// accident.
const DRAFT_TRIES_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> FramedFile {
        FramedFile::new(folder.join("device"), Kind::Device)
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!(file.load::<String>().unwrap(), Loaded::Absent);
        file.store(&"one").unwrap();
        file.store(&"two").unwrap();
        assert_eq!(file.load::<String>().unwrap(), Loaded::Content("two".into()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn of_two_first_writers_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert!(file.store_new(&"first").unwrap());
        assert!(!file.store_new(&"second").unwrap());
        assert_eq!(file.load::<String>().unwrap(), Loaded::Content("first".into()));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.store(&"content").unwrap();
        let good = fs::read(file.path()).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|n| good[..n].to_vec()).collect();
        bad.extend((0..good.len()).map(|n| {
            let mut changed = good.clone();
            changed[n] ^= 0x40;
            changed
        }));
        for bytes in bad {
            fs::write(file.path(), &bytes).unwrap();
            let Loaded::SetAside { path, .. } = file.load::<String>().unwrap() else {
                panic!("damage was not noticed")
            };
            assert_ne!(path, file.path());
            fs::remove_file(path).ok();
            assert!(!file.path().exists());
        }
    }

    #[test]
    fn who_finds_a_torn_file_sets_aside_that_one_and_not_what_has_taken_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let begin = |mine: u32| loop {
            match file.load::<u32>().unwrap() {
                Loaded::Content(theirs) => return theirs,
                _ if file.store_new(&mine).unwrap() => return mine,
                _ => {}
            }
        };
        for _ in 0..500 {
            fs::write(file.path(), "torn").unwrap();
            let together = std::sync::Barrier::new(2);
            let [one, other] = std::thread::scope(|scope| {
                let beginners = [1, 2].map(|mine| {
                    let (begin, together) = (&begin, &together);
                    scope.spawn(move || {
                        together.wait();
                        begin(mine)
                    })
                });
                beginners.map(|beginner| beginner.join().unwrap())
            });
            assert_eq!(one, other, "both go by the one file");
            fs::remove_file(file.path()).unwrap();
            fs::remove_file(folder.path().join("device.damaged-1")).unwrap();
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                0,
                "nothing else was set aside"
            );
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_folder_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(
            sync_folder(&pipe.join("file")).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        sync_folder(&pipe).unwrap();
    }

    #[test]
    fn what_is_no_file_is_set_aside_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let elsewhere = folder.path().join("elsewhere");
        file.store(&"content").unwrap();
        fs::rename(file.path(), &elsewhere).unwrap();
        let make: [&dyn Fn(); 4] = [
            &|| fs::create_dir(file.path()).unwrap(),
            &|| std::os::unix::fs::symlink(&elsewhere, file.path()).unwrap(),
            &|| std::os::unix::fs::symlink(file.path(), file.path()).unwrap(),
            &|| {
                let made = std::process::Command::new("mkfifo").arg(file.path()).status().unwrap();
                assert!(made.success());
            },
        ];
        for make in make {
            make();
            assert!(matches!(file.load::<String>().unwrap(), Loaded::SetAside { .. }));
            file.store(&"new").unwrap();
            assert_eq!(file.load::<String>().unwrap(), Loaded::Content("new".into()));
            fs::remove_file(file.path()).unwrap();
        }
        assert!(elsewhere.exists(), "what a link points to is left alone");
    }

    #[test]
    fn a_file_with_more_in_it_than_this_version_knows_is_read() {
        #[derive(serde::Serialize)]
        struct Later {
            uuid: &'static str,
            key: &'static str,
            of_the_future: u32,
        }
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.store(&Later { uuid: "u", key: "k", of_the_future: 1 }).unwrap();
        let Loaded::Content(device) = file.load::<crate::device::Device>().unwrap() else {
            panic!()
        };
        assert_eq!(device.uuid(), "u");
    }

    #[test]
    fn a_file_of_the_first_version_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        fs::write(file.path(), include_bytes!("../../tests/state/first_version_device")).unwrap();
        let Loaded::Content(device) = file.load::<crate::device::Device>().unwrap() else {
            panic!()
        };
        assert_eq!(device, crate::device::Device::with_uuid("0123456789abcdef0123456789abcdef"));
        file.store(&device).unwrap();
        assert_eq!(
            fs::read(file.path()).unwrap(),
            include_bytes!("../../tests/state/first_version_device"),
            "and a library of that version reads what this one writes"
        );
    }

    #[test]
    fn a_file_of_another_kind_or_a_newer_version_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        FramedFile::new(file.path().to_owned(), Kind::Grant).store(&"x").unwrap();
        assert!(matches!(file.load::<String>().unwrap(), Loaded::SetAside { .. }));
        file.store(&"x").unwrap();
        let mut bytes = fs::read(file.path()).unwrap();
        bytes[8] = 2;
        fs::write(file.path(), bytes).unwrap();
        let Loaded::SetAside { reason, path } = file.load::<String>().unwrap() else { panic!() };
        assert!(reason.contains("version is 2"), "{reason}");
        assert!(path.exists(), "set aside, never deleted");
    }
}
