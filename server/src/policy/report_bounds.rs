//! The bounds of what a device can count in one slot, and of the slots in which it can count.
//!
//! A device that belongs to somebody else can report any number. A number that no device can reach
//! would spoil the sums of an item permanently, so its segment is refused and named. The other
//! segments of the report are booked. If a segment has impossible slots, only these are left out: a
//! device whose clock was wrong for a while loses nothing else.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::message::{SegmentReport, TOTAL_MAX, UsageTotal};
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::slot::slot_of;

/// The greatest number of counters of a segment in one slot.
pub const COUNTERS_MAX: usize = 64;

/// Return the first slot in which a device may have counted that was first granted a license at
/// this instant; 0 if that is not known. A clock may be wrong by a day. An instant that is still to
/// come was given by a clock that was ahead, and tells nothing.
#[must_use]
pub fn first_slot(first_granted_at: u64, now: u64) -> u32 {
    if first_granted_at > now { 0 } else { slot_of(first_granted_at.saturating_sub(DAY_SECONDS)) }
}

/// Return the last slot in which a device may have counted: a clock may be wrong by a day.
#[must_use]
pub fn last_slot(now: u64) -> u32 {
    slot_of(now.saturating_add(DAY_SECONDS))
}

/// The reason why a segment cannot be recorded, for programs and as a clause for a sentence.
pub type Reason = (SegmentFault, String);

/// Return what is wrong with slots outside of this range; `None` if there are none.
#[must_use]
pub fn outside(totals: &[UsageTotal], slots: &RangeInclusive<u32>) -> Option<Reason> {
    let slot = totals.iter().map(|counter| counter.slot).find(|slot| !slots.contains(slot))?;
    let (fault, why) = if slot < *slots.start() {
        (SegmentFault::SlotTooEarly, "is before the first license of this device")
    } else {
        (SegmentFault::SlotTooLate, "is more than a day ahead of the server's time")
    };
    Some((fault, format!("slot {slot} {why}; the other slots are recorded")))
}

/// The totals of a report that has several segments, because a device cannot count more in a slot
/// by counting in many segments.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<(u32, u8, u32), u64>);

impl Sums {
    /// Add the totals of a segment.
    ///
    /// # Errors
    /// Returns what is too much. Then nothing is added.
    pub fn add(&mut self, segment: &SegmentReport) -> Result<(), Reason> {
        let key = |counter: &UsageTotal| (counter.slot, counter.kind.number(), counter.what);
        let known = |counter: &UsageTotal| self.0.get(&key(counter)).copied().unwrap_or(0);
        let sum = |counter: &UsageTotal| known(counter).saturating_add(counter.total);
        if let Some(counter) = segment.totals.iter().find(|counter| sum(counter) > TOTAL_MAX) {
            // The segment would be refused alone, too.
            within_reach(&segment.totals)?;
            let why = format!(
                "the segments of the report have {} in slot {}, and that is more than a device \
                 can count in a slot ({TOTAL_MAX})",
                sum(counter),
                counter.slot
            );
            return Err((SegmentFault::SumTooLarge, why));
        }
        for counter in &segment.totals {
            let sum = self.0.entry(key(counter)).or_default();
            *sum = sum.saturating_add(counter.total);
        }
        Ok(())
    }
}

/// Refuse a total that is too large by itself.
fn within_reach(totals: &[UsageTotal]) -> Result<(), Reason> {
    let Some(counter) = totals.iter().find(|counter| counter.total > TOTAL_MAX) else {
        return Ok(());
    };
    let why = format!(
        "the total {} in slot {} is more than a device can count in a slot ({TOTAL_MAX})",
        counter.total, counter.slot
    );
    Err((SegmentFault::TotalTooLarge, why))
}

