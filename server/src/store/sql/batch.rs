//! What one batch of reports reads and writes, in memory.
//!
//! Everything that the reports of a batch need is looked up together, the reports are booked one after another in
//! memory, and what has changed is written together. To the engine a batch is a dozen statements, however many reports
//! are in it; to the rules it is the same as one report after another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{SegmentReport, UsageTotal};
use seatmeter_protocol::rehearsal::has_bug;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::table::{
    ACTIVE_DAY, ALLOWANCE, ALLOWANCES, ALLOWED, COMPACTED, DEVICE, DEVICE_SEATS, ITEM, ITEM_ALLOWED,
    ITEM_HELD, ITEM_USED, LICENSE, SEAT_HOLDER, SEGMENT, SEGMENT_OWNER, SLOT_SUM, Table, USAGE_DAY,
    USAGE_OLD, USED, YEAR_EXCESS, YEARS,
};
use super::{Report, Row, Sql, Value, account, held, values};
use crate::error::Error;
use crate::policy::ItemState;
use crate::policy::active_slots::ActiveSlots;
use crate::policy::holders::Hold;
use crate::policy::overuse::{OveruseRule, excess};
use crate::policy::room::{Used, quotas};
use crate::policy::slot_ledger::first_open_slot;
use crate::policy::strict_allowance::Allowance;
use crate::policy::window::seat_until;
use crate::store::ShownLicense;
use crate::store::day_totals::{DayTotals, OLD_DAYS, day_of, first_old_day, first_slot};

/// When a device was last seen is kept this exactly: a row less to write with most reports.
const SEEN_SECONDS: u64 = 3_600;

/// Something of the database, and whether it has to be written.
#[derive(Clone, Debug, Default)]
struct Kept<T> {
    value: T,
    is_changed: bool,
}

impl<T: PartialEq> Kept<T> {
    fn set(&mut self, value: T) {
        self.is_changed |= self.value != value;
        self.value = value;
    }
}

/// A local licence: whom a segment is booked to.
pub(super) struct License {
    pub(super) item_id: String,
    pub(super) device_uuid: String,
    pub(super) handshake_code: String,
    pub(super) holder: String,
    serial: u32,
}

/// A segment that was not known, as it will be written.
struct NewSegment {
    license_id: String,
    first_reported_at: u64,
}

/// How an item stands, as far as the reports concern it.
pub(super) struct Account {
    pub(super) item: LicenseItem,
    used: BTreeMap<(u8, u32), Kept<u64>>,
    slots: BTreeMap<u32, Kept<u64>>,
    years: BTreeMap<u32, Kept<u64>>,
    seats_held: u64,
    /// By module: what all devices are allowed, and how many are allowed more than they have used.
    allowed: BTreeMap<u32, Kept<(i64, i64)>>,
    devices: BTreeMap<String, Device>,
}

#[derive(Default)]
struct Device {
    seen: Option<Seen>,
    days: BTreeMap<u32, Kept<ActiveSlots>>,
    /// From which slot on it counts as how many instances.
    seats: BTreeMap<u32, u32>,
    allowances: BTreeMap<u32, Kept<Allowance>>,
    /// By the name of the holder.
    holds: BTreeMap<String, Kept<Hold>>,
}

/// The row of a device.
struct Seen {
    friendly_name: String,
    library_version: String,
    newest_serial: u32,
    first_seen_at: u64,
    last_seen_at: Kept<u64>,
}

/// Everything that a batch of reports is about.
pub(super) struct Batch<'a> {
    licenses: HashMap<String, License>,
    /// Which local licence each segment belongs to.
    owners: HashMap<String, String>,
    new_segments: BTreeMap<&'a str, NewSegment>,
    /// By segment and day.
    days: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// By segment and first day of the row: days of which only the totals are kept, see [`super::retention`].
    old: BTreeMap<(&'a str, u32), Kept<DayTotals>>,
    /// Up to which day, not with it, only the totals of days are kept of an item.
    compacted: HashMap<String, u32>,
    pub(super) accounts: BTreeMap<String, Account>,
}

