//! `device list`: the devices under the items, by name, UUID, handshake code and state.

use clap::Args;
use serde::Deserialize;
use utoipa::IntoParams;

use super::sheet::{Cell, Sheet, Sheets};
use crate::operator::commands::{DeviceRow, DeviceState};

/// The query for the devices.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct DevicesQuery {
    /// Only the devices under this item
    #[arg(long = "item", value_name = "ID")]
    pub item_id: Option<String>,
    /// Only the devices with this text in their names; capital letters do not matter
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Only the devices whose UUIDs begin so
    #[arg(long, value_name = "DIGITS")]
    pub uuid: Option<String>,
    /// Only the devices with a license of this handshake code
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only the devices in this state
    #[arg(long, value_enum)]
    #[param(inline)]
    pub state: Option<DeviceState>,
    /// Only the devices of which the server has not heard since this time
    #[arg(long, value_name = "TIME")]
    pub offline_since: Option<String>,
    /// Only the devices that have never reported any usage
    #[arg(long)]
    pub never_reported: bool,
    /// The item of the device after which the list begins. Set it and after_device to those of the
    /// last row of the previous part
    #[arg(long, value_name = "ID", requires = "after_device")]
    pub after_item: Option<String>,
    /// The UUID of the device after which the list begins; see after_item
    #[arg(long, value_name = "UUID", requires = "after_item")]
    pub after_device: Option<String>,
    /// The greatest number of devices: 1 to 10000 [default: 10000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The query for the one device with a UUID, a beginning of a UUID, or a name. The answer is its
/// UUID.
#[derive(Clone, Debug)]
pub struct DeviceMeant(pub String);

impl Sheets for Vec<DeviceRow> {
    fn sheets(&self) -> Vec<Sheet> {
        let row = |row: &DeviceRow| {
            vec![
                Cell::from(&row.item_id),
                Cell::from(&row.device_uuid),
                Cell::from(&row.name),
                Cell::from(match row.state {
                    DeviceState::Running => "running",
                    DeviceState::Ended => "ended",
                }),
                Cell::from(row.seats),
                Cell::instant((row.valid_until > 0).then_some(row.valid_until)),
                Cell::instant(row.last_heard_at),
                Cell::from(&row.library_version),
            ]
        };
        let notes = match self.len() {
            0 => vec!["no such device".to_owned()],
            1 => vec!["1 device under an item".to_owned()],
            count => vec![format!("{count} devices under items")],
        };
        vec![Sheet {
            columns: vec![
                "item_id",
                "device_uuid",
                "name",
                "state",
                "seats",
                "valid_until",
                "last_heard",
                "version",
            ],
            rows: self.iter().map(row).collect(),
            notes,
            ..Sheet::default()
        }]
    }
}
