//! The peak and the sum of each day of a year.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};

use super::{account_of, values};
use crate::error::Error;
use crate::operator::queries::date;
use crate::operator::queries::usage::year_of;
use crate::operator::queries::year::{Recent, RecentQuery, Year, YearDay, YearQuery};
use crate::store::account::{EXCESS_KIND, SEATS_KIND, metered_kind};
use crate::store::day_totals::first_slot;
use crate::store::reading::{Question, Snapshot};

/// The number of days of an answer that names no year.
const DAYS: u32 = 366;

/// The numbers of a day.
#[derive(Clone, Copy, Default)]
struct OfDay {
    peak: u64,
    total: u64,
    excess: u64,
}

impl Question for YearQuery {
    type Answer = Year;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Year, Error> {
        let account = account_of(from, &self.item_id)?;
        let item = &account.item;
        let today = u32::try_from(from.now / DAY_SECONDS).unwrap_or(u32::MAX);
        let (first, end) = match &self.year {
            Some(year) => year_of(year)?,
            None => ((today + 1).saturating_sub(DAYS), today + 1),
        };
        let numbers = numbers(from, item, first, end)?;
        let days = (first..end).map(|day| {
            let OfDay { peak, total, excess } = numbers.get(&day).copied().unwrap_or_default();
            YearDay { date: date(day), peak, total, excess }
        });
        let days: Vec<YearDay> = days.collect();
        let peak = days.iter().rev().max_by_key(|day| day.peak).filter(|day| day.peak > 0);
        Ok(Year {
            item_id: item.item_id.clone(),
            option: item.charge_way,
            from: date(first),
            to: date(end - 1),
            unit: unit(item).to_owned(),
            quota: (item.charge_way != ChargeWay::Page).then_some(item.quota),
            peak: peak.map_or(0, |day| day.peak),
            peak_on: peak.map(|day| day.date.clone()),
            total: days.iter().map(|day| day.total).fold(0, u64::saturating_add),
            excess: days.iter().map(|day| day.excess).fold(0, u64::saturating_add),
            days,
        })
    }
}

impl Question for RecentQuery {
    type Answer = Vec<Recent>;

    fn answer(&self, from: &Snapshot<'_>) -> Result<Vec<Recent>, Error> {
        let today = u32::try_from(from.now / DAY_SECONDS).unwrap_or(u32::MAX);
        let (first, end) = ((today + 1).saturating_sub(self.days), today + 1);
        let mut recent = Vec::with_capacity(self.item_ids.len());
        for item_id in &self.item_ids {
            // An item that is not ready has no option, and so no days.
            let Ok(account) = account_of(from, item_id) else { continue };
            let numbers = numbers(from, &account.item, first, end)?;
            let is_metered = account.item.charge_way.is_metered();
            let day = |day| {
                let of_day: OfDay = numbers.get(&day).copied().unwrap_or_default();
                if is_metered { of_day.total } else { of_day.peak }
            };
            recent.push(Recent {
                item_id: item_id.clone(),
                unit: unit(&account.item).to_owned(),
                days: (first..end).map(day).collect(),
            });
        }
        Ok(recent)
    }
}

fn unit(item: &LicenseItem) -> &'static str {
    match item.charge_way {
        ChargeWay::BarcodeScan => "scans",
        ChargeWay::Page => "pages",
        ChargeWay::ConcurrentDevice => "devices",
        ChargeWay::ConcurrentInstance => "instances",
        _ => "seats",
    }
}

fn numbers(
    from: &Snapshot<'_>,
    item: &LicenseItem,
    first: u32,
    end: u32,
) -> Result<BTreeMap<u32, OfDay>, Error> {
    let mut numbers: BTreeMap<u32, OfDay> = BTreeMap::new();
    let query = "SELECT day, kind, amount FROM item_day
          WHERE item_id = ?1 AND day >= ?2 AND day < ?3";
    let metered = item.charge_way.is_metered().then(|| metered_kind(item).number());
    for mut row in from.sql().query(query, values![&item.item_id, first, end])? {
        let of_day = numbers.entry(row.take(0)?).or_default();
        let (kind, amount): (u8, u64) = (row.take(1)?, row.take(2)?);
        match kind {
            EXCESS_KIND => of_day.excess = amount,
            SEATS_KIND => of_day.peak = amount,
            // The modules of pages are summed.
            kind if Some(kind) == metered => of_day.total = of_day.total.saturating_add(amount),
            _ => {}
        }
    }
    if !item.charge_way.is_concurrent() {
        return Ok(numbers);
    }
    let query = "SELECT slot / 480, max(active) FROM slot_sum
          WHERE item_id = ?1 AND slot >= ?2 AND slot < ?3 GROUP BY slot / 480";
    let range = values![&item.item_id, first_slot(first), first_slot(end)];
    for mut row in from.sql().query(query, range)? {
        numbers.entry(row.take(0)?).or_default().peak = row.take(1)?;
    }
    Ok(numbers)
}
