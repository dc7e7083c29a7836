//! The location of a store, and opening the store.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::postgres::{self, PostgresStore};
use super::sqlite::{self, SqliteStore};
use super::{Keys, Store, UsageReader};
use crate::error::Error;
use crate::server_time::RecordedTime;

/// The location of a store.
#[derive(Clone, PartialEq, Eq)]
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
        self.open_with_cache(None)
    }

    /// Open the store as [`Self::open`] does. An embedded database keeps pages of this size in
    /// memory, in bytes; `None` for a share of the memory that this process may have.
    ///
    /// # Errors
    /// Fails as [`Self::open`] does.
    pub fn open_with_cache(&self, cache: Option<u64>) -> Result<Opened, Error> {
        Ok(match self {
            Self::File(path) => {
                let store = SqliteStore::open_with_cache(path, cache)?;
                Opened { keys: store.keys().clone(), time: store.time(), store: Arc::new(store) }
            }
            Self::Url(url) => {
                let store = PostgresStore::open(url)?;
                Opened { keys: store.keys().clone(), time: store.time(), store: Arc::new(store) }
            }
        })
    }

    /// Open the store to read usage. All that is read is of one instant, so that the sums of one
    /// command belong together.
    ///
    /// # Errors
    /// Fails when the store cannot be reached or opened, or its tables are of another version.
    pub fn read_usage(&self) -> Result<UsageReader, Error> {
        match self {
            Self::File(path) => {
                let reader = UsageReader::open(path)?;
                reader.begin()?;
                Ok(reader)
            }
            // Its connection begins with a snapshot.
            Self::Url(url) => UsageReader::connect(url),
        }
    }

    /// Take this server key for the store, if several servers may share it and it has none yet.
    /// Return the id of the key that it has.
    ///
    /// # Errors
    /// Fails when the store cannot be reached or written.
    pub fn claim_key(&self, key_id: &str) -> Result<String, Error> {
        match self {
            Self::File(_) => Ok(key_id.to_owned()),
            Self::Url(url) => postgres::claim_key(url, key_id),
        }
    }

    /// Begin another epoch of the data.
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

impl Location {
    /// Return the location with the file that has its password. An embedded database has none.
    #[must_use]
    pub fn with_password_file(self, file: &Path) -> Self {
        match self {
            Self::File(_) => self,
            Self::Url(url) => Self::Url(postgres::password::with_file(&url, file)),
        }
    }

    /// Return the location with the word that only what a synchronous standby has counts as
    /// recorded. An embedded database has no standby.
    #[must_use]
    pub fn with_required_standby(self) -> Self {
        match self {
            Self::File(_) => self,
            Self::Url(url) => Self::Url(postgres::url::with_required_standby(&url)),
        }
    }

    /// Return whether a text, such as an argument of a program, is a URL with a password.
    #[must_use]
    pub fn has_password(text: &str) -> bool {
        let url = text
            .split_once("://")
            .filter(|(scheme, _)| scheme.ends_with("postgres") || scheme.ends_with("postgresql"));
        url.is_some_and(|(_, rest)| {
            let user = rest.split(['/', '?']).next().unwrap_or(rest).rsplit_once('@');
            user.is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=")
        })
    }
}

impl FromStr for Location {
    type Err = Infallible;

    /// Take the URL of a database as it is. It is checked when it is used, because the message of a
    /// command line about a wrong argument would show the argument, and so the password.
    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self::Url(url.to_owned()))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // The URL may have a password.
            Self::Url(_) => f.debug_tuple("Url").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_argument_is_noticed() {
        for with in [
            "postgres://me:secret@host/db",
            "--database=postgresql://me:s@host,two:5432/db",
            "postgres://me@host/db?password=secret",
        ] {
            assert!(Location::has_password(with), "{with}");
        }
        for without in
            ["postgres://me@host:5432/db", "postgres://host:5432/db", "http://me:x@host", "--data"]
        {
            assert!(!Location::has_password(without), "{without}");
        }
    }
}
