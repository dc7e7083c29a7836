//! The state directory: all persistent state of the device.
//!
//! ```text
//! <state>/device              identity of this device
//! <state>/device-copy         the same, for the case that one of the two files is lost
//! <state>/device.turn         locked by the process that takes a fresh UUID for it
//! <state>/clock               highest time seen, last server time, and earlier wrong times
//! <state>/clock.turn          locked by the process that replaces it
//! <state>/licenses/<name>.…   for each grant name:
//!     grant                   the grant, and the programs that it was granted to
//!     root-key                the vendor's key, stored at first contact (unless compiled in)
//!     given-back              last grant that was given back, for counts that are not reported yet
//!     notice                  server notices since: the use of the item, and the end of the grant;
//!                             a grant without it is not used before the server has answered
//!     turn                    locked by the process that requests a grant
//! <state>/licenses/<key>.server   for each server: its newest license, and the report keys
//! <state>/licenses/<digest>.first-contact  id of the first contact under a UUID
//! <state>/licenses/newest.issues  the newest issue of each license file
//! <state>/seats/<item>.pool   seats and their holders
//! <state>/seats/<item>.users  locked by the processes that work under the item
//! <state>/seats/<item>.spent  spent allowance of a strict item;
//!                             for a later UUID, <item>.<digest>.spent
//! <state>/usage/<name>/       counts under that grant
//!     <id>.segment            totals that the server may not have
//!     <day>.acknowledged      acknowledged totals of removed segments
//!     epoch-<key>             epoch of the server's data for these acknowledgements
//! <state>/sync-<key>.lock     locked by the process that reports to the server with this key
//! ```

mod framed;

pub use framed::{FramedFile, Kind, Loaded};

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::error::{Error, Result, remedy};
use crate::files::{self, folder_made_if_missing, sweep_drafts};
use crate::os::open_flags;
use crate::os::{
    StandardDescriptors, file_system_type, holds_others_alone, is_privileged, make_home, names,
    user_id,
};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::file_system::refusal;
use seatmeter_protocol::sharing::{is_shared_by_all, is_sticky_and_shared, quoted};

/// The device's state directory, which exists and is writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// Return the path of the state directory: that of the caller, else that of
    /// `SEATMETER_STATE_DIR`, else the usual one for root or for the user.
    ///
    /// # Errors
    /// Fails if no path is given and the user, who is not root, has no home.
    pub fn locate(
        explicit: Option<&Path>,
        environment: &Environment,
        is_root: bool,
    ) -> Result<PathBuf> {
        if let Some(path) = explicit.or(environment.state_directory.as_deref()) {
            return std::path::absolute(path).map_err(|e| Error::state(path, "find", &e));
        }
        if is_root {
            return Ok(PathBuf::from("/var/lib/seatmeter"));
        }
        let state_home = environment
            .xdg_state_home
            .clone()
            .or_else(|| environment.home.as_ref().map(|home| home.join(".local/state")))
            .ok_or_else(|| {
                Error::new(
                    ErrorCode::LICENSE_BUFFER_FAILED,
                    match is_privileged() {
                        // The environment of this program is not read.
                        true => {
                            "no place for the state directory: this program runs with more rights \
                             than its user, so its environment is ignored. Call \
                             SM_SetStateDirectory before InitLicenseFromDLS"
                        }
                        false => {
                            "no place for the state directory: HOME is not set, or is no absolute \
                             path. Set SEATMETER_STATE_DIR, or call SM_SetStateDirectory before \
                             InitLicenseFromDLS"
                        }
                    },
                )
            })?;
        Ok(state_home.join("seatmeter"))
    }

    /// Create the directory if it is missing, and check that it can be used.
    ///
    /// # Errors
    /// Fails if it cannot be created or written, if it belongs to another user and everybody may
    /// write in it, or if it is on a network file system. The message says what to set.
    pub fn open(path: PathBuf) -> Result<Self> {
        let directory = Self { path };
        make_home(&directory.path).map_err(|e| unusable(&directory.path, &directory.path, &e))?;
        directory.check_owner()?;
        directory.check_sticky()?;
        for folder in [directory.licenses(), directory.seats(), directory.usage()] {
            folder_made_if_missing(&folder).map_err(|e| unusable(&directory.path, &folder, &e))?;
        }
        directory.check_file_system(file_system_type)?;
        for folder in
            [directory.path.clone(), directory.licenses(), directory.seats(), directory.usage()]
        {
            files::try_to_write(&folder).map_err(|e| unusable(&directory.path, &folder, &e))?;
            sweep_drafts(&folder);
        }
        Ok(directory)
    }

    /// Refuse a directory in which anybody can put files that this process would believe, if its
    /// owner cannot protect it either.
    fn check_owner(&self) -> Result<()> {
        let of = fs::metadata(&self.path).map_err(|e| unusable(&self.path, &self.path, &e))?;
        if of.uid() == user_id() || !is_shared_by_all(of.mode()) {
            return Ok(());
        }
        let shown = self.path.display();
        // The directory is like /tmp: no command may change what belongs to others.
        let todo = if holds_others_alone(&self.path) {
            format!("{}, for example", self.path.join("seatmeter").display())
        } else {
            let quoted = quoted(&self.path.to_string_lossy());
            format!(
                "another, or share it with a group: \
                 \"sudo chgrp -R GROUP {quoted} && sudo chmod -R o-w,g+rwX {quoted} && sudo chmod \
                 g+s,-t {quoted}\""
            )
        };
        Err(Error::new(
            ErrorCode::LICENSE_BUFFER_FAILED,
            format!(
                "the state directory {shown} belongs to {} and has mode {:o}: everybody may write \
                 in it, so it is not used. With SM_SetStateDirectory or SEATMETER_STATE_DIR, \
                 choose \
                 {todo}",
                names().user_for_people(of.uid()),
                of.mode() & 0o7777
            ),
        ))
    }

    /// Refuse a shared directory with the sticky bit to users other than its owner: they could not
    /// replace files that others have made, and the kernel may not even open them
    /// (`fs.protected_regular`).
    fn check_sticky(&self) -> Result<()> {
        let of = fs::metadata(&self.path).map_err(|e| unusable(&self.path, &self.path, &e))?;
        let me = user_id();
        if me == 0 || of.uid() == me || !is_sticky_and_shared(of.mode()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::LICENSE_BUFFER_FAILED,
            format!(
                "the state directory {} has mode {:o}: with the sticky bit, its users cannot \
                 replace the files of one another. Run \"sudo chmod -t {}\"",
                self.path.display(),
                of.mode() & 0o7777,
                quoted(&self.path.to_string_lossy())
            ),
        ))
    }

    /// Check that the file system supports what is stored here: not only seats need its locks and
    /// mappings.
    fn check_file_system(&self, type_of: impl Fn(&File) -> io::Result<u32>) -> Result<()> {
        let _standard = StandardDescriptors::hold();
        let flags = open_flags::PLACE;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        match opened.and_then(|directory| type_of(&directory)).map(refusal) {
            Ok(None) => Ok(()),
            Ok(Some(kind)) => Err(Error::new(
                ErrorCode::LICENSE_BUFFER_FAILED,
                format!(
                    "the state directory {} is on {kind}. Choose another on a local disk, with \
                     SM_SetStateDirectory \
                     or SEATMETER_STATE_DIR",
                    self.path.display()
                ),
            )),
            Err(e) => Err(unusable(&self.path, &self.path, &e)),
        }
    }

    /// Return the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Return the folder of the grants.
    pub fn licenses(&self) -> PathBuf {
        self.path.join("licenses")
    }

    /// Return the folder of the seat pools.
    pub fn seats(&self) -> PathBuf {
        self.path.join("seats")
    }

    /// Return the folder of the usage segments.
    pub fn usage(&self) -> PathBuf {
        self.path.join("usage")
    }

    /// Return the lock file that decides which process may give the device a fresh UUID.
    pub fn device_turn(&self) -> PathBuf {
        self.path.join("device.turn")
    }

    /// Return a framed file directly in the directory.
    pub fn file(&self, name: &str, kind: Kind) -> FramedFile {
        FramedFile::new(self.path.join(name), kind)
    }
}

