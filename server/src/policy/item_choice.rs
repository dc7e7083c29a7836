//! Which item of a handshake code is used.
//!
//! An item fits when it passes every check of [`Check`], in that order. Of those that fit, the first by
//! soonest expiry; then the most specific: fewest deployment types, then fewest products; then the least
//! restrictive quota; then the order of the handshake code.
//!
//! When none fits, the refusal is that of the item that came furthest, because that is the one that the
//! caller most likely means: with a scan item and an expired instance item, a request for instances hears
//! of the expiry and not of the scans.

use std::cmp::Reverse;
use std::collections::HashSet;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;

use crate::error::Refusal;
use crate::policy::{Candidate, Claim, per_concurrent_instance, validity};

/// The checks that an item has to pass, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Check {
    /// It has the charge way that is asked for.
    ChargeWay,
    /// This version of the server can grant from it.
    Grantable,
    /// It is good for the deployment type.
    DeploymentType,
    /// It covers all products that are asked for.
    Products,
    /// It has started, and its grace after expiry is not over.
    InEffect,
    /// The rule of its charge way grants what is asked for.
    Room,
}

/// Index of the item to use, and the seats that it grants.
///
/// # Errors
/// -20104 without any item; otherwise the refusal of the item that came furthest.
pub fn choose(claim: &Claim, candidates: &[Candidate]) -> Result<(usize, u32), Refusal> {
    let mut fitting = Vec::new();
    let mut nearest: Option<(Check, Refusal)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        match fit(claim, candidate) {
            Ok(seats) => fitting.push((index, seats)),
            Err((check, refusal)) => {
                if nearest.as_ref().is_none_or(|(furthest, _)| check > *furthest) {
                    nearest = Some((check, refusal));
                }
            }
        }
    }
    let best = fitting.into_iter().min_by_key(|(index, _)| preference(&candidates[*index].item));
    best.ok_or_else(|| {
        nearest.map_or_else(
            || {
                Refusal::new(
                    ErrorCode::NO_ITEM_FITS,
                    "the handshake code has no licence item at all; ask its owner",
                )
            },
            |(_, refusal)| refusal,
        )
    })
}

/// Smaller is better. `min_by_key` keeps the first among equals: the order of the handshake code.
fn preference(item: &LicenseItem) -> (u64, usize, u32, Reverse<u64>) {
    let deployment_types = item.deployment_types.iter().collect::<HashSet<_>>().len();
    (item.expires_at, deployment_types, item.products.count_ones(), Reverse(item.quota))
}

/// The seats that this item grants, or the check that it fails.
fn fit(claim: &Claim, candidate: &Candidate) -> Result<u32, (Check, Refusal)> {
    let item = &candidate.item;
    has_charge_way(claim, item).map_err(|refusal| (Check::ChargeWay, refusal))?;
    is_grantable(item).map_err(|refusal| (Check::Grantable, refusal))?;
    covers_deployment_type(claim, item).map_err(|refusal| (Check::DeploymentType, refusal))?;
    covers_products(claim, item).map_err(|refusal| (Check::Products, refusal))?;
    validity::in_effect(item, claim.now).map_err(|refusal| (Check::InEffect, refusal))?;
    per_concurrent_instance::seats(claim, item, candidate.running_seats)
        .map_err(|refusal| (Check::Room, refusal))
}

fn has_charge_way(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    match claim.charge_way {
        Some(asked) if asked != item.charge_way => Err(Refusal::new(
            ErrorCode::CHARGE_WAY_MISMATCH,
            format!(
                "charge way {} was asked for; the handshake code has no item with it, but one with {}",
                name(&asked),
                name(&item.charge_way)
            ),
        )),
        _ => Ok(()),
    }
}

fn is_grantable(item: &LicenseItem) -> Result<(), Refusal> {
    if item.charge_way == ChargeWay::ConcurrentInstance {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::CHARGE_WAY_MISMATCH,
        format!(
            "item \"{}\" is charged by {}, which this version of the license server cannot grant; it grants {}",
            item.item_id,
            name(&item.charge_way),
            name(&ChargeWay::ConcurrentInstance)
        ),
    ))
}

fn covers_deployment_type(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    if item.deployment_types.contains(&claim.deployment_type) {
        return Ok(());
    }
    let listed: Vec<_> = item.deployment_types.iter().map(name).collect();
    Err(Refusal::new(
        ErrorCode::DEPLOYMENT_TYPE_MISMATCH,
        format!(
            "deployment type {} was asked for; item \"{}\" is good for {}",
            name(&claim.deployment_type),
            item.item_id,
            listed.join(", ")
        ),
    ))
}

fn covers_products(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    let missing = claim.products & !item.products;
    if missing == 0 {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::PRODUCT_MISMATCH,
        format!(
            "products {:#x} were asked for; item \"{}\" covers {:#x}, without {missing:#x}",
            claim.products, item.item_id, item.products
        ),
    ))
}