impl<'a> Batch<'a> {
    /// Looks everything up. Items are locked first, so that what is read of them stays true until the end of the
    /// transaction.
    pub(super) fn open(sql: &dyn Sql, reports: &[&'a Report]) -> Result<Self, Error> {
        let shown =
            || reports.iter().flat_map(|report| report.shown.iter().map(move |shown| (*report, shown)));
        let segments = || reports.iter().flat_map(|report| &report.report.segments);
        let named: BTreeSet<&str> = segments().map(|segment| segment.license_id.as_str()).collect();
        let ids: BTreeSet<&str> = named
            .iter()
            .copied()
            .chain(shown().map(|(_, shown)| shown.license.license_id.as_str()))
            .collect();
        let mut licenses = licenses(sql, &ids)?;
        let items: BTreeSet<&str> = licenses
            .values()
            .map(|license| license.item_id.as_str())
            .chain(shown().map(|(_, shown)| shown.license.item_id.as_str()))
            .collect();
        sql.lock_items(&items.into_iter().collect::<Vec<_>>())?;
        let mut again = BTreeSet::new();
        for (report, ShownLicense { license, is_ours }) in shown() {
            let known = licenses.get(&license.license_id);
            if known.is_none_or(|known| known.serial < license.serial) && is_ours() {
                held::remember(sql, license, &report.report.device)?;
                again.insert(license.license_id.as_str());
            }
        }
        if !again.is_empty() {
            licenses.extend(self::licenses(sql, &again)?);
        }
        licenses.retain(|license_id, _| named.contains(license_id.as_str()));
        let now = reports.iter().map(|report| report.now).min().unwrap_or(0);
        let mut batch = Self {
            owners: owners(sql, &segments().map(|segment| segment.segment_id.as_str()).collect())?,
            new_segments: BTreeMap::new(),
            days: BTreeMap::new(),
            old: BTreeMap::new(),
            compacted: HashMap::new(),
            accounts: accounts(sql, licenses.values(), now)?,
            licenses,
        };
        batch.look_up_usage(sql, reports)?;
        batch.look_up_accounts(sql, reports)?;
        Ok(batch)
    }

    /// The local licence with this id.
    pub(super) fn license(&self, license_id: &str) -> Option<&License> {
        self.licenses.get(license_id)
    }

    /// Whether the segment belongs to this licence; one that was never seen does from now on.
    pub(super) fn belongs(&mut self, segment_id: &'a str, license_id: &str, now: u64) -> bool {
        if let Some(owner) = self.owners.get(segment_id) {
            return owner == license_id;
        }
        self.owners.insert(segment_id.to_owned(), license_id.to_owned());
        let segment = NewSegment { license_id: license_id.to_owned(), first_reported_at: now };
        self.new_segments.insert(segment_id, segment);
        true
    }

    /// Raises what is recorded of a segment; gives each counter that rose, and by how much.
    pub(super) fn raise(&mut self, item_id: &str, segment: &'a SegmentReport) -> Vec<(UsageTotal, u64)> {
        let segment_id = segment.segment_id.as_str();
        let before_day = self.compacted.get(item_id).copied().unwrap_or(0);
        let mut raised = Vec::new();
        let mut old: BTreeMap<(u32, u8, u32), UsageTotal> = BTreeMap::new();
        for counter in &segment.totals {
            let (day, kind) = (day_of(counter.slot), counter.kind.number());
            if day < before_day && !self.days.contains_key(&(segment_id, day)) {
                let sum = old.entry((day, kind, counter.what)).or_insert(UsageTotal { total: 0, ..*counter });
                sum.total = sum.total.saturating_add(counter.total).min(i64::MAX as u64);
                continue;
            }
            let known = self.days.entry((segment_id, day)).or_default();
            let total = if has_bug("usage: added instead of raised") {
                counter.total.saturating_add(known.value.get(counter.slot, kind, counter.what))
            } else {
                counter.total
            };
            let rise = known.value.raise(counter.slot, kind, counter.what, total);
            known.is_changed |= rise > 0;
            raised.push((*counter, if has_bug("usage: sum raised by the total") { total } else { rise }));
        }
        for ((day, kind, what), sum) in old {
            let known = self.old.entry((segment_id, first_old_day(day))).or_default();
            let rise = known.value.raise(day % OLD_DAYS, kind, what, sum.total);
            known.is_changed |= rise > 0;
            raised.push((sum, rise));
        }
        raised.retain(|(_, rise)| *rise > 0);
        raised
    }

    /// Writes what has changed.
    pub(super) fn close(self, sql: &dyn Sql) -> Result<(), Error> {
        self.put_segments(sql)?;
        self.put_usage(sql)?;
        put_sums(sql, &self.accounts)?;
        put_devices(sql, &self.accounts)
    }

    fn put_segments(&self, sql: &dyn Sql) -> Result<(), Error> {
        let mut rows = Vec::new();
        for (segment_id, segment) in &self.new_segments {
            let Some(license) = self.licenses.get(&segment.license_id) else { continue };
            rows.extend_from_slice(values![
                &license.item_id,
                *segment_id,
                &segment.license_id,
                &license.device_uuid,
                &license.handshake_code,
                segment.first_reported_at
            ]);
        }
        SEGMENT.put(sql, &rows)
    }

    fn put_usage(&self, sql: &dyn Sql) -> Result<(), Error> {
        for (table, rows) in [(&USAGE_DAY, &self.days), (&USAGE_OLD, &self.old)] {
            let mut changed = Vec::new();
            for ((segment_id, day), totals) in rows.iter().filter(|(_, totals)| totals.is_changed) {
                if let Some(license) = self.license_of(segment_id) {
                    changed.push((license.item_id.as_str(), *day, *segment_id, totals.value.to_bytes()));
                }
            }
            // In the order of the table, so that neighbours are written one after another.
            changed.sort_unstable_by_key(|(item_id, day, segment_id, _)| (*item_id, *day, *segment_id));
            let mut rows = Vec::with_capacity(changed.len() * 4);
            for (item_id, day, segment_id, totals) in &changed {
                rows.extend_from_slice(values![*item_id, *day, *segment_id, totals.as_slice()]);
            }
            table.put(sql, &rows)?;
        }
        Ok(())
    }

    fn license_of(&self, segment_id: &str) -> Option<&License> {
        self.licenses.get(self.owners.get(segment_id)?)
    }

    fn look_up_usage(&mut self, sql: &dyn Sql, reports: &[&'a Report]) -> Result<(), Error> {
        let items = ids(&self.accounts, |_| true);
        for mut row in COMPACTED.find(sql, &texts(&items))? {
            self.compacted.insert(row.take(0)?, row.take(1)?);
        }
        let (mut days, mut old) = (BTreeSet::new(), BTreeSet::new());
        let mut ids: HashMap<&str, &'a str> = HashMap::new();
        for segment in reports.iter().flat_map(|report| &report.report.segments) {
            let Some(license) = self.licenses.get(&segment.license_id) else { continue };
            let (item_id, segment_id) = (license.item_id.as_str(), segment.segment_id.as_str());
            let before_day = self.compacted.get(item_id).copied().unwrap_or(0);
            ids.insert(segment_id, segment_id);
            for counter in &segment.totals {
                let day = day_of(counter.slot);
                days.insert((item_id, day, segment_id));
                if day < before_day {
                    old.insert((item_id, first_old_day(day), segment_id));
                }
            }
        }
        self.days = totals(sql, &USAGE_DAY, &days, &ids)?;
        self.old = totals(sql, &USAGE_OLD, &old, &ids)?;
        Ok(())
    }

    fn look_up_accounts(&mut self, sql: &dyn Sql, reports: &[&Report]) -> Result<(), Error> {
        let wanted = Wanted::of(&self.licenses, &self.accounts, reports);
        let devices = DEVICE.find(sql, &wanted.devices())?;
        let days = ACTIVE_DAY.find(sql, &wanted.active_days())?;
        let seats = DEVICE_SEATS.find(sql, &wanted.devices_with_instances())?;
        let slots = SLOT_SUM.find(sql, &wanted.slots())?;
        let holders = SEAT_HOLDER.find(sql, &wanted.holders())?;
        let allowances = ALLOWANCES.find(sql, &wanted.strict_devices())?;
        let accounts = &mut self.accounts;
        each(accounts, devices, |account, mut row| {
            let device = account.device(row.take(1)?);
            device.seen = Some(Seen {
                friendly_name: row.take(2)?,
                library_version: row.take(3)?,
                newest_serial: row.take(4)?,
                first_seen_at: row.take(5)?,
                last_seen_at: Kept { value: row.take(6)?, is_changed: false },
            });
            Ok(())
        })?;
        each(accounts, days, |account, mut row| {
            let (day, device_uuid, bytes): (u32, String, Vec<u8>) =
                (row.take(1)?, row.take(2)?, row.take(3)?);
            let value = ActiveSlots::from_bytes(&bytes)
                .ok_or_else(|| Error::Store(format!("the slots of device {device_uuid} are damaged")))?;
            account.device(device_uuid).days.insert(day, Kept { value, is_changed: false });
            Ok(())
        })?;
        each(accounts, seats, |account, mut row| {
            account.device(row.take(1)?).seats.insert(row.take(2)?, row.take(3)?);
            Ok(())
        })?;
        each(accounts, slots, |account, mut row| {
            account.slots.insert(row.take(1)?, Kept { value: row.take(2)?, is_changed: false });
            Ok(())
        })?;
        each(accounts, holders, |account, mut row| {
            let hold = Hold { seats: row.take(3)?, until: row.take(4)? };
            let holds = &mut account.device(row.take(2)?).holds;
            holds.insert(row.take(1)?, Kept { value: hold, is_changed: false });
            Ok(())
        })?;
        each(accounts, allowances, |account, mut row| {
            let value = Allowance { serial: row.take(3)?, allowed: row.take(4)?, used: row.take(5)? };
            let allowances = &mut account.device(row.take(1)?).allowances;
            allowances.insert(row.take(2)?, Kept { value, is_changed: false });
            Ok(())
        })
    }
}

impl Account {
    fn device(&mut self, device_uuid: String) -> &mut Device {
        self.devices.entry(device_uuid).or_default()
    }

    /// So much more is used of a kind and module. The sum stops at the greatest number that the database can hold.
    pub(super) fn add_used(&mut self, kind: u8, module: u32, more: u64) {
        let used = self.used.entry((kind, module)).or_default();
        used.set(used.value.saturating_add(more).min(i64::MAX as u64));
    }

    /// The device reports so much more of its allowances.
    pub(super) fn use_allowance(&mut self, device_uuid: &str, module: u32, more: u64) {
        let Some(device) = self.devices.get_mut(device_uuid) else { return };
        let own = device.allowances.entry(module).or_default();
        let before = own.value;
        own.set(before.reported(before.used.saturating_add(more)));
        let number = |total: u64| i64::try_from(total).unwrap_or(i64::MAX);
        let has_some = |allowance: &Allowance| i64::from(allowance.unused() > 0);
        let sums = self.allowed.entry(module).or_default();
        let (allowed, devices) = sums.value;
        sums.set((
            allowed.saturating_add(number(own.value.allowed) - number(before.allowed)),
            devices + has_some(&own.value) - has_some(&before),
        ));
        // A device's first allowance is a row, even when nothing of it has changed.
        own.is_changed = true;
    }

    /// The device was active in these slots.
    pub(super) fn active(&mut self, device_uuid: &str, slots: &BTreeSet<u32>, now: u64) {
        let Some(device) = self.devices.get_mut(device_uuid) else { return };
        let first_open = first_open_slot(now);
        let first =
            if has_bug("excess: late slots ignored") { slot_of(now).saturating_sub(1) } else { first_open };
        for &slot in slots.range(first..) {
            let count = match self.item.charge_way {
                ChargeWay::ConcurrentInstance => device.seats_in(slot),
                _ => 1,
            };
            let day = device.days.entry(day_of(slot)).or_default();
            let rise = day.value.raise(slot, count);
            if rise == 0 {
                continue;
            }
            day.is_changed = true;
            let active = self.slots.entry(slot).or_default();
            let before = active.value;
            active.set(before.saturating_add(u64::from(rise)));
            let more = excess(active.value, self.item.quota) - excess(before, self.item.quota);
            if more > 0 {
                let year = OveruseRule::of(&self.item).year(slot_start(slot)).index;
                let sum = self.years.entry(year).or_default();
                sum.set(sum.value.saturating_add(more));
            }
        }
    }

    /// A usage report moves the window of a seat on; it does not take one that has run out.
    pub(super) fn begin_window_anew(&mut self, device_uuid: &str, holder: &str, now: u64) {
        let until = seat_until(&self.item, now);
        let device = self.devices.get_mut(device_uuid);
        if let Some(hold) = device.and_then(|device| device.holds.get_mut(holder))
            && hold.value.until > now
        {
            hold.set(Hold { until: hold.value.until.max(until), ..hold.value });
        }
    }

    /// The device was heard.
    pub(super) fn seen(&mut self, device_uuid: &str, now: u64) {
        let device = self.devices.get_mut(device_uuid);
        if let Some(seen) = device.and_then(|device| device.seen.as_mut())
            && seen.last_seen_at.value < now.saturating_sub(SEEN_SECONDS)
        {
            seen.last_seen_at.set(now);
        }
    }

    /// As much of how it stands for a device as the meters show.
    pub(super) fn standing(&self, device_uuid: &str, now: u64) -> ItemState {
        let mut state = ItemState::default();
        if matches!(self.item.charge_way, ChargeWay::BarcodeScan | ChargeWay::Page) {
            state.used =
                quotas(&self.item).into_iter().map(|(module, _)| self.used_of(device_uuid, module)).collect();
        }
        if account::is_concurrent(&self.item) {
            state.excess_of_year = self.excess_so_far(now);
        }
        if account::has_seats(&self.item) {
            state.occupied.by_others = self.seats_held;
        }
        state
    }

    fn used_of(&self, device_uuid: &str, module: u32) -> Used {
        let kind = account::metered_kind(&self.item).number();
        let used = self.used.get(&(kind, module)).map_or(0, |used| used.value);
        if !self.item.strict {
            return Used { module, used, ..Used::default() };
        }
        let (allowed, devices) = self.allowed.get(&module).map_or((0, 0), |sums| sums.value);
        let own = self.devices.get(device_uuid).and_then(|device| device.allowances.get(&module));
        Used {
            module,
            used,
            allowed: allowed.try_into().unwrap_or(0),
            devices: devices.try_into().unwrap_or(0),
            own: own.map(|own| own.value).unwrap_or_default(),
        }
    }

    /// The excess so far of the licence year that holds an instant: of its slots that have ended.
    fn excess_so_far(&self, now: u64) -> u64 {
        let year = OveruseRule::of(&self.item).year(now);
        let Some(all) = self.years.get(&year.index) else { return 0 };
        let running = self.slots.range(slot_of(now)..).filter(|(slot, _)| slot_start(**slot) < year.ends_at);
        let not_yet =
            running.fold(0_u64, |sum, (_, active)| sum.saturating_add(excess(active.value, self.item.quota)));
        all.value.saturating_sub(not_yet)
    }
}

impl Device {
    /// As how many instances it counts in a slot. Work that was done before the first grant has that of the first: the
    /// device's clock was behind.
    fn seats_in(&self, slot: u32) -> u32 {
        let then = self.seats.range(..=slot).next_back().or_else(|| self.seats.first_key_value());
        then.map_or(1, |(_, seats)| *seats)
    }
}

/// What has to be looked up of the accounts.
struct Wanted<'a> {
    accounts: &'a BTreeMap<String, Account>,
    /// Item, device, holder.
    devices: BTreeSet<(&'a str, &'a str, &'a str)>,
    /// Item, slot, device.
    active: BTreeSet<(&'a str, u32, &'a str)>,
}

impl<'a> Wanted<'a> {
    fn of(
        licenses: &'a HashMap<String, License>,
        accounts: &'a BTreeMap<String, Account>,
        reports: &[&'a Report],
    ) -> Self {
        let (mut devices, mut active) = (BTreeSet::new(), BTreeSet::new());
        for segment in reports.iter().flat_map(|report| &report.report.segments) {
            let Some(license) = licenses.get(&segment.license_id) else { continue };
            let License { item_id, device_uuid, holder, .. } = license;
            devices.insert((item_id.as_str(), device_uuid.as_str(), holder.as_str()));
            if accounts.get(item_id).is_some_and(|account| account::is_concurrent(&account.item)) {
                let slots = segment.totals.iter().map(|counter| counter.slot);
                active.extend(slots.map(|slot| (item_id.as_str(), slot, device_uuid.as_str())));
            }
        }
        Self { accounts, devices, active }
    }

    /// Item and device of those whose item is such a one.
    fn devices_of(&self, is_such: impl Fn(&LicenseItem) -> bool) -> Vec<Value<'a>> {
        let pairs: BTreeSet<(&str, &str)> = self
            .devices
            .iter()
            .filter(|(item_id, ..)| self.accounts.get(*item_id).is_some_and(|account| is_such(&account.item)))
            .map(|(item_id, device_uuid, _)| (*item_id, *device_uuid))
            .collect();
        pairs.into_iter().flat_map(|(item_id, device_uuid)| [item_id.into(), device_uuid.into()]).collect()
    }

    fn devices(&self) -> Vec<Value<'a>> {
        self.devices_of(|_| true)
    }

    fn devices_with_instances(&self) -> Vec<Value<'a>> {
        self.devices_of(|item| item.charge_way == ChargeWay::ConcurrentInstance)
    }

