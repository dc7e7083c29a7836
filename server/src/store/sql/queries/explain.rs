//! The licenses and refusals of a device, and the answer that the rules would give now.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::slot::slot_start;

use super::{devices, item_ids, names, own_codes, values};
use crate::error::Error;
use crate::operator::queries::explain::{
    Asked, DeviceExplanation, DryRun, ExplainQuery, Explanation, HeldLicense,
};
use crate::operator::queries::refusals::{RefusalRow, RefusalsQuery};
use crate::policy::history::HEARD_PRECISION;
use crate::policy::select::admission::holder_name;
use crate::policy::{self, Candidate, Order};
use crate::store::account::load::{self, Wanted, accounts};
use crate::store::day_totals::first_slot;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::Value;
use crate::store::sql::by_day;
use crate::store::sql::table::{CODE, CODE_ITEMS, IDENTITY, SEAT_HOLDER};
use crate::utc;

/// The greatest number of refusals of a device that are listed.
const REFUSALS_MAX: u32 = 20;

/// The greatest number of licenses of a device that are listed.
const LICENSES_MAX: u64 = 1_000;

/// The request of a device, and its source.
struct Known {
    asked: Asked,
    assumption: String,
}

impl Question for ExplainQuery {
    type Answer = Explanation;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Explanation, Error> {
        let uuids = devices::meant(from, &self.device)?;
        let names = names(from.sql(), &uuids)?;
        let mut explained = Vec::with_capacity(uuids.len());
        for uuid in &uuids {
            explained.push(explain(from, uuid, names.get(uuid).cloned().unwrap_or_default())?);
        }
        Ok(Explanation { at: from.now, devices: explained })
    }
}

fn explain(from: &Snapshot<'_>, uuid: &str, name: String) -> Result<DeviceExplanation, Error> {
    let (licenses, mut known) = licenses(from, uuid)?;
    let query = RefusalsQuery {
        device: Some(uuid.to_owned()),
        limit: Some(REFUSALS_MAX),
        ..RefusalsQuery::default()
    };
    // A device under a bound caller's items may never have been refused.
    let refusals = query.answer(from)?.rows;
    // A device that was never granted anything has given its name with its requests.
    let name = match refusals.first() {
        Some(newest) if name.is_empty() => newest.name.clone(),
        _ => name,
    };
    known.extend(asked_when_refused(from, uuid)?);
    let identity = IDENTITY.find(from.sql(), values![uuid])?.pop();
    let (mut last_heard_at, mut first_granted_at, mut rollbacks) = (None::<u64>, None, 0);
    if let Some(mut row) = identity {
        last_heard_at = Some(row.take(10)?).filter(|at| *at > 0);
        rollbacks = row.take(12)?;
        first_granted_at = Some(row.take(14)?).filter(|at| *at > 0);
    }
    let newest_at = newest_slot(from, uuid)?.map(slot_start);
    // The time of a contact is recorded to a few minutes.
    let heard_by = last_heard_at.map(|at| at.saturating_add(HEARD_PRECISION).min(from.now));
    let clock_ahead_seconds =
        newest_at.zip(heard_by).map(|(newest, heard)| newest.saturating_sub(heard));
    let mut now = Vec::with_capacity(known.len());
    for (code, known) in known {
        now.extend(dry_run(from, uuid, code, known)?);
    }
    Ok(DeviceExplanation {
        device_uuid: uuid.to_owned(),
        name,
        last_heard_at,
        clock_ahead_seconds,
        first_granted_at,
        rollbacks,
        last_told: last_told(&licenses, &refusals),
        licenses,
        refusals,
        now,
    })
}

