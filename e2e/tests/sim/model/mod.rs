//! The license rules a second time, naively: the answers that the server may give, by the rules'
//! own words and numbers.

mod seen;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::LicenseItem;

use crate::books::Books;
use crate::plan::Code;
use crate::seats_by_slot::SeatsBySlot;
use crate::time::START;
pub(crate) use verdict::Asking;

pub(crate) const DAY: u64 = 86_400;
pub(crate) const SLOT: u64 = 180;
const SCAN: u8 = 1;
const PAGE: u8 = 2;

/// The hold of a device on the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) seats: u64,
    pub(crate) until: u64,
}

/// The facts that the server should know.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) item: LicenseItem,
    pub(crate) is_revoked: bool,
    pub(crate) code: Code,
    /// The website of each device's requests.
    pub(crate) websites: BTreeMap<String, String>,
    /// The number that each device counts as in each slot, and the resulting excess of each license
    /// year.
    active: BTreeMap<(u32, String), u64>,
    excess: BTreeMap<u64, u64>,
    /// The holds, by device.
    pub(crate) holds: BTreeMap<String, Hold>,
    serials: BTreeMap<String, u32>,
    /// The serial of the newest license that each device has shown.
    shown: BTreeMap<String, u32>,
    /// The first contact of each device: the last request that showed nothing, and was granted.
    first_contacts: BTreeMap<String, FirstContact>,
    /// The instant at which each device was last granted a license for a state that it had lost.
    lost_at: BTreeMap<String, u64>,
    /// The UUIDs that strangers have licenses under.
    pub(crate) of_strangers: BTreeSet<String>,
    /// Whether somebody has edited the license file in the database.
    pub(crate) is_edited: bool,
    /// The authorizations, by license.
    authorized: BTreeMap<String, Authorized>,
    /// The seats of each device, keyed by the slot from which they apply.
    seats: BTreeMap<String, SeatsBySlot>,
    pub(crate) restores: u32,
    /// The instant until which a restored server is careful.
    pub(crate) careful_until: u64,
    /// Seats and allowances beyond the limit that a restored server had forgotten and devices have
    /// shown.
    pub(crate) brought_back: Beyond,
    /// How often the operator has re-armed an alert that stood, by its id.
    pub(crate) rearmed: BTreeMap<String, u64>,
}

/// A granted request that showed nothing.
#[derive(Clone, Debug)]
struct FirstContact {
    id: String,
    /// Whether the device has shown a license since.
    has_shown: bool,
}

/// An authorization. Applications of a device that ask for different x have one each.
#[derive(Clone, Debug)]
struct Authorized {
    device: String,
    serial: u32,
    x: u32,
    until: u64,
}

/// The upper bound: the limit, or what was brought back beyond it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beyond {
    pub(crate) seats: u64,
    /// The allowances, by module.
    pub(crate) allowed: BTreeMap<u32, u64>,
}

impl Model {
    pub(crate) fn new(item: LicenseItem) -> Self {
        Self {
            item,
            is_revoked: false,
            code: Code::default(),
            websites: BTreeMap::new(),
            active: BTreeMap::new(),
            excess: BTreeMap::new(),
            holds: BTreeMap::new(),
            serials: BTreeMap::new(),
            shown: BTreeMap::new(),
            first_contacts: BTreeMap::new(),
            lost_at: BTreeMap::new(),
            of_strangers: BTreeSet::new(),
            is_edited: false,
            authorized: BTreeMap::new(),
            seats: BTreeMap::new(),
            restores: 0,
            careful_until: 0,
            brought_back: Beyond::default(),
            rearmed: BTreeMap::new(),
        }
    }

    /// Return the model of a server restored from this state.
    pub(crate) fn restored(&self, careful_until: u64, restores: u32) -> Self {
        Self { restores, careful_until, ..self.clone() }
    }

    pub(crate) fn asks(&mut self, device: &str, website: &str) {
        self.websites.insert(device.to_owned(), website.to_owned());
    }

    pub(crate) fn release(&mut self, device: &str, at: u64) {
        self.holds.remove(device);
        let authorized = self.authorized.values_mut().filter(|one| one.device == device);
        authorized.for_each(|one| one.until = one.until.min(at));
    }

    /// Return the holders that hold something now.
    pub(crate) fn alive(&self, at: u64) -> BTreeMap<&str, Hold> {
        let alive = self.holds.iter().filter(|(_, hold)| hold.until > at);
        alive.map(|(device, hold)| (device.as_str(), *hold)).collect()
    }

    pub(crate) fn is_of_browsers(&self) -> bool {
        self.item.deployment_types == [DeploymentType::Browser]
    }

    fn is_by_window(&self) -> bool {
        matches!(self.item.charge_way, ChargeWay::ClientDevice | ChargeWay::Server)
    }

    /// Return N and its grace, by the words of the rules: `round(p % · N)`.
    pub(crate) fn limit(&self, quota: u64) -> u64 {
        let percent = match self.item.charge_way {
            ChargeWay::ClientDevice => 10,
            ChargeWay::BarcodeScan | ChargeWay::Page => 5,
            _ => 0,
        };
        let grace = quota * percent / 100 + u64::from(quota * percent % 100 >= 50);
        quota + grace
    }

    fn grace_end(&self) -> u64 {
        self.item.expires_at + 7 * DAY
    }

    /// Return the seats that are held now.
    pub(crate) fn held(&self, at: u64) -> u64 {
        self.alive(at).values().map(|hold| hold.seats).sum()
    }

    /// Return every module that is counted, with its quota; 0 is that of scans.
    pub(crate) fn modules(&self) -> Vec<(u32, u64)> {
        let quotas = self.item.page_quotas.unwrap_or_default();
        match self.item.charge_way {
            ChargeWay::BarcodeScan => vec![(0, self.item.quota)],
            ChargeWay::Page => {
                [(1, quotas.core), (2, quotas.webcam)].into_iter().filter(|(_, n)| *n > 0).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Return the used part of a module's quota.
    pub(crate) fn used(&self, books: &Books, module: u32) -> u64 {
        if module == 0 { books.used(SCAN, None) } else { books.used(PAGE, Some(module)) }
    }

    /// Return `max(0, active − N)` of a slot.
    fn above_quota(&self, slot: u32) -> u64 {
        let active = self.active.range((slot, String::new())..(slot + 1, String::new()));
        active.map(|(_, count)| count).sum::<u64>().saturating_sub(self.item.quota)
    }

    /// Return the excess of all license years.
    pub(crate) fn excess(&self) -> u64 {
        self.excess.values().sum()
    }

    /// Return the number that a device counts as in a slot.
    fn counts_as(&self, device: &str, slot: u32) -> u64 {
        match self.item.charge_way {
            ChargeWay::ConcurrentInstance => {
                self.seats.get(device).map_or(1, |seats| u64::from(seats.of(slot)))
            }
            _ => 1,
        }
    }
}

/// Return the license year of a slot, counted from the item's first instant. Earlier slots are in
/// the first year.
fn year_of(slot: u32) -> u64 {
    (u64::from(slot) * SLOT).saturating_sub(START) / (365 * DAY)
}
