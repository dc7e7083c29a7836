//! The embedded store in memory, without a thread: each request is a transaction of its own in the
//! caller's thread, and its reply is ready at once. Simulations and measurements use it, because
//! they need an order of events that is always the same.
//!
//! The store runs the same statements as [`SqliteStore`](super::SqliteStore). A restart loses
//! everything except a snapshot.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, MAIN_DB};
use seatmeter_protocol::message::UsageAnswer;

use super::{STATEMENTS_KEPT, migration};
use crate::error::Error;
use crate::operator::commands::{Actor, Change, Listing, View};
use crate::operator::queries::alerts::AlertCheck;
use crate::random::fresh_id;
use crate::server_time::RecordedTime;
use crate::store::reading::Connected;
use crate::store::sql::{self, Answer, Cause, Field, Request, Row, Sequence, Sql};
use crate::store::{
    Authorization, Decision, Organization, ReadWork, Reply, Report, SegmentTotal, Store,
};

/// The store in memory.
#[derive(Debug)]
pub struct InlineStore {
    connection: Mutex<(Connection, Sequence)>,
}

impl InlineStore {
    /// Make an empty store with an epoch of its own.
    ///
    /// # Errors
    /// Fails when there is no memory or no random number for it.
    pub fn new() -> Result<Self, Error> {
        let mut connection = Connection::open_in_memory()?;
        migration::migrate(&mut connection)?;
        sql::renew_epoch(&connection, &fresh_id()?, Cause::Created, 0)?;
        sql::serving(&connection, 0)?;
        Ok(Self { connection: Mutex::new((ready(connection)?, Sequence::default())) })
    }

    /// Return all data as a snapshot, which serves as a backup.
    ///
    /// # Errors
    /// Fails when there is no memory for the snapshot.
    pub fn snapshot(&self) -> Result<Vec<u8>, Error> {
        Ok(self.connection().0.serialize(MAIN_DB)?.to_vec())
    }

    /// Go back to a snapshot, and begin a new epoch, as the restore of a backup does. The store
    /// accepts requests at once.
    ///
    /// # Errors
    /// Fails when the bytes are not a snapshot.
    pub fn restore(&self, snapshot: &[u8], now: u64) -> Result<(), Error> {
        let connection = opened(snapshot)?;
        sql::renew_epoch(&connection, &fresh_id()?, Cause::Restored, now)?;
        sql::serving(&connection, now)?;
        *self.connection() = (ready(connection)?, Sequence::default());
        Ok(())
    }

    /// Go back to a snapshot without anybody noticing, as when the files of a database are put
    /// back.
    ///
    /// # Errors
    /// Fails when the bytes are not a snapshot.
    pub fn put_back(&self, snapshot: &[u8]) -> Result<(), Error> {
        *self.connection() = (ready(opened(snapshot)?)?, Sequence::default());
        Ok(())
    }

    /// Carry out statements, as somebody does who edits the file of a database.
    ///
    /// # Errors
    /// Fails when a statement cannot be carried out.
    pub fn edit(&self, statements: &str) -> Result<(), Error> {
        Ok(self.connection().0.execute_batch(statements)?)
    }

    /// Return the rows of a statement.
    ///
    /// # Errors
    /// Fails when the statement is not one that reads.
    pub fn rows(&self, statement: &str) -> Result<Vec<Vec<Field>>, Error> {
        let rows = self.connection().0.query(statement, &[])?;
        Ok(rows.into_iter().map(|Row(fields)| fields).collect())
    }

    /// Return every recorded counter of every segment.
    ///
    /// # Errors
    /// Fails when a row is damaged.
    pub fn segment_totals(&self) -> Result<Vec<SegmentTotal>, Error> {
        sql::segment_totals(&self.connection().0)
    }

