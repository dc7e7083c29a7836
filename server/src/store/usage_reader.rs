//! Reading for the command line, even while the server writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::reading::{COMMAND_TIME_MAX, Question, answer_on};
use super::sql::{self, Sql};
use super::{BillFrame, UsageFilter, UsageRow, postgres, sqlite};
use crate::error::Error;

/// A connection that only reads.
pub struct UsageReader {
    sql: Box<dyn Sql + Send>,
}

impl UsageReader {
    /// Open an embedded database.
    ///
    /// # Errors
    /// Fails when it cannot be opened, or its tables are of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::embedded(sqlite::connect_to_read(path)?))
    }

    /// Connect to a PostgreSQL database.
    ///
    /// # Errors
    /// Fails when it cannot be reached, or its tables are of another version.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self::shared(postgres::connect_to_read(url)?))
    }

    fn embedded(connection: rusqlite::Connection) -> Self {
        Self { sql: Box::new(connection) }
    }

    pub(super) fn shared(sql: Box<dyn Sql + Send>) -> Self {
        Self { sql }
    }

    /// Return the connection.
    pub(super) fn sql(&self) -> &dyn Sql {
        &*self.sql
    }

    /// Begin a transaction that sees the data of one instant.
    pub(super) fn begin(&self) -> Result<(), Error> {
        self.sql.begin_reading()
    }

    /// End the transaction.
    pub(super) fn end(&self) -> Result<(), Error> {
        self.sql.end_reading()
    }

    /// Answer a question from one snapshot of the data. `now` is the time of this machine; a
    /// recorded time that is later is taken instead.
    ///
    /// # Errors
    /// Fails as the question does.
    pub fn ask<Q: Question>(&self, question: &Q, now: u64) -> Result<Q::Answer, Error> {
        self.begin()?;
        let recorded = sql::time::recorded(self.sql())?;
        let now = now.max(recorded.newest_at);
        let answer = answer_on(self.sql(), question, None, now, COMMAND_TIME_MAX);
        self.end()?;
        answer
    }

    /// Pass every counter to `each`, ordered by handshake code, item, device, slot, kind, symbology
    /// or module.
    ///
    /// # Errors
    /// Fails when the database cannot be read, or with the first error of `each`.
    pub fn for_each(
        &self,
        filter: UsageFilter,
        mut each: impl FnMut(UsageRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        sql::for_each_recorded(&*self.sql, filter, &mut each)
    }

    /// Return as how many instances the devices count, by item, device and slot.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub fn seats(&self) -> Result<SeatsOfDevices, Error> {
        let mut seats = SeatsOfDevices::default();
        let query = "SELECT item_id, device_uuid, from_slot, seats FROM device_seats";
        self.sql.for_each(query, &[], &mut |mut row| {
            let of_item = seats.0.entry(row.take(0)?).or_default();
            let of_device: &mut BTreeMap<u32, u32> = of_item.entry(row.take(1)?).or_default();
            of_device.insert(row.take(2)?, row.take(3)?);
            Ok(())
        })?;
        Ok(seats)
    }

    /// Return what a signed export contains beside the usage, for one organization or for all.
    ///
    /// # Errors
    /// Fails when there is no such organization, a license file cannot be trusted, or the database
    /// cannot be read.
    pub fn bill_frame(&self, organization_id: Option<&str>) -> Result<BillFrame, Error> {
        sql::bill_frame(&*self.sql, organization_id)
    }
}

/// As how many instances devices count, from one slot on, by item and device.
#[derive(Debug, Default)]
pub struct SeatsOfDevices(HashMap<String, HashMap<String, BTreeMap<u32, u32>>>);

impl SeatsOfDevices {
    /// Return as how many instances a device counts in a slot; `None` under an option that does not
    /// count instances. Work from before the first grant counts with the number of that grant.
    #[must_use]
    pub fn in_slot(&self, item_id: &str, device_uuid: &str, slot: u32) -> Option<u32> {
        let of_device = self.0.get(item_id)?.get(device_uuid)?;
        let then = of_device.range(..=slot).next_back().or_else(|| of_device.iter().next());
        then.map(|(_, seats)| *seats)
    }
}

impl std::fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageReader").finish_non_exhaustive()
    }
}
