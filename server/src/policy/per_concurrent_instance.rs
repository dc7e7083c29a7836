//! Charge way 10: reader objects alive at the same time.
//!
//! The item has N seats. A device asks for x of them, 1 ≤ x ≤ N. Seats are shared by all applications of the
//! device: when they ask for different x, the device has the highest for as long as that authorisation
//! runs. The item is for deployment type Server only.
//!
//! | request | running x of the device | outcome |
//! | --- | --- | --- |
//! | not from a server | any | -20108 |
//! | x = 0 or x > N | any | -20008 |
//! | 1 ≤ x ≤ N | none, or ≤ x | x seats |
//! | 1 ≤ x ≤ N | y > x | min(y, N) seats: N may have become smaller since y was granted |

use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::ProblemNumbers;

use crate::error::Refusal;
use crate::policy::Claim;

/// The seats that the device gets.
///
/// # Errors
/// -20108 or -20008, by the table above.
pub fn seats(claim: &Claim, item: &LicenseItem, running_seats: u32) -> Result<u32, Refusal> {
    if claim.deployment_type != DeploymentType::Server {
        return Err(Refusal::new(
            ErrorCode::DEPLOYMENT_TYPE_MISMATCH,
            format!(
                "item \"{}\" is charged by concurrent instances, which are for deployment type server only",
                item.item_id
            ),
        ));
    }
    if claim.seats == 0 || u64::from(claim.seats) > item.quota {
        return Err(over_limit(claim.seats, item));
    }
    let highest = claim.seats.max(running_seats);
    Ok(u32::try_from(item.quota).map_or(highest, |quota| highest.min(quota)))
}

fn over_limit(requested: u32, item: &LicenseItem) -> Refusal {
    Refusal {
        code: ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
        detail: format!(
            "{requested} seats were asked for, item \"{}\" has {}; ask for a number from 1 to {}",
            item.item_id, item.quota, item.quota
        ),
        numbers: Some(ProblemNumbers {
            requested: u64::from(requested),
            quota: item.quota,
            ..ProblemNumbers::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{claim, item};

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
        assert_eq!(refusal.numbers, Some(expected));
        assert!(refusal.detail.contains("from 1 to 4"), "{}", refusal.detail);
    }

    #[test]
    fn only_servers_have_instances() {
        for (deployment_type, _) in DeploymentType::ALL {
            let claim = Claim { deployment_type, ..claim(1) };
            let outcome = seats(&claim, &item(4), 0).map_err(|refusal| refusal.code);
            let expected = match deployment_type {
                DeploymentType::Server => Ok(1),
                _ => Err(ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
            };
            assert_eq!(outcome, expected, "{deployment_type:?}");
        }
    }
}
