//! The sequences of commits, by which devices prove that the data was put back; see
//! [`crate::receipt`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::table::COMMIT_SEQUENCE;
use super::{Sql, Value, values};
use crate::error::Error;
use crate::random::fresh_id;
use crate::receipt::Receipt;

/// The last commit that each writer of a server has acknowledged, by the writers' places.
pub(in crate::store) type Acknowledged = Arc<Mutex<BTreeMap<usize, Receipt>>>;

/// The sequence of one writer.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Sequence {
    /// The id; empty until the first commit.
    id: String,
    /// The number of the last commit that a receipt names.
    number: u64,
    /// The epoch of this commit.
    epoch: String,
    /// The place of this writer among those of its server.
    place: usize,
    /// The last commit that each writer has acknowledged.
    acknowledged: Acknowledged,
    /// Whether the data may be another than that of the last commit.
    is_suspect: bool,
    /// Whether the transaction that runs has compared it.
    is_compared: bool,
}

impl Sequence {
    /// Begin another sequence with the next commit. The writer may have lost its data, or another
    /// state of it may have come in its place.
    pub(in crate::store) fn end(&mut self) {
        self.id.clear();
        self.number = 0;
        self.is_compared = false;
    }

    /// Make the sequence of the writer at this place.
    pub(in crate::store) fn of_writer(place: usize, acknowledged: Acknowledged) -> Self {
        Self { place, acknowledged, ..Self::default() }
    }

    /// Note that the last commit is durable, and that clients hear of it.
    pub(in crate::store) fn acknowledge(&mut self) {
        if self.number > 0 {
            let (epoch, sequence_id) = (self.epoch.clone(), self.id.clone());
            let last = Receipt { epoch, sequence_id, number: self.number };
            self.acknowledged.lock().insert(self.place, last);
        }
        self.is_suspect &= !std::mem::take(&mut self.is_compared);
    }

    /// Compare the data with the last acknowledged commits, because the connection is another one:
    /// a standby that was promoted may lack some data.
    pub(in crate::store) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Return the last acknowledged commits, if the data must be compared with them now.
    pub(super) fn begin_comparing(&mut self) -> Vec<Receipt> {
        self.is_compared = true;
        match self.is_suspect {
            true => self.acknowledged.lock().values().cloned().collect(),
            false => Vec::new(),
        }
    }

    /// Return the ids of this sequence and those of these receipts.
    pub(super) fn with<'a>(&'a self, seen: &[&'a Receipt]) -> BTreeSet<&'a str> {
        let seen = seen.iter().map(|one| one.sequence_id.as_str());
        seen.chain(Some(self.id.as_str()).filter(|id| !id.is_empty())).collect()
    }

    /// Return the sequence with its next commit.
    fn next(&self) -> Result<Self, Error> {
        let id = if self.id.is_empty() { fresh_id()? } else { self.id.clone() };
        Ok(Self { id, number: self.number.saturating_add(1), ..self.clone() })
    }
}

/// The commits that a batch knows of.
pub(super) struct Commits {
    /// The commit of the batch itself.
    own: Sequence,
    /// Whether a receipt names it. A batch that gives no receipt, such as one of refusals, writes
    /// nothing for it.
    is_named: bool,
    /// The numbers of the newest commits, by sequence.
    newest: HashMap<String, u64>,
}

impl Commits {
    /// Look up what these receipts name.
    pub(super) fn load(
        sql: &dyn Sql,
        sequence: &mut Sequence,
        seen: &[&Receipt],
    ) -> Result<Self, Error> {
        let keys: Vec<Value<'_>> = sequence.with(seen).into_iter().map(Value::Text).collect();
        let mut newest = HashMap::new();
        for mut row in COMMIT_SEQUENCE.find(sql, &keys)? {
            newest.insert(row.take(0)?, row.take(1)?);
        }
        // A commit was undone, or the data was put back under the running server.
        if newest.get(&sequence.id).copied().unwrap_or(0) != sequence.number {
            sequence.end();
        }
        Ok(Self { own: sequence.next()?, is_named: false, newest })
    }

    /// Return whether the data knows the commit of this receipt.
    pub(super) fn knows(&self, receipt: &Receipt) -> bool {
        self.newest.get(&receipt.sequence_id).is_some_and(|newest| receipt.number <= *newest)
    }

    /// Return the receipt of the batch, in this epoch.
    pub(super) fn receipt(&mut self, epoch: &str) -> Receipt {
        self.is_named = true;
        epoch.clone_into(&mut self.own.epoch);
        let Sequence { id, number, .. } = self.own.clone();
        Receipt { epoch: epoch.to_owned(), sequence_id: id, number }
    }

    /// Record the commit, if a receipt names it.
    pub(super) fn save(&self, sql: &dyn Sql, sequence: &mut Sequence) -> Result<(), Error> {
        if self.is_named {
            COMMIT_SEQUENCE.put(sql, values![&self.own.id, self.own.number])?;
            sequence.clone_from(&self.own);
        }
        Ok(())
    }
}
