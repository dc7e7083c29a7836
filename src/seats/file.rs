//! The pool file: how it is found, made, checked and set aside.
//!
//! A pool is complete before it gets its name: an unnamed file is made, its blocks are allocated,
//! its header is written, and then the file is linked. If the name exists by then, the file of the
//! other process is the pool. So a file with the name is never half made. An unfit file was damaged
//! later, by a power cut or by another program; it is renamed, never deleted.
//!
//! A process may rename a file only if it holds the `flock` of that very file, and has checked
//! under the lock that the file still has the name. Otherwise, if two processes see a damaged file,
//! the slower would rename the good one that the faster has just made.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use seatmeter_protocol::file_system::refusal;
use seatmeter_protocol::seat_layout::{
    self, AT_GRANT, ENTRIES, FILE_BYTES, Grant, LOCK_BASE, Unfit,
};
use seatmeter_protocol::sharing::file_mode;

use super::anchor;
use super::attachment::CLOSED;
use super::error::{Repair, SeatError};
use crate::fault_injection::disk::{self, Use};
use crate::fault_injection::kill_points::kill_point;
use crate::files::lock_draft;
use crate::os::system::{self, FileIdentity};
use crate::os::{
    clocks_ahead, errors, file_system_type, is_range_locked, make_home, monotonic_ms, random_bytes,
    rename_to_new, share_file, wall_seconds,
};

/// The longest name of a pool in bytes. With the suffix of a file that is set aside, it stays below
/// the usual 255.
const NAME_BYTES_MAX: usize = 200;
/// The most rounds of damaged files, missing files and lost races. After these, another program is
/// the cause.
const TRIES_MAX: u32 = 16;
/// The time that processes get to move to a new file, in milliseconds. They notice a replaced file
/// within a second. The maker of the new file lets them move first, so that the limit holds; the
/// half second is for their work.
pub(super) const SETTLE_MS: u64 = 1_500;
const NAP: Duration = Duration::from_millis(5);

/// The value for an instant that has passed in any case.
pub(super) const SETTLED: u64 = 0;
/// The value for an instant that its writer cannot express by a clock of all processes.
const UNKNOWN_MS: u64 = u64::MAX;

/// The place of a pool: its directory and path.
#[derive(Clone, Debug)]
pub(super) struct Home {
    directory: PathBuf,
    pub(super) path: PathBuf,
    name: String,
}

impl Home {
    pub(super) fn new(directory: &Path, name: &str) -> Result<Self, SeatError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || name.starts_with('.')
            || !name.chars().all(is_plain)
        {
            return Err(SeatError::Name { name: name.to_owned() });
        }
        let path = directory.join(format!("{name}.pool"));
        Ok(Self { directory: directory.to_owned(), path, name: name.to_owned() })
    }

    /// Return the pool file, found or made. Add the files that were set aside to `repairs`.
    pub(super) fn open_or_create(&self, repairs: &mut Vec<Repair>) -> Result<File, SeatError> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| SeatError::Io { path, what, source }
        };
        if !self.directory.is_dir() {
            make_home(&self.directory)
                .map_err(io("create the state directory", &self.directory))?;
        }
        let directory = system::open_directory_itself(&self.directory)
            .map_err(io("open the state directory", &self.directory))?;
        let file_system = file_system_type(&directory)
            .map_err(io("look at the file system of", &self.directory))?;
        if let Some(kind) = refusal(file_system) {
            return Err(SeatError::FileSystem { path: self.directory.clone(), kind });
        }
        let mut settle = false;
        for _ in 0..TRIES_MAX {
            let Some(file) = self.open_existing(&directory)? else {
                self.create(&directory, settle)?;
                continue;
            };
            match unfitness(&file).map_err(io("read", &self.path))? {
                None => return Ok(file),
                Some(unfit) => settle |= self.set_aside(&file, unfit, repairs)?,
            }
        }
        Err(SeatError::Scribbled { path: self.path.clone() })
    }

    fn open_existing(&self, directory: &File) -> Result<Option<File>, SeatError> {
        // Without O_CREAT: with it, the kernel refuses files of other users in sticky directories
        // (fs.protected_regular). O_NONBLOCK: a pipe in this place must not stop us.
        match system::open_shared(&self.path) {
            Ok(file) => match file.metadata() {
                Ok(data) if data.is_file() && !is_linked_by_others(&data, directory) => {
                    Ok(Some(file))
                }
                Ok(_) => Err(SeatError::NotAFile { path: self.path.clone() }),
                Err(error) => Err(SeatError::io(&self.path, "look at", error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if errors::is_no_plain_file(&error) => {
                Err(SeatError::NotAFile { path: self.path.clone() })
            }
            Err(error) => Err(SeatError::io(&self.path, "open for reading and writing", error)),
        }
    }

    /// Make a pool and give it the name, unless something has it by then.
    fn create(&self, directory: &File, settle: bool) -> Result<(), SeatError> {
        let failed = |what| move |error| SeatError::io(&self.path, what, error);
        let unnamed = system::create_unnamed(&self.directory);
        let (file, temporary) = match unnamed {
            Ok(file) => (file, None),
            Err(error) if errors::lacks_unnamed_files(&error) => self.temporary_file()?,
            Err(error) => return Err(SeatError::io(&self.path, "create", error)),
        };
        let is_unnamed = temporary.is_none();
        let settle = settle || anchor::is_at(directory, &self.path);
        let mut made = self.fill_and_link(&file, temporary, directory, settle);
        // An unnamed file gets its name through /proc, which need not be mounted; a named one does
        // not.
        if is_unnamed && made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let (file, temporary) = self.temporary_file()?;
            made = self.fill_and_link(&file, temporary, directory, settle);
        }
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("create")(error)),
            _ => Ok(()),
        }
    }

    fn fill_and_link(
        &self,
        file: &File,
        temporary: Option<PathBuf>,
        directory: &File,
        settle: bool,
    ) -> io::Result<()> {
        let made = fill(file, directory, settle).and_then(|()| {
            kill_point("create: before the link");
            match &temporary {
                Some(path) => rename_to_new(path, &self.path),
                None => system::link_unnamed(file, &self.path),
            }
        });
        kill_point("create: linked");
        if let Some(path) = temporary {
            // If it stays, the next program sweeps it.
            let _ = fs::remove_file(path);
        }
        made
    }

    fn temporary_file(&self) -> Result<(File, Option<PathBuf>), SeatError> {
        let mut path = self.path.clone();
        for _ in 0..TRIES_MAX {
            path =
                self.directory.join(format!(".{}.{}.new", self.name, hex::encode(random_bytes())));
            let failed = |error| SeatError::io(&path, "create", error);
            let file = system::create_new(&path).map_err(failed)?;
            if lock_draft(&file).map_err(failed)? {
                return Ok((file, Some(path)));
            }
        }
        Err(SeatError::io(&path, "create", ErrorKind::ResourceBusy.into()))
    }

    /// Rename `file`, which is not fit to be the pool. Return whether a process may still be using
    /// it.
    pub(super) fn set_aside(
        &self,
        file: &File,
        unfit: Unfit,
        repairs: &mut Vec<Repair>,
    ) -> Result<bool, SeatError> {
        let failed = |what| move |error| SeatError::io(&self.path, what, error);
        let in_use = has_users(file);
        if in_use && matches!(unfit, Unfit::Older(_) | Unfit::Newer(_)) {
            return Err(SeatError::OtherVersion { path: self.path.clone(), unfit });
        }
        // A process that is renaming it needs only microseconds.
        for _ in 0..TRIES_MAX {
            if system::try_lock_whole(file) {
                break;
            }
            thread::sleep(NAP);
        }
        let named = FileIdentity::of_name(&self.path).map_err(failed("look at"))?;
        if named != Some(FileIdentity::of(file).map_err(failed("look at"))?) {
            return Ok(in_use);
        }
        let aside = format!(
            "{}.pool.aside-{}-{}",
            self.name,
            wall_seconds(),
            hex::encode(&random_bytes()[..4])
        );
        let aside = self.directory.join(aside);
        fs::rename(&self.path, &aside).map_err(failed("set aside (rename) the unusable"))?;
        kill_point("pool set aside: renamed");
        repairs.push(Repair::SetAside { path: aside, unfit });
        Ok(in_use)
    }
}

