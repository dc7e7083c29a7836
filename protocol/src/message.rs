//! Requests and answers, as JSON over HTTP.
//!
//! A request carries a fresh nonce in the header `Seatmeter-Nonce`. Every answer, refusals too,
//! carries `Seatmeter-Time`, `Seatmeter-Key-Id` and `Seatmeter-Signature` (see
//! [`crate::signature::AnswerFacts`]). Unknown fields are ignored by both sides, so that either may
//! be newer; known fields are checked.

use serde::{Deserialize, Serialize};

use crate::charge_way::{ChargeWay, DeploymentType};
use crate::error_code::ErrorCode;
use crate::request_auth::KeyShare;
use crate::segment_refusal::SegmentFault;
use crate::signature::{PublicKey, Signed};
use crate::version::Version;

/// Path of [`AuthorizationRequest`].
pub const AUTHORIZATIONS_PATH: &str = "/v1/authorizations";
/// Path of an [`AuthorizationRequest`] that is only checked: the server answers what it would
/// grant, grants nothing and records nothing.
pub const AUTHORIZATION_CHECKS_PATH: &str = "/v1/authorization-checks";
/// Path of [`UsageReport`].
pub const USAGE_PATH: &str = "/v1/usage";

/// Path at which a page asks whether its website is licensed. The nonce is in the query, `?nonce=`.
pub const ORIGIN_PATH: &str = "/v1/origin";

/// Request header with a fresh random nonce, 32 hexadecimal digits.
pub const NONCE_HEADER: &str = "seatmeter-nonce";
/// Request header with the signature by the key of the device, 128 hexadecimal digits.
pub const DEVICE_SIGNATURE_HEADER: &str = "seatmeter-device-signature";
/// Request header with the id of the report key, 16 hexadecimal digits.
pub const REPORT_KEY_ID_HEADER: &str = "seatmeter-report-key-id";
/// Request header with the HMAC under the report key, 64 hexadecimal digits.
pub const REPORT_TAG_HEADER: &str = "seatmeter-report-tag";

/// Answer header with the server's clock, Unix seconds.
pub const TIME_HEADER: &str = "seatmeter-time";
/// Answer header with the id of the server's key.
pub const KEY_ID_HEADER: &str = "seatmeter-key-id";
/// Answer header with the batch signature ([`crate::signature::batch`]).
pub const SIGNATURE_HEADER: &str = "seatmeter-signature";

/// Answer header of health checks with the ids of the server's keys, by which a standby recognizes
/// whether the two servers have the same data.
pub const KEY_IDS_HEADER: &str = "seatmeter-key-ids";

/// Most bytes of a request's or an answer's body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Most bytes of any one text that a client sends.
pub const TEXT_BYTES_MAX: usize = 512;
/// Most bytes of a receipt.
pub const RECEIPT_BYTES_MAX: usize = 256;
/// Most segments in one report; more go into the next.
pub const SEGMENTS_MAX: usize = 256;
/// Most totals in one report; more go into the next.
pub const TOTALS_MAX: usize = 4_096;
/// The largest total of one counter of a segment in one slot: more than four of the largest counts
/// of one call.
pub const TOTAL_MAX: u64 = 20_000_000_000;
/// The largest amount that a device may need at once of a strict item: the largest count of one
/// call.
pub const NEEDED_MAX: u64 = u32::MAX as u64;
/// Most lost allowances in one request.
pub const LOST_MAX: usize = 256;
/// Most ended local licenses in one report.
pub const ENDED_MAX: usize = 256;

