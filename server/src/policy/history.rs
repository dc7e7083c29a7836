//! The one history of a device with this server, and the copies that it reveals.
//!
//! Each local license is a place in the history: a branch and a step ([`Generation`]). A device
//! shows the newest one that it has, and gets the next. Only a license that the device has *shown*
//! counts, because an answer may be lost, and a request may arrive twice or late:
//!
//! ```text
//! shown ─┬─▶ granted             the device shows one of these next: it continues there,
//!        └─▶ granted once more   and the others are left
//! ```
//!
//! | the device shows | outcome |
//! | --- | --- |
//! | the newest that it has shown | the next license |
//! | one that was granted since | the same; this one is now the newest that was shown |
//! | one before the newest, and the device was heard a moment ago | -20151: two installations are alive |
//! | one before the newest, and it was not | it was restored to an earlier state: a branch begins there |
//! | one of a branch that was left | -20151: another installation has gone on |
//! | one that is newer than all that were granted, of an earlier epoch | it continues from there: the server was restored since |
//! | the same, of this epoch or one that is not known, and it still runs | the same; and the data of the server was put back |
//! | any other than the newest, of an epoch that the data never had | it continues from there: what two servers have granted has the same numbers |
//! | one of a branch that was left, with a receipt of what the data does not have | the same: so has what one server has granted before and after a restore |
//! | nothing, and nothing runs | it begins anew, and what it was allowed counts as spent |
//! | nothing, and something runs | -20151; except that the first answer is asked for again |

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::Generation;
use seatmeter_protocol::slot::SLOT_SECONDS;
use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// The number of branches that are remembered.
const FORKS_MAX: usize = 32;

/// The precision, in seconds, of the time at which a device was last heard. It saves writing one
/// row with most reports.
pub const HEARD_PRECISION: u64 = 2 * SLOT_SECONDS;

/// The time in seconds for which a device counts as alive after its last contact: this slot and the
/// previous one. The record of the contact may be [`HEARD_PRECISION`] old.
const ALIVE: u64 = 2 * SLOT_SECONDS + HEARD_PRECISION;

/// The beginning of a branch: its number, and the place after which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork(pub u32, pub u32, pub u32);

impl Fork {
    fn from(self) -> Generation {
        Generation { branch: self.1, step: self.2 }
    }
}

/// The history of a device. The first license follows branch 0, step 0, which stands for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The newest place that the device has shown.
    pub shown: Generation,
    /// The last step that was granted on the branch of that place.
    pub granted_step: u32,
    /// The highest number of a branch.
    pub branches: u32,
    /// The branches on the way to the newest place, and those that a device has not shown yet.
    pub forks: Vec<Fork>,
}

/// The relation of a place to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The newest place that was shown.
    Newest,
    /// A place that was granted, and not shown before.
    Granted,
    /// A place on the way to the newest one.
    Earlier,
    /// A place that was left.
    Left,
    /// A place that was never granted, as far as is known.
    Newer,
}

impl History {
    /// Return the relation of this place to the history.
    #[must_use]
    pub fn place(&self, place: Generation) -> Relation {
        if place == self.shown {
            return Relation::Newest;
        }
        if place.branch > self.branches {
            return Relation::Newer;
        }
        if place.branch == self.shown.branch && place.step > self.shown.step {
            return if place.step > self.granted_step {
                Relation::Newer
            } else {
                Relation::Granted
            };
        }
        let mut end = self.shown;
        loop {
            if place.branch == end.branch {
                return if place.step <= end.step { Relation::Earlier } else { Relation::Left };
            }
            let Some(fork) = self.fork(end.branch) else { break };
            end = fork.from();
        }
        match self.fork(place.branch) {
            Some(fork) if place.step == fork.from().step.saturating_add(1) => Relation::Granted,
            Some(fork) if place.step > fork.from().step => Relation::Newer,
            _ => Relation::Left,
        }
    }

