//! A device's slots, as they are stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_server::policy::active_slots::ActiveSlots;

fuzz_target!(|bytes: &[u8]| {
    if let Some(mut slots) = ActiveSlots::from_bytes(bytes) {
        let again = ActiveSlots::from_bytes(&slots.to_bytes()).expect("it was written by us");
        assert!(again.iter().eq(slots.iter()));
        assert_eq!(slots.is_empty(), slots.len() == 0);
        let before = slots.count(9);
        let more = slots.raise(9, 5);
        assert_eq!(slots.count(9), before + more);
        slots.forget_before(u32::MAX);
    }
});
