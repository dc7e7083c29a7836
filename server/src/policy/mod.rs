//! The license rules as pure functions: state and request in, decision out.
//!
//! Nothing here reads a clock, a disk or a network. The store runs [`decide`] inside the
//! transaction that has read its input and will write its outcome, so racing requests cannot both
//! get the last seat; a simulation or a planner can run the same code without any store.

pub mod active_slots;
pub mod charge_way;
pub mod clone;
pub mod device_seats;
pub mod grace;
pub mod holders;
pub mod license_year;
pub mod metered;
pub mod overuse;
pub mod running;
pub mod select;
pub mod slot_ledger;
pub mod slot_sums;
pub mod strict_allowance;
pub mod validity;
pub mod window;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::version::Version;

use crate::error::Refusal;
use crate::policy::holders::{Hold, Occupied};
use crate::policy::select::admission;
use crate::policy::select::admission::Used;
use crate::policy::select::item_choice::{self, NoItem};
use crate::policy::strict_allowance::Allowance;

/// What a device asks for, at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where the software runs.
    pub deployment_type: DeploymentType,
    /// The charge way asked for; `None` when the server may choose.
    pub charge_way: Option<ChargeWay>,
    /// Bits of the products asked for.
    pub products: u32,
    /// x: seats asked for.
    pub seats: u32,
    /// Names of the modules asked for.
    pub modules: Vec<String>,
    /// Version of the product, if it is known.
    pub product_version: Option<Version>,
    /// Edition of the product, if it is known.
    pub product_edition: Option<String>,
    /// Days for which the caller wants to work without contact.
    pub buffer_days: u32,
    /// Host or origin of the website, or empty.
    pub website: String,
    /// Strict items: the least that it has to be allowed beyond what it has used.
    pub needed: u64,
    /// The instant, Unix seconds.
    pub now: u64,
}

/// An item of the handshake code, with what the rules need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The item.
    pub item: LicenseItem,
    /// Whether the operator has revoked it.
    pub revoked: bool,
    /// How it stands, for this device.
    pub state: ItemState,
}

/// How an item stands at the instant of a request, for the device that asks. The store reads it in
/// the transaction of the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemState {
    /// The highest x among the device's running authorizations under it; 0 when it has none.
    pub running_seats: u32,
    /// Serial of the newest local license of the device under it; 0 when it has none.
    pub newest_serial: u32,
    /// Who holds its seats.
    pub occupied: Occupied,
    /// The excess of the license year that holds this instant: of its slots that have ended.
    pub excess_of_year: u64,
    /// How much of each module is used; a module that is not there was never used.
    pub used: Vec<Used>,
}

impl ItemState {
    /// How much of a module is used; 0 is that of scans.
    #[must_use]
    pub fn used_of(&self, module: u32) -> Used {
        let found = self.used.iter().find(|used| used.module == module);
        found.copied().unwrap_or(Used { module, ..Used::default() })
    }
}

/// In which order items are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the rule: soonest expiry, then the most specific, then the least restrictive.
    ByRule,
    /// As the operator has listed them.
    AsListed,
}

/// What a device gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Which of the candidates.
    pub candidate: usize,
    /// Seats of the device; 0 where the charge way has none.
    pub seats: u32,
    /// Serial of the new local license.
    pub serial: u32,
    /// First instant at which it is no longer good without renewal, Unix seconds.
    pub valid_until: u64,
    /// What the device holds from now on.
    pub hold: Option<Hold>,
    /// Strict items: what it may count, by module.
    pub allowances: Vec<(u32, Allowance)>,
}

/// Decides one authorization.
///
/// # Errors
/// The rule that stands in the way.
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

/// What the tests of the policies start from.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// When the tests' item starts.
    pub(crate) const START: u64 = 1_800_000_000;
    /// When it expires.
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
        Candidate { item: item(quota), revoked: false, state: ItemState::default() }
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
            now: START,
        }
    }
}
