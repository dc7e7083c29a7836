//! The choice of an item among those of a handshake code.
//!
//! An item fits when it passes every check of [`Check`], in that order. If several items fit, the
//! one with the soonest expiry is chosen. Among equals, the most specific item is next: fewest
//! deployment types, then fewest products, then fewest modules. After that come the least
//! restrictive quota and the order of the handshake code. The operator may have fixed that order
//! instead. The quota of pages is that of the requested modules, or of all modules; use under a
//! domain has no limit. Before all these rules, an item that allows the needed count comes before a
//! strict item with less left.
//!
//! When no item fits, the refusal is that of the item that passed the most checks, because the
//! caller most likely means that item. For example, with a scan item and an expired instance item,
//! a request for instances gets the refusal for the expiry and not the one for the scans.

use std::cmp::Reverse;
use std::collections::HashSet;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::license_module::spelling_of;
use seatmeter_protocol::version::Version;

use crate::error::Refusal;
use crate::policy::select::admission::{Admission, admit, page_modules};
use crate::policy::{Candidate, Claim, Order, validity};

/// The checks that an item has to pass, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Check {
    /// The item has the requested charge way.
    ChargeWay,
    /// The item is valid for the deployment type.
    DeploymentType,
    /// The item covers all requested products.
    Products,
    /// The item covers all requested modules.
    Modules,
    /// The item covers the product's version.
    Version,
    /// The item covers the product's edition.
    Edition,
    /// The operator has not revoked the item.
    NotRevoked,
    /// The item has started, and its grace after expiry is not over.
    InEffect,
    /// The items that this item depends on are present and in effect.
    Required,
    /// The rule of the item's charge way grants the request.
    Admission,
}

/// The refusal when no item can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoItem {
    /// The item that passed the most checks, of several the first in the order of the handshake
    /// code; `None` when there is no item at all.
    pub nearest: Option<usize>,
    /// The refusal of that item; without any item, the refusal of the handshake code.
    pub refusal: Refusal,
}

/// Return the index of the item to use, and what it grants.
///
/// # Errors
/// Returns -20104 without any item; otherwise the refusal of the item that passed the most checks.
pub fn choose(
    claim: &Claim,
    candidates: &[Candidate],
    order: Order,
) -> Result<(usize, Admission), NoItem> {
    let mut fitting = Vec::new();
    let mut nearest: Option<(Check, usize, Refusal)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        match fit(claim, candidate, candidates) {
            Ok(admission) => fitting.push((index, admission)),
            Err((check, refusal)) => {
                if nearest.as_ref().is_none_or(|(furthest, ..)| check > *furthest) {
                    nearest = Some((check, index, refusal));
                }
            }
        }
    }
    // With an item that has less left than needed, the device would come back with the same need.
    let order_of = |(index, admission): &(usize, Admission)| {
        let item = &candidates[*index].item;
        let by_rule = || preference(claim, item);
        (!admission.is_enough(claim, item), (order == Order::ByRule).then(by_rule))
    };
    let best = fitting.into_iter().min_by_key(order_of);
    best.ok_or_else(|| match nearest {
        Some((_, index, refusal)) => NoItem { nearest: Some(index), refusal },
        None => NoItem {
            nearest: None,
            refusal: Refusal::new(
                ErrorCode::NO_ITEM_FITS,
                "the handshake code has no license item at all; ask its owner",
            ),
        },
    })
}

/// Return a key by which smaller is better. `min_by_key` keeps the first among equals, which is the
/// order of the handshake code.
fn preference(claim: &Claim, item: &LicenseItem) -> (u64, usize, u32, usize, Reverse<u64>) {
    let deployment_types = item.deployment_types.iter().collect::<HashSet<_>>().len();
    // An item that names no modules covers all modules.
    let modules = match item.modules.iter().collect::<HashSet<_>>().len() {
        0 => usize::MAX,
        named => named,
    };
    (
        item.expires_at,
        deployment_types,
        item.products.count_ones(),
        modules,
        Reverse(quota(claim, item)),
    )
}

