//! Charge way 10: reader objects alive at the same time.
//!
//! The item has N seats. A device requests x of them, 1 ≤ x ≤ N. All applications of the device
//! share the seats: when they request different x, the device has the highest for as long as that
//! authorization runs. The item is for servers only; a request with deployment type desktop counts
//! as a server's.
//!
//! | request | running x of the device | outcome |
//! | --- | --- | --- |
//! | neither server nor desktop | any | -20108 |
//! | x = 0 or x > N | any | -20008 |
//! | 1 ≤ x ≤ N | none, or ≤ x | x seats |
//! | 1 ≤ x ≤ N | y > x | min(y, N) seats: N may have become smaller since y was granted |
//!
//! In a slot in which the device did at least one counted operation, it counts as x instances,
//! however many of them ran. The sum of instances above N is the slot's excess. Once the excess of
//! a license year is above the budget ([`crate::policy::overuse`]), the x of all running
//! authorizations together are at most N ([`crate::policy::running`]).

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::ProblemNumbers;

use crate::error::Refusal;
use crate::policy::holders::Occupied;
use crate::policy::running::{self, Running};
use crate::policy::{Claim, only_for_servers};

/// Return the number of seats that the device gets.
///
/// # Errors
/// Returns -20108 or -20008, by the table above.
pub fn seats(claim: &Claim, item: &LicenseItem, running_seats: u32) -> Result<u32, Refusal> {
    only_for_servers(claim.deployment_type, item)?;
    if claim.seats == 0 || u64::from(claim.seats) > item.quota {
        return Err(over_limit(claim.seats, item));
    }
    let highest = claim.seats.max(running_seats);
    Ok(u32::try_from(item.quota).map_or(highest, |quota| highest.min(quota)))
}

/// Decide whether a device may have the seats that [`seats`] returned, and for how long.
/// `excess_of_year` is the excess so far of the license year that holds this instant: the sum over
/// the slots that have ended.
///
/// # Errors
/// Returns -20130 when the item is overused and other devices hold too many of its N seats.
pub fn admit(
    item: &LicenseItem,
    seats: u32,
    excess_of_year: u64,
    occupied: &Occupied,
    now: u64,
) -> Result<Running, Refusal> {
    running::decide(item, "instances", seats, excess_of_year, occupied, now)
}

fn over_limit(requested: u32, item: &LicenseItem) -> Refusal {
    Refusal::with_numbers(
        ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
        format!(
            "{requested} seats were asked for, item \"{}\" has {}; ask for a number from 1 to {}",
            item.item_id, item.quota, item.quota
        ),
        ProblemNumbers {
            requested: u64::from(requested),
            quota: item.quota,
            ..ProblemNumbers::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{claim, item};
    use seatmeter_protocol::charge_way::DeploymentType;

    fn outcome(x: u32, quota: u64, running: u32) -> Result<u32, ErrorCode> {
        seats(&claim(x), &item(quota), running).map_err(|refusal| refusal.code)
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let over = Err(ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
        for (x, quota, running, expected) in [
            (0, 4, 0, over),
            (1, 4, 0, Ok(1)),
            (4, 4, 0, Ok(4)),
            (5, 4, 0, over),
            (5, 4, 4, over),
            (0, 4, 4, over),
            (2, 4, 1, Ok(2)),
            (2, 4, 3, Ok(3)),
            (2, 4, 9, Ok(4)),
            (u32::MAX, u64::MAX, 0, Ok(u32::MAX)),
        ] {
            assert_eq!(outcome(x, quota, running), expected, "x {x}, N {quota}, running {running}");
        }
    }

    #[test]
    fn a_refusal_carries_its_numbers() {
        let refusal = seats(&claim(5), &item(4), 0).unwrap_err();
        let expected = ProblemNumbers { requested: 5, quota: 4, ..ProblemNumbers::default() };
        assert_eq!(refusal.numbers, Some(Box::new(expected)));
        assert!(refusal.detail.contains("from 1 to 4"), "{}", refusal.detail);
    }

    #[test]
    fn servers_and_desktops_have_instances_and_nothing_else_does() {
        for (deployment_type, _) in DeploymentType::ALL {
            let claim = Claim { deployment_type, ..claim(1) };
            let outcome = seats(&claim, &item(4), 0).map_err(|refusal| refusal.code);
            let expected = match deployment_type {
                DeploymentType::Server | DeploymentType::Desktop => Ok(1),
                _ => Err(ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
            };
            assert_eq!(outcome, expected, "{deployment_type:?}");
        }
    }
}