    fn fork(&self, branch: u32) -> Option<Fork> {
        self.forks.iter().copied().find(|fork| fork.0 == branch)
    }

    /// Return whether this branch is on the way to the newest place.
    fn is_on_the_way(&self, branch: u32) -> bool {
        let mut on_the_way = self.shown.branch;
        while on_the_way != branch {
            let Some(fork) = self.fork(on_the_way) else { return false };
            on_the_way = fork.1;
        }
        true
    }

    /// Continue from a place that was granted: what else was granted is left.
    pub fn go_on(&mut self, place: Generation) {
        self.shown = place;
        self.granted_step = place.step;
        let forks = std::mem::take(&mut self.forks);
        let mut on_the_way = place.branch;
        let mut kept = Vec::new();
        while let Some(fork) = forks.iter().find(|fork| fork.0 == on_the_way) {
            kept.push(*fork);
            on_the_way = fork.1;
        }
        kept.reverse();
        self.forks = kept;
    }

    /// Continue from a place that is not known.
    pub fn adopt(&mut self, place: Generation) {
        self.shown = place;
        self.granted_step = place.step;
        self.branches = self.branches.max(place.branch);
        self.forks.clear();
    }

    /// Continue from a place that is not known, and whose numbers this history has used for another
    /// one: the next place begins a branch.
    fn branch_off(&mut self, place: Generation) {
        self.adopt(place);
        self.granted_step = place.step.saturating_add(1);
    }

    /// Grant the next place after this one.
    pub fn grant(&mut self, after: Generation) -> Generation {
        if after.branch > 0 && after == self.shown && self.granted_step == after.step {
            self.granted_step = self.granted_step.saturating_add(1);
            return Generation { branch: after.branch, step: self.granted_step };
        }
        self.branches = self.branches.saturating_add(1);
        if self.forks.len() >= FORKS_MAX {
            let unshown = self.forks.iter().position(|fork| !self.is_on_the_way(fork.0));
            self.forks.remove(unshown.unwrap_or(0));
        }
        self.forks.push(Fork(self.branches, after.branch, after.step));
        Generation { branch: self.branches, step: after.step.saturating_add(1) }
    }

    /// Return whether a license was granted to a device that showed nothing, and may still be on
    /// its way.
    fn awaits_first(&self) -> bool {
        let is_first = |fork: &Fork| fork.from() == Generation::default();
        self.shown.branch == 0
            || self.forks.iter().any(|fork| is_first(fork) && !self.is_on_the_way(fork.0))
    }
}

/// The relation of the epoch in which a license was granted to the server's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochKind {
    /// The current epoch.
    Current,
    /// An epoch before the current one.
    Earlier,
    /// An epoch that the data does not have, and that some device has shown before. It is of
    /// another server with the same key, or of this server before its data was put back.
    Foreign,
    /// An epoch that no device has shown before.
    Unknown,
}

impl EpochKind {
    /// Return whether a license of this epoch proves nothing new.
    #[must_use]
    pub fn is_past(self) -> bool {
        matches!(self, Self::Earlier | Self::Foreign)
    }

    /// Return whether the data has had this epoch.
    #[must_use]
    pub fn is_own(self) -> bool {
        matches!(self, Self::Current | Self::Earlier)
    }
}

/// The newest license of a device, as the device shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The place of the license.
    pub generation: Generation,
    /// The epoch in which it was granted.
    pub epoch: EpochKind,
    /// Whether it is still valid.
    pub runs: bool,
    /// Whether the device has a receipt of something that the data does not have.
    pub is_forgotten: bool,
}

/// The server's knowledge of a device that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// The history of the device; an empty one for a device that is not known.
    pub history: &'a History,
    /// The instant at which the device was last heard, Unix seconds; 0 for never.
    pub heard_at: u64,
    /// Whether a license of the device runs, as far as the server knows.
    pub runs: bool,
    /// Whether the device asks for the first answer once more, by the id of its first contact.
    pub is_same_contact: bool,
}

