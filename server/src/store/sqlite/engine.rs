//! SQLite as an engine of the group commit.
//!
//! A database file that is removed or replaced by another still exists for the process that has it
//! open, and vanishes when this process ends. Therefore the engine checks before each commit that
//! its files still have their names: acknowledged data must be there after the next start.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;

use rusqlite::Connection;

use super::keeping::Keeping;
use crate::error::Error;
use crate::store::group::{Concerned, Engine};
use crate::store::sql::Sql;

/// The state of the only connection that writes.
pub(super) struct SqliteEngine {
    keeping: Keeping,
    is_saved: Cell<bool>,
    /// The names of the database and its log, with their identity at the time of opening.
    files: Vec<(String, Identity)>,
}

/// The device and inode of a file.
type Identity = (u64, u64);

fn identity(path: &str) -> Option<Identity> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl SqliteEngine {
    pub(super) fn new(connection: Connection) -> Self {
        let path = connection.path().unwrap_or_default();
        // A database in memory has no files.
        let files = [path.to_owned(), format!("{path}-wal")]
            .into_iter()
            .filter_map(|name| identity(&name).map(|file| (name, file)))
            .collect();
        Self { keeping: Keeping::new(connection), is_saved: Cell::new(false), files }
    }

    /// Run a statement that has no rows and no parameters.
    fn run(&self, statement: &str) -> Result<(), Error> {
        self.keeping.connection().prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    fn require_files(&self) -> Result<(), Error> {
        match self.files.iter().find(|(name, file)| identity(name) != Some(*file)) {
            None => Ok(()),
            Some((name, _)) => Err(Error::Store(format!(
                "{name} was removed or replaced while this server runs, and nothing is recorded \
                 any more. Stop the \
                 server, then put the files of the database back, or restore a backup"
            ))),
        }
    }
}

impl Engine for SqliteEngine {
    fn sql(&self) -> &dyn Sql {
        &self.keeping
    }

    fn begin<'a>(&self, _concerned: impl FnOnce() -> Concerned<'a>) -> Result<(), Error> {
        self.is_saved.set(false);
        self.run("BEGIN IMMEDIATE")?;
        self.keeping.look_for_changes()
    }

    fn save(&self) -> Result<(), Error> {
        if self.is_saved.replace(true) {
            self.run("RELEASE request")?;
        }
        self.run("SAVEPOINT request")
    }

    fn undo(&self) -> Result<(), Error> {
        self.keeping.forget();
        self.run("ROLLBACK TO request")
    }

    fn commit(&self) -> Result<(), Error> {
        self.require_files()?;
        self.run("COMMIT")
    }

    fn roll_back(&self) {
        self.keeping.forget();
        // After some errors, SQLite drops the transaction by itself; then there is nothing to roll
        // back.
        let connection = self.keeping.connection();
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction cannot be rolled back");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::Reply;
    use crate::store::group::{QUEUE_MAX, Writers};
    use crate::store::sql::values;

    fn writer(group_max: usize) -> (Writers, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("db")).unwrap();
        connection.execute_batch("CREATE TABLE note (n INTEGER PRIMARY KEY)").unwrap();
        (Writers::start([SqliteEngine::new(connection)], group_max).unwrap(), folder)
    }

    fn wait<T>(reply: Reply<T>) -> Result<T, Error> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reply)
    }

    fn submit<T: Send + 'static>(
        writer: &Writers,
        work: impl Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        writer.submit(work)
    }

    fn insert(n: i64) -> impl Fn(&dyn Sql) -> Result<(), Error> {
        move |sql| sql.execute("INSERT INTO note VALUES (?1)", values![n]).map(|_| ())
    }

    fn notes(writer: &Writers) -> Vec<i64> {
        let read = |sql: &dyn Sql| {
            let rows = sql.query("SELECT n FROM note ORDER BY n", &[])?;
            rows.into_iter().map(|mut row| row.take(0)).collect()
        };
        wait(submit(writer, read)).unwrap()
    }

    /// Hold the writer, so that all requests submitted meanwhile form one group.
    fn hold(writer: &Writers) -> (mpsc::Sender<()>, Reply<()>) {
        let (release, held) = mpsc::channel();
        let (started, running) = mpsc::channel();
        let held = std::sync::Mutex::new(held);
        let reply = submit(writer, move |_| {
            started.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
            Ok(())
        });
        running.recv().unwrap();
        (release, reply)
    }

    #[test]
    fn a_failing_or_panicking_member_does_not_lose_the_others() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let first = submit(&writer, insert(1));
        let fails = submit(&writer, |sql| {
            insert(2)(sql)?;
            Err::<(), _>(Error::bad_request("no"))
        });
        let panics = submit(&writer, |sql| {
            insert(3)(sql)?;
            #[allow(unreachable_code, reason = "the closure needs a type")]
            Ok::<(), Error>(panic!("on purpose"))
        });
        let twice = submit(&writer, insert(1));
        let last = submit(&writer, insert(4));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()));
        assert_eq!(wait(first), Ok(()));
        assert_eq!(wait(fails), Err(Error::bad_request("no")));
        assert!(matches!(wait(panics), Err(Error::Internal(_))));
        assert!(matches!(wait(twice), Err(Error::Store(_))));
        assert_eq!(wait(last), Ok(()));
        assert_eq!(notes(&writer), [1, 4]);
    }

    #[test]
    fn a_lost_transaction_is_an_error_for_every_member_and_the_writer_goes_on() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let before = submit(&writer, insert(1));
        let culprit = submit(&writer, |sql| sql.execute("ROLLBACK", &[]));
        let after = submit(&writer, insert(2));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()), "it ran in a group of its own");
        assert!(matches!(wait(culprit), Err(Error::Store(_))));
        for reply in [before, after] {
            assert!(matches!(wait(reply), Err(Error::Store(_))));
        }
        assert_eq!(wait(submit(&writer, insert(3))), Ok(()));
        assert_eq!(notes(&writer), [3]);
    }

    #[test]
    fn an_answer_comes_when_others_can_see_the_work() {
        let (writer, folder) = writer(512);
        let other = Connection::open(folder.path().join("db")).unwrap();
        for n in 0..200 {
            wait(submit(&writer, insert(n))).unwrap();
            let seen = other.query_row("SELECT max(n) FROM note", [], |row| row.get::<_, i64>(0));
            assert_eq!(seen.unwrap(), n);
        }
    }

    #[test]
    fn without_a_transaction_nothing_is_acknowledged() {
        let (writer, folder) = writer(512);
        wait(submit(&writer, |sql| sql.query("PRAGMA busy_timeout = 0", &[]).map(|_| ()))).unwrap();
        let other = Connection::open(folder.path().join("db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(wait(submit(&writer, insert(1))), Err(Error::Store(_))));
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(wait(submit(&writer, insert(2))), Ok(()));
        assert_eq!(notes(&writer), [2]);
    }

    #[test]
    fn a_full_queue_says_busy_and_loses_nothing() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let replies: Vec<_> =
            (0..QUEUE_MAX).map(|n| submit(&writer, insert(n.try_into().unwrap()))).collect();
        assert_eq!(wait(submit(&writer, insert(-1))), Err(Error::Busy));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()));
        for reply in replies {
            assert_eq!(wait(reply), Ok(()));
        }
        assert_eq!(notes(&writer).len(), QUEUE_MAX);
    }

    #[test]
    fn finishing_completes_what_waits() {
        let (writer, folder) = writer(2);
        let (release, _held) = hold(&writer);
        let replies: Vec<_> = (0..9).map(|n| submit(&writer, insert(n))).collect();
        release.send(()).unwrap();
        drop(writer);
        for reply in replies {
            assert_eq!(wait(reply), Ok(()));
        }
        let connection = Connection::open(folder.path().join("db")).unwrap();
        let count: u32 =
            connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 9);
    }
}
