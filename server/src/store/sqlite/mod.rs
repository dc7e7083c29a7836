//! The embedded store: one SQLite file and one thread that writes it.
//!
//! ```text
//! handler ─┐
//! handler ─┼─▶ bounded queue ─▶ writer thread ─▶ one transaction for all that wait ─▶ fsync ─▶ answers
//! handler ─┘
//! ```
//!
//! A durable transaction costs a sync of the disk, whether it holds one request or five hundred.
//! Sharing the transaction makes thousands of durable reports a second possible. The database is in
//! WAL mode, so commands such as `usage show` can read while the server writes.

#[cfg(test)]
mod batches;
mod cache;
mod connection;
mod copy;
mod engine;
mod inline;
mod keeping;
mod migration;
mod pages;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use self::engine::SqliteEngine;
use self::pages::PageWatch;
use crate::error::Error;
use crate::server_time::RecordedTime;
use crate::sharing;
use crate::store::UsageReader;
use crate::store::group::{GroupStore, Writers};
use crate::store::reading::Readers;
use crate::store::sql::{self, Keys};

pub use crate::store::group::GROUP_MAX;
pub use copy::{copy_with_keys, renew_epoch, restore_copy};
pub use inline::InlineStore;
pub(super) use pages::integrity;

/// The time for which a connection waits for another process's lock, because `init` and the server
/// may both write.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The number of 4 KiB pages in the write-ahead log after which they are copied into the database:
/// 32 MiB.
const LOG_PAGES: i64 = 8 << 10;

/// The number of bytes for which there must be room on the disk. The write-ahead log may grow by
/// more, but grows in small steps.
const ROOM_BYTES: u64 = 1 << 20;

/// The number of statements that stay prepared: all that the server uses.
const STATEMENTS_KEPT: usize = 128;

/// The embedded store. Dropping it first finishes the waiting requests, and closes the database.
#[derive(Debug)]
pub struct SqliteStore {
    writers: Writers,
    readers: Arc<Readers>,
    keys: Keys,
    time: RecordedTime,
    path: PathBuf,
    /// The thread that looks for damaged pages, once it was asked for.
    watch: Mutex<Option<PageWatch>>,
}

impl SqliteStore {
    /// Open the database, create it if it does not exist, and migrate its tables.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, is not a database, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, GROUP_MAX, None)
    }

    /// Open the store with this size of its cache of pages in bytes; `None` for a share of the
    /// memory that this process may have.
    ///
    /// # Errors
    /// Fails as [`SqliteStore::open`] does.
    pub fn open_with_cache(path: &Path, cache: Option<u64>) -> Result<Self, Error> {
        Self::open_with(path, GROUP_MAX, cache)
    }

    /// Open the store with another bound on how many requests share a transaction, for
    /// measurements.
    ///
    /// # Errors
    /// Fails as [`SqliteStore::open`] does.
    pub fn open_with_group(path: &Path, group_max: usize) -> Result<Self, Error> {
        Self::open_with(path, group_max, None)
    }

    fn open_with(path: &Path, group_max: usize, cache: Option<u64>) -> Result<Self, Error> {
        let cache_kib = cache.unwrap_or_else(cache::bytes) >> 10;
        crate::data_dir::touch_private(path)?;
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(|connection| {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                // With FULL, a commit is on the disk when it returns, even if the power fails
                // afterwards.
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update(None, "foreign_keys", true)?;
                // The rows of a million devices are spread over the file. Thus pages that are often
                // read should stay in memory. Pages that are often written should be copied out of
                // the log once, not each time.
                let cache_size = -i64::try_from(cache_kib).unwrap_or(i64::MAX);
                connection.pragma_update(None, "cache_size", cache_size)?;
                connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
                Ok(connection)
            })
            .map_err(|e| unusable(path, &e))?;
        migration::migrate(&mut connection)?;
        let (keys, time) = (sql::keys(&connection)?, sql::time::recorded(&connection)?);
        let writers = Writers::start([SqliteEngine::new(connection)], group_max)?;
        let of_readers = path.to_owned();
        let readers = Readers::new(false, move || UsageReader::open(&of_readers));
        Ok(Self { writers, readers, keys, time, path: path.to_owned(), watch: Mutex::default() })
    }

    /// Return the server keys that the database named when it was opened.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Return the time that the database had recorded when it was opened.
    #[must_use]
    pub fn time(&self) -> RecordedTime {
        self.time
    }
}

impl GroupStore for SqliteStore {
    fn writers(&self) -> &Writers {
        &self.writers
    }

    fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    fn look_for_damage(&self) -> Result<(), Error> {
        *self.watch.lock() = Some(PageWatch::start(&self.path)?);
        Ok(())
    }

    fn probe(&self) -> Result<(), Error> {
        if let Some(damage) = self.watch.lock().as_ref().and_then(PageWatch::damage) {
            return Err(Error::NotReady(pages::advice(&damage)));
        }
        sharing::require_room(&self.path, ROOM_BYTES).map_err(|e| {
            Error::NotReady(format!(
                "the disk of the database has no room for another {} KiB ({e}). Make room on it, or \
                 move the data directory to a larger disk",
                ROOM_BYTES >> 10
            ))
        })
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// Open a connection that cannot write, to tables that this program reads.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, Error> {
    let connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unusable(path, &e))?;
    migration::require_current(&connection)?;
    Ok(connection)
}

fn unusable(path: &Path, error: &rusqlite::Error) -> Error {
    let todo = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            "Make room on its disk (\"df -h\" shows all disks), then try again.".to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "It is damaged, or no database: move it away, and restore a backup.".to_owned()
        }
        _ => denied(path)
            .unwrap_or_else(|| "Check that it is a seatmeter database and writable.".to_owned()),
    };
    Error::Setup(format!("the database {} cannot be opened: {error}. {todo}", path.display()))
}

/// Return the advice about the database file that this process may not open, because SQLite does
/// not say which file it was.
fn denied(path: &Path) -> Option<String> {
    ["", "-wal", "-shm"].iter().find_map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let name = Path::new(&name);
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(name);
        opened.err().and_then(|e| sharing::advice_around(name, &e))
    })
}
