//! `day`: the 480 slots of a day against N, and the devices of a slot.

use clap::Args;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::slot::slot_start;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};

/// The query for the use of an item on a day.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DayQuery {
    /// The item
    #[serde(skip)]
    #[param(ignore)]
    pub item_id: String,
    /// The date, such as 2026-11-25 [default: today]
    pub date: Option<String>,
    /// Also list the devices that were active in this slot: its number, or a time in it
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<String>,
}

/// The slots of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Day {
    /// The item.
    pub item_id: String,
    /// The license option: the charge way.
    #[schema(value_type = String)]
    pub option: ChargeWay,
    /// The date.
    pub date: String,
    /// The unit of the slots: devices, instances, scans, pages or images.
    pub unit: String,
    /// N of the concurrent options; absent for the others, whose quota is not one of a slot.
    pub quota: Option<u64>,
    /// The 480 slots.
    pub slots: Vec<DaySlot>,
    /// The highest number of one slot.
    #[schema(value_type = u64)]
    pub peak: u128,
    /// The first slot with this number.
    pub peak_slot: Option<u32>,
    /// The sum of all slots.
    #[schema(value_type = u64)]
    pub total: u128,
    /// The sum of the excess; 0 for options without N of a slot.
    pub excess: u64,
    /// Whether the slots of this day are still kept one by one. Otherwise only sums of days are.
    pub is_kept_by_slot: bool,
    /// The slot whose devices are listed.
    pub slot: Option<u32>,
    /// The devices that were active in that slot.
    pub devices: Vec<SlotDevice>,
}

/// A slot of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DaySlot {
    /// The number of the slot.
    pub slot: u32,
    /// The begin of the slot, Unix seconds.
    pub begins_at: u64,
    /// The number of active devices or instances, or of what was counted.
    #[schema(value_type = u64)]
    pub count: u128,
    /// The number above N.
    pub excess: u64,
}

/// A device that was active in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SlotDevice {
    /// The UUID of the device.
    pub device_uuid: String,
    /// The name of the device.
    pub name: String,
    /// As how many devices or instances it counts, or what it has counted.
    #[schema(value_type = u64)]
    pub count: u128,
}

impl Sheets for Day {
    fn sheets(&self) -> Vec<Sheet> {
        let row = |slot: &DaySlot| {
            vec![
                Cell::Instant(slot.begins_at),
                Cell::from(slot.slot),
                Cell::from(slot.count),
                Cell::from(self.quota),
                Cell::from(slot.excess),
            ]
        };
        let mut notes = Vec::new();
        match self.peak_slot {
            None => notes.push(format!("nobody worked on {}", self.date)),
            Some(slot) => notes.push(format!(
                "peak {} {} at {}",
                self.peak,
                self.unit,
                crate::utc::text(slot_start(slot))
            )),
        }
        if !self.is_kept_by_slot {
            notes.push("this day is long past: only its sum is kept, in its first slot".to_owned());
        }
        let slots = Sheet {
            title: format!("item {}, {}, UTC", self.item_id, self.date),
            columns: vec!["begins_at", "slot", "count", "quota", "excess"],
            rows: self.slots.iter().filter(|slot| slot.count > 0).map(row).collect(),
            total: match self.peak_slot {
                None => Vec::new(),
                Some(_) => vec![
                    "total".into(),
                    Cell::Empty,
                    self.total.into(),
                    Cell::Empty,
                    self.excess.into(),
                ],
            },
            notes,
        };
        let Some(slot) = self.slot else { return vec![slots] };
        let device = |device: &SlotDevice| {
            vec![
                Cell::from(&device.name),
                Cell::from(&device.device_uuid),
                Cell::from(device.count),
            ]
        };
        let devices = Sheet {
            title: format!("devices in slot {slot}"),
            columns: vec!["name", "device_uuid", "count"],
            rows: self.devices.iter().map(device).collect(),
            ..Sheet::default()
        };
        vec![slots, devices]
    }
}
