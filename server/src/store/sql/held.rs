//! The local license that a device shows with a request: it may be one that this server has
//! forgotten.
//!
//! A server that was restored from a backup older than a grant does not know the grant. It trusts
//! its own signature, which the caller has checked, and records the grant again: usage can then be
//! booked to it, and its seats count as running.

use seatmeter_protocol::charge_way::ChargeWay;

use super::batch::Batch;
use super::identity;
use super::segments::{Owner, Owners};
use crate::store::Authorization;
use crate::store::account::load::Accounts;

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
    // All programs of the device that get the same item of a code share a license. Programs that
    // ask with other credentials may still work under it.
    let known = batch.identities.get(&held.device_uuid);
    if known.is_some_and(|known| known.has_several_ways) || identity::is_another_way(request) {
        return;
    }
    let Some(account) = batch.accounts.get_mut(&held.item_id) else { return };
    let uuid = &held.device_uuid;
    if let Some(holder) = account.end(uuid, &held.license_id, held.serial, request.claim.now) {
        account.release_holder(uuid, &holder);
    }
}
