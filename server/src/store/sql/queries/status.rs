//! The status of each item, with its forecast, and the status of the data.

use std::collections::{BTreeMap, HashMap};

use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};
use seatmeter_protocol::message::{Meter, Metered, UsageKind};
use seatmeter_protocol::page_module::page_module_name;

use super::{item_ids, values};
use crate::error::Error;
use crate::operator::queries::forecast::{BASIS_DAYS, Course, Forecast};
use crate::operator::queries::rows;
use crate::operator::queries::status::{
    ItemState, ItemStatus, MeterStatus, ServerStatus, Status, StatusQuery,
};
use crate::policy::overuse::OveruseRule;
use crate::store::account::load::{Accounts, accounts};
use crate::store::account::{Account, EXCESS_KIND, SEATS_KIND};
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::operation::items_of;
use crate::store::sql::table::{DAYS_FROM, LAST_DONE};
use crate::store::sql::{Sql, Value, keys, time};

/// The name of backups in the table of what was done last.
pub(in crate::store) const BACKUP: &str = "backup";

impl Question for StatusQuery {
    type Answer = Status;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Status, Error> {
        let limit = rows(self.limit)?;
        let mut ids = item_ids(from, self.item.as_deref())?;
        if let Some(after) = &self.after {
            ids.retain(|id| id > after);
        }
        let next = (ids.len() > limit).then(|| ids[limit - 1].clone());
        ids.truncate(limit);
        Ok(Status { at: from.now, server: server(from)?, items: items(from, &ids)?, next })
    }
}

pub(super) fn server(from: &Snapshot<'_>) -> Result<ServerStatus, Error> {
    let sql = from.sql();
    let newest = "SELECT number, epoch, begun_at, cause FROM epoch ORDER BY number DESC LIMIT 1";
    let mut status = ServerStatus {
        key_ids: keys(sql)?.of_files,
        recorded_at: time::recorded(sql)?.newest_at,
        database_bytes: sql.size()?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ServerStatus::default()
    };
    if let Some(mut row) = sql.row(newest, &[])? {
        status.epoch_number = row.take(0)?;
        status.epoch = row.take(1)?;
        status.epoch_begun_at = row.take(2)?;
        status.epoch_cause = row.take(3)?;
    }
    if let Some(mut row) = LAST_DONE.find(sql, values![BACKUP])?.pop() {
        status.backup_at = Some(row.take(1)?);
    }
    Ok(status)
}

/// The sums of days of an item, by kind and module.
type Days = BTreeMap<(u8, u32), Vec<(u32, i128)>>;

/// The rows of an item that are looked up in addition to its account.
#[derive(Default)]
struct Beside {
    days: Days,
    first_day: Option<u32>,
    next_free_at: Option<u64>,
}

pub(super) fn items(from: &Snapshot<'_>, ids: &[String]) -> Result<Vec<ItemStatus>, Error> {
    let (sql, now) = (from.sql(), from.now);
    let mut accounts: Accounts = accounts(sql, ids.iter().map(String::as_str), &(now..=now))?;
    let mut beside = beside(sql, ids, now)?;
    let mut statuses = Vec::with_capacity(ids.len());
    for row in items_of(sql, ids)? {
        let beside = beside.remove(row.item_id.as_str()).unwrap_or_default();
        let mut status = ItemStatus {
            item_id: row.item_id.clone(),
            organization_id: row.organization_id,
            file_id: row.file_id,
            option: None,
            quota: 0,
            state: ItemState::NotReady,
            not_ready: row.not_ready,
            starts_at: 0,
            expires_at: 0,
            revoked_at: row.revoked_at,
            meters: Vec::new(),
            held: 0,
            next_free_at: beside.next_free_at,
            active_now: None,
        };
        if let Some(account) = accounts.get_mut(&row.item_id) {
            fill(&mut status, account, &beside, now);
        }
        statuses.push(status);
    }
    statuses.sort_by(|a, b| a.item_id.cmp(&b.item_id));
    Ok(statuses)
}

fn fill(status: &mut ItemStatus, account: &mut Account, beside: &Beside, now: u64) {
    let figures = account.figures(now);
    let item = &account.item;
    status.option = Some(item.charge_way);
    status.quota = item.quota;
    status.starts_at = item.starts_at;
    status.expires_at = item.expires_at;
    status.held = figures.held;
    status.active_now = item.charge_way.is_concurrent().then_some(figures.active_now);
    status.meters = figures
        .meters
        .into_iter()
        .map(|meter| MeterStatus {
            set_aside: account.set_aside(meter.module).filter(|_| item.charge_way.is_metered()),
            ..meter_status(item, meter, beside, now)
        })
        .collect();
    let of_meters = status.meters.iter().map(|meter| meter.state).max();
    status.state = of_meters.unwrap_or(ItemState::Within).max(in_effect(item, now));
    if status.revoked_at.is_some() {
        status.state = ItemState::Revoked;
    }
}

