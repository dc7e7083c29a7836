//! The result of a round of reporting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seatmeter_protocol::message::ItemStanding;
use seatmeter_protocol::signature::PublicKey;

use crate::error::{Error, Result};

/// The result of a round of reporting, also of one that was not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The number of counters that the server has recorded now.
    pub totals: usize,
    /// The number of segments that are complete and were removed.
    pub removed: usize,
    /// The number of segments that the server could not book; they are kept.
    pub refused: usize,
    /// Whether everything was reported once more, because the server names another epoch than
    /// before.
    pub again: bool,
    /// How far the items are used, as the server has said with each answer.
    pub standings: Vec<ItemStanding>,
    /// The keys of other servers that have not recorded everything yet, or must get it again.
    pub other_servers: BTreeSet<PublicKey>,
    /// What people should know of segments that were refused, set aside or left alone.
    pub notes: Vec<SegmentNote>,
    /// The URL of the server that answered last; empty if none did.
    pub server: String,
    /// The error that ended the round, or else the first error about some segments only.
    pub first_error: Option<Error>,
    /// Whether the device must ask for its license: the server does not know the device, or another
    /// installation continues its history.
    pub must_ask: bool,
}

/// What people should know of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentNote {
    /// The file of the segment.
    pub path: PathBuf,
    /// The rest of a sentence that begins with the file.
    pub what: String,
}

impl Reported {
    /// Add the numbers of another round, and take over its server.
    pub fn add(&mut self, more: &Self) {
        self.totals += more.totals;
        self.removed += more.removed;
        self.refused += more.refused;
        self.again |= more.again;
        self.must_ask |= more.must_ask;
        if !more.server.is_empty() {
            self.server.clone_from(&more.server);
        }
    }

    /// Return the error if there was one, else the result.
    ///
    /// # Errors
    /// Returns `first_error`.
    pub fn into_result(mut self) -> Result<Self> {
        self.first_error.take().map_or(Ok(self), Err)
    }

    pub(super) fn note(&mut self, path: &Path, what: String) {
        self.notes.push(SegmentNote { path: path.to_owned(), what });
    }
}
