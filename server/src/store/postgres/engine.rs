//! PostgreSQL as an engine of the group commit.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Address;
use super::connection::PgConnection;
use crate::error::Error;
use crate::log_lines::Pace;
use crate::store::group::{Concerned, Engine};
use crate::store::sql::Sql;

/// The time between two attempts to connect. Requests that come meanwhile are refused at once.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

/// The pace of the line about connections that are lost: an outage breaks each new one, too.
static LOST: Pace = Pace::per_second();

/// The state of a connection that writes.
pub(super) struct PgEngine {
    address: Arc<Address>,
    connection: PgConnection,
    is_saved: Cell<bool>,
    last_failure: Cell<Option<Instant>>,
}

impl PgEngine {
    /// Make an engine that connects when it is needed.
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            connection: PgConnection::new(None),
            is_saved: Cell::new(false),
            last_failure: Cell::new(None),
        }
    }

    fn require_connection(&self) -> Result<(), Error> {
        if !self.connection.is_lost() {
            return Ok(());
        }
        if self.last_failure.get().is_some_and(|last| last.elapsed() < RECONNECT_INTERVAL) {
            return Err(Error::Store("PostgreSQL could not be reached a moment ago".to_owned()));
        }
        let outcome = self.address.connect_again(&self.connection);
        self.last_failure.set(outcome.is_err().then(Instant::now));
        if outcome.is_ok() {
            tracing::info!("connected to PostgreSQL");
        }
        outcome
    }
}

impl Engine for PgEngine {
    fn sql(&self) -> &dyn Sql {
        &self.connection
    }

    fn begin<'a>(&self, concerned: impl FnOnce() -> Concerned<'a>) -> Result<(), Error> {
        self.require_connection()?;
        self.connection.forget();
        self.is_saved.set(false);
        self.connection.batch("BEGIN ISOLATION LEVEL READ COMMITTED")?;
        let Concerned { codes, organizations, licenses, items } = concerned();
        let found = self.connection.items_of(&codes, &organizations, &licenses)?;
        let mut all: Vec<&str> =
            found.iter().map(String::as_str).chain(items.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        self.connection.lock_items(&all)
    }

    fn save(&self) -> Result<(), Error> {
        self.connection.note_savepoint();
        self.connection.batch(if self.is_saved.replace(true) {
            "RELEASE SAVEPOINT request; SAVEPOINT request"
        } else {
            "SAVEPOINT request"
        })
    }

    fn undo(&self) -> Result<(), Error> {
        self.connection.batch("ROLLBACK TO SAVEPOINT request")?;
        self.connection.forget_since_savepoint();
        Ok(())
    }

    fn commit(&self) -> Result<(), Error> {
        self.connection.batch("COMMIT")
    }

    fn roll_back(&self) {
        if self.connection.is_lost() {
            if let Some(before) = LOST.due() {
                tracing::warn!(before, "the connection to PostgreSQL is lost");
            }
            self.connection.replace(None);
        } else if let Err(error) = self.connection.batch("ROLLBACK") {
            if let Some(before) = LOST.due() {
                tracing::warn!(before, %error, "the connection to PostgreSQL is given up");
            }
            self.connection.replace(None);
        }
    }

    fn met_another(&self) -> bool {
        self.connection.met_another()
    }
}
