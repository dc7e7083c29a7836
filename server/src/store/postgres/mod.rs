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

mod connection;
mod engine;
mod migration;
pub(super) mod password;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;

use self::connection::PgConnection;
use self::engine::PgEngine;
use crate::authorities;
use crate::error::Error;
use crate::server_time::RecordedTime;
use crate::store::UsageReader;
use crate::store::group::{GROUP_MAX, GroupStore, Writers};
use crate::store::reading::{READ_TIME_MAX, Readers};
use crate::store::sql::{self, Cause, Keys, Sql};

/// The number of connections of one server. While one waits for the disk, the next one reads.
pub const CONNECTIONS: usize = 2;

/// The upper bounds on the time to connect, and on the time to notice that a database does not
/// answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

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
        let (keys, time) = (sql::keys(&first)?, sql::time::recorded(&first)?);
        let engines = (0..connections.max(1)).map(|_| PgEngine::new(address.clone()));
        let writers = Writers::start(engines, group_max)?;
        let readers = Readers::new(true, move || address.reader().map(UsageReader::shared));
        Ok(Self { writers, readers, keys, time })
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
}

/// Begin another life of the data, after a restore from a backup or the promotion of a standby that
/// lacked some data.
///
/// # Errors
/// Fails when the database cannot be reached.
pub fn renew_epoch(url: &str, epoch: &str, now: u64) -> Result<(), Error> {
    let connection = Address::from_str(url)?.connect()?;
    migration::require_current(&connection)?;
    connection.batch("BEGIN")?;
    let outcome = sql::renew_epoch(&connection, epoch, Cause::Operator, now);
    connection.batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    outcome
}

/// Open a connection for reading only. It may read years of usage, at the pace of the consumer, so
/// it has none of the bounds and settings for short statements.
pub(super) fn connect_to_read(url: &str) -> Result<Box<dyn Sql + Send>, Error> {
    let connection = PgConnection::new(Some(Address::from_str(url)?.client()?));
    migration::require_current(&connection)?;
    connection.batch("SET default_transaction_read_only = on")?;
    Ok(Box::new(connection))
}

/// The address of the database.
struct Address {
    config: Config,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        // The URL is in no message, because it may have a password.
        let makes_no_sense = |why: &str| {
            Error::Setup(format!(
                "the database URL makes no sense: {why}. It is \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE."
            ))
        };
        if !["postgres://", "postgresql://"].iter().any(|start| url.starts_with(start)) {
            return Err(makes_no_sense("a database URL begins with postgres://"));
        }
        let (url, file) = password::split(url);
        let mut config = Config::from_str(&url).map_err(|e| makes_no_sense(&e.to_string()))?;
        password::fill(&mut config, file.as_deref())?;
        config.connect_timeout(*config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT));
        config.tcp_user_timeout(*config.get_tcp_user_timeout().unwrap_or(&ANSWER_TIMEOUT));
        // Settings in the URL take precedence; their names are those of PostgreSQL.
        if !url.contains("keepalives") {
            config.keepalives_idle(KEEPALIVE_IDLE);
            config.keepalives_interval(KEEPALIVE_INTERVAL);
            config.keepalives_retries(KEEPALIVE_RETRIES);
        }
        // With several hosts, the connection goes to the one that is not a standby.
        config.target_session_attrs(postgres::config::TargetSessionAttrs::ReadWrite);
        // An existing table is not worth a message to the operator, so notices go to the debug log.
        config.notice_callback(|notice| tracing::debug!(%notice, "PostgreSQL has sent a notice"));
        if config.get_application_name().is_none() {
            config.application_name("seatmeterd");
        }
        Ok(Self { config })
    }
}

impl Address {
    /// Open a connection that answers questions, one after another.
    fn reader(&self) -> Result<Box<dyn Sql + Send>, Error> {
        let connection = PgConnection::new(Some(self.client()?));
        connection.batch(&format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}",
            READ_TIME_MAX.as_millis()
        ))?;
        Ok(Box::new(connection))
    }

    fn connect(&self) -> Result<PgConnection, Error> {
        let connection = PgConnection::new(None);
        self.connect_again(&connection)?;
        Ok(connection)
    }

    fn client(&self) -> Result<Client, Error> {
        let client = match self.config.get_ssl_mode() {
            SslMode::Require => self.config.connect(tls()?),
            // Without `sslmode=require`, the connection uses no TLS. A self-signed certificate,
            // which nobody vouches for, must not prevent the connection of an operator who has not
            // asked for TLS.
            _ => self.config.connect(NoTls),
        };
        client.map_err(|e| {
            let reason = std::error::Error::source(&e).map_or_else(
                || e.to_string(),
                |why| {
                    format!(
                        "{e}: \
                    {why}"
                    )
                },
            );
            Error::Store(format!(
                "PostgreSQL cannot be reached ({reason}). Check that it runs at the address of \
                 --database and lets \
                 this user in"
            ))
        })
    }

    fn connect_again(&self, connection: &PgConnection) -> Result<(), Error> {
        connection.replace(Some(self.client()?));
        connection.batch(&format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET synchronous_commit = on",
            ANSWER_TIMEOUT.as_millis(),
            LOCK_TIMEOUT.as_millis()
        ))?;
        // Every statement finds its rows by a key, and is short. An engine without statistics may
        // plan otherwise, and compile statements that it takes for long ones. Engines without such
        // a setting refuse the statement, which does no harm.
        for setting in ["jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin"] {
            let _ = connection.batch(&format!("SET {setting} = off"));
        }
        connection.forget();
        Ok(())
    }
}

fn tls() -> Result<MakeRustlsConnect, Error> {
    authorities::check_places().map_err(|e| Error::Setup(format!("TLS cannot be set up: {e}.")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())
        .and_then(|builder| builder.with_platform_verifier().map_err(|e| e.to_string()))
        .map_err(|e| Error::Setup(format!("TLS cannot be set up: {e}.")))?;
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_has_vanished_is_noticed_within_seconds_unless_the_url_says_otherwise() {
        let of = |url: &str| Address::from_str(url).unwrap().config;
        let usual = of("postgres://user@one:5432,two:5432/licenses?sslmode=disable");
        let (idle, interval) =
            (usual.get_keepalives_idle(), usual.get_keepalives_interval().unwrap());
        assert!(usual.get_keepalives());
        assert!(
            idle + interval * usual.get_keepalives_retries().unwrap() <= Duration::from_secs(10)
        );
        let own = of("postgres://user@one/licenses?keepalives_idle=60");
        assert_eq!(own.get_keepalives_idle(), Duration::from_secs(60));
        assert!(!of("postgres://user@one/licenses?keepalives=0").get_keepalives());
    }
}
