//! `holders`: who holds the seats now, and who was refused in the current slot.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};
use crate::utc;

/// The query for the present holders of seats.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct HoldersQuery {
    /// Only the seats of this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Only the seats of this handshake code
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only the holders after this one: the "next" of the previous part
    #[arg(long, value_name = "NEXT")]
    pub after: Option<String>,
    /// The greatest number of holders: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The holders of seats at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Holders {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The current slot.
    pub slot: u32,
    /// The holders, by item and UUID.
    pub holders: Vec<HolderRow>,
    /// The devices that were refused in the current slot.
    pub refused: Vec<RefusedNow>,
    /// The place to continue with; absent at the end.
    pub next: Option<String>,
}

/// A device that holds seats, or that runs under an item whose seats are not limited now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HolderRow {
    /// The item.
    pub item_id: String,
    /// The UUID of the device.
    pub device_uuid: String,
    /// The name of the device.
    pub name: String,
    /// The origin of the website, for a device that is a browser.
    pub origin: Option<String>,
    /// The handshake code of its newest license.
    pub handshake_code: String,
    /// The number of seats.
    pub seats: u64,
    /// The grant since which it runs without a break, Unix seconds; absent when it is not known.
    pub since: Option<u64>,
    /// The instant until which it holds the seats, unless it renews them, Unix seconds.
    pub until: u64,
    /// The time at which the server last heard of the device, Unix seconds.
    pub last_heard_at: Option<u64>,
    /// The version of the device's library.
    pub library_version: String,
}

/// A device that was refused in the current slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedNow {
    /// The item.
    pub item_id: String,
    /// The UUID of the device; empty for the devices beyond the commonest ones.
    pub device_uuid: String,
    /// The name of the device.
    pub name: String,
    /// The handshake code.
    pub handshake_code: String,
    /// The number of the error.
    pub code: i32,
    /// The time of the last refusal, Unix seconds.
    pub at: u64,
    /// The sentence of the last refusal.
    pub detail: String,
}

impl Sheets for Holders {
    fn sheets(&self) -> Vec<Sheet> {
        let seats: u64 = self.holders.iter().map(|row| row.seats).sum();
        let mut holders = Sheet {
            columns: vec![
                "item_id",
                "name",
                "device_uuid",
                "handshake_code",
                "seats",
                "since",
                "until",
                "last_heard",
                "version",
                "origin",
            ],
            rows: self.holders.iter().map(row).collect(),
            total: vec![
                "total".into(),
                format!("{} devices", self.holders.len()).into(),
                Cell::Empty,
                Cell::Empty,
                seats.into(),
            ],
            ..Sheet::default()
        };
        if self.holders.is_empty() {
            holders.total.clear();
            holders.notes.push(format!("nobody holds a seat at {}", utc::text(self.at)));
        }
        if let Some(next) = &self.next {
            holders.notes.push(format!("there are more holders: continue with --after {next}"));
        }
        let mut sheets = vec![holders];
        if !self.refused.is_empty() {
            sheets.push(Sheet {
                title: "refused in the current slot".to_owned(),
                columns: vec!["item_id", "name", "device_uuid", "code", "at", "detail"],
                rows: self.refused.iter().map(refused_row).collect(),
                ..Sheet::default()
            });
        }
        sheets
    }
}

fn row(row: &HolderRow) -> Vec<Cell> {
    vec![
        Cell::from(&row.item_id),
        Cell::from(&row.name),
        Cell::from(&row.device_uuid),
        Cell::from(&row.handshake_code),
        Cell::from(row.seats),
        Cell::instant(row.since),
        Cell::Instant(row.until),
        Cell::instant(row.last_heard_at),
        Cell::from(&row.library_version),
        Cell::from(row.origin.as_ref()),
    ]
}

fn refused_row(row: &RefusedNow) -> Vec<Cell> {
    let name = if row.device_uuid.is_empty() { "(others)" } else { &row.name };
    vec![
        Cell::from(&row.item_id),
        Cell::from(name),
        Cell::from(&row.device_uuid),
        Cell::Number(row.code.into()),
        Cell::Instant(row.at),
        Cell::from(&row.detail),
    ]
}
