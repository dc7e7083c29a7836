//! Reading of the audit log's chain for the command line, even while the server writes.

use std::path::Path;

use super::sql::{self, Sql};
use super::{Location, postgres, sqlite};
use crate::audit_chain::{AuditHead, ChainCheck};
use crate::error::Error;

/// A connection that only reads.
pub struct AuditReader {
    sql: Box<dyn Sql>,
}

impl AuditReader {
    /// Open the store at this location.
    ///
    /// # Errors
    /// Fails when it cannot be reached or opened, or its tables are of another version.
    pub fn open(location: &Location) -> Result<Self, Error> {
        match location {
            Location::File(path) => Self::of_file(path),
            Location::Url(url) => Ok(Self { sql: postgres::connect_to_read(url)? }),
        }
    }

    /// Open an embedded database, or a backup of one.
    ///
    /// # Errors
    /// Fails when it cannot be opened, or its tables are of another version.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        Ok(Self { sql: Box::new(sqlite::connect_to_read(path)?) })
    }

    /// Return the head of the chain.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub fn head(&self) -> Result<AuditHead, Error> {
        sql::audit::head(&*self.sql)
    }

    /// Check the whole chain, and return its head. `wanted` is a hash that some line must have.
    ///
    /// # Errors
    /// Fails with the first broken line, or when the database cannot be read.
    pub fn verify(&self, wanted: Option<String>) -> Result<AuditHead, Error> {
        let broken = |why| Error::Setup(format!("the audit log is broken: {why}."));
        let mut check = ChainCheck::new(wanted);
        let head = sql::audit::for_each(&*self.sql, &mut |line| check.add(&line).map_err(broken))?;
        check.finish(&head).map_err(broken)
    }
}

impl std::fmt::Debug for AuditReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditReader").finish_non_exhaustive()
    }
}