    /// Lock the connection. A transaction that panicked was rolled back, so the connection is
    /// intact.
    fn connection(&self) -> MutexGuard<'_, (Connection, Sequence)> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Reply<T> {
        self.submit_with(|connection, _| work(connection))
    }

    fn submit_with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut Sequence) -> Result<T, Error>,
    ) -> Reply<T> {
        let mut guard = self.connection();
        let (connection, sequence) = &mut *guard;
        let outcome = connection.transaction().map_err(Error::from).and_then(|transaction| {
            let outcome = work(&transaction, sequence)?;
            transaction.commit()?;
            Ok(outcome)
        });
        Box::pin(std::future::ready(outcome))
    }

    /// Run a batch of one request. Its writes stay even if the request is refused: the data may
    /// have been put back.
    fn run(&self, request: Request) -> Reply<Answer> {
        let outcomes =
            self.submit_with(|connection, sequence| sql::run(connection, &[&request], sequence));
        Box::pin(async {
            let none = || Err(Error::Internal("a request has no answer".to_owned()));
            outcomes.await?.pop().unwrap_or_else(none)
        })
    }
}

fn opened(snapshot: &[u8]) -> Result<Connection, Error> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(MAIN_DB, snapshot, snapshot.len(), false)?;
    migration::require_current(&connection)?;
    Ok(connection)
}

fn ready(connection: Connection) -> Result<Connection, Error> {
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

impl Store for InlineStore {
    fn authorize(&self, request: Authorization) -> Reply<Decision> {
        let answer = self.run(Request::Authorization(request));
        Box::pin(async { answer.await?.decided() })
    }

    fn check(&self, request: Authorization) -> Reply<Decision> {
        let answer = self.run(Request::Check(request));
        Box::pin(async { answer.await?.decided() })
    }

    fn record(&self, report: Report) -> Reply<UsageAnswer> {
        let answer = self.run(Request::Report(report));
        Box::pin(async { answer.await?.recorded() })
    }

    fn change(&self, change: Change, by: Actor) -> Reply<()> {
        self.submit(|connection| sql::change(connection, &change, &by))
    }

    fn note_alerts(&self, check: AlertCheck, now: u64) -> Reply<()> {
        let AlertCheck { reached, recovered } = check;
        self.submit(|connection| sql::alerts::note(connection, &reached, &recovered, now))
    }

    fn read(&self, work: ReadWork) -> Reply<()> {
        self.submit(|connection| {
            work(Connected(connection));
            Ok(())
        })
    }

    fn look(&self, view: View, _: u64) -> Reply<Listing> {
        self.submit(|connection| sql::look(connection, &view))
    }

    fn organization(&self, organization_id: String) -> Reply<Option<Organization>> {
        self.submit(|connection| sql::organization(connection, &organization_id))
    }

    fn serving(&self, now: u64) -> Reply<()> {
        self.submit(|connection| sql::serving(connection, now))
    }

    fn tidy(&self, now: u64) -> Reply<bool> {
        self.submit(|connection| sql::tidy(connection, now))
    }

    fn note_time(&self, time: RecordedTime) -> Reply<RecordedTime> {
        self.submit(|connection| sql::time::note(connection, time))
    }

    fn ready(&self) -> Reply<Vec<String>> {
        self.submit(|connection| sql::ready(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_snapshot_is_as_it_was_but_for_its_epoch() {
        let store = InlineStore::new().unwrap();
        let insert = |name: &'static str| {
            let row = "INSERT INTO organization VALUES (?1, 'x', NULL, 'k')";
            store.connection().0.execute(row, [name]).unwrap();
        };
        insert("kept");
        let epoch = store.rows("SELECT epoch FROM epoch ORDER BY number DESC LIMIT 1").unwrap();
        let snapshot = store.snapshot().unwrap();
        insert("lost");
        store.restore(&snapshot, 1_000).unwrap();
        let names = store.rows("SELECT organization_id FROM organization").unwrap();
        assert_eq!(names, [[Field::Text("kept".into())]]);
        assert_ne!(
            store.rows("SELECT epoch FROM epoch ORDER BY number DESC LIMIT 1").unwrap(),
            epoch
        );
        insert("after");
    }
}