/// A device's question whether it may use the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuthorizationRequest {
    /// The version of the protocol.
    pub protocol: u32,
    /// The handshake code, or empty.
    #[serde(default)]
    pub handshake_code: String,
    /// The organization, or empty.
    #[serde(default)]
    pub organization_id: String,
    /// The session password, or empty.
    #[serde(default)]
    pub session_password: String,
    /// The device that asks.
    pub device: DeviceFacts,
    /// The kind of place where the software runs.
    pub deployment_type: DeploymentType,
    /// The charge way asked for; absent when the server may choose.
    #[serde(default)]
    pub charge_way: Option<ChargeWay>,
    /// Bits of the products asked for.
    pub products: u32,
    /// Seats asked for; they matter only under a concurrent-instance item.
    pub seats: u32,
    /// Days for which the caller wants to work without contact.
    pub buffer_days: u32,
    /// Names of the modules asked for; empty when the item's own are enough.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Version of the licensed product; absent when its vendor has not built one in.
    #[serde(default)]
    pub product_version: Option<Version>,
    /// Edition of the licensed product; absent when its vendor has not built one in.
    #[serde(default)]
    pub product_edition: Option<String>,
    /// Facts of the application that the owner of the handshake code may want to match.
    #[serde(default)]
    pub validation: ValidationFacts,
    /// The local license that the device holds, if it has one.
    #[serde(default)]
    pub held_license: Option<Signed>,
    /// The newest local license that the device has from this server, if it is not `held_license`:
    /// programs with other credentials may have got one since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_license: Option<Signed>,
    /// The key of the device, by which this request is signed.
    pub device_key: PublicKey,
    /// The device's half of the agreement on a report key.
    pub key_share: KeyShare,
    /// Random id of the first contact, 32 hexadecimal digits: repeated until the device has an
    /// answer. So a device without any license whose answer was lost is told from another
    /// installation with the same key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_contact: String,
    /// Strict items: the smallest amount that the device must be allowed beyond what it has used,
    /// for example the barcodes of one image.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub needed: u64,
    /// Strict items: what the device cannot count any more of what it was allowed, though it has
    /// not counted it. Work that a power cut has hidden may be in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostAllowance>,
    /// The receipt in the last answer of this server, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receipt: String,
    /// The challenge of the server's answer to this request, when it is sent again for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Signed>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Facts of the application that the handshake code's owner may want to match; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValidationFacts {
    /// Host of the website.
    pub website_domain: String,
    /// Id of the application.
    pub application_id: String,
    /// Name of the executable file, as the operating system reports it.
    pub process_name: String,
}

/// Facts about the device, as the device states them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceFacts {
    /// The client UUID, 32 hexadecimal digits.
    pub uuid: String,
    /// The device's name for people, or empty.
    #[serde(default)]
    pub friendly_name: String,
    /// Version of the library.
    #[serde(default)]
    pub library_version: String,
}

/// The answer to [`AuthorizationRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuthorizationAnswer {
    /// The vendor's root key. A client ignores it if it has a root key compiled in or stored.
    pub root_key: PublicKey,
    /// The license file that names this server's key and the item, signed by the vendor.
    pub license_file: Signed,
    /// The grant, signed by the server.
    pub local_license: Signed,
    /// The server's half of the agreement on a report key.
    pub key_share: KeyShare,
    /// Epoch of the server's data, 32 hexadecimal digits. A restored backup starts a new epoch. See
    /// [`UsageAnswer::epoch`].
    #[serde(default)]
    pub epoch: String,
    /// The quotas of the items in use, and how much of them is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<Meter>,
    /// Whether the handshake code serves programs of any name, so that the grant serves all of
    /// them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_program: bool,
    /// The receipt of the server, as in [`UsageAnswer::receipt`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receipt: String,
}

/// The answer of [`AUTHORIZATION_CHECKS_PATH`]: what the server would grant to this request. It is
/// not a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuthorizationCheck {
    /// The handshake code that the server would use.
    pub handshake_code: String,
    /// The item from which the server would grant.
    pub item_id: String,
    /// The charge way of that item.
    pub charge_way: ChargeWay,
    /// Seats that the device would have; 0 where the item has none.
    pub seats: u32,
    /// End of the license if the device made no further contact, Unix seconds.
    pub valid_until: u64,
    /// Epoch of the server's data behind this decision.
    #[serde(default)]
    pub epoch: String,
    /// The quotas of the items that would be used, and how much of them would be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<Meter>,
}

/// The use of one quota of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Meter {
    /// The kind of use that is counted.
    pub of: Metered,
    /// Module of pages; 0 for everything else.
    #[serde(default, skip_serializing_if = "is_no_module")]
    pub module: u32,
    /// N, or the budget of the license year so far.
    pub quota: u64,
    /// The amount that is recorded, or the seats that are held.
    pub used: u64,
    /// The amount above the quota that the server still grants.
    pub grace: u64,
    /// The consequence of these numbers.
    pub state: MeterState,
}

