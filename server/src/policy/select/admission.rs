//! Admission: whether an item can serve a request by the rule of its charge way, and what it
//! grants.
//!
//! | charge way | rule | end, beside the item's validity |
//! | --- | --- | --- |
//! | barcode scans | [`per_barcode_scan`](crate::policy::charge_way::per_barcode_scan), [`strict_allowance`] | – |
//! | pages | [`per_page`](crate::policy::charge_way::per_page), [`strict_allowance`] | – |
//! | client devices, active devices | [`per_client_device`](crate::policy::charge_way::per_client_device) | its window |
//! | servers | [`per_server`](crate::policy::charge_way::per_server) | its window |
//! | domain | [`per_domain`](crate::policy::charge_way::per_domain) | – |
//! | concurrent devices | [`per_concurrent_device`](crate::policy::charge_way::per_concurrent_device) | the slot, once overused |
//! | concurrent instances | [`per_concurrent_instance`](crate::policy::charge_way::per_concurrent_instance) | the slot, once overused |

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::grace::{DEVICE_GRACE_PERCENT, METERED_GRACE_PERCENT, grace};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{Meter, MeterState, Metered};
use seatmeter_protocol::page_module::{PAGE_MODULES, page_module_name};

use crate::error::Refusal;
use crate::policy::charge_way::per_page::PageCounts;
use crate::policy::charge_way::{
    per_barcode_scan, per_client_device, per_concurrent_device, per_concurrent_instance,
    per_domain, per_page, per_server,
};
use crate::policy::holders::Hold;
use crate::policy::metered::{Standing, standing};
use crate::policy::overuse::OveruseRule;
use crate::policy::running::Running;
use crate::policy::strict_allowance::{self, Allowance, Allowances, Need};
use crate::policy::{Claim, ItemState, validity};

/// The grant of an item to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The seats of the device; 0 where the charge way has none.
    pub seats: u32,
    /// The seats that the device holds from now on, so that other devices cannot have them.
    pub hold: Option<Hold>,
    /// For strict items, the number that the device may count, by module.
    pub allowances: Vec<(u32, Allowance)>,
}

impl Admission {
    /// Return whether the device can count as much more of this item as it needs, in each module.
    pub(super) fn is_enough(&self, claim: &Claim, item: &LicenseItem) -> bool {
        self.allowances.iter().all(|(module, allowance)| {
            let lost = claim.lost_of(&item.item_id, *module);
            let usable = allowance.unused().saturating_sub(lost);
            usable >= claim.needed && (lost == 0 || usable > 0)
        })
    }
}

/// The use of one module; module 0 stands for scans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The number of the module.
    pub module: u32,
    /// The number that all devices have used.
    pub used: u64,
    /// For strict items, the sum of the allowances of all devices.
    pub allowed: u64,
    /// For strict items, the number of devices that are allowed more than they have used.
    pub devices: u64,
    /// For strict items, the allowance of the device that makes the request.
    pub own: Allowance,
}