    fn strict_devices(&self) -> Vec<Value<'a>> {
        self.devices_of(|item| item.strict)
    }

    fn active_days(&self) -> Vec<Value<'a>> {
        let days: BTreeSet<(&str, u32, &str)> =
            self.active.iter().map(|(item_id, slot, device)| (*item_id, day_of(*slot), *device)).collect();
        days.into_iter()
            .flat_map(|(item_id, day, device)| [item_id.into(), day.into(), device.into()])
            .collect()
    }

    fn slots(&self) -> Vec<Value<'a>> {
        // Those that run now are there already.
        let slots: BTreeSet<(&str, u32)> = self
            .active
            .iter()
            .map(|(item_id, slot, _)| (*item_id, *slot))
            .filter(|(item_id, slot)| {
                self.accounts.get(*item_id).is_some_and(|account| !account.slots.contains_key(slot))
            })
            .collect();
        slots.into_iter().flat_map(|(item_id, slot)| [item_id.into(), slot.into()]).collect()
    }

    fn holders(&self) -> Vec<Value<'a>> {
        let has_seats = |item_id: &str| {
            self.accounts.get(item_id).is_some_and(|account| account::has_seats(&account.item))
        };
        let holders: BTreeSet<(&str, &str)> = self
            .devices
            .iter()
            .filter(|(item_id, ..)| has_seats(item_id))
            .map(|(item_id, _, holder)| (*item_id, *holder))
            .collect();
        holders.into_iter().flat_map(|(item_id, holder)| [item_id.into(), holder.into()]).collect()
    }
}

