//! Authorizations of an overused item with a concurrent charge way.
//!
//! While the item is free, no device is refused, and no device has to be remembered. From the
//! instant at which the item is overused, devices hold running authorizations for one slot each,
//! renewed per slot, first come, first served. Their seats together are at most N. A device counts
//! as 1, or as its x under a concurrent-instance item.
//!
//! | the item is | requested seats + seats of others | outcome |
//! | --- | --- | --- |
//! | free | any | authorized as long as requested |
//! | overused | N or less | authorized until the slot ends, plus a minute for the renewal |
//! | overused | above N | -20130; the device keeps what it already holds |
//!
//! ```text
//!          slot s          │         slot s + 1        │
//!   granted ───────────────┼── 60 s ─┤ ends, unless renewed
//!                          renewed ──────────────────┼── 60 s ─┤
//! ```
//!
//! A holder that renews within that minute keeps its place. A holder that has stopped leaves its
//! place to the next device that asks.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::ProblemNumbers;
use seatmeter_protocol::slot::{RENEWAL_SECONDS, SLOT_SECONDS, slot_of, slot_start};

use crate::error::Refusal;
use crate::policy::holders::{Hold, Occupied};
use crate::policy::overuse::OveruseRule;
use crate::utc;

/// The time for which an authorization runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// The authorization runs as long as the item's other rules allow, and is not counted.
    Free,
    /// The item is overused: the device holds these seats until their end, and has to renew them.
    PerSlot(Hold),
}

/// Return the end of an authorization that is granted now for an overused item, in Unix seconds.
#[must_use]
pub fn runs_until(now: u64) -> u64 {
    slot_start(slot_of(now)).saturating_add(SLOT_SECONDS + RENEWAL_SECONDS)
}

/// Decide whether a device may have this many seats, and for how long. `excess_of_year` is the
/// excess so far of the license year that holds this instant; `noun` is a word for the seats in the
/// plural.
///
/// # Errors
/// Returns -20130 when the item is overused and other devices hold its N seats.
pub(super) fn decide(
    item: &LicenseItem,
    noun: &str,
    seats: u32,
    excess_of_year: u64,
    occupied: &Occupied,
    now: u64,
) -> Result<Running, Refusal> {
    let rule = OveruseRule::of(item);
    if !rule.is_overused(excess_of_year, now) {
        return Ok(Running::Free);
    }
    let seats = u64::from(seats);
    if occupied.by_others.saturating_add(seats) <= item.quota {
        return Ok(Running::PerSlot(Hold { seats, until: runs_until(now) }));
    }
    let next = occupied.first_free_at.map_or_else(String::new, |at| {
        format!("; the first of them ends at {}, unless it is renewed", utc::text(at))
    });
    Err(Refusal::with_numbers(
        ErrorCode::QUOTA_EXCEEDED,
        format!(
            "item \"{}\" is overused: an excess of {excess_of_year} in this license year, with a \
             budget of {}. Until \
             that changes {} {noun} can run at a time; others have {}, {seats} were asked \
             for{next}",
            item.item_id,
            rule.budget_at(now),
            item.quota,
            occupied.by_others,
        ),
        ProblemNumbers {
            requested: seats,
            quota: item.quota,
            used: occupied.by_others,
            grace: 0,
            next_free_at: occupied.first_free_at,
            holders: Vec::new(),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{START, item};
    use crate::policy::holders::Holders;
    use proptest::prelude::*;

    #[test]
    fn an_authorization_runs_to_the_end_of_its_slot_and_a_minute() {
        let slot = slot_start(slot_of(START));
        for (now, expected) in [
            (slot - 1, slot + 60),
            (slot, slot + 240),
            (slot + 1, slot + 240),
            (slot + 179, slot + 240),
            (slot + 180, slot + 420),
        ] {
            assert_eq!(runs_until(now), expected, "{now}");
        }
        assert!(runs_until(u64::MAX) < u64::MAX, "the last slot there is");
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let budget = 10_000;
        let per_slot = |seats| Ok(Running::PerSlot(Hold { seats, until: runs_until(START) }));
        let own = Some(Hold { seats: 4, until: START + 9 });
        for (excess, seats, by_others, own, expected) in [
            (budget, 10, 90, None, Ok(Running::Free)),
            (budget + 1, 10, 0, None, per_slot(10)),
            (budget + 1, 4, 6, None, per_slot(4)),
            (budget + 1, 4, 7, None, Err(ErrorCode::QUOTA_EXCEEDED)),
            (budget + 1, 4, 6, own, per_slot(4)),
            (budget + 1, 5, 6, own, Err(ErrorCode::QUOTA_EXCEEDED)),
            (budget + 1, 1, u64::MAX, None, Err(ErrorCode::QUOTA_EXCEEDED)),
        ] {
            let occupied = Occupied { by_others, own, first_free_at: None };
            let outcome = decide(&item(10), "seats", seats, excess, &occupied, START);
            let outcome = outcome.map_err(|refusal| refusal.code);
            assert_eq!(
                outcome, expected,
                "excess {excess}, {seats} asked, others {by_others}, own {own:?}"
            );
        }
    }

    #[test]
    fn a_holder_that_renews_in_time_keeps_its_place() {
        let item = item(1);
        let mut holders = Holders::default();
        let mut come = |device: u32, now: u64| {
            let outcome = decide(&item, "seats", 1, u64::MAX, &holders.occupied(device, now), now);
            if let Ok(Running::PerSlot(hold)) = outcome {
                holders.hold(device, hold);
            }
            outcome.map(|_| ()).map_err(|refusal| refusal.code)
        };
        let slot = slot_start(slot_of(START));
        assert_eq!(come(1, slot), Ok(()));
        assert_eq!(come(2, slot), Err(ErrorCode::QUOTA_EXCEEDED), "first come, first served");
        assert_eq!(
            come(2, slot + 180),
            Err(ErrorCode::QUOTA_EXCEEDED),
            "the other may still renew"
        );
        assert_eq!(come(1, slot + 180 + 59), Ok(()));
        assert_eq!(come(2, slot + 360 + 59), Err(ErrorCode::QUOTA_EXCEEDED));
        assert_eq!(come(2, slot + 360 + 60), Ok(()), "the other has stopped");
        assert_eq!(come(1, slot + 360 + 61), Err(ErrorCode::QUOTA_EXCEEDED));
    }

    proptest! {
        #[test]
        fn running_seats_never_exceed_the_quota(
            quota in 1..12_u64,
            visits in prop::collection::vec((0..8_u32, 1..6_u32, 0..200_u64), 1..100),
        ) {
            let item = item(quota);
            let (mut holders, mut now) = (Holders::default(), START);
            for (device, seats, passed) in visits {
                now += passed;
                let before = holders.occupied(device, now);
                let outcome = decide(&item, "seats", seats, u64::MAX, &before, now);
                if let Ok(Running::PerSlot(hold)) = outcome {
                    holders.hold(device, hold);
                }
                prop_assert!(holders.seats(now) <= quota);
                if before.own.is_some_and(|own| u64::from(seats) <= own.seats) {
                    prop_assert!(outcome.is_ok(), "a renewal that asks for no more is never \
                        refused");
                }
            }
        }
    }
}