/// Return the quota that the item has for the request.
fn quota(claim: &Claim, item: &LicenseItem) -> u64 {
    match item.charge_way {
        ChargeWay::Domain => u64::MAX,
        ChargeWay::Page => {
            let asked = page_modules(&claim.modules);
            let counts = |module| asked.is_empty() || asked.contains(&module);
            let of_asked = item.metered_quotas().into_iter().filter(|(module, _)| counts(*module));
            of_asked.fold(0, |sum, (_, quota)| sum.saturating_add(quota))
        }
        _ => item.quota,
    }
}

/// Return what this item grants, or the check that it fails and the refusal.
fn fit(
    claim: &Claim,
    candidate: &Candidate,
    all: &[Candidate],
) -> Result<Admission, (Check, Refusal)> {
    let item = &candidate.item;
    covers(claim, item)?;
    not_revoked(candidate).map_err(|refusal| (Check::NotRevoked, refusal))?;
    validity::in_effect(item, claim.now).map_err(|refusal| (Check::InEffect, refusal))?;
    has_required(claim, item, all).map_err(|refusal| (Check::Required, refusal))?;
    admit(claim, item, &candidate.state).map_err(|refusal| (Check::Admission, refusal))
}

/// Return whether the outcome for an item depends on its state. It does not when a check before
/// that fails already.
#[must_use]
pub fn needs_state(claim: &Claim, item: &LicenseItem) -> bool {
    covers(claim, item).is_ok() && validity::in_effect(item, claim.now).is_ok()
}

/// Check what the item says about itself: charge way, deployment type, products, modules, version
/// and edition.
fn covers(claim: &Claim, item: &LicenseItem) -> Result<(), (Check, Refusal)> {
    has_charge_way(claim, item).map_err(|refusal| (Check::ChargeWay, refusal))?;
    covers_deployment_type(claim, item).map_err(|refusal| (Check::DeploymentType, refusal))?;
    covers_products(claim, item).map_err(|refusal| (Check::Products, refusal))?;
    covers_modules(claim, item).map_err(|refusal| (Check::Modules, refusal))?;
    covers_version(claim, item).map_err(|refusal| (Check::Version, refusal))?;
    covers_edition(claim, item).map_err(|refusal| (Check::Edition, refusal))
}

fn has_charge_way(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    match claim.charge_way {
        Some(asked) if asked != item.charge_way => Err(Refusal::new(
            ErrorCode::CHARGE_WAY_MISMATCH,
            format!(
                "chargeWay is {}, but item \"{}\" has {}: set chargeWay to 0, and the server \
                 chooses",
                spoken(asked),
                item.item_id,
                spoken(item.charge_way)
            ),
        )),
        _ => Ok(()),
    }
}

/// Return a charge way as C programs know it, and in words.
fn spoken(way: ChargeWay) -> String {
    format!("{} ({})", way.number(), name(&way).replace('_', " "))
}

fn covers_deployment_type(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    if item.serves(claim.deployment_type) {
        Ok(())
    } else {
        Err(wrong_deployment_type(claim.deployment_type, item))
    }
}

/// Return the refusal of a deployment type. Its text names the parameter as C programs know it, and
/// each value that the item accepts.
pub(in crate::policy) fn wrong_deployment_type(
    asked: DeploymentType,
    item: &LicenseItem,
) -> Refusal {
    let named = |kind: &DeploymentType| format!("{} ({})", kind.number(), name(kind));
    let mut good: Vec<DeploymentType> = Vec::new();
    for kind in &item.deployment_types {
        if !good.contains(kind) {
            good.push(*kind);
        }
    }
    let good = good.iter().map(named).collect::<Vec<_>>().join(" or ");
    Refusal::new(
        ErrorCode::DEPLOYMENT_TYPE_MISMATCH,
        format!(
            "deploymentType is {}, for which item \"{}\" is not good: set deploymentType to {good}",
            named(&asked),
            item.item_id
        ),
    )
}