/// Hands each row to the account of its item, which stands in its first column.
fn each(
    accounts: &mut BTreeMap<String, Account>,
    rows: Vec<Row>,
    mut take: impl FnMut(&mut Account, Row) -> Result<(), Error>,
) -> Result<(), Error> {
    for mut row in rows {
        let item_id: String = row.take(0)?;
        if let Some(account) = accounts.get_mut(&item_id) {
            take(account, row)?;
        }
    }
    Ok(())
}

/// What is recorded of segments from days on; `ids` are the segments.
fn totals<'a>(
    sql: &dyn Sql,
    table: &Table,
    wanted: &BTreeSet<(&str, u32, &str)>,
    ids: &HashMap<&str, &'a str>,
) -> Result<BTreeMap<(&'a str, u32), Kept<DayTotals>>, Error> {
    let mut keys = Vec::with_capacity(wanted.len() * 3);
    for (item_id, day, segment_id) in wanted {
        keys.extend_from_slice(values![*item_id, *day, *segment_id]);
    }
    let mut found = BTreeMap::new();
    for mut row in table.find(sql, &keys)? {
        let (day, segment_id, bytes): (u32, String, Vec<u8>) = (row.take(1)?, row.take(2)?, row.take(3)?);
        let value = DayTotals::from_bytes(&bytes).ok_or_else(|| {
            Error::Store(format!("the usage of segment {segment_id} on day {day} is damaged"))
        })?;
        if let Some(segment_id) = ids.get(segment_id.as_str()) {
            found.insert((*segment_id, day), Kept { value, is_changed: false });
        }
    }
    Ok(found)
}

