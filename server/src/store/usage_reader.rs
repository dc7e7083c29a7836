//! Reading of usage for the command line, even while the server writes.

use std::path::Path;

use super::sql::{self, Sql};
use super::{UsageFilter, UsageRow, postgres, sqlite};
use crate::error::Error;

/// A connection that only reads.
pub struct UsageReader {
    sql: Box<dyn Sql>,
}

impl UsageReader {
    /// Open an embedded database.
    ///
    /// # Errors
    /// Fails when it cannot be opened, or its tables are of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { sql: Box::new(sqlite::connect_to_read(path)?) })
    }

    /// Connect to a PostgreSQL database.
    ///
    /// # Errors
    /// Fails when it cannot be reached, or its tables are of another version.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Ok(Self { sql: postgres::connect_to_read(url)? })
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
}

impl std::fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageReader").finish_non_exhaustive()
    }
}
