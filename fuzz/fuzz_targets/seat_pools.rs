//! The file of a seat pool.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_protocol::seat_layout::{FILE_BYTES, new_header, parse};

fuzz_target!(|input: &[u8]| {
    let _ = parse(input);
    // A file of the right length, with these bytes over its beginning.
    let mut bytes = vec![0; FILE_BYTES];
    let header = new_header([7; 16], 9);
    bytes[..header.len()].copy_from_slice(&header);
    let (at, rest) = input.split_at(input.len().min(2));
    let at = at.iter().fold(0, |at, byte| at << 8 | usize::from(*byte)) * 8;
    let end = (at + rest.len()).min(bytes.len());
    if at < end {
        bytes[at..end].copy_from_slice(&rest[..end - at]);
    }
    if let Ok(pool) = parse(&bytes) {
        let _ = format!("{pool:?}");
    }
});
