//! One authorization: let the rules decide on the accounts of the items, and book the grant.

use seatmeter_protocol::license::Generation;
use seatmeter_protocol::message::HOLDERS_MAX;

use super::batch::Batch;
use super::codes::Code;
use super::epoch::careful;
use super::segments::Owner;
use super::{Sql, held, holders, identity, refusals};
use crate::error::{Error, Refusal};
use crate::policy::history::{Finding, Next};
use crate::policy::select::access;
use crate::policy::select::admission::{holder_name, meters};
use crate::policy::select::item_choice::NoItem;
use crate::policy::{self, Admitted, Candidate, Order, validity};
use crate::store::account::{Before, save};
use crate::store::{Authorization, Decision, Granted};

/// The reason why there is no decision or no grant.
enum No {
    /// No item of the handshake code fits. The refusal may need the holders of the item's seats.
    Item { no: NoItem, candidates: Vec<Candidate>, order: Order },
    /// Another rule, or a failure.
    Other(Error),
}

impl<E: Into<Error>> From<E> for No {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Decide, and book the grant. A request that is refused changes nothing.
pub(super) fn authorize(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
) -> Result<Decision, Error> {
    answer(sql, batch, request, true)
}

/// Decide as [`authorize`] does, and change nothing.
pub(super) fn check(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
) -> Result<Decision, Error> {
    answer(sql, batch, request, false)
}

fn answer(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
    is_kept: bool,
) -> Result<Decision, Error> {
    let before = before(batch, request);
    let holder = holder_name(&request.claim, &request.device.uuid);
    let outcome = decide(sql, batch, request, &holder, is_kept);
    if !(is_kept && matches!(outcome, Ok(Decision::Granted(_)))) {
        undo(batch, request, before);
    }
    let mut nearest = String::new();
    let outcome = outcome.or_else(|no| match no {
        No::Item { no, candidates, order } => {
            let item = no.nearest.and_then(|index| candidates.get(index));
            nearest = item.map_or_else(String::new, |candidate| candidate.item.item_id.clone());
            let refusal = explain(sql, batch, request, &holder, no, candidates, order)?;
            Err(Error::Refused(refusal))
        }
        No::Other(error) => Err(error),
    });
    match &outcome {
        Err(error) if is_kept => refusals::note(batch, request, &nearest, error),
        Ok(Decision::Granted(granted)) if is_kept => {
            batch.attempts.count(&granted.handshake_code, request.claim.now, true);
        }
        _ => {}
    }
    outcome.map_err(|error| error.in_epoch(&batch.epoch.id))
}

/// Return the state of the item of which the device shows a license, because a license that was
/// forgotten is recorded before the decision.
fn before(batch: &Batch<'_>, request: &Authorization) -> Option<Before> {
    let held = request.held.as_ref()?;
    Some(batch.accounts.get(&held.item_id)?.before(&request.device.uuid))
}

fn undo(batch: &mut Batch<'_>, request: &Authorization, before: Option<Before>) {
    let Some(held) = &request.held else { return };
    if let (Some(account), Some(before)) = (batch.accounts.get_mut(&held.item_id), before) {
        account.undo(before);
    }
}

fn decide(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
    holder: &str,
    is_kept: bool,
) -> Result<Decision, No> {
    identity::require_key(batch, request)?;
    // The proof of the device holds even if the request is refused.
    if is_kept {
        let (receipt, uuid) = (request.receipt.as_ref(), &request.device.uuid);
        batch.see_receipt(sql, receipt, uuid, request.claim.now)?;
    }
    let code = batch.codes.meant(request)?;
    if let Some(hash) = &code.password_hash
        && request.proven_hash.as_ref() != Some(hash)
    {
        if request.has_wrong_password {
            return Err(access::wrong_session_password().into());
        }
        return Ok(Decision::ProvePassword(hash.clone()));
    }
    access::may_use(&request.validation, &code.validation)?;
    let next = identity::follow(sql, batch, request, is_kept)?;
    if next.must_be_fresh && !request.is_fresh {
        return Ok(Decision::ProveFresh);
    }
    held::remember(&mut batch.accounts, &mut batch.owners, request, holder);
    let code = batch.codes.meant(request)?;
    let (uuid, now) = (&request.device.uuid, request.claim.now);
    let mut candidates = Vec::with_capacity(code.items.len());
    for item_id in &code.items {
        let account = batch.accounts.get_mut(item_id);
        candidates.extend(account.map(|account| account.candidate(uuid, holder, now)));
    }
    lose(&mut candidates, lost_at(batch, request, &next));
    let shown = request.held.iter().chain(&request.newest);
    careful(&batch.epoch, &request.claim, shown, &mut candidates)?;
    let order = code.order;
    let grant = match policy::decide(&request.claim, &candidates, order) {
        Ok(grant) => grant,
        Err(no) => {
            batch.codes.require_ready(code)?;
            return Err(No::Item { no, candidates, order });
        }
    };
    let candidate = candidates.swap_remove(grant.candidate);
    let mut granted = granted(batch, code, request, candidate, grant)?;
    granted.generation = next.generation;
    if is_kept {
        granted.receipt = batch.receipt(&request.keys);
        book(batch, request, holder, &mut granted);
        identity::note_grant(batch, request, next);
    }
    Ok(Decision::Granted(Box::new(granted)))
}

/// Return the grant of an item.
fn granted(
    batch: &Batch<'_>,
    code: &Code,
    request: &Authorization,
    candidate: Candidate,
    grant: Admitted,
) -> Result<Granted, Error> {
    let Candidate { item, mut state, .. } = candidate;
    let Some(account) = batch.accounts.get(&item.item_id) else {
        return Err(Error::Internal("an item was granted without account".to_owned()));
    };
    let file = &account.file;
    let server_key_id = file.file.server_key.id();
    require_key(request, &item.item_id, &server_key_id)?;
    if grant.hold.is_some() {
        state.occupied.own = grant.hold;
    }
    Ok(Granted {
        handshake_code: code.name.clone(),
        license_id: request.license_id.clone(),
        license_file: file.envelope.clone(),
        root_key: file.root_key.clone(),
        server_key_id,
        generation: Generation::default(),
        receipt: String::new(),
        epoch: batch.epoch.id.clone(),
        meters: meters(&item, &state, request.claim.now),
        any_program: code.validation.process_names.is_empty(),
        grant,
        item,
    })
}

/// Book a grant on the account of its item, and end what the device leaves for it.
fn book(batch: &mut Batch<'_>, request: &Authorization, holder: &str, granted: &mut Granted) {
    let (item_id, code) = (&granted.item.item_id, &granted.handshake_code);
    if let Some(account) = batch.accounts.get_mut(item_id) {
        granted.license_id = account.grant(request, code, holder, &granted.grant);
        let owner = Owner { item_id: item_id.clone(), device_uuid: request.device.uuid.clone() };
        batch.owners.insert(granted.license_id.clone(), owner);
    }
    held::leave(batch, request, code, item_id);
}

/// Return the instant at which the device was restored to an earlier state, or has lost its state;
/// 0 for never.
fn lost_at(batch: &Batch<'_>, request: &Authorization, next: &Next) -> u64 {
    match next.finding {
        Finding::DeviceRolledBack | Finding::StateLost => request.claim.now,
        _ => batch
            .identities
            .get(&request.device.uuid)
            .map_or(0, |known| known.rolled_back_at)
            .min(request.claim.now),
    }
}

/// Count the allowances of licenses before this instant as used: a device that was restored to an
/// earlier state, or to none, does not know what it has counted since.
fn lose(candidates: &mut [Candidate], at: u64) {
    if at == 0 {
        return;
    }
    let used = candidates.iter_mut().flat_map(|candidate| &mut candidate.state.used);
    for used in used.filter(|used| used.own.serial < validity::next_serial(0, at)) {
        used.own = used.own.lose(at);
    }
}

/// Return the refusal by the item that comes nearest to the request. If it is for lack of seats, it
/// names their holders, and says when the first of them becomes free.
fn explain(
    sql: &dyn Sql,
    batch: &mut Batch<'_>,
    request: &Authorization,
    holder: &str,
    no: NoItem,
    mut candidates: Vec<Candidate>,
    order: Order,
) -> Result<Refusal, Error> {
    let nearest = no.nearest.filter(|_| no.refusal.numbers.is_some());
    let Some(candidate) = nearest.and_then(|index| candidates.get_mut(index)) else {
        return Ok(no.refusal);
    };
    if candidate.state.occupied.by_others == 0 {
        return Ok(no.refusal);
    }
    save::put_holders(sql, &mut batch.accounts)?;
    let (item_id, uuid) = (&candidate.item.item_id, &request.device.uuid);
    let mut others = holders::list(sql, item_id, holder)?;
    // Seats under the bare UUID go to the holder's name when the device shows its license.
    if request.held.as_ref().is_some_and(|held| held.item_id == *item_id) {
        others.retain(|other| other.name != *uuid);
    }
    candidate.state.occupied.first_free_at = others.first().map(|other| other.holder.until);
    let Err(NoItem { mut refusal, .. }) = policy::decide(&request.claim, &candidates, order) else {
        return Err(Error::Internal("a refusal does not stay one".to_owned()));
    };
    if let Some(numbers) = &mut refusal.numbers
        && numbers.next_free_at.is_some()
    {
        others.truncate(HOLDERS_MAX);
        numbers.holders = others.into_iter().map(|other| other.holder).collect();
    }
    Ok(refusal)
}

/// Refuse the grant if the server has not loaded the key that the license file names, because
/// devices accept a grant by that key only. This happens to a server that still runs while its key
/// is rotated, or that shares a database and does not have all keys.
fn require_key(request: &Authorization, item_id: &str, server_key_id: &str) -> Result<(), Error> {
    if request.keys.of_file(server_key_id).is_some() {
        return Ok(());
    }
    Err(Error::NotReady(format!(
        "the license file of item \"{item_id}\" names server key {server_key_id}, which this \
         server has not loaded. Its operator puts the file of that key into the data directory, \
         if it is not there, and starts the server again"
    )))
}
