//! Where a store is, and opening it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::postgres::{self, PostgresStore};
use super::sqlite::SqliteStore;
use super::{Keys, Store, UsageReader};
use crate::error::Error;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An embedded database, in this file.
    File(PathBuf),
    /// A database of PostgreSQL, at this URL.
    Url(String),
}

/// A store, and what had to be known before it is used.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The server's keys that it names.
    pub keys: Keys,
}

impl Location {
    /// Opens the store, and makes its tables or brings them up to date.
    ///
    /// # Errors
    /// When it cannot be reached or opened, or was written by a newer version.
    pub fn open(&self) -> Result<Opened, Error> {
        Ok(match self {
            Self::File(path) => {
                let store = SqliteStore::open(path)?;
                Opened { keys: store.keys().clone(), store: Arc::new(store) }
            }
            Self::Url(url) => {
                let store = PostgresStore::open(url)?;
                Opened { keys: store.keys().clone(), store: Arc::new(store) }
            }
        })
    }

    /// Opens it to read usage.
    ///
    /// # Errors
    /// When it cannot be reached or opened, or its tables are of another version.
    pub fn read_usage(&self) -> Result<UsageReader, Error> {
        match self {
            Self::File(path) => UsageReader::open(path),
            Self::Url(url) => UsageReader::connect(url),
        }
    }

    /// Begins another life of the data.
    ///
    /// # Errors
    /// When it cannot be reached, or is an embedded database, whose restore does that.
    pub fn renew_epoch(&self, epoch: &str, now: u64) -> Result<(), Error> {
        match self {
            Self::File(_) => Err(Error::Setup(
                "an embedded database gets a new epoch when it is restored. Use \"seatmeterd \
                 restore\"."
                    .to_owned(),
            )),
            Self::Url(url) => postgres::renew_epoch(url, epoch, now),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Url(url.to_owned()));
        }
        Err("a database URL begins with postgres://".to_owned())
    }
}
