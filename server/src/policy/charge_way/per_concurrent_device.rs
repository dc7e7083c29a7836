//! Charge way 3: devices active in the same slot.
//!
//! Any number of devices may be authorized. A device is active in a slot when it did at least one
//! counted operation in it. The number of active devices above N is the slot's excess, and it is
//! set against the overuse budget of the license year ([`crate::policy::overuse`]). While the
//! excess so far is within the budget, no device is refused. Once it is above the budget, at most N
//! devices hold a running authorization at a time ([`crate::policy::running`]).
//!
//! | excess of the license year | devices running beside this one | outcome |
//! | --- | --- | --- |
//! | ≤ budget | any | authorized |
//! | > budget | below N | authorized per slot |
//! | > budget | N | -20130 |

use seatmeter_protocol::license::LicenseItem;

use crate::error::Refusal;
use crate::policy::holders::Occupied;
use crate::policy::running::{self, Running};

/// Decide whether a device may run now. `excess_of_year` is the excess so far of the license year
/// that holds this instant: the sum over the slots that have ended.
///
/// # Errors
/// Returns -20130 when the item is overused and N other devices run.
pub fn decide(
    item: &LicenseItem,
    excess_of_year: u64,
    occupied: &Occupied,
    now: u64,
) -> Result<Running, Refusal> {
    running::decide(item, "devices", 1, excess_of_year, occupied, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START};
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::error_code::ErrorCode;

    #[test]
    fn any_number_of_devices_runs_until_the_item_is_overused_and_then_n() {
        let item = LicenseItem::new("item", ChargeWay::ConcurrentDevice, 10, START, EXPIRY);
        let outcome = |excess, by_others| {
            let occupied = Occupied { by_others, own: None, first_free_at: None };
            decide(&item, excess, &occupied, START).map_err(|refusal| refusal.code)
        };
        assert_eq!(outcome(10_000, 1_000_000), Ok(Running::Free));
        assert!(matches!(outcome(10_001, 9), Ok(Running::PerSlot(hold)) if hold.seats == 1));
        assert_eq!(outcome(10_001, 10), Err(ErrorCode::QUOTA_EXCEEDED));
    }
}