fn in_effect(item: &LicenseItem, now: u64) -> ItemState {
    match now {
        now if now < item.starts_at => ItemState::NotYetInEffect,
        now if now < item.expires_at => ItemState::Within,
        now if now < item.grace_ends_at() => ItemState::ExpiryGrace,
        _ => ItemState::Expired,
    }
}

fn meter_status(item: &LicenseItem, meter: Meter, beside: &Beside, now: u64) -> MeterStatus {
    let Meter { of, module, quota, used, grace, state } = meter;
    MeterStatus {
        of,
        module,
        module_name: if module == 0 { String::new() } else { page_module_name(module) },
        used,
        quota,
        grace,
        set_aside: None,
        state: ItemState::of_meter(state),
        forecast: forecast(item, &meter, beside, now),
    }
}

fn forecast(item: &LicenseItem, meter: &Meter, beside: &Beside, now: u64) -> Forecast {
    let today = day_of(now);
    let kind = match meter.of {
        Metered::Scans => UsageKind::Scan.number(),
        Metered::Pages => UsageKind::Page.number(),
        Metered::Excess => EXCESS_KIND,
        Metered::Devices | Metered::Unknown => SEATS_KIND,
    };
    let none = Vec::new();
    let amounts = beside.days.get(&(kind, meter.module)).unwrap_or(&none);
    let changes: Vec<(u32, i128)>;
    let (amounts, first_day) = if kind == SEATS_KIND {
        // The first day has no day before it, so its change is unknown.
        changes = changes_of(amounts);
        (&changes, beside.first_day.map(|day| day.saturating_add(1)))
    } else {
        (amounts, beside.first_day)
    };
    let is_budget = meter.of == Metered::Excess;
    let year_ends = OveruseRule::of(item).year(now).ends_at;
    let ends = if is_budget { item.grace_ends_at().min(year_ends) } else { item.grace_ends_at() };
    Course {
        amounts,
        first_day,
        today,
        used: meter.used,
        quota: meter.quota,
        growth_per_day: if is_budget { item.overuse_growth_per_day } else { 0 },
        grace: meter.grace,
        last_day: day_of(ends.saturating_sub(1)),
    }
    .forecast()
}

/// Return by how much a number has changed each day. On a day that is missing it stayed.
fn changes_of(levels: &[(u32, i128)]) -> Vec<(u32, i128)> {
    levels.windows(2).map(|pair| (pair[1].0, pair[1].1 - pair[0].1)).collect()
}

fn day_of(at: u64) -> u32 {
    u32::try_from(at / DAY_SECONDS).unwrap_or(u32::MAX)
}

/// Look up the sums of the days of a forecast, and when seats become free.
fn beside<'a>(
    sql: &dyn Sql,
    ids: &'a [String],
    now: u64,
) -> Result<HashMap<&'a str, Beside>, Error> {
    let mut all: HashMap<&str, Beside> =
        ids.iter().map(|id| (id.as_str(), Beside::default())).collect();
    // Read one day more, because a change needs the previous day.
    let from_day = day_of(now).saturating_sub(BASIS_DAYS + 1);
    let wanted: Vec<Value<'_>> = ids.iter().flat_map(|id| *values![id, from_day]).collect();
    for mut row in DAYS_FROM.find(sql, &wanted)? {
        let item_id: String = row.take(0)?;
        if let Some(beside) = all.get_mut(item_id.as_str()) {
            let days = beside.days.entry((row.take(2)?, row.take(3)?)).or_default();
            days.push((row.take(1)?, row.take::<i64>(4)?.into()));
        }
    }
    let query = "SELECT item_id,
                (SELECT min(day) FROM item_day WHERE item_day.item_id = license_item.item_id),
                (SELECT min(held_until) FROM seat_holder
                  WHERE seat_holder.item_id = license_item.item_id AND held_until > ?1)
           FROM license_item";
    for mut row in sql.query(query, values![now])? {
        let item_id: String = row.take(0)?;
        if let Some(beside) = all.get_mut(item_id.as_str()) {
            beside.first_day = row.take(1)?;
            beside.next_free_at = row.take(2)?;
        }
    }
    for beside in all.values_mut() {
        beside.days.values_mut().for_each(|days| days.sort_unstable());
    }
    Ok(all)
}