fn unusable(directory: &Path, path: &Path, cause: &io::Error) -> Error {
    if path != directory && files::is_link(path) {
        // The error of a link says what to do.
        return Error::new(ErrorCode::LICENSE_BUFFER_FAILED, cause.to_string());
    }
    let what = format!("the state directory {} cannot be used: {cause}", path.display());
    let other = "choose another with SM_SetStateDirectory or SEATMETER_STATE_DIR";
    let message = match remedy(path, directory, cause) {
        Some(advice) => format!("{what}. {advice} Or {other}"),
        None => format!("{what}. Make it writable for this user, or {other}"),
    };
    Error::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_caller_wins_over_the_environment_and_that_over_the_usual_place() {
        let environment = Environment {
            state_directory: Some("/from/environment".into()),
            home: Some("/home/ada".into()),
            ..Environment::default()
        };
        let locate = |explicit: Option<&str>, environment: &Environment, is_root| {
            StateDirectory::locate(explicit.map(Path::new), environment, is_root).unwrap()
        };
        assert_eq!(locate(Some("/explicit"), &environment, true), Path::new("/explicit"));
        assert_eq!(locate(None, &environment, true), Path::new("/from/environment"));
        let bare = Environment { state_directory: None, ..environment };
        assert_eq!(locate(None, &bare, true), Path::new("/var/lib/seatmeter"));
        assert_eq!(locate(None, &bare, false), Path::new("/home/ada/.local/state/seatmeter"));
        let xdg = Environment { xdg_state_home: Some("/xdg".into()), ..bare };
        assert_eq!(locate(None, &xdg, false), Path::new("/xdg/seatmeter"));
    }

    #[test]
    fn a_user_without_home_is_told_what_to_set() {
        let error = StateDirectory::locate(None, &Environment::default(), false).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
        assert!(error.message.contains("SEATMETER_STATE_DIR"));
    }

    #[test]
    fn the_directory_is_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(parent.path().join("a/b")).unwrap();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn many_threads_may_find_it_usable_at_one_time() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        StateDirectory::open(parent.path().join("state")).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_directory_on_a_network_file_system_is_refused_with_advice_whatever_is_licensed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(folder.path().to_owned()).unwrap();
        let error = directory.check_file_system(|_| Ok(0x6969)).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
        let path = folder.path().display().to_string();
        for part in [&*path, "NFS", "local disk", "SM_SetStateDirectory", "SEATMETER_STATE_DIR"] {
            assert!(error.message.contains(part), "{error}");
        }
        directory.check_file_system(file_system_type).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_refused_with_advice() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDirectory::open(file.path().join("state")).unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_BUFFER_FAILED);
        assert!(error.message.contains("SM_SetStateDirectory"), "{error}");
    }
}