fn licenses(sql: &dyn Sql, ids: &BTreeSet<&str>) -> Result<HashMap<String, License>, Error> {
    let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
    let rows = LICENSE.find(sql, &keys)?.into_iter().map(|mut row| {
        let license = License {
            item_id: row.take(1)?,
            device_uuid: row.take(2)?,
            handshake_code: row.take(3)?,
            holder: row.take(4)?,
            serial: row.take(5)?,
        };
        Ok((row.take(0)?, license))
    });
    rows.collect()
}

fn owners(sql: &dyn Sql, segment_ids: &BTreeSet<&str>) -> Result<HashMap<String, String>, Error> {
    let keys: Vec<Value<'_>> = segment_ids.iter().map(|id| Value::Text(id)).collect();
    SEGMENT_OWNER.find(sql, &keys)?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// The items of these licences, with their sums.
fn accounts<'l>(
    sql: &dyn Sql,
    licenses: impl Iterator<Item = &'l License>,
    now: u64,
) -> Result<BTreeMap<String, Account>, Error> {
    let ids: BTreeSet<&str> = licenses.map(|license| license.item_id.as_str()).collect();
    let keys: Vec<Value<'_>> = ids.iter().map(|id| Value::Text(id)).collect();
    let mut accounts = BTreeMap::new();
    for mut row in ITEM.find(sql, &keys)? {
        let item = account::read_item(&row.take::<String>(1)?)?;
        accounts.insert(row.take(0)?, Account::of(item));
    }
    look_up_sums(sql, &mut accounts, now)?;
    Ok(accounts)
}