/// The name by which the wire knows a charge way or deployment type.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START, candidate, claim};
    use seatmeter_protocol::charge_way::DeploymentType;

    fn changed(quota: u64, change: impl FnOnce(&mut LicenseItem)) -> Candidate {
        let mut candidate = candidate(quota);
        change(&mut candidate.item);
        candidate
    }

    fn index(claim: &Claim, candidates: &[Candidate]) -> Result<usize, ErrorCode> {
        choose(claim, candidates).map(|(index, _)| index).map_err(|refusal| refusal.code)
    }

    #[test]
    fn without_items_nothing_fits() {
        assert_eq!(index(&claim(1), &[]), Err(ErrorCode::NO_ITEM_FITS));
    }

    #[test]
    fn each_check_has_its_refusal() {
        let scan = changed(4, |item| item.charge_way = ChargeWay::BarcodeScan);
        let desktop = changed(4, |item| item.deployment_types = vec![DeploymentType::Desktop]);
        let other_product = changed(4, |item| item.products = 0x1);
        let future = changed(4, |item| item.starts_at = START + 1);
        let past = changed(4, |item| item.expires_at = START - 7 * 86_400);
        let small = candidate(2);
        for (item, expected) in [
            (&scan, ErrorCode::CHARGE_WAY_MISMATCH),
            (&desktop, ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
            (&other_product, ErrorCode::PRODUCT_MISMATCH),
            (&future, ErrorCode::NOT_YET_IN_EFFECT),
            (&past, ErrorCode::EXPIRED),
            (&small, ErrorCode::INSTANCE_COUNT_OVER_LIMIT),
        ] {
            assert_eq!(index(&claim(3), std::slice::from_ref(item)), Err(expected));
        }
        let all = [scan, desktop, other_product, future, past, small];
        for order in [all.clone(), {
            let mut turned = all;
            turned.reverse();
            turned
        }] {
            let furthest = index(&claim(3), &order);
            assert_eq!(furthest, Err(ErrorCode::INSTANCE_COUNT_OVER_LIMIT), "the nearest miss is told");
        }
    }

    #[test]
    fn a_charge_way_that_cannot_be_granted_is_called_that() {
        for (way, _) in ChargeWay::ALL {
            let item = [changed(4, |item| item.charge_way = way)];
            let outcome = choose(&Claim { charge_way: Some(way), ..claim(1) }, &item);
            if way == ChargeWay::ConcurrentInstance {
                assert_eq!(outcome, Ok((0, 1)));
            } else {
                let refusal = outcome.unwrap_err();
                assert_eq!(refusal.code, ErrorCode::CHARGE_WAY_MISMATCH);
                assert!(refusal.detail.contains("cannot grant"), "{}", refusal.detail);
            }
        }
    }

    #[test]
    fn an_explicit_charge_way_passes_over_other_items() {
        let scan = changed(4, |item| item.charge_way = ChargeWay::BarcodeScan);
        let asked = Claim { charge_way: Some(ChargeWay::ConcurrentInstance), ..claim(1) };
        assert_eq!(index(&asked, &[scan.clone(), candidate(4)]), Ok(1));
        assert_eq!(index(&asked, &[scan]), Err(ErrorCode::CHARGE_WAY_MISMATCH));
    }

    #[test]
    fn the_order_is_expiry_then_specific_then_quota_then_position() {
        let base = candidate(4);
        let later = changed(4, |item| item.expires_at = EXPIRY + 1);
        let more_types = changed(4, |item| item.deployment_types.push(DeploymentType::Desktop));
        let same_type_twice = changed(4, |item| item.deployment_types.push(DeploymentType::Server));
        let more_products = changed(4, |item| item.products = 0x1_ffff);
        let specific_but_later = changed(9, |item| {
            item.expires_at = EXPIRY + 1;
            item.products = 0xffff;
        });
        for (better, worse) in [
            (&base, &later),
            (&more_types, &later),
            (&base, &more_types),
            (&more_products, &more_types),
            (&base, &more_products),
            (&more_products, &specific_but_later),
            (&candidate(9), &base),
        ] {
            assert_eq!(index(&claim(1), &[better.clone(), worse.clone()]), Ok(0));
            assert_eq!(index(&claim(1), &[worse.clone(), better.clone()]), Ok(1));
        }
        assert_eq!(index(&claim(1), &[base.clone(), same_type_twice.clone()]), Ok(0));
        assert_eq!(index(&claim(1), &[same_type_twice, base]), Ok(0));
    }

    #[test]
    fn an_item_without_room_is_passed_over() {
        let small_and_soon = changed(2, |item| item.expires_at = EXPIRY - 1);
        let candidates = [small_and_soon, candidate(4)];
        assert_eq!(index(&claim(2), &candidates), Ok(0));
        assert_eq!(index(&claim(3), &candidates), Ok(1));
        assert_eq!(index(&claim(5), &candidates), Err(ErrorCode::INSTANCE_COUNT_OVER_LIMIT));
    }
}
