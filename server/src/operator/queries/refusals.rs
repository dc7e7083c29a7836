//! `refusals`: who was refused, when, why, and what to do.

use clap::Args;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::ProblemNumbers;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Sheet, Sheets};

/// The query for refusals and their reasons.
#[derive(Args, Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalsQuery {
    /// Only refusals in the hours that end after this time: 2026-11-25 or 2026-11-25T09:02:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only refusals in the hours that begin before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only refusals by this item
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// Only refusals under this handshake code
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only refusals of this device: its UUID, the beginning of it, or its name
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Only refusals with this number, such as -20120
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub number: Option<i32>,
    /// Only the rows after this one: the "next" of the previous part
    #[arg(long, value_name = "NEXT")]
    pub after: Option<String>,
    /// The greatest number of rows: 1 to 10000 [default: 1000]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The refusals, newest hour first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refusals {
    /// The number of all refusals that the question means, also of those beyond this part.
    pub refused: u64,
    /// The number of refusals by the number of the error.
    pub by_number: Vec<NumberSum>,
    /// The number of refusals by hour: the newest 1000 hours with refusals, the oldest first.
    pub by_hour: Vec<HourSum>,
    /// The refusals by hour, item, device, handshake code and number.
    pub rows: Vec<RefusalRow>,
    /// The place to continue with; absent at the end.
    pub next: Option<String>,
}

/// The refusals with one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NumberSum {
    /// The number of the error.
    pub code: i32,
    /// The name of the error.
    pub code_name: String,
    /// The number of refusals.
    pub refused: u64,
    /// The remedy for the operator.
    pub advice: String,
}

/// The refusals of an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HourSum {
    /// The begin of the hour, Unix seconds.
    pub hour_at: u64,
    /// The number of refusals.
    pub refused: u64,
}

/// The length of an hour in seconds.
pub const HOUR_SECONDS: u64 = 3_600;

/// The greatest number of hours in [`Refusals::by_hour`].
pub const HOURS_MAX: usize = 1_000;

/// The refusals of an hour with the same item, device, handshake code and number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalRow {
    /// The begin of the hour, Unix seconds.
    pub hour_at: u64,
    /// The item that came nearest to the request; empty where no item was chosen.
    pub item_id: String,
    /// The handshake code; empty where the request named none that exists.
    pub handshake_code: String,
    /// The UUID of the device; empty for the devices beyond the 1000 commonest of the hour and
    /// item.
    pub device_uuid: String,
    /// The name of the device, if it is known.
    pub name: String,
    /// The number of the error.
    pub code: i32,
    /// The name of the error.
    pub code_name: String,
    /// The number of refusals.
    pub refused: u64,
    /// The first of them.
    pub first: RefusalInstance,
    /// The last of them.
    pub last: RefusalInstance,
    /// The remedy for the operator.
    pub advice: String,
}

/// A refusal, as the device received it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalInstance {
    /// The instant, Unix seconds.
    pub at: u64,
    /// The sentence.
    pub detail: String,
    /// The numbers behind the refusal, where there are any.
    #[schema(value_type = Option<Object>)]
    pub numbers: Option<ProblemNumbers>,
}

/// Return what an operator can do about refusals with this number.
#[must_use]
pub fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::USED_UP => {
            "see \"status\" and \"holders\"; release devices that are gone, or ask the vendor for \
             a larger quota"
        }
        ErrorCode::QUOTA_EXCEEDED => {
            "see \"holders\" for the next free seat, and \"day\" for the hours above N; try a \
             larger N with \"plan\""
        }
        ErrorCode::INSTANCE_COUNT_OVER_LIMIT => {
            "let the application ask for fewer instances, or ask the vendor for a larger quota"
        }
        ErrorCode::EXPIRED => "ask the vendor to renew the item",
        ErrorCode::NOT_YET_IN_EFFECT => "wait for the start of the item, or ask the vendor",
        ErrorCode::REVOKED => "the item was revoked here: see \"audit list\", and ask the vendor",
        ErrorCode::SESSION_PASSWORD_WRONG => {
            "give the application the session password of its code, or set another one with \
             \"handshake access\""
        }
        ErrorCode::DOMAIN_MISMATCH | ErrorCode::VALIDATION_FIELD_MISMATCH => {
            "compare the sentence with the fields of the code (\"handshake list\") and the domains \
             of the item; change them with \"handshake access\""
        }
        ErrorCode::HANDSHAKE_CODE_UNKNOWN => {
            "correct the code in the application, or make it with \"handshake new\""
        }
        ErrorCode::DEVICE_CLONED => {
            "nothing: the device takes a fresh UUID. Copies of one installation cause this"
        }
        ErrorCode::STANDBY_NOT_READY => "see /readyz; after a restore, wait one slot",
        _ => {
            "the sentence says what does not fit: correct the application, or the items of its code"
        }
    }
}

impl Refusals {
    /// Return the sums of the hours as a sheet, the newest first.
    #[must_use]
    pub fn hour_sheet(&self) -> Sheet {
        let row = |sum: &HourSum| vec![Cell::Instant(sum.hour_at), Cell::from(sum.refused)];
        Sheet {
            columns: vec!["hour", "refused"],
            rows: self.by_hour.iter().rev().map(row).collect(),
            ..Sheet::default()
        }
    }
}

impl Sheets for Refusals {
    fn sheets(&self) -> Vec<Sheet> {
        let mut rows = Sheet {
            columns: vec![
                "hour",
                "item_id",
                "handshake_code",
                "name",
                "device_uuid",
                "code",
                "refused",
                "first_at",
                "first_detail",
                "last_at",
                "last_detail",
            ],
            rows: self.rows.iter().map(row).collect(),
            ..Sheet::default()
        };
        if self.rows.is_empty() {
            rows.notes.push("no refusals".to_owned());
        }
        if let Some(next) = &self.next {
            rows.notes.push(format!("there are more rows: continue with --after {next}"));
        }
        if self.refused == 0 {
            return vec![rows];
        }
        let number = |sum: &NumberSum| {
            vec![
                Cell::Number(sum.code.into()),
                Cell::from(&sum.code_name),
                Cell::from(sum.refused),
                Cell::from(&sum.advice),
            ]
        };
        let sums = Sheet {
            columns: vec!["code", "error", "refused", "what_to_do"],
            rows: self.by_number.iter().map(number).collect(),
            total: vec!["total".into(), Cell::Empty, self.refused.into()],
            ..Sheet::default()
        };
        vec![rows, sums]
    }
}

fn row(row: &RefusalRow) -> Vec<Cell> {
    let name = if row.device_uuid.is_empty() { "(others)" } else { &row.name };
    vec![
        Cell::Instant(row.hour_at),
        Cell::from(&row.item_id),
        Cell::from(&row.handshake_code),
        Cell::from(name),
        Cell::from(&row.device_uuid),
        Cell::Number(row.code.into()),
        Cell::from(row.refused),
        Cell::Instant(row.first.at),
        Cell::from(&row.first.detail),
        Cell::Instant(row.last.at),
        Cell::from(&row.last.detail),
    ]
}