impl Account {
    /// Of an item of which nothing is known yet.
    pub(super) fn of(item: LicenseItem) -> Self {
        Self {
            item,
            used: BTreeMap::new(),
            slots: BTreeMap::new(),
            years: BTreeMap::new(),
            seats_held: 0,
            allowed: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }
}

/// The sums that do not depend on what is reported; and the slots that run, or are still to come by a clock that is ahead.
fn look_up_sums(sql: &dyn Sql, accounts: &mut BTreeMap<String, Account>, now: u64) -> Result<(), Error> {
    let all = ids(accounts, |_| true);
    each(accounts, USED.find(sql, &texts(&all))?, |account, mut row| {
        let kind: u32 = row.take(1)?;
        let kind = u8::try_from(kind).map_err(|_| Error::Store("a kind of usage is damaged".to_owned()))?;
        account.used.insert((kind, row.take(2)?), Kept { value: row.take(3)?, is_changed: false });
        Ok(())
    })?;
    let concurrent = ids(accounts, account::is_concurrent);
    each(accounts, YEARS.find(sql, &texts(&concurrent))?, |account, mut row| {
        account.years.insert(row.take(1)?, Kept { value: row.take(2)?, is_changed: false });
        Ok(())
    })?;
    for item_id in &concurrent {
        let running = sql.query(
            "SELECT item_id, slot, active FROM slot_sum WHERE item_id = ?1 AND slot >= ?2",
            values![item_id, slot_of(now)],
        )?;
        each(accounts, running, |account, mut row| {
            account.slots.insert(row.take(1)?, Kept { value: row.take(2)?, is_changed: false });
            Ok(())
        })?;
    }
    let with_seats = ids(accounts, account::has_seats);
    each(accounts, ITEM_HELD.find(sql, &texts(&with_seats))?, |account, mut row| {
        account.seats_held = row.take(1)?;
        Ok(())
    })?;
    let strict = ids(accounts, |item| item.strict);
    each(accounts, ALLOWED.find(sql, &texts(&strict))?, |account, mut row| {
        let value = (row.take(2)?, row.take(3)?);
        account.allowed.insert(row.take(1)?, Kept { value, is_changed: false });
        Ok(())
    })
}

/// Those whose item is such a one.
fn ids(accounts: &BTreeMap<String, Account>, is_such: impl Fn(&LicenseItem) -> bool) -> Vec<String> {
    accounts.iter().filter(|(_, account)| is_such(&account.item)).map(|(id, _)| id.clone()).collect()
}

fn texts(ids: &[String]) -> Vec<Value<'_>> {
    ids.iter().map(Value::from).collect()
}

