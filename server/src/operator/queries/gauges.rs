//! The gauges for a scrape by Prometheus: all items in one snapshot, within a bounded number of
//! series.

use std::collections::BTreeMap;

use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::message::Metered;

use super::day;
use super::forecast::Forecast;
use super::status::{ItemStatus, ServerStatus};

/// The number of items that have series of their own. The rest is summed up.
pub const ITEMS_MAX: usize = 1_000;

/// The name under which the rest of the items is summed up.
pub const OTHERS: &str = "(others)";

/// The query for the gauges of the items and the data.
#[derive(Clone, Copy, Debug)]
pub struct GaugesQuery;

/// The query for the number of devices.
#[derive(Clone, Copy, Debug)]
pub struct DeviceCountsQuery;

/// The number of devices by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// The devices with a license that runs.
    pub running: u64,
    /// The devices whose licenses have ended.
    pub ended: u64,
}

/// The gauges of the items and the data at one instant.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The data.
    pub server: ServerStatus,
    /// The number of times within a year that the data was noticed to be put back.
    pub rollbacks: u64,
    /// The items, by id.
    pub items: Vec<ItemGauge>,
    /// The number of items that are summed up in the last one.
    pub summed: u64,
}

/// The gauges of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemGauge {
    /// The id of the item, or [`OTHERS`].
    pub item: String,
    /// The expiry of the item, Unix seconds; the soonest of several.
    pub expires_at: Option<u64>,
    /// The use of each quota or budget.
    pub meters: BTreeMap<Meter, MeterGauge>,
}

/// The unit that is counted: its name, and the module for pages.
pub type Meter = (&'static str, String);

/// The use of a quota or budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterGauge {
    /// The used amount.
    pub used: u64,
    /// The quota or the overuse budget.
    pub quota: u64,
    /// The amount above the quota that is still served.
    pub grace: u64,
    /// The begin of the day on which it will be used up, Unix seconds; the soonest of several.
    pub forecast_at: Option<u64>,
}

/// The name of what is counted against the overuse budget.
pub const EXCESS: &str = "excess";

/// The name of the devices or instances that are active in the current slot.
pub const ACTIVE: &str = "active";

/// Return the name of what is counted, in labels and messages.
#[must_use]
pub fn metered_name(of: Metered) -> &'static str {
    match of {
        Metered::Scans => "scans",
        Metered::Pages => "pages",
        Metered::Devices => "devices",
        Metered::Excess => EXCESS,
        Metered::Unknown => "unknown",
    }
}

impl Gauges {
    /// Add an item: as its own, or to the sum of the rest.
    pub fn add(&mut self, status: &ItemStatus) {
        let item = ItemGauge::of(status);
        if self.items.len() < ITEMS_MAX {
            return self.items.push(item);
        }
        if self.summed == 0 {
            self.items.push(ItemGauge { item: OTHERS.to_owned(), ..ItemGauge::default() });
        }
        self.summed += 1;
        if let Some(others) = self.items.last_mut() {
            others.add(item);
        }
    }
}

impl ItemGauge {
    fn of(status: &ItemStatus) -> Self {
        let mut meters: BTreeMap<Meter, MeterGauge> = BTreeMap::new();
        for meter in &status.meters {
            let gauge = MeterGauge {
                used: meter.used,
                quota: meter.quota,
                grace: meter.grace,
                forecast_at: forecast_at(&meter.forecast),
            };
            meters.insert((metered_name(meter.of), meter.module_name.clone()), gauge);
        }
        if let Some(used) = status.active_now {
            let gauge = MeterGauge { used, quota: status.quota, ..MeterGauge::default() };
            meters.insert((ACTIVE, String::new()), gauge);
        }
        let expires_at = (status.expires_at > 0).then_some(status.expires_at);
        Self { item: status.item_id.clone(), expires_at, meters }
    }

    fn add(&mut self, other: Self) {
        self.expires_at = soonest(self.expires_at, other.expires_at);
        for (meter, more) in other.meters {
            let sum = self.meters.entry(meter).or_default();
            sum.used = sum.used.saturating_add(more.used);
            sum.quota = sum.quota.saturating_add(more.quota);
            sum.grace = sum.grace.saturating_add(more.grace);
            sum.forecast_at = soonest(sum.forecast_at, more.forecast_at);
        }
    }
}

fn soonest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Return the begin of the day on which a meter will be used up.
#[must_use]
pub fn forecast_at(forecast: &Forecast) -> Option<u64> {
    let day = day(forecast.used_up_on.as_deref()?).ok()?;
    Some(u64::from(day) * DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::super::status::ItemState;
    use super::*;

    fn status(number: usize) -> ItemStatus {
        ItemStatus {
            item_id: format!("{number:05}"),
            organization_id: "acme".to_owned(),
            file_id: "file".to_owned(),
            option: None,
            quota: 10,
            state: ItemState::Within,
            not_ready: None,
            starts_at: 0,
            expires_at: 10_000 - number as u64,
            revoked_at: None,
            meters: Vec::new(),
            held: 0,
            next_free_at: None,
            active_now: Some(3),
        }
    }

    #[test]
    fn items_beyond_the_bound_are_summed_up_and_counted() {
        let mut gauges = Gauges::default();
        (0..ITEMS_MAX + 4).for_each(|number| gauges.add(&status(number)));
        assert_eq!((gauges.items.len(), gauges.summed), (ITEMS_MAX + 1, 4));
        let others = &gauges.items[ITEMS_MAX];
        let active = &others.meters[&(ACTIVE, String::new())];
        assert_eq!((others.item.as_str(), active.used, active.quota), (OTHERS, 12, 40));
        assert_eq!(others.expires_at, Some(10_000 - 1_003));
        assert_eq!(gauges.items[ITEMS_MAX - 1].item, "00999");
    }
}
