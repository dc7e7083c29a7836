//! PostgreSQL, or an engine that speaks its protocol: any number of servers on one database.
//!
//! ```text
//! server A ── queue ── writers ──┐
//!                                ├─▶ PostgreSQL ── synchronous standby
//! server B ── queue ── writers ──┘
//! ```
//!
//! A server holds nothing in memory that decides. Each transaction locks its items, in the order of
//! their ids, before it reads anything about them. The data then stays true until the transaction
//! commits, whatever other servers do. When the database goes away, requests are answered with 503
//! and the writers connect again. Clients repeat their requests, which changes nothing where they
//! had been recorded.

mod address;
mod cluster;
mod connection;
mod engine;
mod link;
mod migration;
mod parameter;
pub(super) mod password;
mod session;
mod tls;
pub(super) mod url;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use self::address::Address;
use self::connection::{PgConnection, STANDBY_NAMES};
use self::engine::PgEngine;
use crate::error::Error;
use crate::server_time::RecordedTime;
use crate::store::group::{GROUP_MAX, GroupStore, Writers};
use crate::store::reading::{READ_TIME_MAX, Readers};
use crate::store::sql::{self, Cause, Keys, Sql, values};
use crate::store::{Reply, UsageReader};

/// The number of connections of one server. While one waits for the disk, the next one reads.
pub const CONNECTIONS: usize = 2;

/// The upper bound on the time from the name lookup of a host to its first statement. A primary
/// that is frozen is left after this time and [`ANSWER_TIMEOUT`], within ten seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The upper bound on the time for which the database may work on a statement, and on the time in
/// which an answer must be here. The database gives up first, so that a slow statement does not
/// cost the connection.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// The upper bound on the time for which sent bytes may stay without an acknowledgment.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);

/// The upper bound on the time to the next row for those who read years of usage.
const READ_TIMEOUT: Duration = Duration::from_secs(3_600);

/// The times and number of keepalive probes. A connection that was idle for the first time is
/// probed at the interval, and given up after this many probes without an answer. A host that has
/// vanished is thus noticed within seconds, even by a statement that waits. The system's default is
/// two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 5;

/// The time for which a statement may wait for another server's transaction.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A store on PostgreSQL. Dropping it first finishes the waiting requests.
#[derive(Debug)]
pub struct PostgresStore {
    writers: Writers,
    readers: Arc<Readers>,
    /// A connection for what operators list, so that a long list holds up no device.
    listers: Writers,
    /// A connection for the question whether the server is ready, so that load does not look like a
    /// failure.
    probers: Writers,
    keys: Keys,
    time: RecordedTime,
}

impl PostgresStore {
    /// Connect, and migrate the tables. `url` is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`;
    /// with several hosts, the one that accepts writes is used.
    ///
    /// # Errors
    /// Fails when the URL is malformed, no database answers there, or the tables were written by a
    /// newer version.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, CONNECTIONS, GROUP_MAX)
    }

    /// Open the store with other numbers of connections and of requests that share a transaction,
    /// for measurements.
    ///
    /// # Errors
    /// Fails as [`PostgresStore::open`] does.
    pub fn open_with(url: &str, connections: usize, group_max: usize) -> Result<Self, Error> {
        let address = Arc::new(Address::from_str(url)?);
        let first = address.connect()?;
        migration::migrate(&first)?;
        address.note_cluster(&first)?;
        first.begin_snapshot(None)?;
        let (keys, time) = (sql::keys(&first)?, sql::time::recorded(&first)?);
        first.batch("COMMIT")?;
        let engines = |count| (0..count).map(|_| PgEngine::new(address.clone()));
        let writers = Writers::start(engines(connections.max(1)), group_max)?;
        let (listers, probers) =
            (Writers::start(engines(1), group_max)?, Writers::start(engines(1), group_max)?);
        let address = address.clone();
        let readers = Readers::new(true, move || address.reader().map(UsageReader::shared));
        Ok(Self { writers, readers, listers, probers, keys, time })
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

impl GroupStore for PostgresStore {
    fn writers(&self) -> &Writers {
        &self.writers
    }

    fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    fn listers(&self) -> &Writers {
        &self.listers
    }

    fn probers(&self) -> &Writers {
        &self.probers
    }

    fn has_standby(&self) -> Reply<Option<bool>> {
        self.probers.submit(|sql| {
            let names: Option<String> = sql.value(STANDBY_NAMES, &[])?;
            Ok(names.map(|names| !names.trim().is_empty()))
        })
    }
}

/// Take this server key for the database, if it has none yet. Return the id of the key that it has.
///
/// # Errors
/// Fails when the database cannot be reached.
pub fn claim_key(url: &str, key_id: &str) -> Result<String, Error> {
    let connection = Address::from_str(url)?.connect()?;
    connection.begin()?;
    let claim = |sql: &dyn Sql| -> Result<String, Error> {
        sql.execute(
            "INSERT INTO server_key (only_row, key_id) VALUES (1, ?1) ON CONFLICT (only_row) DO \
             NOTHING",
            values![key_id],
        )?;
        Ok(sql::keys(sql)?.in_use.unwrap_or_default())
    };
    let outcome = claim(&connection);
    finish(&connection, outcome)
}

/// Begin another epoch of the data, after a restore from a backup or the promotion of a standby
/// that lacked some data.
///
/// # Errors
/// Fails when the database cannot be reached.
pub fn renew_epoch(url: &str, epoch: &str, now: u64) -> Result<(), Error> {
    let connection = Address::from_str(url)?.connect()?;
    connection.begin()?;
    migration::require_current(&connection)?;
    let outcome = sql::renew_epoch(&connection, epoch, Cause::Operator, now);
    finish(&connection, outcome)
}

/// End the transaction, as its outcome demands.
fn finish<T>(connection: &PgConnection, outcome: Result<T, Error>) -> Result<T, Error> {
    let ended = match &outcome {
        Ok(_) => connection.batch("COMMIT"),
        Err(_) => connection.batch_anyway("ROLLBACK"),
    };
    connection.forget();
    let done = outcome?;
    ended.map(|()| done)
}

/// Open a connection for reading only. It may read years of usage, at the pace of the consumer, so
/// it has none of the bounds and settings for short statements.
pub(super) fn connect_to_read(url: &str) -> Result<Box<dyn Sql + Send>, Error> {
    let connection = Address::from_str(url)?.connect()?;
    connection.begin_snapshot(None)?;
    migration::require_current(&connection)?;
    Ok(Box::new(connection))
}

impl Address {
    /// Open a connection that answers questions, one after another.
    fn reader(&self) -> Result<Box<dyn Sql + Send>, Error> {
        let connection = self.connect()?;
        connection.read_up_to(READ_TIME_MAX);
        Ok(Box::new(connection))
    }

    fn connect(&self) -> Result<PgConnection, Error> {
        Ok(PgConnection::new(Some(self.session()?)))
    }
}
