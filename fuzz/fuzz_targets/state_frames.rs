//! The frame of small files in the state directory: what comes out of it was put in, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_protocol::state_frame::{Kind, frame, unframe};

fuzz_target!(|bytes: &[u8]| {
    for kind in
        [Kind::Device, Kind::RootKey, Kind::Grant, Kind::Epoch, Kind::ServerNotice, Kind::Clock]
    {
        if let Ok(content) = unframe(bytes, kind) {
            assert_eq!(frame(content, kind), bytes);
        }
    }
    assert_eq!(unframe(&frame(bytes, Kind::Grant), Kind::Grant), Ok(bytes));
});