/// Return what the item grants.
///
/// # Errors
/// Returns the refusal by the rule of the item's charge way.
pub fn admit(claim: &Claim, item: &LicenseItem, state: &ItemState) -> Result<Admission, Refusal> {
    let occupied = &state.occupied;
    let held = |hold: Hold| Admission { hold: Some(hold), ..Admission::default() };
    match item.charge_way {
        ChargeWay::BarcodeScan => {
            let modules = [0];
            per_barcode_scan::decide(item, state.used_of(0).used)?;
            allowances(claim, item, state, &modules)
        }
        ChargeWay::Page => {
            let modules = page_modules(&claim.modules);
            per_page::decide(item, &page_counts(state), &modules)?;
            allowances(claim, item, state, &modules)
        }
        ChargeWay::ClientDevice | ChargeWay::ActiveDevice => {
            if claim.deployment_type == DeploymentType::Browser {
                per_client_device::browser_device("", &claim.website)?;
            }
            per_client_device::decide(item, occupied, claim.now).map(|(_, hold)| held(hold))
        }
        ChargeWay::Server => per_server::decide(claim.deployment_type, item, occupied, claim.now)
            .map(|(_, hold)| held(hold)),
        ChargeWay::Domain => {
            let domains = per_domain::Domains::listed(&item.domains).map_err(|why| {
                Refusal::new(ErrorCode::NO_ITEM_FITS, format!("item \"{}\" {why}", item.item_id))
            })?;
            per_domain::decide(&item.item_id, &domains, &claim.website)
                .map(|()| Admission::default())
        }
        ChargeWay::ConcurrentDevice => {
            per_concurrent_device::decide(item, state.excess_of_year, occupied, claim.now)
                .map(|admission| Admission { hold: held_by(admission), ..Admission::default() })
        }
        ChargeWay::ConcurrentInstance => {
            let seats = per_concurrent_instance::seats(claim, item, state.running_seats)?;
            per_concurrent_instance::admit(item, seats, state.excess_of_year, occupied, claim.now)
                .map(|admission| Admission {
                    seats,
                    hold: held_by(admission),
                    ..Admission::default()
                })
        }
    }
}

/// Return the first instant at which a local license with this admission is no longer valid without
/// renewal.
#[must_use]
pub fn valid_until(admission: &Admission, item: &LicenseItem, claim: &Claim) -> u64 {
    let by_item = validity::valid_until(item, claim.buffer_days, claim.now);
    admission.hold.map_or(by_item, |hold| hold.until.min(by_item))
}

/// Return the name under which a device holds seats: its UUID, followed by the origin in a browser
/// that has one.
#[must_use]
pub fn holder_name(claim: &Claim, device_uuid: &str) -> String {
    let by_origin = match claim.deployment_type {
        DeploymentType::Browser => {
            per_client_device::browser_device(device_uuid, &claim.website).ok()
        }
        _ => None,
    };
    by_origin.unwrap_or_else(|| device_uuid.to_owned())
}

fn held_by(admission: Running) -> Option<Hold> {
    match admission {
        Running::Free => None,
        Running::PerSlot(hold) => Some(hold),
    }
}

/// Return the page modules among the requested modules; the others are features of the product.
pub(super) fn page_modules(asked: &[String]) -> Vec<u32> {
    let number = |name: &String| {
        PAGE_MODULES.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    };
    asked.iter().filter_map(number).collect()
}

fn page_counts(state: &ItemState) -> PageCounts {
    PageCounts(PAGE_MODULES.map(|(_, module)| state.used_of(module).used))
}

