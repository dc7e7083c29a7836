//! `explain`: the licenses of a device, its last contact, its refusals, and the answer that it
//! would get now.

use clap::Args;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::message::LostAllowance;
use seatmeter_protocol::version::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::refusals::RefusalRow;
use super::sheet::{Cell, Sheet, Sheets};
use crate::policy::Claim;

/// The query for the licenses of a device, and for the reasons of its refusals.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainQuery {
    /// The device: its UUID, the beginning of it, or its name
    #[serde(skip)]
    #[param(ignore)]
    pub device: String,
}

/// The request of a device in an authorization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Asked {
    /// The deployment type.
    #[schema(value_type = Option<String>)]
    pub deployment_type: Option<DeploymentType>,
    /// The charge way; absent when the server may choose.
    #[schema(value_type = Option<String>)]
    pub charge_way: Option<ChargeWay>,
    /// The bits of the products.
    pub products: u32,
    /// The number of seats.
    pub seats: u32,
    /// The names of the modules.
    pub modules: Vec<String>,
    /// The version of the product.
    #[schema(value_type = Option<String>)]
    pub product_version: Option<Version>,
    /// The edition of the product.
    pub product_edition: Option<String>,
    /// The days for which it wants to work without contact.
    pub buffer_days: u32,
    /// The website, or empty.
    pub website: String,
    /// The allowance that it needs of a strict item.
    pub needed: u64,
    /// What it has lost of its allowances of strict items.
    #[schema(value_type = Vec<Object>)]
    pub lost: Vec<LostAllowance>,
}

impl Asked {
    /// Return what this claim asks for.
    #[must_use]
    pub fn of(claim: &Claim) -> Self {
        Self {
            deployment_type: Some(claim.deployment_type),
            charge_way: claim.charge_way,
            products: claim.products,
            seats: claim.seats,
            modules: claim.modules.clone(),
            product_version: claim.product_version.clone(),
            product_edition: claim.product_edition.clone(),
            buffer_days: claim.buffer_days,
            website: claim.website.clone(),
            needed: claim.needed,
            lost: claim.lost.clone(),
        }
    }

    /// Return the claim of a request that asks for this now.
    #[must_use]
    pub fn claim(&self, now: u64) -> Claim {
        Claim {
            deployment_type: self.deployment_type.unwrap_or(DeploymentType::Desktop),
            charge_way: self.charge_way,
            products: self.products,
            seats: self.seats,
            modules: self.modules.clone(),
            product_version: self.product_version.clone(),
            product_edition: self.product_edition.clone(),
            buffer_days: self.buffer_days,
            website: self.website.clone(),
            needed: self.needed,
            lost: self.lost.clone(),
            now,
        }
    }
}

/// The server's records of the matching devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The devices: one, unless several have the name or the digits.
    pub devices: Vec<DeviceExplanation>,
}

/// The server's records of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceExplanation {
    /// The UUID of the device.
    pub device_uuid: String,
    /// The name of the device.
    pub name: String,
    /// The time at which the server last heard of the device, Unix seconds.
    pub last_heard_at: Option<u64>,
    /// The least number of seconds by which its clock was ahead of the server's time at its last
    /// contact, by the slots in which it has counted. Absent when it has counted nothing since
    /// yesterday. A clock that is behind does not show in the slots.
    pub clock_ahead_seconds: Option<u64>,
    /// The time of its first grant by this server, Unix seconds.
    pub first_granted_at: Option<u64>,
    /// The number of times that it came back in an earlier state.
    pub rollbacks: u64,
    /// The licenses that it has, newest first; of those that have ended, the newest one under an
    /// item and code.
    pub licenses: Vec<HeldLicense>,
    /// The refusals of this device, newest hour first, up to 20.
    pub refusals: Vec<RefusalRow>,
    /// The sentence that says what the server last answered.
    pub last_told: String,
    /// The answer that it would get now, for each handshake code that it has used.
    pub now: Vec<DryRun>,
}