fn covers_products(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    let missing = claim.products & !item.products;
    if missing == 0 {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::PRODUCT_MISMATCH,
        format!(
            "products is {:#x}; item \"{}\" covers {:#x}: take {missing:#x} out of products, or \
             ask your vendor for an \
             item that covers it",
            claim.products, item.item_id, item.products
        ),
    ))
}

fn covers_modules(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    // An item without modules covers all that there are.
    let is_covered = |module: &&String| match item.modules.is_empty() {
        true => spelling_of(module).is_some_and(|known| known == **module),
        false => item.modules.contains(module),
    };
    let missing = claim.modules.iter().find(|module| !is_covered(module));
    match missing {
        Some(module) if item.modules.is_empty() => Err(no_module(module)),
        Some(module) => Err(Refusal::new(
            ErrorCode::NO_ITEM_FITS,
            format!(
                "module {module} was asked for; item \"{}\" covers {} alone: take the module out \
                 of limitedLicenseModules, or \
                 ask your vendor for an item that covers it",
                item.item_id,
                item.modules.join(", ")
            ),
        )),
        None => Ok(()),
    }
}

/// Refuse a request for a module that does not exist, or that is spelled otherwise. It would count
/// as a request for nothing.
fn no_module(name: &str) -> Refusal {
    let todo = match spelling_of(name) {
        Some(known) => format!("write {known}"),
        None => "take it out of the request, or ask your vendor for its name".to_owned(),
    };
    Refusal::new(
        ErrorCode::NO_ITEM_FITS,
        format!("module {name:?} was asked for, and there is no module of this name: {todo}"),
    )
}

fn covers_version(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    let range = &item.versions;
    if claim.product_version.as_ref().map_or(range.is_unbounded(), |version| range.covers(version))
    {
        return Ok(());
    }
    let text = |end: &Option<Version>, open: &str| {
        end.as_ref().map_or(open.to_owned(), Version::to_string)
    };
    let asked = claim.product_version.as_ref().map_or("none".to_owned(), Version::to_string);
    Err(Refusal::new(
        ErrorCode::VERSION_MISMATCH,
        format!(
            "the product's version is {asked}; item \"{}\" covers versions from {} to {}: use one \
             of these, or ask your vendor for \
             an item that covers yours",
            item.item_id,
            text(&range.from, "the first"),
            text(&range.to, "the last")
        ),
    ))
}

fn covers_edition(claim: &Claim, item: &LicenseItem) -> Result<(), Refusal> {
    match &item.edition {
        Some(edition) if claim.product_edition.as_ref() != Some(edition) => Err(Refusal::new(
            ErrorCode::EDITION_MISMATCH,
            format!(
                "the product's edition is {:?}; item \"{}\" covers {edition:?} alone: use this \
                 edition, or ask your vendor",
                claim.product_edition.as_deref().unwrap_or("none"),
                item.item_id
            ),
        )),
        _ => Ok(()),
    }
}

fn not_revoked(candidate: &Candidate) -> Result<(), Refusal> {
    if !candidate.revoked {
        return Ok(());
    }
    let detail = format!("item \"{}\" has been revoked; ask your vendor", candidate.item.item_id);
    Err(Refusal::new(ErrorCode::REVOKED, detail))
}

fn has_required(claim: &Claim, item: &LicenseItem, all: &[Candidate]) -> Result<(), Refusal> {
    let is_there = |id: &String| {
        all.iter().any(|other| {
            other.item.item_id == *id
                && !other.revoked
                && validity::in_effect(&other.item, claim.now).is_ok()
        })
    };
    match item.requires.iter().find(|id| !is_there(id)) {
        None => Ok(()),
        Some(id) => Err(Refusal::new(
            ErrorCode::REQUIRED_ITEM_MISSING,
            format!(
                "item \"{}\" depends on item \"{id}\", which is not under this handshake code, or \
                 not in effect: \
                 ask the code's owner to add it",
                item.item_id
            ),
        )),
    }
}

/// Return the name of a charge way or deployment type in the wire format.
pub(crate) fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|json| json.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