/// Return what the device may count under a strict item. Each requested module must have something
/// left. If no module is requested, one with something left is enough.
fn allowances(
    claim: &Claim,
    item: &LicenseItem,
    state: &ItemState,
    asked: &[u32],
) -> Result<Admission, Refusal> {
    let mut admission = Admission::default();
    if !item.strict {
        return Ok(admission);
    }
    let (mut first_refusal, mut is_granted) = (None, false);
    let serial = validity::next_serial(state.newest_serial, claim.now);
    for (module, quota) in item.metered_quotas() {
        let used = state.used_of(module);
        let devices = used.devices + u64::from(used.own.unused() == 0);
        let all = Allowances { quota, allowed: used.allowed, devices };
        let name = match module {
            0 => item.item_id.clone(),
            _ => format!("{}, {} pages", item.item_id, page_module_name(module)),
        };
        let need = Need { needed: claim.needed, lost: claim.lost_of(&item.item_id, module) };
        match strict_allowance::decide(&name, &all, used.own, need, serial) {
            Ok(allowance) => {
                admission.allowances.push((module, allowance));
                is_granted = true;
            }
            Err(refusal) if asked.contains(&module) => return Err(refusal),
            Err(refusal) => {
                admission.allowances.push((module, Allowance { serial, ..used.own }));
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    match first_refusal {
        Some(refusal) if !is_granted => Err(refusal),
        _ => Ok(admission),
    }
}

/// Return how far an item is used at an instant, for the people who use it.
#[must_use]
pub fn meters(item: &LicenseItem, state: &ItemState, now: u64) -> Vec<Meter> {
    let held = state.occupied.by_others + state.occupied.own.map_or(0, |hold| hold.seats);
    let devices = |grace| {
        let state = match held {
            held if held < item.quota => MeterState::Within,
            held if held < item.quota.saturating_add(grace) => MeterState::InGrace,
            _ => MeterState::UsedUp,
        };
        vec![Meter { of: Metered::Devices, module: 0, quota: item.quota, used: held, grace, state }]
    };
    match item.charge_way {
        ChargeWay::BarcodeScan | ChargeWay::Page => item
            .metered_quotas()
            .into_iter()
            .map(|(module, quota)| metered(item, module, quota, state))
            .collect(),
        ChargeWay::ClientDevice | ChargeWay::ActiveDevice => {
            devices(grace(item.quota, DEVICE_GRACE_PERCENT))
        }
        ChargeWay::Server => devices(0),
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance => {
            let rule = OveruseRule::of(item);
            let overused = rule.is_overused(state.excess_of_year, now);
            vec![Meter {
                of: Metered::Excess,
                module: 0,
                quota: rule.budget_at(now),
                used: state.excess_of_year,
                grace: 0,
                state: if overused { MeterState::Overused } else { MeterState::Within },
            }]
        }
        _ => Vec::new(),
    }
}

fn metered(item: &LicenseItem, module: u32, quota: u64, state: &ItemState) -> Meter {
    let used = state.used_of(module).used;
    Meter {
        of: if item.charge_way == ChargeWay::Page { Metered::Pages } else { Metered::Scans },
        module,
        quota,
        used,
        grace: grace(quota, METERED_GRACE_PERCENT),
        state: match standing(used, quota) {
            Standing::Within => MeterState::Within,
            Standing::InGrace => MeterState::InGrace,
            Standing::UsedUp => MeterState::UsedUp,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START, claim};
    use crate::policy::holders::Occupied;
    use seatmeter_protocol::license::{DAY_SECONDS, PageQuotas};

    fn item(charge_way: ChargeWay, quota: u64) -> LicenseItem {
        LicenseItem::new("item", charge_way, quota, START, EXPIRY)
    }

    #[test]
    fn a_seat_with_a_window_ends_with_it_and_one_without_by_the_items_rules() {
        for (way, days) in [
            (ChargeWay::ClientDevice, 7),
            (ChargeWay::Server, 1),
            (ChargeWay::ConcurrentDevice, 7),
            (ChargeWay::ConcurrentInstance, 7),
        ] {
            let (item, claim) = (item(way, 4), claim(1));
            let admission = admit(&claim, &item, &ItemState::default()).unwrap();
            assert_eq!(
                valid_until(&admission, &item, &claim),
                START + days * DAY_SECONDS,
                "{way:?}"
            );
            let holds = matches!(way, ChargeWay::ClientDevice | ChargeWay::Server);
            assert_eq!(admission.hold.is_some(), holds, "{way:?}");
        }
    }

    #[test]
    fn an_overused_item_is_granted_by_the_slot() {
        let state = ItemState { excess_of_year: 4_001, ..ItemState::default() };
        for way in [ChargeWay::ConcurrentDevice, ChargeWay::ConcurrentInstance] {
            let (item, claim) = (item(way, 4), claim(1));
            let admission = admit(&claim, &item, &state).unwrap();
            assert_eq!(valid_until(&admission, &item, &claim), START + 180 + 60, "{way:?}");
            assert_eq!(meters(&item, &state, START)[0].state, MeterState::Overused);
        }
    }

    #[test]
    fn a_strict_item_comes_with_allowances_and_another_without() {
        let strict = LicenseItem { strict: true, ..item(ChargeWay::BarcodeScan, 1_000) };
        let granted = admit(&claim(1), &strict, &ItemState::default()).unwrap();
        let [(0, allowance)] = granted.allowances.as_slice() else { panic!("{granted:?}") };
        // A single device gets half of 1 050.
        assert_eq!((allowance.allowed, allowance.used), (525, 0));
        let plain = item(ChargeWay::BarcodeScan, 1_000);
        assert_eq!(admit(&claim(1), &plain, &ItemState::default()), Ok(Admission::default()));
    }

    #[test]
    fn a_strict_page_item_needs_something_left_in_each_module_that_is_asked_for() {
        let page_quotas = Some(PageQuotas { core: 100, ocr: 100, ..PageQuotas::default() });
        let item = LicenseItem { strict: true, page_quotas, ..item(ChargeWay::Page, 0) };
        let gone = Used { module: 4, allowed: 105, devices: 1, ..Used::default() };
        let state = ItemState { used: vec![gone], ..ItemState::default() };
        let asking = |modules: &[&str]| {
            let modules = modules.iter().map(|name| (*name).to_owned()).collect();
            admit(&Claim { modules, ..claim(1) }, &item, &state).map_err(|refusal| refusal.code)
        };
        assert_eq!(asking(&["OCR"]), Err(ErrorCode::USED_UP));
        let serial = validity::next_serial(0, START);
        for modules in [&["CORE"][..], &[]] {
            let allowed: Vec<_> = asking(modules)
                .unwrap()
                .allowances
                .iter()
                .map(|(module, own)| (*module, own.allowed, own.serial))
                .collect();
            assert_eq!(allowed, [(1, 52, serial), (4, 0, serial)], "{modules:?}");
        }
    }

    #[test]
    fn a_strict_page_item_with_nothing_left_in_any_module_is_used_up() {
        let page_quotas = Some(PageQuotas { core: 100, ocr: 100, ..PageQuotas::default() });
        let item = LicenseItem { strict: true, page_quotas, ..item(ChargeWay::Page, 0) };
        let gone = |module| Used { module, allowed: 105, devices: 1, ..Used::default() };
        let state = ItemState { used: vec![gone(1), gone(4)], ..ItemState::default() };
        let refusal = admit(&claim(1), &item, &state).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::USED_UP);
        assert!(refusal.detail.contains("\"item, CORE pages\" is strict"), "{}", refusal.detail);
    }

    #[test]
    fn a_device_shares_what_is_left_of_a_strict_item_with_those_that_hold_some_of_it() {
        let item = LicenseItem { strict: true, ..item(ChargeWay::BarcodeScan, 100) };
        let allowed = |used: Used| {
            let state = ItemState { used: vec![used], ..ItemState::default() };
            admit(&claim(1), &item, &state).map(|admission| admission.allowances[0].1.allowed)
        };
        assert_eq!(allowed(Used::default()), Ok(52), "half of 105");
        let other = Used { allowed: 52, devices: 1, ..Used::default() };
        assert_eq!(allowed(other), Ok(13), "half of 53, by two");
        // A device that has some left is one of the devices already. Alone, it could have the 53
        // and its 26, and gets half of that.
        let own = Allowance { allowed: 52, used: 26, ..Allowance::default() };
        assert_eq!(allowed(Used { used: 26, own, ..other }), Ok(26 + 39));
        let refusal = allowed(Used { allowed: 105, ..other }).unwrap_err();
        assert!(refusal.detail.contains("item \"item\" is strict"), "{}", refusal.detail);
    }

    #[test]
    fn pages_that_are_used_up_stop_their_own_module_alone() {
        let page_quotas = Some(PageQuotas { core: 100, ocr: 100, ..PageQuotas::default() });
        let item = LicenseItem { page_quotas, ..item(ChargeWay::Page, 0) };
        let core = Used { module: 1, used: 105, ..Used::default() };
        let state = ItemState { used: vec![core], ..ItemState::default() };
        let asking = |module: &str| {
            let claim = Claim { modules: vec![module.into()], ..claim(1) };
            admit(&claim, &item, &state).map_err(|refusal| refusal.code)
        };
        assert_eq!(asking("CORE"), Err(ErrorCode::USED_UP));
        assert_eq!(asking("OCR"), Ok(Admission::default()));
    }

    #[test]
    fn a_module_that_was_never_used_has_all_of_its_quota() {
        let of_ocr = Used { module: 4, used: 7, ..Used::default() };
        let state = ItemState { used: vec![of_ocr], ..ItemState::default() };
        assert_eq!(state.used_of(4), of_ocr);
        assert_eq!(state.used_of(1), Used { module: 1, ..Used::default() });
    }

    #[test]
    fn a_meter_says_what_the_next_device_would_meet() {
        use MeterState::{InGrace, UsedUp, Within};
        for (way, held, grace, expected) in [
            (ChargeWay::ClientDevice, 9, 1, Within),
            (ChargeWay::ClientDevice, 10, 1, InGrace),
            (ChargeWay::ActiveDevice, 10, 1, InGrace),
            (ChargeWay::ActiveDevice, 11, 1, UsedUp),
            (ChargeWay::Server, 9, 0, Within),
            (ChargeWay::Server, 10, 0, UsedUp),
        ] {
            let occupied = Occupied { by_others: held, ..Occupied::default() };
            let state = ItemState { occupied, ..ItemState::default() };
            let (of, quota) = (Metered::Devices, 10);
            let meter = Meter { of, module: 0, quota, used: held, grace, state: expected };
            let item = item(way, 10);
            assert_eq!(meters(&item, &state, START), [meter], "{way:?}");
            let is_admitted = admit(&claim(1), &item, &state).is_ok();
            assert_eq!(is_admitted, expected != UsedUp, "{way:?}, {held} held");
        }
    }

    #[test]
    fn scans_have_one_meter_and_pages_one_for_each_module() {
        let meter =
            |of, module, quota, used, grace, state| Meter { of, module, quota, used, grace, state };
        let used = |module, used| Used { module, used, ..Used::default() };
        let state = |used| ItemState { used, ..ItemState::default() };
        assert_eq!(
            meters(&item(ChargeWay::BarcodeScan, 1_000), &state(vec![used(0, 1_049)]), START),
            [meter(Metered::Scans, 0, 1_000, 1_049, 50, MeterState::InGrace)]
        );
        let page_quotas = Some(PageQuotas { core: 100, ocr: 10, ..PageQuotas::default() });
        let pages = LicenseItem { page_quotas, ..item(ChargeWay::Page, 0) };
        assert_eq!(
            meters(&pages, &state(vec![used(1, 99), used(4, 11)]), START),
            [
                meter(Metered::Pages, 1, 100, 99, 5, MeterState::Within),
                meter(Metered::Pages, 4, 10, 11, 1, MeterState::UsedUp),
            ]
        );
        assert_eq!(meters(&item(ChargeWay::Domain, 0), &ItemState::default(), START), []);
    }

    #[test]
    fn a_device_that_holds_a_seat_counts_once_in_the_meter() {
        let occupied = Occupied {
            by_others: 10,
            own: Some(Hold { seats: 1, until: START + 1 }),
            first_free_at: None,
        };
        let state = ItemState { occupied, ..ItemState::default() };
        let meter = meters(&item(ChargeWay::ClientDevice, 10), &state, START)[0];
        assert_eq!((meter.used, meter.grace, meter.state), (11, 1, MeterState::UsedUp));
        assert!(
            admit(&claim(1), &item(ChargeWay::ClientDevice, 10), &state).is_ok(),
            "it keeps its seat"
        );
    }

    #[test]
    fn a_browser_holds_its_seat_by_origin() {
        let browser = Claim {
            deployment_type: DeploymentType::Browser,
            website: "https://Shop.example".into(),
            ..claim(1)
        };
        assert_eq!(holder_name(&browser, "ab"), "ab@https://shop.example:443");
        assert_eq!(holder_name(&claim(1), "ab"), "ab");
        let item = item(ChargeWay::ClientDevice, 10);
        assert!(admit(&browser, &item, &ItemState::default()).is_ok());
        let none = Claim { website: String::new(), ..browser };
        let refusal = admit(&none, &item, &ItemState::default()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::VALIDATION_FIELD_MISMATCH);
    }
}
