//! One authorization: read what the rules need, let them decide, and write the grant.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::Meter;
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::epoch::{Life, careful, life};
use super::{Sql, activity, held, holders, strict, values};
use crate::error::Error;
use crate::policy::holders::Hold;
use crate::policy::select::access;
use crate::policy::select::access::Validation;
use crate::policy::select::admission::{holder_name, meters};
use crate::policy::select::handshake::{self, Asked, Known};
use crate::policy::select::item_choice::NoItem;
use crate::policy::{self, Admitted, Candidate, Order};
use crate::store::account::load_one;
use crate::store::{Authorization, Decision, Granted};

/// The data of a handshake code.
struct Code {
    name: String,
    owner: String,
    password_hash: Option<String>,
    validation: Validation,
    order: Order,
}

pub(in crate::store) fn authorize(
    sql: &dyn Sql,
    request: &Authorization,
) -> Result<Decision, Error> {
    let life = life(sql)?;
    decide(sql, request, &life).map_err(|error| error.in_life(&life.epoch))
}

fn decide(sql: &dyn Sql, request: &Authorization, life: &Life) -> Result<Decision, Error> {
    let code = code(sql, request)?;
    if let Some(hash) = &code.password_hash
        && request.proven_hash.as_ref() != Some(hash)
    {
        return Ok(Decision::ProvePassword(hash.clone()));
    }
    access::may_use(&request.validation, &code.validation)?;
    let holder = holder_name(&request.claim, &request.device.uuid);
    let parent = held::follow_history(sql, request, &holder, &life.epoch)?;
    let mut candidates = candidates(sql, request, &code.name, &holder)?;
    careful(life, &request.claim, request.held.as_ref(), &mut candidates)?;
    let grant = policy::decide(&request.claim, &candidates, code.order)
        .map_err(|no| explain(sql, no, &candidates, &holder))?;
    let Candidate { item, state, .. } = candidates.swap_remove(grant.candidate);
    let File { envelope, root_key, server_key_id } = license_file(sql, &item.item_id)?;
    require_key(request, &item, &server_key_id)?;
    let who = Grantee { handshake_code: &code.name, holder: &holder, held: state.occupied.own };
    let license_id = remember(sql, request, who, &item, &grant)?;
    held::leave(sql, request, &code.name, &item.item_id)?;
    let meters = meters_after(&item, state, &grant, request.claim.now);
    Ok(Decision::Granted(Box::new(Granted {
        handshake_code: code.name,
        license_id,
        item,
        license_file: envelope,
        root_key,
        server_key_id,
        grant,
        parent,
        epoch: life.epoch.clone(),
        meters,
        any_program: code.validation.process_names.is_empty(),
    })))
}

/// Return the handshake code that the request means.
fn code(sql: &dyn Sql, request: &Authorization) -> Result<Code, Error> {
    let asked = Asked {
        handshake_code: &request.handshake_code,
        organization_id: &request.organization_id,
    };
    let mut known = Known::default();
    let mut named = None;
    if !asked.handshake_code.is_empty() {
        named = read_code(sql, asked.handshake_code)?;
        known.code_owner = named.as_ref().map(|code| code.owner.clone());
    }
    if !asked.organization_id.is_empty() {
        let organization: Option<Option<String>> = sql.value(
            "SELECT default_handshake_code FROM organization WHERE organization_id = ?1",
            values![asked.organization_id],
        )?;
        known.organization = organization.is_some();
        known.default_code = organization.flatten();
    }
    let name = handshake::resolve(asked, &known)?;
    let found = if named.as_ref().is_some_and(|code| code.name == name) {
        named
    } else {
        read_code(sql, &name)?
    };
    found.ok_or_else(|| Error::Store(format!("handshake code \"{name}\" has gone")))
}