fn is_no_module(module: &u32) -> bool {
    *module == 0
}

/// The kind of use that a [`Meter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Metered {
    /// Unique barcodes.
    Scans,
    /// Pages of one module.
    Pages,
    /// Devices or servers that hold a seat.
    Devices,
    /// Device- or instance-slots above N in this license year.
    Excess,
    /// A kind that a later version counts.
    #[serde(other)]
    Unknown,
}

/// The state of a quota, in the order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum MeterState {
    /// Below the quota.
    Within = 1,
    /// At the quota or above, and still served.
    InGrace,
    /// Quota and grace are used up: the server refuses scans, pages and new devices.
    UsedUp,
    /// The overuse budget is exceeded: only N devices or instances are authorized at the same time.
    Overused,
    /// A state that a later version reports.
    #[serde(other)]
    Unknown = 0,
}

/// A device's report of what it has used: totals, never differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// The version of the protocol.
    pub protocol: u32,
    /// The device that reports.
    pub device: DeviceFacts,
    /// The newest local license that the device has from this server. By it, a server whose data
    /// was put back to an earlier state notices that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_license: Option<Signed>,
    /// The receipt in the last answer of this server, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receipt: String,
    /// Segments with what was counted in each.
    pub segments: Vec<SegmentReport>,
    /// Ids of local licenses that the device ended after these totals. It no longer works under
    /// them, and it gives back the seats and allowances that it holds by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<EndedLicense>,
}

/// The part of the allowances of one item and module that a device cannot count any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LostAllowance {
    /// Id of the strict item.
    pub item_id: String,
    /// Module of pages; 0 for scans.
    #[serde(default)]
    pub module: u32,
    /// How much is lost, in all, since the device first used the item.
    pub lost: u64,
}

/// A local license that a device has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndedLicense {
    /// Id of the license.
    pub license_id: String,
    /// Serial of the license: a newer grant under the same id stays in effect.
    pub serial: u32,
}

/// The totals of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SegmentReport {
    /// Random id of the segment, 32 hexadecimal digits.
    pub segment_id: String,
    /// The local license under which it was counted.
    pub license_id: String,
    /// That local license itself, for a server that was restored from a backup older than the
    /// grant: the server accepts it because it carries the server's own signature. May be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_license: Option<Signed>,
    /// The totals.
    pub totals: Vec<UsageTotal>,
}

/// The counter of one kind of use in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UsageTotal {
    /// The slot in which the work was done.
    pub slot: u32,
    /// The kind of work.
    pub kind: UsageKind,
    /// Symbology of a scan or module of a page.
    pub what: u32,
    /// The amount since the segment began; it only ever grows.
    pub total: u64,
}

/// Kinds of work that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum UsageKind {
    /// Unique barcodes.
    Scan,
    /// Pages of one module.
    Page,
    /// Images and frames that were decoded, with or without a barcode. They make a device active.
    Image,
}

impl UsageKind {
    /// Return the number under which the kind is stored.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Scan => 1,
            Self::Page => 2,
            Self::Image => 3,
        }
    }

    /// Return the kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Scan, Self::Page, Self::Image].into_iter().find(|kind| kind.number() == number)
    }
}

/// The answer to [`UsageReport`]: what is now durable on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UsageAnswer {
    /// Segments whose totals of this report are recorded. A repeated report gets the same answer.
    pub recorded: Vec<String>,
    /// Segments that the server cannot book, each with the reason.
    #[serde(default)]
    pub refused: Vec<SegmentRefusal>,
    /// Epoch of the server's data, 32 hexadecimal digits. A client that sees an epoch other than
    /// the previous one sends all its totals again, because the server may have forgotten what it
    /// had acknowledged. Empty from servers that have no epoch.
    #[serde(default)]
    pub epoch: String,
    /// Whether the newest license of the device is on a branch that another installation has left
    /// behind: the device must ask for an authorization, and learns the rest there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_diverged: bool,
    /// The quotas of the items behind the recorded segments, and how much of them is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standings: Vec<ItemStanding>,
    /// The receipt of the server: what the device shows with its next request to it. By it, a
    /// server whose data was put back to an earlier state notices that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub receipt: String,
}

