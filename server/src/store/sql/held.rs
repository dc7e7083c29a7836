//! The local license that a device shows with a request: it must follow the device's history, and
//! may be one that this server has forgotten.
//!
//! A server that was restored from a backup older than a grant does not know the grant. It trusts
//! its own signature, which the caller has checked, and records the grant again: usage can then be
//! booked to it, and its seats count as running.

use std::collections::{BTreeMap, HashMap};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LocalLicense;

use super::batch::Batch;
use super::segments::{Owner, Owners};
use crate::error::Error;
use crate::policy::clone::{self, Before, Shown};
use crate::store::Authorization;
use crate::store::account::Kept;
use crate::store::account::load::Accounts;

/// The license that a series of requests of a device has shown last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) generation: String,
    pub(super) serial: u32,
    pub(super) epoch: String,
}

/// The histories of devices: by the device's UUID, and then by the series of requests.
pub(super) type Histories = HashMap<String, BTreeMap<String, Kept<History>>>;

/// Record the license that the device shows, if this server has forgotten it. `holder` is the name
/// under which the device holds seats.
pub(super) fn remember(
    accounts: &mut Accounts,
    owners: &mut Owners,
    request: &Authorization,
    holder: &str,
) {
    let Some(held) = &request.held else { return };
    let Some(account) = accounts.get_mut(&held.item_id) else { return };
    account.remember(held, &request.device, Some(holder));
    account.take_name(&held.device_uuid, holder);
    let owner = Owner { item_id: held.item_id.clone(), device_uuid: held.device_uuid.clone() };
    owners.insert(held.license_id.clone(), owner);
}

/// What a device's next license follows.
pub(super) struct Parent {
    /// The generation of the license that the device shows; empty when it shows none.
    pub(super) generation: String,
    /// Whether that license becomes the one shown last.
    goes_on: bool,
}

/// Check that the license which the device shows follows its history.
pub(super) fn follow_history(batch: &Batch<'_>, request: &Authorization) -> Result<Parent, Error> {
    let none = Parent { generation: String::new(), goes_on: false };
    let (uuid, scope, epoch) = (&request.device.uuid, &request.scope, &batch.life.epoch);
    if scope.is_empty() {
        return Ok(none);
    }
    let Some(held) = &request.held else { return Ok(none) };
    let before = batch.histories.get(uuid).and_then(|scopes| scopes.get(scope));
    let before = before.map(|Kept { value, .. }| Before {
        generation: &value.generation,
        serial: value.serial,
        of_this_life: value.epoch == *epoch,
    });
    let LocalLicense { generation, parent, serial, .. } = held;
    let shown = Shown { generation, parent, serial: *serial, of_this_life: held.epoch == *epoch };
    let goes_on = clone::goes_on(shown, before)?;
    Ok(Parent { generation: generation.clone(), goes_on })
}

/// Record the license that the device has shown for its grant.
pub(super) fn note_shown(batch: &mut Batch<'_>, request: &Authorization, parent: &Parent) {
    let Some(held) = request.held.as_ref().filter(|_| parent.goes_on) else { return };
    let LocalLicense { generation, serial, epoch, .. } = held;
    let shown = History { generation: generation.clone(), serial: *serial, epoch: epoch.clone() };
    let scopes = batch.histories.entry(request.device.uuid.clone()).or_default();
    scopes.insert(request.scope.clone(), Kept::new(shown));
}

/// Release the first item when a device shows its license and now works under another item of the
/// same code. Seats that the device held only while it worked become free. A client device counts
/// until its window ends, and an allowance comes back only by the device's own message, after its
/// totals.
pub(super) fn leave(
    batch: &mut Batch<'_>,
    request: &Authorization,
    handshake_code: &str,
    item_id: &str,
) {
    let Some(held) = &request.held else { return };
    let is_by_work = matches!(
        held.charge_way,
        ChargeWay::Server | ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance
    );
    if held.item_id == item_id || held.handshake_code != handshake_code || !is_by_work {
        return;
    }
    // All scopes of the device that get the same item of a code share a license, so requests of
    // other scopes may still work under it.
    let scopes = batch.histories.get(&held.device_uuid).into_iter().flatten();
    if scopes.into_iter().any(|(scope, _)| *scope != request.scope) {
        return;
    }
    let Some(account) = batch.accounts.get_mut(&held.item_id) else { return };
    let uuid = &held.device_uuid;
    if let Some(holder) = account.end(uuid, &held.license_id, held.serial, request.claim.now) {
        account.release_holder(uuid, &holder);
    }
}
