//! The sequences of commits, by which devices prove that the data was put back; see
//! [`crate::receipt`].

use std::collections::{BTreeSet, HashMap};

use super::table::COMMIT_SEQUENCE;
use super::{Sql, Value, values};
use crate::error::Error;
use crate::random::fresh_id;
use crate::receipt::Receipt;

/// The sequence of one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Sequence {
    /// The id; empty until the first commit.
    id: String,
    /// The number of the last commit that a receipt names.
    number: u64,
}

impl Sequence {
    /// Begin another sequence with the next commit. The writer may have lost its data, or another
    /// state of it may have come in its place.
    pub(in crate::store) fn end(&mut self) {
        *self = Self::default();
    }

    /// Return the sequence with its next commit.
    fn next(&self) -> Result<Self, Error> {
        let id = if self.id.is_empty() { fresh_id()? } else { self.id.clone() };
        Ok(Self { id, number: self.number.saturating_add(1) })
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
        let mut ids: BTreeSet<&str> = seen.iter().map(|one| one.sequence_id.as_str()).collect();
        ids.extend(Some(sequence.id.as_str()).filter(|id| !id.is_empty()));
        let keys: Vec<Value<'_>> = ids.into_iter().map(Value::Text).collect();
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
        let Sequence { id, number } = self.own.clone();
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