/// The use of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ItemStanding {
    /// The item.
    pub item_id: String,
    /// Its quotas.
    pub meters: Vec<Meter>,
}

/// A segment that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SegmentRefusal {
    /// Id of the segment.
    pub segment_id: String,
    /// The reason, for programs.
    #[serde(default)]
    pub code: SegmentFault,
    /// The reason, for people.
    pub reason: String,
}

/// The answer of [`ORIGIN_PATH`] to a page of a licensed website.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OriginAnswer {
    /// The origin of the page, as its browser has named it.
    pub origin: String,
}

/// A refusal, as RFC 9457 problem details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Problem {
    /// URI reference of the kind of problem: `/problems/<name of the code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// HTTP status, repeated.
    pub status: u16,
    /// This occurrence, for people: the request, what prevents it, and what to do.
    pub detail: String,
    /// Our error number.
    pub code: ErrorCode,
    /// The numbers behind the decision, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Box<ProblemNumbers>>,
    /// Epoch of the server's data behind this decision, as in [`UsageAnswer::epoch`]; empty where
    /// the decision did not need the data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// What the request must contain as [`AuthorizationRequest::challenge`] when it is sent again:
    /// by it, the server knows that the request is not an old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Box<Signed>>,
}

/// The numbers behind a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProblemNumbers {
    /// The amount that was requested.
    pub requested: u64,
    /// N of the item.
    pub quota: u64,
    /// The amount that is in use or used up.
    pub used: u64,
    /// The amount above N that the server still grants.
    pub grace: u64,
    /// Instant at which the next seat becomes free, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_free_at: Option<u64>,
    /// The holders of the seats, where they are the reason. There may be more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// The largest number of holders that a refusal names.
pub const HOLDERS_MAX: usize = 20;

/// A device that holds seats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Holder {
    /// The device's name for people, or the first 4 digits of its UUID. The whole UUID is for the
    /// operator alone.
    pub name: String,
    /// Seats that the device holds.
    pub seats: u64,
    /// End of the hold unless the device renews it, Unix seconds.
    pub until: u64,
}

impl Problem {
    /// Return a refusal with this code.
    #[must_use]
    pub fn new(status: u16, code: ErrorCode, detail: impl Into<String>) -> Self {
        let title =
            code.entry().map_or("", |entry| entry.message.to_str().unwrap_or("")).to_owned();
        let kind = format!("/problems/{}", code.name().to_lowercase().replace('_', "-"));
        Self {
            kind,
            title,
            status,
            detail: detail.into(),
            code,
            numbers: None,
            epoch: String::new(),
            challenge: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored_and_known_ones_are_strict() {
        let good = r#"{"slot":1,"kind":"scan","what":4,"total":9,"from_the_future":true}"#;
        let total: UsageTotal = serde_json::from_str(good).unwrap();
        assert_eq!(total, UsageTotal { slot: 1, kind: UsageKind::Scan, what: 4, total: 9 });
        for bad in [
            r#"{"slot":-1,"kind":"scan","what":4,"total":9}"#,
            r#"{"slot":1,"kind":"scam","what":4,"total":9}"#,
            r#"{"slot":1,"kind":"scan","what":4}"#,
        ] {
            assert!(serde_json::from_str::<UsageTotal>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_meter_of_a_later_version_spoils_no_answer() {
        let later = r#"{"of":"moons","module":0,"quota":3,"used":1,"grace":0,"state":"eclipsed"}"#;
        let meter: Meter = serde_json::from_str(later).unwrap();
        assert_eq!((meter.of, meter.state, meter.used), (Metered::Unknown, MeterState::Unknown, 1));
        assert!(
            MeterState::Unknown < MeterState::Within,
            "nobody is warned of what he does not know"
        );
    }

    #[test]
    fn a_problem_names_its_kind() {
        let problem = Problem::new(403, ErrorCode::INSTANCE_COUNT_OVER_LIMIT, "5 of 4");
        assert_eq!(problem.kind, "/problems/instance-count-over-limit");
        assert!(problem.title.contains("seats"));
    }

    #[test]
    fn kinds_have_distinct_numbers() {
        for kind in [UsageKind::Scan, UsageKind::Page, UsageKind::Image] {
            assert_eq!(UsageKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(UsageKind::from_number(0), None);
    }
}