fn read_code(sql: &dyn Sql, name: &str) -> Result<Option<Code>, Error> {
    let found = sql.row(
        "SELECT organization_id, password_hash, validation, own_order FROM handshake_code WHERE \
         handshake_code = ?1",
        values![name],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    let validation = serde_json::from_str(&row.take::<String>(2)?).map_err(|e| {
        Error::Store(format!("the validation fields of code \"{name}\" are damaged: {e}"))
    })?;
    let order = if row.take(3)? { Order::AsListed } else { Order::ByRule };
    Ok(Some(Code {
        name: name.to_owned(),
        owner: row.take(0)?,
        password_hash: row.take(1)?,
        validation,
        order,
    }))
}

fn candidates(
    sql: &dyn Sql,
    request: &Authorization,
    handshake_code: &str,
    holder: &str,
) -> Result<Vec<Candidate>, Error> {
    let rows = sql.query(
        "SELECT item.definition, CASE WHEN item.revoked_at IS NULL THEN 0 ELSE 1 END
           FROM handshake_item JOIN license_item AS item USING (item_id)
          WHERE handshake_item.handshake_code = ?1
          ORDER BY handshake_item.position",
        values![handshake_code],
    )?;
    let mut candidates = Vec::with_capacity(rows.len());
    for mut row in rows {
        let item = load_one::read_item(&row.take::<String>(0)?)?;
        // The item may have been added to the code after the transaction began and locked the items
        // that the code had then.
        sql.lock_items(&[&item.item_id])?;
        let state = load_one::state(sql, &item, &request.device.uuid, holder, request.claim.now)?;
        candidates.push(Candidate { item, revoked: row.take(1)?, state });
    }
    Ok(candidates)
}

/// Add the list of holders to a refusal for lack of seats.
fn explain(sql: &dyn Sql, no: NoItem, candidates: &[Candidate], holder: &str) -> Error {
    let NoItem { nearest, mut refusal } = no;
    let item = nearest.map(|index| &candidates[index].item);
    if let (Some(item), Some(numbers)) = (item, &mut refusal.numbers)
        && numbers.next_free_at.is_some()
    {
        match holders::list(sql, &item.item_id, holder) {
            Ok(holders) => numbers.holders = holders,
            Err(error) => return error,
        }
    }
    Error::Refused(refusal)
}

/// Return the meters of the item after this grant.
fn meters_after(
    item: &LicenseItem,
    state: policy::ItemState,
    grant: &Admitted,
    now: u64,
) -> Vec<Meter> {
    let mut state = state;
    if grant.hold.is_some() {
        state.occupied.own = grant.hold;
    }
    meters(item, &state, now)
}

/// The device that receives a grant.
#[derive(Clone, Copy)]
struct Grantee<'a> {
    handshake_code: &'a str,
    /// The name under which the device holds seats.
    holder: &'a str,
    /// The seats that the device has held so far.
    held: Option<Hold>,
}

/// Write the grant. Return the id of the local license. A renewal keeps its id, so that the number
/// of rows does not grow with the years, and a report can name a license that ran out long ago.
fn remember(
    sql: &dyn Sql,
    request: &Authorization,
    who: Grantee<'_>,
    item: &LicenseItem,
    grant: &Admitted,
) -> Result<String, Error> {
    let Grantee { handshake_code, holder, held } = who;
    let (device, now, item_id) = (&request.device, request.claim.now, &item.item_id);
    sql.execute(
        "INSERT INTO device (item_id, device_uuid, friendly_name, library_version, newest_serial,
                             first_seen_at, last_seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (item_id, device_uuid) DO UPDATE
            SET friendly_name = excluded.friendly_name, library_version = excluded.library_version,
                newest_serial = excluded.newest_serial,
                last_seen_at = CASE WHEN device.last_seen_at > excluded.last_seen_at
                                    THEN device.last_seen_at ELSE excluded.last_seen_at END",
        values![
            item_id,
            &device.uuid,
            &device.friendly_name,
            &device.library_version,
            grant.serial,
            now
        ],
    )?;
    let license_id = put_license(sql, request, handshake_code, holder, item, grant)?;
    if item.charge_way != ChargeWay::ConcurrentInstance {
        // A device has one license for each code. It can get two when a restored server grants it
        // one before the device shows its own. The device would then hold a seat by a license of
        // which it does not know.
        sql.execute(
            "UPDATE local_license SET valid_until = ?5
              WHERE item_id = ?1 AND device_uuid = ?2 AND handshake_code = ?3 AND license_id <> \
              ?4 AND valid_until > ?5",
            values![item_id, &device.uuid, handshake_code, &license_id, now],
        )?;
    }
    if let Some(hold) = grant.hold {
        holders::hold_in_place_of(sql, item_id, holder, &device.uuid, hold, held)?;
    }
    if grant.seats > 0 {
        activity::note_seats(sql, item_id, &device.uuid, grant.seats, now)?;
    }
    for (module, allowance) in &grant.allowances {
        strict::put(sql, item_id, &device.uuid, *module, *allowance)?;
    }
    Ok(license_id)
}