/// The finding of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The request is the next step, and shows nothing else.
    Nothing,
    /// The device was restored to an earlier state.
    DeviceRolledBack,
    /// The device has nothing but its key any more, or is another one with the same key.
    StateLost,
    /// The data of the server was put back to an earlier state.
    ServerRolledBack,
}

/// The result for a request that continues the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The place of the next license.
    pub generation: Generation,
    /// The history with the next license.
    pub history: History,
    /// The finding of the request.
    pub finding: Finding,
    /// Whether the request must prove that it is sent now. The device begins a branch that ends
    /// what went before, and an old request that arrives late looks the same.
    pub must_be_fresh: bool,
}

/// Decide about the next license of a device, by the table above. `shown` is `None` for a device
/// that shows nothing.
///
/// # Errors
/// Returns -20151 where another installation has the same key.
pub fn next(known: Known<'_>, shown: Option<Shown>, now: u64) -> Result<Next, Refusal> {
    let mut history = known.history.clone();
    let branches_off =
        shown.is_some_and(|shown| is_of_other(history.place(shown.generation), shown));
    let awaits_first = known.is_same_contact && history.awaits_first();
    let (after, finding) = match shown {
        None if known.runs && !awaits_first => {
            return Err(copied("it shows no license, although one of this device runs"));
        }
        None => (Generation::default(), Finding::Nothing),
        Some(shown) => (shown.generation, see(&mut history, known, shown, now)?),
    };
    let begins_anew = shown.is_none() && history.branches > 0 && !awaits_first;
    let generation = history.grant(after);
    let finding = if begins_anew { Finding::StateLost } else { finding };
    let must_be_fresh =
        branches_off || matches!(finding, Finding::DeviceRolledBack | Finding::StateLost);
    Ok(Next { generation, history, finding, must_be_fresh })
}

/// Return whether a license that this history seems to have left behind is of another server, or of
/// this server before it was restored. That server has continued from a place that both had, by the
/// same numbers.
fn is_of_other(place: Relation, shown: Shown) -> bool {
    match place {
        Relation::Left => !shown.epoch.is_own() || shown.is_forgotten,
        Relation::Earlier => !shown.epoch.is_own(),
        _ => false,
    }
}

/// Take the license that a device shows into its history.
fn see(
    history: &mut History,
    known: Known<'_>,
    shown: Shown,
    now: u64,
) -> Result<Finding, Refusal> {
    let place = history.place(shown.generation);
    match place {
        Relation::Newest => {}
        Relation::Granted => history.go_on(shown.generation),
        Relation::Earlier | Relation::Left if is_of_other(place, shown) => {
            history.branch_off(shown.generation);
            return Ok(newer(shown));
        }
        // What was heard in the future was heard by a clock that was ahead.
        Relation::Earlier
            if now < known.heard_at.saturating_add(ALIVE)
                && known.heard_at <= now.saturating_add(SLOT_SECONDS) =>
        {
            return Err(copied("it shows a license that this device has renewed a moment ago"));
        }
        Relation::Earlier => return Ok(Finding::DeviceRolledBack),
        Relation::Left => return Err(copied("another one has continued its history")),
        Relation::Newer => {
            history.adopt(shown.generation);
            return Ok(newer(shown));
        }
    }
    Ok(Finding::Nothing)
}

/// Return the finding of a license that is newer than all that are known.
#[must_use]
pub fn newer(shown: Shown) -> Finding {
    // The server may have forgotten everything about a device that was away for long.
    if shown.epoch.is_past() || !shown.runs {
        return Finding::Nothing;
    }
    Finding::ServerRolledBack
}

fn copied(why: &str) -> Refusal {
    Refusal::new(
        ErrorCode::DEVICE_CLONED,
        format!(
            "another installation uses the UUID and the key of this one: {why}. This \
             installation must take a fresh UUID, and loses nothing"
        ),
    )
}

#[cfg(test)]
mod tests;
