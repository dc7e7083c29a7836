//! Charge way 9: servers.
//!
//! The rules are those of client devices, but for servers only and without a grace. A machine takes
//! a seat when it is authorized, and keeps it for a window of 1 day unless the item says otherwise.
//! A server also gives its seat back when the client ends cleanly or when the operator releases it.
//! The seat is then free at once.
//!
//! | deployment type | the server holds a seat | seats of others | outcome |
//! | --- | --- | --- | --- |
//! | another | any | any | -20108 |
//! | server, or desktop, which counts as server | yes | any | keeps it: its window begins anew |
//! | server, desktop | no | below N | takes one |
//! | server, desktop | no | N or more | -20120 |

use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::license::LicenseItem;

use crate::error::Refusal;
use crate::policy::device_seats::{self, Taking};
use crate::policy::holders::{Hold, Occupied};
use crate::policy::only_for_servers;

/// The grace of servers in percent: there is none.
const GRACE_PERCENT: u32 = 0;

/// Decide about the seat of a server that requests an authorization or reports usage.
///
/// # Errors
/// Returns -20108 or -20120, by the table above.
pub fn decide(
    deployment_type: DeploymentType,
    item: &LicenseItem,
    occupied: &Occupied,
    now: u64,
) -> Result<(Taking, Hold), Refusal> {
    only_for_servers(deployment_type, item)?;
    device_seats::decide(item, "servers", GRACE_PERCENT, occupied, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START};
    use crate::policy::holders::Holders;
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::error_code::ErrorCode;
    use seatmeter_protocol::license::DAY_SECONDS;

    fn come(holders: &mut Holders<u32>, server: u32, now: u64) -> Result<Taking, ErrorCode> {
        let item = LicenseItem::new("item", ChargeWay::Server, 2, START, EXPIRY);
        let outcome = decide(DeploymentType::Server, &item, &holders.occupied(server, now), now);
        let (taking, hold) = outcome.map_err(|refusal| refusal.code)?;
        holders.hold(server, hold);
        Ok(taking)
    }

    #[test]
    fn servers_have_no_grace_and_a_day_each() {
        let mut holders = Holders::default();
        assert_eq!(come(&mut holders, 1, START), Ok(Taking::Taken));
        assert_eq!(come(&mut holders, 2, START + 1), Ok(Taking::Taken));
        assert_eq!(come(&mut holders, 3, START + 2), Err(ErrorCode::USED_UP));
        assert_eq!(come(&mut holders, 3, START + DAY_SECONDS - 1), Err(ErrorCode::USED_UP));
        assert_eq!(come(&mut holders, 3, START + DAY_SECONDS), Ok(Taking::Taken));
    }

    #[test]
    fn a_released_seat_is_free_at_once() {
        let mut holders = Holders::default();
        assert_eq!(come(&mut holders, 1, START), Ok(Taking::Taken));
        assert_eq!(come(&mut holders, 2, START), Ok(Taking::Taken));
        holders.release(1);
        assert_eq!(come(&mut holders, 3, START), Ok(Taking::Taken));
        assert_eq!(come(&mut holders, 1, START), Err(ErrorCode::USED_UP));
    }

    #[test]
    fn servers_and_desktops_are_servers_and_nothing_else_is() {
        let item = LicenseItem::new("item", ChargeWay::Server, 2, START, EXPIRY);
        for (deployment_type, _) in DeploymentType::ALL {
            let outcome = decide(deployment_type, &item, &Occupied::default(), START);
            let expected = match deployment_type {
                DeploymentType::Server | DeploymentType::Desktop => Ok(Taking::Taken),
                _ => Err(ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
            };
            let outcome = outcome.map(|(taking, _)| taking).map_err(|refusal| refusal.code);
            assert_eq!(outcome, expected, "{deployment_type:?}");
        }
    }
}
