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
    use crate::policy::fixture::{START, claim, item};
    use crate::policy::holders::Holders;
    use crate::policy::slot_ledger::SlotLedger;
    use seatmeter_protocol::charge_way::DeploymentType;
    use seatmeter_protocol::slot::{SLOT_SECONDS, slot_of, slot_start};

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

    /// The example has N = 10 and ten servers with x = 10, all of them active in every slot.
    #[test]
    fn the_worked_example_is_overused_after_slot_112() {
        let item = item(10);
        // The item starts at the start of a slot, so that the slots can be counted from it.
        assert_eq!(START % SLOT_SECONDS, 0);
        let first = slot_of(START);
        let mut ledger = SlotLedger::new(&item);
        let (mut free, mut holders) = (0, Holders::default());
        for number in 1..=112 {
            let slot = first + number - 1;
            for server in 0..10 {
                let excess = ledger.excess_so_far(slot_start(slot));
                let occupied = holders.occupied(server, slot_start(slot));
                let admission = admit(&item, 10, excess, &occupied, slot_start(slot)).unwrap();
                free += u32::from(admission == Running::Free);
                ledger.record(server, slot, 10);
            }
            assert_eq!(ledger.active(slot), 100, "100 in use");
            assert!(
                !ledger.is_overused_at(slot_start(slot + 1) - 1),
                "a second before the slot ends"
            );
            let excess = ledger.excess_so_far(slot_start(slot + 1));
            assert_eq!(excess, u64::from(number) * 90, "90 excess a slot");
            match number {
                111 => assert_eq!(excess, 9_990),
                112 => assert_eq!(excess, 10_080),
                _ => {}
            }
            assert_eq!(
                ledger.is_overused_at(slot_start(slot + 1)),
                number == 112,
                "after slot {number}"
            );
        }
        assert_eq!(free, 1_120, "nobody was refused");
        // 112 slots of three minutes end 5 h 36 min after the start.
        let overused_at = START + 5 * 3_600 + 36 * 60;
        assert_eq!(slot_start(first + 112), overused_at);
        let excess = ledger.excess_so_far(overused_at);
        let mut come = |server: u32, x: u32| {
            let admission =
                admit(&item, x, excess, &holders.occupied(server, overused_at), overused_at);
            if let Ok(Running::PerSlot(hold)) = admission {
                holders.hold(server, hold);
            }
            admission.map(|_| ()).map_err(|refusal| refusal.code)
        };
        assert_eq!(come(3, 10), Ok(()), "one server asks for 10 ...");
        for other in [0, 1, 2, 4, 5, 6, 7, 8, 9] {
            assert_eq!(
                come(other, 1),
                Err(ErrorCode::QUOTA_EXCEEDED),
                "... and the others get none"
            );
        }
        assert_eq!(come(3, 4), Ok(()));
        assert_eq!(come(0, 6), Ok(()), "4 and 6 are 10");
        assert_eq!(come(1, 1), Err(ErrorCode::QUOTA_EXCEEDED));
    }
}
