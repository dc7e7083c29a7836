//! How a process stands with its license, for people and for programs that show it to people.

use seatmeter_protocol::charge_way::ChargeWay;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Error;
use crate::license::{ServerNotice, Validity};

/// Where the license comes from at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The server has answered when it was last asked.
    #[default]
    Server,
    /// The server was not reached, or not asked yet: the license stored on the device is in use
    /// (-20012).
    Cache,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When, Unix seconds.
    pub at: u64,
    /// What.
    pub error: Error,
}

/// A status.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How good the license is; `None` when there is none.
    pub validity: Option<Validity>,
    /// Why the server lets no work be done under it, if that is so.
    pub stopped: Option<ErrorCode>,
    /// Where it comes from.
    pub origin: Origin,
    /// By what its item is charged.
    pub charge_way: Option<ChargeWay>,
    /// Whether its item is a trial.
    pub is_trial: bool,
    /// Seats that the server has granted to this device.
    pub seats_granted: u32,
    /// Seats that are held, by all programs of this device.
    pub seats_held: u32,
    /// As `GetIdleInstancesCount` says.
    pub seats_idle: i32,
    /// First second at which it is no longer good without contact.
    pub valid_until: u64,
    /// First second of the grace after the item's expiry.
    pub expires_at: u64,
    /// First second after that grace.
    pub grace_ends_at: u64,
    /// When the oldest work was done that the server does not have yet.
    pub oldest_unsent_at: Option<u64>,
    /// What the server has last told of the item's use.
    pub told: ServerNotice,
    /// When the server has last answered, and which.
    pub contact_at: u64,
    /// The monotonic clock at that moment, in milliseconds: for comparing what came first.
    pub contact_order_ms: u64,
    /// URL of the server that has answered last.
    pub server: String,
    /// What failed last, until it goes well again.
    pub trouble: Option<Trouble>,
}

impl Status {
    /// That of a process that is not licensed.
    pub fn without_license() -> Self {
        Self { seats_idle: -1, ..Self::default() }
    }
}