/// A license of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldLicense {
    /// The item.
    pub item_id: String,
    /// The handshake code.
    pub handshake_code: String,
    /// The number of seats; 0 where the option has none.
    pub seats: u32,
    /// The time of the newest grant, Unix seconds.
    pub issued_at: u64,
    /// The grant since which it runs without a break, Unix seconds.
    pub since: u64,
    /// The end of the time in which the device may work without contact, Unix seconds.
    pub valid_until: u64,
    /// Whether it runs now.
    pub is_running: bool,
    /// The seats that it occupies, where they are limited; with their end.
    pub holds_seats: u64,
    /// The end of the seats, unless they are renewed, Unix seconds.
    pub seats_until: Option<u64>,
}

/// The outcome of an authorization that is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DryRun {
    /// The handshake code.
    pub handshake_code: String,
    /// The request that is assumed.
    pub asked: Asked,
    /// The source of the request, or the assumption.
    pub assumption: String,
    /// Whether it would be granted.
    pub is_granted: bool,
    /// The item that would be used, or that comes nearest.
    pub item_id: Option<String>,
    /// The number of the error, if it would be refused.
    pub code: Option<i32>,
    /// The sentence.
    pub detail: String,
}

impl Sheets for Explanation {
    fn sheets(&self) -> Vec<Sheet> {
        self.devices.iter().flat_map(DeviceExplanation::sheets).collect()
    }
}

impl DeviceExplanation {
    fn sheets(&self) -> Vec<Sheet> {
        let license = |license: &HeldLicense| {
            vec![
                Cell::from(&license.item_id),
                Cell::from(&license.handshake_code),
                Cell::from(if license.is_running { "running" } else { "ended" }),
                Cell::from(license.seats),
                Cell::Instant(license.since),
                Cell::Instant(license.issued_at),
                Cell::Instant(license.valid_until),
                Cell::from(license.holds_seats),
                Cell::instant(license.seats_until),
            ]
        };
        let mut notes = vec![self.last_told.clone()];
        if let Some(ahead) = self.clock_ahead_seconds.filter(|ahead| *ahead > 0) {
            notes.push(format!("its clock was at least {ahead} s ahead of the server's time"));
        }
        if self.licenses.is_empty() {
            notes.push("it has no license of this server".to_owned());
        }
        let heard = self.last_heard_at.map_or("never".to_owned(), crate::utc::text);
        let licenses = Sheet {
            title: format!("device {} \"{}\", last heard {heard}", self.device_uuid, self.name),
            columns: vec![
                "item_id",
                "handshake_code",
                "state",
                "seats",
                "since",
                "issued",
                "valid_until",
                "holds_seats",
                "seats_until",
            ],
            rows: self.licenses.iter().map(license).collect(),
            notes,
            ..Sheet::default()
        };
        let mut sheets = vec![licenses];
        if !self.refusals.is_empty() {
            sheets.push(self.refusal_sheet());
        }
        if !self.now.is_empty() {
            sheets.push(self.dry_run_sheet());
        }
        sheets
    }

    /// Return the refusals as a table.
    #[must_use]
    pub fn refusal_sheet(&self) -> Sheet {
        let row = |row: &RefusalRow| {
            vec![
                Cell::Instant(row.first.at),
                Cell::Instant(row.last.at),
                Cell::from(row.refused),
                Cell::Number(row.code.into()),
                Cell::from(&row.last.detail),
                Cell::from(&row.advice),
            ]
        };
        Sheet {
            title: "refused".to_owned(),
            columns: vec!["first_at", "last_at", "refused", "code", "detail", "what_to_do"],
            rows: self.refusals.iter().map(row).collect(),
            ..Sheet::default()
        }
    }

    fn dry_run_sheet(&self) -> Sheet {
        let row = |run: &DryRun| {
            vec![
                Cell::from(&run.handshake_code),
                Cell::from(if run.is_granted { "granted" } else { "refused" }),
                Cell::from(run.item_id.as_ref()),
                run.code.map_or(Cell::Empty, |code| Cell::Number(code.into())),
                Cell::from(&run.detail),
                Cell::from(&run.assumption),
            ]
        };
        Sheet {
            title: "if it asked now".to_owned(),
            columns: vec!["handshake_code", "outcome", "item_id", "code", "detail", "assumption"],
            rows: self.now.iter().map(row).collect(),
            ..Sheet::default()
        }
    }
}
