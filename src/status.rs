//! The state of a process's license, for people and for programs that show it to people.

use seatmeter_protocol::charge_way::ChargeWay;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Error;
use crate::license::{ServerNotice, TrustedRoots, Validity};

/// The source of the license at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The server answered the last request.
    #[default]
    Server,
    /// The server was not reached, or no request was sent yet: the license stored on the device is
    /// in use (-20012).
    Cache,
}

/// A failure and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The time of the failure, in Unix seconds.
    pub at: u64,
    /// The error.
    pub error: Error,
}

/// The state of a process's license.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The license's validity; `None` when there is no license.
    pub validity: Option<Validity>,
    /// The reason why the server allows no work under the license, if it does not.
    pub stopped: Option<ErrorCode>,
    /// The source of the license.
    pub origin: Origin,
    /// The item's charge way.
    pub charge_way: Option<ChargeWay>,
    /// Whether its item is a trial.
    pub is_trial: bool,
    /// The number of seats that the server has granted to this device.
    pub seats_granted: u32,
    /// The number of seats that all programs of this device hold.
    pub seats_held: u32,
    /// The number of idle seats, as `GetIdleInstancesCount` returns it.
    pub seats_idle: i32,
    /// The first second at which the license is no longer valid without contact.
    pub valid_until: u64,
    /// The first second of the grace period after the item's expiry.
    pub expires_at: u64,
    /// The first second after that grace period.
    pub grace_ends_at: u64,
    /// The time of the oldest work that the server does not have yet, in Unix seconds.
    pub oldest_unsent_at: Option<u64>,
    /// The last server notice about the item.
    pub notice: ServerNotice,
    /// The time of the last answer of a server, in Unix seconds.
    pub contact_at: u64,
    /// The monotonic clock at that moment, in milliseconds: it shows which event came first.
    pub contact_order_ms: u64,
    /// The URL of the server that answered last.
    pub server: String,
    /// The root keys of the vendor that are trusted.
    pub root_keys: TrustedRoots,
    /// The last failure, until the same action succeeds.
    pub trouble: Option<Trouble>,
}

impl Status {
    /// Return the status of a process that is not licensed.
    pub fn without_license() -> Self {
        Self { seats_idle: -1, root_keys: TrustedRoots::new(|| None), ..Self::default() }
    }
}
