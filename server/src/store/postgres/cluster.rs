//! The PostgreSQL cluster that the data is in, and its timeline.
//!
//! | the database | what follows |
//! | --- | --- |
//! | is on a later timeline than before | nothing: a standby was promoted |
//! | is on an earlier timeline than this server has seen | its host is not used: an old primary has come back |
//! | is in another cluster than its data says | a new epoch: the data came from a dump, and may lack what came after it |
//!
//! A timeline does not show the commits that a standby lacked when it was promoted. They show in
//! the last commit that the server itself has acknowledged; see [`crate::store::sql`].

use super::connection::PgConnection;
use super::link::{Known, Link, Message};
use super::{ANSWER_TIMEOUT, finish};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::random::fresh_id;
use crate::store::sql::{self, Sql, values};

/// The statement that asks. The name of a WAL file begins with the timeline, in hexadecimal digits.
const ASK: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()), \
     substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

/// A cluster, and its timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    system: String,
    timeline: u32,
}

impl Cluster {
    /// Ask the database; `None` where it does not say, such as an engine of another make.
    pub(super) fn ask(link: &Link) -> Option<Self> {
        let ask = Known::Text(ASK.into());
        let answers = link.send(&[Message::Run(&ask, Vec::new())], ANSWER_TIMEOUT).ok()?;
        let answer = answers.into_iter().next()?.ok()?;
        let row = answer.rows.first()?;
        let timeline = u32::from_str_radix(row.try_get(1).ok()?, 16).ok()?;
        Some(Self { system: row.try_get(0).ok()?, timeline })
    }

    /// Require that this is not an old primary, for a server that has seen `before`.
    pub(super) fn require_after(&self, before: &Self) -> Result<(), String> {
        if self.system == before.system && self.timeline < before.timeline {
            return Err(format!(
                "it is on timeline {}, and this server was on timeline {} before: it is a primary \
                 of earlier. If you have put the data back, restart this server",
                self.timeline, before.timeline
            ));
        }
        Ok(())
    }

    /// Compare with what the data says, and begin a new epoch if the data comes from elsewhere.
    pub(super) fn note(&self, connection: &PgConnection) -> Result<(), Error> {
        connection.begin()?;
        finish(connection, self.compare(connection))
    }

    fn compare(&self, sql: &dyn Sql) -> Result<(), Error> {
        let made = sql.execute(
            "INSERT INTO database_cluster (only_row, system_identifier, timeline) VALUES (1, ?1, \
             ?2) ON CONFLICT (only_row) DO NOTHING",
            values![&self.system, self.timeline],
        )?;
        if made > 0 {
            return Ok(());
        }
        let row = sql.row(
            "SELECT system_identifier, timeline FROM database_cluster WHERE only_row = 1 FOR \
             UPDATE",
            &[],
        )?;
        let mut row = row.ok_or_else(|| Error::Store("the cluster has gone".to_owned()))?;
        let before = Self { system: row.take(0)?, timeline: row.take(1)? };
        if before == *self {
            return Ok(());
        }
        sql.execute(
            "UPDATE database_cluster SET system_identifier = ?1, timeline = ?2 WHERE only_row = 1",
            values![&self.system, self.timeline],
        )?;
        if before.system == self.system && before.timeline < self.timeline {
            let (from, to) = (before.timeline, self.timeline);
            tracing::info!(from, to, "PostgreSQL has another timeline: a standby was promoted");
            return Ok(());
        }
        let detail = format!(
            "the database is in cluster {} on timeline {}, and its data is from cluster {} on \
             timeline {}: it came from a dump or a copy, and may lack what came after it",
            self.system, self.timeline, before.system, before.timeline
        );
        tracing::error!("a new epoch begins: {detail}");
        sql::renew_after_move(sql, &fresh_id()?, &detail, SystemClock.unix_seconds())
    }
}
