//! The two signed documents: what a vendor sells, and what a device may do.

use serde::{Deserialize, Serialize};

use crate::charge_way::{ChargeWay, DeploymentType};
use crate::signature::{Document, PublicKey};

/// Seconds of a day.
pub const DAY_SECONDS: u64 = 86_400;

/// Days after an item's expiry in which it still works, with a warning.
pub const EXPIRY_GRACE_DAYS: u64 = 7;

/// Most seats that a device may ask for, and most that a concurrent-instance item may grant one device.
pub const SEATS_MAX: u32 = 65_536;

/// What a vendor issues and signs: licence items for one organization, bound to one server's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseFile {
    /// Version of this document's format.
    pub version: u32,
    /// Id of this file.
    pub file_id: String,
    /// Id of the licensee.
    pub organization_id: String,
    /// Name of the licensee, for people.
    pub organization_name: String,
    /// The key of the one server that may grant from these items.
    pub server_key: PublicKey,
    /// When it was issued, Unix seconds.
    pub issued_at: u64,
    /// What was sold.
    pub items: Vec<LicenseItem>,
}

impl Document for LicenseFile {
    const CONTEXT: &'static str = "licence file";
}

/// One permit of a licence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseItem {
    /// Id of the item, unique for the server.
    pub item_id: String,
    /// By what it is charged.
    pub charge_way: ChargeWay,
    /// N: scans, pages, devices, servers or instances.
    pub quota: u64,
    /// Where it may be used.
    pub deployment_types: Vec<DeploymentType>,
    /// Bits of the products that it covers, as in the C API.
    pub products: u32,
    /// First instant at which it is good, Unix seconds.
    pub starts_at: u64,
    /// First instant at which it is no longer good, Unix seconds; the grace comes after it.
    pub expires_at: u64,
    /// Days for which a device may work without contact, at most.
    #[serde(default = "default_offline_days")]
    pub offline_days: u32,
}

fn default_offline_days() -> u32 {
    30
}

impl LicenseItem {
    /// First instant at which the grace after expiry is over, too.
    #[must_use]
    pub fn grace_ends_at(&self) -> u64 {
        self.expires_at.saturating_add(EXPIRY_GRACE_DAYS * DAY_SECONDS)
    }
}

/// What a server signs and gives to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalLicense {
    /// Version of this document's format.
    pub version: u32,
    /// Unguessable id; usage reports name it.
    pub license_id: String,
    /// Grows with every licence for the same device and item: the newest grant wins.
    pub serial: u32,
    /// The item it is granted from.
    pub item_id: String,
    /// The handshake code it was asked for with.
    pub handshake_code: String,
    /// The device it is for.
    pub device_uuid: String,
    /// By what the item is charged.
    pub charge_way: ChargeWay,
    /// Seats of the device; 0 where the charge way has no seats.
    pub seats: u32,
    /// When it was granted, by the server's clock, Unix seconds.
    pub issued_at: u64,
    /// First instant at which it is no longer good without renewal, Unix seconds.
    pub valid_until: u64,
    /// First instant of the grace after the item's expiry, Unix seconds.
    pub item_expires_at: u64,
}

impl Document for LocalLicense {
    const CONTEXT: &'static str = "local licence";
}
