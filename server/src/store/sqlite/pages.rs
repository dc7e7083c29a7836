//! Damage of the database's pages, which SQLite notices only where it happens to read.
//!
//! The server reads the whole database once when it starts. From then on a thread reads one table
//! after the other. Each check has a connection of its own, so that it sees the pages of the disk
//! and not those that the writer has in memory. Between two tables it rests for twenty times as
//! long as the last one took. A damaged database makes the server not ready; it continues to serve
//! what it can read, because a standby may not be there.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::connect_to_read;
use crate::error::Error;

/// The longest time that a start waits for the first check. A larger database is checked while the
/// server serves.
const START_TIME_MAX: Duration = Duration::from_secs(5);

/// The shortest rest between two tables, and how many times longer than a check a rest is.
const REST_MIN: Duration = Duration::from_millis(250);
const REST_FACTOR: u32 = 20;

/// The number of findings that a full check reports.
const FINDINGS_MAX: usize = 20;

/// The thread that reads the database again and again. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct PageWatch {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    damage: Mutex<Option<String>>,
    /// Ends a check that is running.
    interrupt: Mutex<Option<InterruptHandle>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("damage", &self.damage).finish_non_exhaustive()
    }
}

impl PageWatch {
    /// Read the database once, as far as the time goes, and begin to read it again and again.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = mpsc::channel();
        let (first, first_done) = mpsc::channel();
        let (path, of_thread) = (path.to_owned(), shared.clone());
        let thread = std::thread::Builder::new()
            .name("store-check".to_owned())
            .spawn(move || {
                of_thread.check(&path, None);
                // A start that has not waited so long does not listen any more.
                let _ = first.send(());
                of_thread.check_in_turn(&path, &stopped);
            })
            .map_err(|e| Error::Setup(format!("the system gives no thread to check: {e}")))?;
        // A database that takes longer is checked meanwhile.
        let _ = first_done.recv_timeout(START_TIME_MAX);
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Return what is damaged, if something is.
    pub(super) fn damage(&self) -> Option<String> {
        self.shared.damage.lock().clone()
    }
}

impl Drop for PageWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = &*self.shared.interrupt.lock() {
            running.interrupt();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that checks the database panicked");
        }
    }
}

impl Shared {
    /// Check one table after the other until the end.
    fn check_in_turn(&self, path: &Path, stopped: &Receiver<()>) {
        loop {
            let mut is_whole = true;
            for table in tables(path).unwrap_or_default() {
                let begun = Instant::now();
                is_whole &= self.check(path, Some(&table));
                let rest = (begun.elapsed() * REST_FACTOR).max(REST_MIN);
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
            if is_whole {
                self.note(None);
            }
            if stopped.recv_timeout(REST_MIN) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Check a table, or everything. Return whether nothing is damaged.
    fn check(&self, path: &Path, table: Option<&str>) -> bool {
        let found = connect_to_read(path).and_then(|connection| {
            *self.interrupt.lock() = Some(connection.get_interrupt_handle());
            let found = quick_check(&connection, table);
            *self.interrupt.lock() = None;
            found
        });
        match found {
            Ok(None) => true,
            Ok(Some(damage)) => {
                self.note(Some(damage));
                false
            }
            // Files that are gone are noticed by the writer, and an interrupted check by nobody.
            Err(error) => {
                tracing::debug!(%error, "the pages of the database were not checked");
                false
            }
        }
    }

    fn note(&self, found: Option<String>) {
        let mut damage = self.damage.lock();
        match (&found, &*damage) {
            (Some(now), before) if before.as_ref() != Some(now) => {
                tracing::error!("{}", advice(now));
            }
            (None, Some(_)) => tracing::info!("no page of the database is damaged any more"),
            _ => {}
        }
        *damage = found;
    }
}

/// Return what to do about this damage.
pub(super) fn advice(damage: &str) -> String {
    format!(
        "the database is damaged ({damage}). Stop the server, keep a copy of its files, and look \
         with \"seatmeterd check\". Then restore a backup with \"seatmeterd restore\""
    )
}

fn tables(path: &Path) -> Result<Vec<String>, Error> {
    let connection = connect_to_read(path)?;
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Return the first damage that a quick check finds.
fn quick_check(connection: &Connection, table: Option<&str>) -> Result<Option<String>, Error> {
    let pragma = match table {
        Some(table) => format!("PRAGMA quick_check(\"{}\")", table.replace('"', "\"\"")),
        None => "PRAGMA quick_check(1)".to_owned(),
    };
    let first = connection.query_row(&pragma, [], |row| row.get::<_, String>(0));
    match first {
        Ok(text) if text == "ok" => Ok(None),
        Ok(damage) => Ok(Some(damage.lines().collect::<Vec<_>>().join("; "))),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure)
    )
}

/// Read every page and every index entry of a database, and every reference between its tables.
/// Return what is wrong.
///
/// # Errors
/// Fails when the file cannot be opened.
pub(in crate::store) fn integrity(path: &Path) -> Result<Vec<String>, Error> {
    let connection = connect_to_read(path)?;
    let mut found = match all(&connection, &format!("PRAGMA integrity_check({FINDINGS_MAX})")) {
        Ok(lines) => lines,
        Err(error) if is_damage(&error) => vec![error.to_string()],
        Err(error) => return Err(error.into()),
    };
    found.retain(|line| line != "ok");
    // In a damaged database, a missing row is only a consequence.
    if found.is_empty() {
        let tables = all(&connection, "PRAGMA foreign_key_check")?;
        let missing = |table| format!("a row of table {table} refers to a row that is missing");
        found.extend(tables.into_iter().take(FINDINGS_MAX).map(missing));
    }
    Ok(found)
}

/// Return the first column of each row.
fn all(connection: &Connection, statement: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(statement)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    /// Overwrite the first page of a table.
    fn damage(path: &Path, table: &str) {
        use std::os::unix::fs::FileExt;
        let connection = Connection::open(path).unwrap();
        let query = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u64 = connection.query_row(query, [table], |row| row.get(0)).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(connection);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xab; 512], (page - 1) * 4_096).unwrap();
    }

    #[test]
    fn damage_is_seen_at_the_start_and_later_and_a_full_check_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        drop(SqliteStore::open(&path).unwrap());
        let watch = PageWatch::start(&path).unwrap();
        assert_eq!(watch.damage(), None);
        assert_eq!(integrity(&path), Ok(Vec::new()));
        damage(&path, "usage_day");
        let begun = Instant::now();
        while watch.damage().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120), "damage is never seen");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(watch);
        let watch = PageWatch::start(&path).unwrap();
        assert!(watch.damage().is_some());
        assert!(!integrity(&path).unwrap().is_empty());
    }
}