/// Refuse totals beyond what a device can do. `counters` returns how many counters a slot has with
/// those that are recorded already; it gets the slot and the reported totals of this slot.
///
/// # Errors
/// Returns what is too much.
pub fn check(
    totals: &[UsageTotal],
    mut counters: impl FnMut(u32, &[UsageTotal]) -> usize,
) -> Result<(), Reason> {
    within_reach(totals)?;
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
            let why = format!(
                "slot {} has {count} counters, and a segment has at most {COUNTERS_MAX} in a slot",
                first.slot
            );
            return Err((SegmentFault::TooManyCounters, why));
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

    fn alone(totals: &[UsageTotal]) -> Result<(), Reason> {
        check(totals, |_, of_slot| of_slot.len())
    }

    #[test]
    fn twenty_billion_in_a_slot_and_counter_are_booked_and_one_more_is_not() {
        assert_eq!(alone(&[total(7, 1, TOTAL_MAX), total(7, 2, TOTAL_MAX)]), Ok(()));
        let (fault, told) = alone(&[total(7, 1, 1), total(8, 1, TOTAL_MAX + 1)]).unwrap_err();
        assert_eq!(fault, SegmentFault::TotalTooLarge);
        assert!(told.contains("20000000001 in slot 8"), "{told}");
    }

    #[test]
    fn sixty_four_counters_of_a_slot_are_booked_and_one_more_is_not() {
        let of_slot = |slot, count| (0..count).map(move |what| total(slot, what, 1));
        let both: Vec<_> = of_slot(7, 64).chain(of_slot(8, 64)).collect();
        assert_eq!(alone(&both), Ok(()));
        let (fault, told) = alone(&of_slot(7, 65).collect::<Vec<_>>()).unwrap_err();
        assert_eq!(fault, SegmentFault::TooManyCounters);
        assert!(told.contains("slot 7 has 65 counters"), "{told}");
        let mixed: Vec<_> = of_slot(7, 65).zip(of_slot(8, 65)).flat_map(|(a, b)| [a, b]).collect();
        assert!(alone(&mixed).is_err(), "in whichever order they come");
    }

    #[test]
    fn a_device_counts_from_a_day_before_its_first_license_to_a_day_ahead() {
        let (granted, now) = (1_800_000_000, 1_800_500_000);
        let slots = first_slot(granted, now)..=last_slot(now);
        let of = |at: u64| outside(&[total(slot_of(now), 1, 1), total(slot_of(at), 1, 1)], &slots);
        assert_eq!((of(granted - DAY_SECONDS), of(now + DAY_SECONDS)), (None, None));
        let (fault, early) = of(granted - DAY_SECONDS - 180).unwrap();
        assert_eq!(fault, SegmentFault::SlotTooEarly);
        assert!(early.contains("before the first license"), "{early}");
        let (fault, late) = of(now + DAY_SECONDS + 180).unwrap();
        assert_eq!(fault, SegmentFault::SlotTooLate);
        assert!(late.contains("more than a day ahead"), "{late}");
        assert_eq!(first_slot(0, now), 0, "it is not known");
        assert_eq!(first_slot(now, now), slot_of(now - DAY_SECONDS));
        assert_eq!(first_slot(now + 1, now), 0, "a clock that was ahead has given it");
    }

    #[test]
    fn many_segments_of_a_report_have_no_more_than_one() {
        let segment = |total_of| SegmentReport {
            segment_id: String::new(),
            license_id: String::new(),
            local_license: None,
            totals: vec![total(7, 1, total_of)],
        };
        let mut sums = Sums::default();
        assert_eq!(sums.add(&segment(TOTAL_MAX - 1)), Ok(()));
        let (fault, told) = sums.add(&segment(2)).unwrap_err();
        assert_eq!(fault, SegmentFault::SumTooLarge);
        let (fault, _) = sums.add(&segment(TOTAL_MAX + 1)).unwrap_err();
        assert_eq!(fault, SegmentFault::TotalTooLarge, "it is too large alone");
        assert!(told.contains("20000000001 in slot 7"), "{told}");
        assert_eq!(sums.add(&segment(1)), Ok(()), "what was refused does not count");
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
