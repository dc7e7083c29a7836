//! The location of a store, and opening the store.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::postgres::{self, PostgresStore};
use super::sqlite::{self, SqliteStore};
use super::{Keys, Store, UsageReader};
use crate::error::Error;
use crate::server_time::RecordedTime;

/// The location of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An embedded database in this file.
    File(PathBuf),
    /// A PostgreSQL database at this URL.
    Url(String),
}

/// An open store, with the facts that are needed before it is used.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The server keys that the store names.
    pub keys: Keys,
    /// The time that the store has recorded.
    pub time: RecordedTime,
}

impl Location {
    /// Open the store, and create or update its tables.
    ///
    /// # Errors
    /// Fails when the store cannot be reached or opened, or was written by a newer version.
    pub fn open(&self) -> Result<Opened, Error> {
        Ok(match self {
            Self::File(path) => {
                let store = SqliteStore::open(path)?;
                Opened { keys: store.keys().clone(), time: store.time(), store: Arc::new(store) }
            }
            Self::Url(url) => {
                let store = PostgresStore::open(url)?;
                Opened { keys: store.keys().clone(), time: store.time(), store: Arc::new(store) }
            }
        })
    }

    /// Open the store to read usage.
    ///
    /// # Errors
    /// Fails when the store cannot be reached or opened, or its tables are of another version.
    pub fn read_usage(&self) -> Result<UsageReader, Error> {
        match self {
            Self::File(path) => UsageReader::open(path),
            Self::Url(url) => UsageReader::connect(url),
        }
    }

    /// Begin another life of the data.
    ///
    /// # Errors
    /// Fails when the store cannot be reached or written.
    pub fn renew_epoch(&self, epoch: &str, now: u64) -> Result<(), Error> {
        match self {
            Self::File(path) => sqlite::renew_epoch(path, epoch, now),
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
