//! PostgreSQL as an engine of the group commit.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::connection::PgConnection;
use crate::error::Error;
use crate::log_lines::Pace;
use crate::store::group::{Concerned, Engine};
use crate::store::sql::Sql;

/// The time between two attempts to connect. Requests that come meanwhile are refused at once.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);

/// The paces of the lines about connections that are lost and made.
static LOST: Pace = Pace::per_second();
static CONNECTED: Pace = Pace::per_second();

/// The state of a connection that writes.
pub(super) struct PgEngine {
    address: Arc<Address>,
    connection: PgConnection,
    is_saved: Cell<bool>,
    last_failure: Cell<Option<Instant>>,
    has_reconnected: Cell<bool>,
}

impl PgEngine {
    /// Make an engine that connects when it is needed.
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            connection: PgConnection::new(None),
            is_saved: Cell::new(false),
            last_failure: Cell::new(None),
            has_reconnected: Cell::new(false),
        }
    }

    fn require_connection(&self) -> Result<(), Error> {
        if !self.connection.is_lost() {
            return Ok(());
        }
        if self.last_failure.get().is_some_and(|last| last.elapsed() < RECONNECT_INTERVAL) {
            return Err(Error::Store("PostgreSQL could not be reached a moment ago".to_owned()));
        }
        let outcome = self.address.session().and_then(|session| {
            self.connection.replace(Some(session));
            self.address.note_cluster(&self.connection)
        });
        self.last_failure.set(outcome.is_err().then(Instant::now));
        if outcome.is_err() {
            self.connection.replace(None);
            return outcome;
        }
        self.has_reconnected.set(true);
        if let Some(before) = CONNECTED.due() {
            tracing::info!(before, "connected to PostgreSQL");
        }
        Ok(())
    }

    /// Begin a transaction, and lock what the requests concern.
    fn begin_once(&self, concerned: &Concerned<'_>) -> Result<(), Error> {
        self.require_connection()?;
        self.is_saved.set(false);
        self.connection.begin()?;
        let Concerned { codes, organizations, licenses, items } = concerned;
        self.connection.lock_items_of(items, codes, organizations, licenses)
    }

    /// Give up the connection.
    fn leave(&self) {
        // A host that does not answer may be frozen, and accept connections all the same.
        if let Some(host) = self.connection.host() {
            self.address.leave(host);
        }
        self.connection.replace(None);
    }
}

impl Engine for PgEngine {
    fn sql(&self) -> &dyn Sql {
        &self.connection
    }

    fn begin<'a>(&self, concerned: impl FnOnce() -> Concerned<'a>) -> Result<(), Error> {
        let concerned = concerned();
        let was_connected = !self.connection.is_lost();
        let outcome = self.begin_once(&concerned);
        if outcome.is_ok() || !was_connected || !self.connection.is_lost() {
            return outcome;
        }
        // The database or a firewall has ended a connection that was idle, or the primary is
        // another one. Nothing was done yet, so nobody has to hear of it.
        self.leave();
        self.begin_once(&concerned)
    }

    fn save(&self) -> Result<(), Error> {
        self.connection.note_savepoint();
        self.connection.later(if self.is_saved.replace(true) {
            "RELEASE SAVEPOINT request; SAVEPOINT request"
        } else {
            "SAVEPOINT request"
        });
        Ok(())
    }

    fn undo(&self) -> Result<(), Error> {
        self.connection.batch_anyway("ROLLBACK TO SAVEPOINT request")?;
        self.connection.forget_since_savepoint();
        Ok(())
    }

    fn commit(&self) -> Result<(), Error> {
        // A warning that came before does not matter.
        self.connection.has_warned();
        if !self.address.requires_standby {
            self.connection.batch("COMMIT")?;
        } else if !self.connection.commit_on_both()? {
            return Err(Error::NotReady(
                "--require-synchronous is given, and PostgreSQL has no synchronous standby \
                 (synchronous_standby_names is empty): nothing is acknowledged until it has one"
                    .to_owned(),
            ));
        }
        if self.connection.has_warned() {
            return Err(Error::Store(
                "PostgreSQL has the transaction, but its synchronous standby may not have it: the \
                 wait for it was canceled"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn roll_back(&self) {
        if self.connection.is_lost() {
            if let Some(before) = LOST.due() {
                tracing::warn!(before, "the connection to PostgreSQL is lost");
            }
            self.leave();
        } else if let Err(error) = self.connection.batch_anyway("ROLLBACK") {
            if let Some(before) = LOST.due() {
                tracing::warn!(before, %error, "the connection to PostgreSQL is given up");
            }
            self.leave();
        }
    }

    fn has_reconnected(&self) -> bool {
        self.has_reconnected.take()
    }

    fn met_another(&self) -> bool {
        self.connection.met_another()
    }
}