/// Return the newest slot in which a device has counted since yesterday. A report may be up to a
/// day ahead.
fn newest_slot(from: &Snapshot<'_>, uuid: &str) -> Result<Option<u32>, Error> {
    let today = from.now / DAY_SECONDS;
    let query = "SELECT usage_day.day, usage_day.totals FROM segment
           JOIN usage_day ON usage_day.item_id = segment.item_id
                         AND usage_day.segment_id = segment.segment_id
          WHERE segment.device_uuid = ?1 AND usage_day.day IN (?2, ?3, ?4)";
    let days = values![uuid, today.saturating_sub(1), today, today + 1];
    let mut newest = None;
    from.for_each(query, days, &mut |mut row| {
        let day: u32 = row.take(0)?;
        let last = by_day::totals(&mut row, 1, uuid)?.iter().last();
        newest = newest.max(last.map(|((slot, ..), _)| first_slot(day) + slot));
        Ok(())
    })?;
    Ok(newest)
}

/// Return the sentence that says what the server last answered.
fn last_told(licenses: &[HeldLicense], refusals: &[RefusalRow]) -> String {
    let granted = licenses.iter().max_by_key(|license| license.issued_at);
    let refused = refusals.iter().max_by_key(|refusal| refusal.last.at);
    match (granted, refused) {
        (None, None) => "it was told nothing that is still kept".to_owned(),
        (granted, Some(refused))
            if granted.is_none_or(|granted| granted.issued_at <= refused.last.at) =>
        {
            format!(
                "last told at {}: refused with {}: {}",
                utc::text(refused.last.at),
                refused.code,
                refused.last.detail
            )
        }
        (Some(granted), _) => format!(
            "last told at {}: granted from item \"{}\", valid until {}",
            utc::text(granted.issued_at),
            granted.item_id,
            utc::text(granted.valid_until)
        ),
        (None, Some(_)) => String::new(),
    }
}

/// Return the licenses of a device, and by handshake code what a renewal would ask for.
fn licenses(
    from: &Snapshot<'_>,
    uuid: &str,
) -> Result<(Vec<HeldLicense>, BTreeMap<String, Known>), Error> {
    let seen: Option<BTreeSet<String>> = match from.owner {
        Some(_) => Some(item_ids(from, None)?.into_iter().collect()),
        None => None,
    };
    let query = "SELECT item_id, handshake_code, seats, issued_at, begun_at, valid_until, holder,
                seats_asked
           FROM local_license WHERE device_uuid = ?1 ORDER BY issued_at DESC, license_id LIMIT ?2";
    let (mut licenses, mut known) = (Vec::new(), BTreeMap::new());
    let mut ended: BTreeSet<(String, String)> = BTreeSet::new();
    for mut row in from.sql().query(query, values![uuid, LICENSES_MAX])? {
        let (item_id, code): (String, String) = (row.take(0)?, row.take(1)?);
        let (valid_until, holder): (u64, String) = (row.take(5)?, row.take(6)?);
        let is_running = valid_until > from.now;
        let is_new = ended.insert((item_id.clone(), code.clone()));
        if seen.as_ref().is_some_and(|seen| !seen.contains(&item_id)) || !(is_running || is_new) {
            continue;
        }
        let website = holder.split_once('@').map(|(_, origin)| origin.to_owned());
        let held = SEAT_HOLDER.find(from.sql(), values![&item_id, &holder])?.pop();
        let (mut holds_seats, mut seats_until) = (0, None);
        if let Some(mut row) = held {
            let until: u64 = row.take(4)?;
            if until > from.now {
                holds_seats = row.take(3)?;
                seats_until = Some(until);
            }
        }
        known.entry(code.clone()).or_insert(Known {
            asked: Asked {
                seats: row.take(7)?,
                website: website.unwrap_or_default(),
                buffer_days: 7,
                ..Asked::default()
            },
            assumption: "as its license; deployment type of the item, no products or modules named"
                .to_owned(),
        });
        licenses.push(HeldLicense {
            item_id,
            handshake_code: code,
            seats: row.take(2)?,
            issued_at: row.take(3)?,
            since: row.take(4)?,
            valid_until,
            is_running,
            holds_seats,
            seats_until,
        });
    }
    Ok((licenses, known))
}