/// Writes the sums of the items.
pub(super) fn put_sums(sql: &dyn Sql, accounts: &BTreeMap<String, Account>) -> Result<(), Error> {
    let (mut used, mut slots, mut years, mut allowed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (item_id, account) in accounts {
        for (&(kind, module), sum) in account.used.iter().filter(|(_, sum)| sum.is_changed) {
            used.extend_from_slice(values![item_id, u32::from(kind), module, sum.value]);
        }
        for (&slot, sum) in account.slots.iter().filter(|(_, sum)| sum.is_changed) {
            slots.extend_from_slice(values![item_id, slot, sum.value]);
        }
        for (&year, sum) in account.years.iter().filter(|(_, sum)| sum.is_changed) {
            years.extend_from_slice(values![item_id, year, sum.value]);
        }
        for (&module, sums) in account.allowed.iter().filter(|(_, sums)| sums.is_changed) {
            allowed.extend_from_slice(values![item_id, module, sums.value.0, sums.value.1]);
        }
    }
    ITEM_USED.put(sql, &used)?;
    SLOT_SUM.put(sql, &slots)?;
    YEAR_EXCESS.put(sql, &years)?;
    ITEM_ALLOWED.put(sql, &allowed)
}

/// Writes what has changed of the devices.
pub(super) fn put_devices(sql: &dyn Sql, accounts: &BTreeMap<String, Account>) -> Result<(), Error> {
    let (mut devices, mut holders, mut allowances) = (Vec::new(), Vec::new(), Vec::new());
    let mut days = Vec::new();
    for (item_id, account) in accounts {
        for (uuid, device) in &account.devices {
            if let Some(seen) = device.seen.as_ref().filter(|seen| seen.last_seen_at.is_changed) {
                devices.extend_from_slice(values![
                    item_id,
                    uuid,
                    &seen.friendly_name,
                    &seen.library_version,
                    seen.newest_serial,
                    seen.first_seen_at,
                    seen.last_seen_at.value
                ]);
            }
            for (holder, hold) in device.holds.iter().filter(|(_, hold)| hold.is_changed) {
                holders.extend_from_slice(values![item_id, holder, uuid, hold.value.seats, hold.value.until]);
            }
            for (&module, own) in device.allowances.iter().filter(|(_, own)| own.is_changed) {
                let Allowance { serial, allowed, used } = own.value;
                allowances.extend_from_slice(values![item_id, uuid, module, serial, allowed, used]);
            }
            for (&day, slots) in device.days.iter().filter(|(_, slots)| slots.is_changed) {
                days.push((item_id, day, uuid, slots.value.to_bytes()));
            }
        }
    }
    days.sort_unstable_by_key(|(item_id, day, uuid, _)| (*item_id, *day, *uuid));
    let mut active = Vec::with_capacity(days.len() * 4);
    for (item_id, day, uuid, slots) in &days {
        active.extend_from_slice(values![*item_id, *day, *uuid, slots.as_slice()]);
    }
    DEVICE.put(sql, &devices)?;
    SEAT_HOLDER.put(sql, &holders)?;
    ALLOWANCE.put(sql, &allowances)?;
    ACTIVE_DAY.put(sql, &active)
}

/// Counts the activity of all usage that is recorded, for a database that did not keep it.
pub(in crate::store) fn count_all(sql: &dyn Sql) -> Result<(), Error> {
    for mut row in sql.query("SELECT item_id, definition FROM license_item", &[])? {
        let (item_id, definition): (String, String) = (row.take(0)?, row.take(1)?);
        let item = account::read_item(&definition)?;
        if !account::is_concurrent(&item) {
            continue;
        }
        let mut account = Account::of(item);
        let seats = "SELECT device_uuid, from_slot, seats FROM device_seats WHERE item_id = ?1";
        for mut row in sql.query(seats, values![&item_id])? {
            account.device(row.take(0)?).seats.insert(row.take(1)?, row.take(2)?);
        }
        let used = sql.query(
            "SELECT segment.device_uuid, usage_day.day, usage_day.totals
               FROM usage_day JOIN segment USING (item_id, segment_id) WHERE usage_day.item_id = ?1",
            values![&item_id],
        )?;
        for mut row in used {
            let (device_uuid, day, bytes): (String, u32, Vec<u8>) =
                (row.take(0)?, row.take(1)?, row.take(2)?);
            let totals = DayTotals::from_bytes(&bytes).ok_or_else(|| {
                Error::Store(format!("the usage of device {device_uuid} on day {day} is damaged"))
            })?;
            let slots = totals.iter().map(|((slot, ..), _)| first_slot(day) + slot).collect();
            account.device(device_uuid.clone());
            account.active(&device_uuid, &slots, 0);
        }
        let accounts = BTreeMap::from([(item_id, account)]);
        put_sums(sql, &accounts)?;
        put_devices(sql, &accounts)?;
    }
    Ok(())
}
