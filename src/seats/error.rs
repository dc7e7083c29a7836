//! What can go wrong with the pool, in words that say what to do.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use seatmeter_protocol::seat_layout::{ENTRIES, Unfit};

/// The reason why there is no seat, or no pool.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// Every seat is taken by living processes.
    #[error("{}", what_is_full(*.capacity, *.used))]
    Full {
        /// Seats granted to the device.
        capacity: u32,
        /// Seats in use; more than `capacity` after the grant shrank.
        used: u32,
    },
    /// All entries of the pool are taken by attached processes.
    #[error(
        "{ENTRIES} processes of this device hold a place in the seat pool, which is all it has: end \
         some"
    )]
    NoSlot,
    /// The state directory is on a file system that cannot carry the pool.
    #[error("the state directory {path} is on {kind}: choose a directory on a local disk or tmpfs")]
    FileSystem {
        /// The state directory.
        path: PathBuf,
        /// The file system as far as it is known, and the feature that it lacks.
        kind: String,
    },
    /// The pool file belongs to a version of the library that is in use right now.
    #[error(
        "{path} is in use by another version of the library ({unfit}): end the programs that use \
         it, or update them"
    )]
    OtherVersion {
        /// The pool file.
        path: PathBuf,
        /// The difference between the file and a pool of this version.
        unfit: Unfit,
    },
    /// Something that is not a regular file stands where the pool file belongs.
    #[error("{path} is not a regular file of one name: move it out of the way")]
    NotAFile {
        /// The path of that other thing.
        path: PathBuf,
    },
    /// The name cannot be that of a pool.
    #[error("{name:?} cannot name a seat pool: use 1 to 200 letters, digits, '-', '_' or '.'")]
    Name {
        /// The requested name.
        name: String,
    },
    /// The processor lacks the 128-bit compare-exchange.
    #[error("this processor has no 128-bit compare-exchange, which the seat pool needs")]
    Processor,
    /// The shared words changed faster than they could be read: another program writes to the file.
    #[error("another program keeps writing to {path}: find it and end it")]
    Scribbled {
        /// The pool file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The attempted action.
        what: &'static str,
        /// The answer of the operating system.
        source: io::Error,
    },
}

fn what_is_full(capacity: u32, used: u32) -> String {
    if capacity == 0 {
        return "no seats are granted to this device: initialize the license first".to_owned();
    }
    format!(
        "all {capacity} seats of this device are in use ({used} held): close a reader in one of \
         the processes that hold them, or wait for one"
    )
}

impl SeatError {
    pub(super) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), what, source }
    }
}

/// A repair of the pool, for the log of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Repair {
    /// A file was not a usable pool; it was renamed, and a new one made.
    SetAside {
        /// The present path of the renamed file.
        path: PathBuf,
        /// The fault of the renamed file.
        unfit: Unfit,
    },
    /// The pool file was deleted or replaced while it was in use; this process moved to the new
    /// one.
    Moved {
        /// The pool file.
        path: PathBuf,
        /// Seats that were taken along.
        seats: u32,
    },
    /// This process' place in the pool was given to another, although the process lives: something
    /// wrote to the file or broke its locks. Its seats are no longer counted.
    Lost {
        /// The pool file.
        path: PathBuf,
    },
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { path, unfit } => {
                write!(
                    f,
                    "a seat pool was rebuilt because {unfit}; what it was is kept as {}",
                    path.display()
                )
            }
            Self::Moved { path, seats } => write!(
                f,
                "{} was deleted or replaced while in use; {seats} seats moved to the new one",
                path.display()
            ),
            Self::Lost { path } => write!(
                f,
                "{} no longer knew this living process; something wrote to it or broke its locks",
                path.display()
            ),
        }
    }
}
