//! The license rules as pure functions: they take state and request, and return a decision.
//!
//! The functions read no clock, no disk and no network. The store runs [`decide`] inside the
//! transaction that has read the input and will write the outcome, so racing requests cannot both
//! get the last seat. A simulation or a planner can run the same code without any store.

pub mod active_slots;
pub mod charge_way;
pub mod device_seats;
pub mod history;
pub mod holders;
pub mod license_year;
pub mod metered;
pub mod overuse;
pub mod report_bounds;
pub mod reportable;
pub mod running;
pub mod select;
pub mod slot_sums;
pub mod strict_allowance;
pub mod validity;
pub mod window;

use std::sync::Arc;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::LostAllowance;
use seatmeter_protocol::version::Version;

use crate::error::Refusal;
use crate::policy::holders::{Hold, Occupied};
use crate::policy::select::admission;
use crate::policy::select::admission::Used;
use crate::policy::select::item_choice::{self, NoItem};
use crate::policy::strict_allowance::Allowance;

/// The request of a device at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The place where the software runs.
    pub deployment_type: DeploymentType,
    /// The requested charge way; `None` when the server may choose.
    pub charge_way: Option<ChargeWay>,
    /// The bits of the requested products.
    pub products: u32,
    /// The number of requested seats, called x in the rules.
    pub seats: u32,
    /// The names of the requested modules.
    pub modules: Vec<String>,
    /// The version of the product, if it is known.
    pub product_version: Option<Version>,
    /// The edition of the product, if it is known.
    pub product_edition: Option<String>,
    /// The number of days for which the caller wants to work without contact.
    pub buffer_days: u32,
    /// The host or origin of the website, or empty.
    pub website: String,
    /// For strict items, the least allowance that the device needs beyond what it has used.
    pub needed: u64,
    /// What the device has lost of its allowances of strict items.
    pub lost: Vec<LostAllowance>,
    /// The instant of the request, Unix seconds.
    pub now: u64,
}

impl Claim {
    /// Return what the device has lost of its allowance of this item and module.
    #[must_use]
    pub fn lost_of(&self, item_id: &str, module: u32) -> u64 {
        let of_item = |lost: &&LostAllowance| lost.item_id == item_id && lost.module == module;
        self.lost.iter().filter(of_item).map(|lost| lost.lost).max().unwrap_or(0)
    }
}

/// An item of the handshake code, with the facts that the rules need about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The license item.
    pub item: Arc<LicenseItem>,
    /// Whether the operator has revoked it.
    pub revoked: bool,
    /// The item's state, as it concerns this device.
    pub state: ItemState,
}

/// The state of an item at the instant of a request, for the device that makes it. The store reads
/// the state in the transaction of the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemState {
    /// The highest x among the device's running authorizations under the item; 0 when it has none.
    pub running_seats: u32,
    /// The serial of the device's newest local license under the item; 0 when it has none.
    pub newest_serial: u32,
    /// The seats that are occupied, and by how many others.
    pub occupied: Occupied,
    /// The excess so far of the license year that holds this instant: the sum over the slots that
    /// have ended.
    pub excess_of_year: u64,
    /// The use of each module; a module that is missing here was never used.
    pub used: Vec<Used>,
}

impl ItemState {
    /// Return the use of a module; module 0 stands for scans.
    #[must_use]
    pub fn used_of(&self, module: u32) -> Used {
        let found = self.used.iter().find(|used| used.module == module);
        found.copied().unwrap_or(Used { module, ..Used::default() })
    }
}

/// The order in which items are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order by the rule: soonest expiry, then the most specific, then the least restrictive.
    ByRule,
    /// The order in which the operator has listed the items.
    AsListed,
}

/// The outcome for a device that is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The index of the candidate that was chosen.
    pub candidate: usize,
    /// The seats of the device; 0 where the charge way has none.
    pub seats: u32,
    /// The serial of the new local license.
    pub serial: u32,
    /// The first instant at which the license is no longer valid without renewal, Unix seconds.
    pub valid_until: u64,
    /// The seats that the device holds from now on.
    pub hold: Option<Hold>,
    /// For strict items, the number that the device may count, by module.
    pub allowances: Vec<(u32, Allowance)>,
}

/// Decide about one authorization.
///
/// # Errors
/// Returns the rule that forbids it.
pub fn decide(claim: &Claim, candidates: &[Candidate], order: Order) -> Result<Admitted, NoItem> {
    let (candidate, admission) = item_choice::choose(claim, candidates, order)?;
    let chosen = &candidates[candidate];
    Ok(Admitted {
        candidate,
        seats: admission.seats,
        serial: validity::next_serial(chosen.state.newest_serial, claim.now),
        valid_until: admission::valid_until(&admission, &chosen.item, claim),
        hold: admission.hold,
        allowances: admission.allowances,
    })
}

/// Refuse every request that does not count as a server's, for the charge ways that are for servers
/// alone.
fn only_for_servers(deployment_type: DeploymentType, item: &LicenseItem) -> Result<(), Refusal> {
    match item.charge_way.counts_as(deployment_type) {
        DeploymentType::Server => Ok(()),
        _ => Err(item_choice::wrong_deployment_type(deployment_type, item)),
    }
}

/// The data that the tests of the policies start from.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// The start of the tests' item, Unix seconds.
    pub(crate) const START: u64 = 1_800_000_000;
    /// The expiry of the tests' item, Unix seconds.
    pub(crate) const EXPIRY: u64 = START + 365 * 86_400;

    pub(crate) fn item(quota: u64) -> LicenseItem {
        LicenseItem::new(
            &format!("item-{quota}"),
            ChargeWay::ConcurrentInstance,
            quota,
            START,
            EXPIRY,
        )
    }

    pub(crate) fn candidate(quota: u64) -> Candidate {
        Candidate { item: item(quota).into(), revoked: false, state: ItemState::default() }
    }

    pub(crate) fn claim(seats: u32) -> Claim {
        Claim {
            deployment_type: DeploymentType::Server,
            charge_way: None,
            products: 0xffff,
            seats,
            modules: Vec::new(),
            product_version: None,
            product_edition: None,
            buffer_days: 7,
            website: String::new(),
            needed: 0,
            lost: Vec::new(),
            now: START,
        }
    }
}
