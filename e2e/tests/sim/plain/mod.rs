//! A store that keeps rows and no sums: it adds up what a decision needs each time. It decides by
//! the server's own policy, but shares no line with the statements of the SQL store, with which it
//! is compared (`compared.rs`).

mod identities;
mod licenses;
mod reports;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{Generation, LicenseItem, LocalLicense};
use seatmeter_server::error::Refusal;
use seatmeter_server::operator::commands::Change;
use seatmeter_server::policy::history::Finding;
use seatmeter_server::policy::holders::Hold;
use seatmeter_server::policy::select::access::{self, Validation};
use seatmeter_server::policy::select::admission::holder_name;
use seatmeter_server::policy::strict_allowance::Allowance;
use seatmeter_server::policy::validity::next_serial;
use seatmeter_server::policy::{self, Admitted, Candidate, Claim, Order};
use seatmeter_server::store::Authorization;

use crate::books::Counter;
use crate::seats_by_slot::SeatsBySlot;
use identities::Identity;
use licenses::License;
pub(crate) use reports::Reported;

/// The rows of one item under one code.
#[derive(Clone, Default)]
pub(crate) struct Plain {
    epoch: String,
    careful_until: u64,
    item: Option<LicenseItem>,
    /// Whether the license file in the database was edited.
    pub(crate) is_edited: bool,
    is_revoked: bool,
    is_listed: bool,
    validation: Validation,
    /// The serial of the newest license of each device.
    devices: BTreeMap<String, u32>,
    licenses: BTreeMap<String, License>,
    /// The holds by holder: the device, and its hold.
    holders: BTreeMap<String, (String, Hold)>,
    identities: BTreeMap<String, Identity>,
    /// The epochs of before, and those of licenses that the data did not know.
    epochs: BTreeSet<String>,
    /// Those of them that the data never had.
    foreign: BTreeSet<String>,
    /// The instants at which devices have proved that the data was put back.
    rollbacks: Vec<u64>,
    /// Whether the epoch began by such a proof.
    is_rollback: bool,
    /// The number of the last commit of each sequence.
    commits: BTreeMap<String, u64>,
    /// The license of each segment.
    segments: BTreeMap<String, String>,
    usage: BTreeMap<(String, Counter), u64>,
    /// The number that each device counts as, by the first slot in which it applies.
    seats: BTreeMap<String, SeatsBySlot>,
    active: BTreeMap<u32, BTreeMap<String, u32>>,
    excess: BTreeMap<u32, u64>,
    allowances: BTreeMap<(String, u32), Allowance>,
}

/// The result of an authorization: the grant, the license id, the place in the history.
pub(crate) type Granted = (Admitted, String, Generation);

/// The reason why nothing is granted.
#[derive(Debug)]
pub(crate) enum No {
    Refused(Refusal),
    /// The request must prove that it is sent now.
    NotFresh,
    /// The license file cannot be trusted.
    NotReady,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Plain {
    /// Make an empty store with this epoch.
    pub(crate) fn new(epoch: String) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Carry out a change by the vendor or the operator, as far as the simulation has it.
    pub(crate) fn change(&mut self, change: &Change, now: u64) {
        match change {
            Change::Import(import) => {
                self.item = import.file.items.first().cloned();
                self.is_edited = false;
                self.is_listed |= import.handshake_code.is_some();
            }
            Change::SetItems { items, .. } => self.is_listed = !items.item_ids.is_empty(),
            Change::SetAccess { validation, .. } => self.validation = validation.clone(),
            Change::RevokeItem { .. } => self.is_revoked = true,
            Change::ReleaseDevice { device_uuid, .. } => self.release(device_uuid, now),
            Change::AcceptClock => self.accept_clock(now),
            // Alerts decide nothing.
            Change::RearmAlert { .. } => {}
            other => unreachable!("{other:?} is not simulated"),
        }
    }

    /// Forget who holds seats, as an operator may who edits the database.
    pub(crate) fn forget_holders(&mut self) {
        self.holders.clear();
    }

    /// Decide one authorization. A refused request leaves no trace.
    pub(crate) fn authorize(&mut self, request: &Authorization) -> Result<Granted, No> {
        let before = self.clone();
        let epoch = self.epoch.clone();
        self.decide(request).map_err(|no| {
            // What a device has proved is kept.
            let after = std::mem::replace(self, before);
            self.keep_life(after);
            match no {
                No::Refused(refusal) => No::Refused(Refusal { epoch, ..refusal }),
                other => other,
            }
        })
    }

    fn decide(&mut self, request: &Authorization) -> Result<Granted, No> {
        let (claim, uuid) = (&request.claim, &request.device.uuid);
        if self.identities.get(uuid).is_some_and(|known| known.key != request.device_key) {
            return Err(Refusal::new(ErrorCode::DEVICE_NOT_MATCH, "another key").into());
        }
        self.see_receipt(request.receipt.as_ref(), claim.now);
        access::may_use(&request.validation, &self.validation)?;
        let holder = holder_name(claim, uuid);
        let now = claim.now;
        let next = self.follow_history(request)?;
        if next.must_be_fresh && !request.is_fresh {
            return Err(No::NotFresh);
        }
        if let Some(held) = request.held.as_ref().filter(|_| !self.is_edited) {
            self.remember(held, Some(&holder));
            self.take_name(held, &holder);
        }
        self.holders.retain(|_, (_, hold)| hold.until > now || !self.is_listed);
        let mut candidates = self.candidates(uuid, &holder, now);
        let lost_at = match next.finding {
            Finding::DeviceRolledBack | Finding::StateLost => now,
            _ => self.identities.get(uuid).map_or(0, |known| known.rolled_back_at).min(now),
        };
        let used = candidates.iter_mut().flat_map(|candidate| &mut candidate.state.used);
        used.filter(|used| lost_at > 0 && used.own.serial < next_serial(0, lost_at))
            .for_each(|used| used.own = used.own.lose(lost_at));
        let shown = request.held.iter().chain(&request.newest);
        self.careful(claim, shown, &mut candidates)?;
        let grant = policy::decide(claim, &candidates, Order::ByRule).map_err(|no| {
            match self.is_edited && self.is_listed {
                true => No::NotReady,
                false => self.explained(no, &holder).into(),
            }
        })?;
        let item = candidates.swap_remove(grant.candidate).item;
        let license_id = self.remember_grant(request, &holder, &item, &grant);
        let generation = next.generation;
        self.note_identity(request, next);
        Ok((grant, license_id, generation))
    }

    fn careful<'a>(
        &self,
        claim: &Claim,
        mut shown: impl Iterator<Item = &'a LocalLicense>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Refusal> {
        if claim.now >= self.careful_until {
            return Ok(());
        }
        let is_held = |held: &&LocalLicense| {
            holds(held, claim) && candidates.iter().any(|one| one.item.item_id == held.item_id)
        };
        match shown.find(is_held) {
            Some(held) => {
                candidates.retain(|candidate| candidate.item.item_id == held.item_id);
                Ok(())
            }
            None => Err(Refusal::new(ErrorCode::STANDBY_NOT_READY, "it was restored just now")),
        }
    }
}

/// Return whether a device that shows this license holds what it claims.
fn holds(held: &LocalLicense, claim: &Claim) -> bool {
    let has_enough = held.charge_way != ChargeWay::ConcurrentInstance || claim.seats <= held.seats;
    has_enough && claim.now < held.valid_until
}

fn has_seats(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server)
}

fn is_concurrent(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
}