/// Say whether the file has another name, given by a user who could not write to the file.
fn is_linked_by_others(file: &Metadata, directory: &File) -> bool {
    let is_shared = |of: Metadata| of.uid() != file.uid() || of.mode() & 0o022 != 0;
    file.nlink() > 1 && directory.metadata().is_ok_and(is_shared)
}

/// Return the number of the newest grant in the pool with this name; 0 if there is no such pool.
pub(super) fn newest_grant(directory: &Path, name: &str) -> u32 {
    let read = || {
        let opened = system::open_directory_itself(directory).ok()?;
        let file = Home::new(directory, name).ok()?.open_existing(&opened).ok()??;
        let mut start = [0; AT_GRANT + 8];
        file.read_exact_at(&mut start, 0).ok()?;
        seat_layout::check(&start, file.metadata().ok()?.len()).ok()?;
        let word = start[AT_GRANT..].try_into().ok()?;
        // A closed file gives no number, because another file takes its place.
        Some(Grant::unpack(u64::from_le_bytes(word)).number).filter(|number| *number != CLOSED)
    };
    read().unwrap_or(0)
}

/// Return why the file is unfit to be the pool, or `None` if it is fit. Its counts are checked
/// after it is mapped.
fn unfitness(file: &File) -> io::Result<Option<Unfit>> {
    let mut start = [0; 64];
    let mut got = 0;
    while got < start.len() {
        match file.read_at(&mut start[got..], got as u64)? {
            0 => break,
            more => got += more,
        }
    }
    Ok(seat_layout::check(&start[..got], file.metadata()?.len()).err())
}

/// Return the machine's monotonic clock, which all processes of the device read alike, or `None` if
/// this process cannot know how its own clock differs from it.
pub(super) fn machine_ms() -> Option<u64> {
    clocks_ahead().map(|ahead| monotonic_ms().saturating_add_signed(-ahead.monotonic_ms))
}

/// Say whether a living process holds an entry of this file.
fn has_users(file: &File) -> bool {
    is_range_locked(file.as_raw_fd(), LOCK_BASE, i64::from(ENTRIES)).unwrap_or(false)
}

fn fill(file: &File, directory: &File, settle: bool) -> io::Result<()> {
    let allocated = disk::allows(Use::Grow).and_then(|()| system::allocate(file, FILE_BYTES));
    if let Err(error) = allocated {
        if !errors::is_not_supported(&error) {
            return Err(error);
        }
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    }
    let settled_at_ms =
        if settle { machine_ms().map_or(UNKNOWN_MS, |now| now + SETTLE_MS) } else { SETTLED };
    file.write_all_at(&seat_layout::new_header(random_bytes(), settled_at_ms), 0)?;
    // Everybody who shares the directory shares the seats.
    let directory = directory.metadata()?;
    share_file(file, file_mode(directory.mode()), &directory)
}