/// Return by handshake code what the device asked for when it was last refused.
fn asked_when_refused(from: &Snapshot<'_>, uuid: &str) -> Result<BTreeMap<String, Known>, Error> {
    let own = own_codes(from)?;
    let query = "SELECT handshake_code, last_at, last_asked FROM refusal
          WHERE device_uuid = ?1 AND handshake_code <> '' ORDER BY hour DESC LIMIT ?2";
    let mut newest: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for mut row in from.sql().query(query, values![uuid, LICENSES_MAX])? {
        let (code, at, asked): (String, u64, String) = (row.take(0)?, row.take(1)?, row.take(2)?);
        if own.as_ref().is_none_or(|own| own.contains(&code)) {
            let known = newest.entry(code).or_default();
            if at >= known.0 {
                *known = (at, asked);
            }
        }
    }
    let known = newest.into_iter().filter_map(|(code, (at, asked))| {
        let assumption = format!("as it asked when it was refused at {}", utc::text(at));
        Some((code, Known { asked: serde_json::from_str(&asked).ok()?, assumption }))
    });
    Ok(known.collect())
}

/// Let the rules decide about a request of the device under a code, and change nothing. Password,
/// validation fields and history of the device are left out: they belong to the request.
fn dry_run(
    from: &Snapshot<'_>,
    uuid: &str,
    code: String,
    known: Known,
) -> Result<Option<DryRun>, Error> {
    let Some(mut row) = CODE.find(from.sql(), values![&code])?.pop() else { return Ok(None) };
    let order = if row.take(4)? { Order::AsListed } else { Order::ByRule };
    let mut listed: Vec<(u32, String)> = Vec::new();
    for mut row in CODE_ITEMS.find(from.sql(), values![&code])? {
        listed.push((row.take(1)?, row.take(2)?));
    }
    listed.sort_unstable();
    let ids: Vec<String> = listed.into_iter().map(|(_, item_id)| item_id).collect();
    let Known { mut asked, assumption } = known;
    let candidates = candidates(from, uuid, &ids, &mut asked)?;
    let claim = asked.claim(from.now);
    let outcome = policy::decide(&claim, &candidates, order);
    let item_of = |index: usize| candidates.get(index).map(|one| one.item.item_id.clone());
    let (is_granted, item_id, code_of, detail) = match outcome {
        Ok(grant) => {
            let until = utc::text(grant.valid_until);
            (true, item_of(grant.candidate), None, format!("granted, valid until {until}"))
        }
        Err(no) => {
            let refusal = no.refusal;
            (false, no.nearest.and_then(item_of), Some(refusal.code.0), refusal.detail)
        }
    };
    Ok(Some(DryRun {
        handshake_code: code,
        asked,
        assumption,
        is_granted,
        item_id,
        code: code_of,
        detail,
    }))
}

/// Load the items with their state for the device.
fn candidates(
    from: &Snapshot<'_>,
    uuid: &str,
    item_ids: &[String],
    asked: &mut Asked,
) -> Result<Vec<Candidate>, Error> {
    let (sql, now) = (from.sql(), from.now);
    let mut accounts = accounts(sql, item_ids.iter().map(String::as_str), &(now..=now))?;
    if asked.deployment_type.is_none() {
        let first = item_ids.iter().find_map(|item_id| accounts.get(item_id));
        asked.deployment_type =
            first.and_then(|account| account.item.deployment_types.first().copied());
    }
    let holder = holder_name(&asked.claim(now), uuid);
    let mut wanted = Wanted::default();
    for item_id in item_ids {
        wanted.whole(item_id, uuid, &holder);
    }
    load::devices(sql, &mut accounts, &wanted)?;
    let mut candidates = Vec::with_capacity(item_ids.len());
    for item_id in item_ids {
        let Some(account) = accounts.get_mut(item_id) else { continue };
        let mut candidate = account.candidate(uuid, &holder, now);
        if candidate.state.occupied.by_others > 0 {
            let query = "SELECT min(held_until) FROM seat_holder
                  WHERE item_id = ?1 AND held_until > ?2 AND holder <> ?3";
            let range: &[Value<'_>] = values![item_id, now, &holder];
            candidate.state.occupied.first_free_at =
                sql.value::<Option<u64>>(query, range)?.flatten();
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}
