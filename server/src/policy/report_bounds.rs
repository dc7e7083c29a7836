//! The bounds of what a device can count in one slot.
//!
//! A device that belongs to somebody else can report any number. A number that no device can reach
//! would spoil the sums of an item permanently, so its segment is refused and named. The other
//! segments of the report are booked.

use seatmeter_protocol::message::UsageTotal;

/// The greatest total of one counter of a segment in one slot of 180 s.
pub const TOTAL_MAX: u64 = 10_000_000;

/// The greatest number of counters of a segment in one slot.
pub const COUNTERS_MAX: usize = 64;

/// Refuse totals beyond what a device can do. `counters` returns how many counters a slot has with
/// those that are recorded already; it gets the slot and the reported totals of this slot.
///
/// # Errors
/// Returns what is too much, as a clause for a sentence.
pub fn check(
    totals: &[UsageTotal],
    mut counters: impl FnMut(u32, &[UsageTotal]) -> usize,
) -> Result<(), String> {
    if let Some(counter) = totals.iter().find(|counter| counter.total > TOTAL_MAX) {
        return Err(format!(
            "the total {} in slot {} is more than a device can count in a slot ({TOTAL_MAX})",
            counter.total, counter.slot
        ));
    }
    // The library reports in the order of the slots. Another order must not hide counters.
    let sorted;
    let by_slot = match totals.is_sorted_by_key(|counter| counter.slot) {
        true => totals,
        false => {
            let mut copy = totals.to_vec();
            copy.sort_by_key(|counter| counter.slot);
            sorted = copy;
            &sorted
        }
    };
    for of_slot in by_slot.chunk_by(|one, next| one.slot == next.slot) {
        let Some(first) = of_slot.first() else { continue };
        let count = counters(first.slot, of_slot);
        if count > COUNTERS_MAX {
            return Err(format!(
                "slot {} has {count} counters, and a segment has at most {COUNTERS_MAX} in a slot",
                first.slot
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::message::UsageKind;

    use super::*;

    fn total(slot: u32, what: u32, total: u64) -> UsageTotal {
        UsageTotal { slot, kind: UsageKind::Scan, what, total }
    }

    fn alone(totals: &[UsageTotal]) -> Result<(), String> {
        check(totals, |_, of_slot| of_slot.len())
    }

    #[test]
    fn ten_million_in_a_slot_and_counter_are_booked_and_one_more_is_not() {
        assert_eq!(alone(&[total(7, 1, TOTAL_MAX), total(7, 2, TOTAL_MAX)]), Ok(()));
        let told = alone(&[total(7, 1, 1), total(8, 1, TOTAL_MAX + 1)]).unwrap_err();
        assert!(told.contains("10000001 in slot 8"), "{told}");
    }

    #[test]
    fn sixty_four_counters_of_a_slot_are_booked_and_one_more_is_not() {
        let of_slot = |slot, count| (0..count).map(move |what| total(slot, what, 1));
        let both: Vec<_> = of_slot(7, 64).chain(of_slot(8, 64)).collect();
        assert_eq!(alone(&both), Ok(()));
        let told = alone(&of_slot(7, 65).collect::<Vec<_>>()).unwrap_err();
        assert!(told.contains("slot 7 has 65 counters"), "{told}");
        let mixed: Vec<_> = of_slot(7, 65).zip(of_slot(8, 65)).flat_map(|(a, b)| [a, b]).collect();
        assert!(alone(&mixed).is_err(), "in whichever order they come");
    }

    #[test]
    fn counters_that_are_recorded_already_count_too() {
        let told = check(&[total(7, 1, 1)], |slot, of_slot| {
            assert_eq!((slot, of_slot.len()), (7, 1));
            65
        });
        assert!(told.is_err());
    }
}