fn put_license(
    sql: &dyn Sql,
    request: &Authorization,
    handshake_code: &str,
    holder: &str,
    item: &LicenseItem,
    grant: &Admitted,
) -> Result<String, Error> {
    let item_id = &item.item_id;
    // Applications that request different numbers of instances have a license each. Under other
    // charge ways, the requested number of seats has no meaning. A license that was recorded again
    // after a restore does not contain it either.
    let seats = match item.charge_way {
        ChargeWay::ConcurrentInstance => request.claim.seats..=request.claim.seats,
        _ => 0..=u32::MAX,
    };
    let renewed: Option<String> = sql.value(
        "UPDATE local_license SET serial = ?5, seats = ?6, issued_at = ?7, valid_until = ?8, \
         holder = ?9
          WHERE item_id = ?1 AND device_uuid = ?2 AND license_id =
                (SELECT license_id FROM local_license
                  WHERE item_id = ?1 AND device_uuid = ?2 AND handshake_code = ?3
                    AND seats_asked BETWEEN ?4 AND ?10
                  ORDER BY serial DESC LIMIT 1)
         RETURNING license_id",
        values![
            item_id,
            &request.device.uuid,
            handshake_code,
            *seats.start(),
            grant.serial,
            grant.seats,
            request.claim.now,
            grant.valid_until,
            holder,
            *seats.end()
        ],
    )?;
    if let Some(license_id) = renewed {
        return Ok(license_id);
    }
    sql.execute(
        "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, serial, \
         seats_asked, seats,
                                    issued_at, valid_until, holder)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        values![
            item_id,
            &request.license_id,
            &request.device.uuid,
            handshake_code,
            grant.serial,
            request.claim.seats,
            grant.seats,
            request.claim.now,
            grant.valid_until,
            holder
        ],
    )?;
    Ok(request.license_id.clone())
}

/// Refuse the grant if the server has not loaded the key that the license file names, because
/// devices accept a grant by that key only. This happens to a server that still runs while its key
/// is rotated, or that shares a database and does not have all keys.
fn require_key(
    request: &Authorization,
    item: &LicenseItem,
    server_key_id: &str,
) -> Result<(), Error> {
    if request.keys.of_file(server_key_id).is_some() {
        return Ok(());
    }
    Err(Error::NotReady(format!(
        "the license file of item \"{}\" names server key {server_key_id}, which this server has \
         not loaded. Its operator \
         puts the file of that key into the data directory, if it is not there, and starts the \
         server again",
        item.item_id
    )))
}

/// A license file, as it was imported.
struct File {
    envelope: Signed,
    root_key: PublicKey,
    server_key_id: String,
}

fn license_file(sql: &dyn Sql, item_id: &str) -> Result<File, Error> {
    let found = sql.row(
        "SELECT payload, key_id, signature, root_key, server_key_id FROM license_file
          WHERE file_id = (SELECT file_id FROM license_item WHERE item_id = ?1)",
        values![item_id],
    )?;
    let mut row =
        found.ok_or_else(|| Error::Store(format!("item \"{item_id}\" has no license file")))?;
    let envelope = Signed { payload: row.take(0)?, key_id: row.take(1)?, signature: row.take(2)? };
    let root_key = row
        .take::<String>(3)?
        .parse()
        .map_err(|e| Error::Store(format!("the root key of item \"{item_id}\": {e}")))?;
    Ok(File { envelope, root_key, server_key_id: row.take(4)? })
}
