//! Usage segments: a whole file with bytes of it changed. What is read of it is within what a
//! server can record. The input is places and bytes: two bytes of place, one of length, then so
//! many bytes.
#![no_main]

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use seatmeter::usage::{Archive, Attribution, Segment};
use seatmeter_fuzz::SERVER;
use seatmeter_protocol::message::UsageKind;

const ID: &str = "00112233445566778899aabbccddeeff";

/// A folder in memory, and the bytes of a segment with some counts.
fn sound() -> &'static (tempfile::TempDir, PathBuf, Vec<u8>) {
    static SOUND: OnceLock<(tempfile::TempDir, PathBuf, Vec<u8>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").expect("there is memory");
        let attribution = Attribution {
            license_id: ID.into(),
            device_uuid: ID.into(),
            server: SERVER.public().clone(),
        };
        let segment =
            Arc::new(Segment::create(folder.path(), &attribution, 9).expect("there is memory"));
        for slot in 0..4 {
            let entry = segment.entry(slot, UsageKind::Scan, 4).expect("there is room");
            segment.counting(entry).fetch_add(7, Ordering::Relaxed);
        }
        let path = folder.path().join(format!("{}.segment", segment.header().segment_id));
        let bytes = std::fs::read(&path).expect("it was just made");
        (folder, path, bytes)
    })
}

fuzz_target!(|input: &[u8]| {
    let (folder, path, sound) = sound();
    let mut bytes = sound.clone();
    let mut rest = input;
    while let [low, high, length, more @ ..] = rest {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % (bytes.len() + 1);
        let length = usize::from(*length).min(more.len()).min(bytes.len() - at);
        bytes[at..at + length].copy_from_slice(&more[..length]);
        // An odd place at the end cuts the file off there.
        if more.len() == length && at % 2 == 1 {
            bytes.truncate(at);
        }
        rest = &more[length..];
    }
    std::fs::write(path, &bytes).expect("there is memory");
    if let Ok(segment) = Segment::open(path) {
        for total in segment.totals() {
            assert!(total.usage.total <= i64::MAX as u64);
            segment.acknowledge(total.entry, total.usage.total);
        }
        let _ = segment.remove_if_done(&Archive::new(folder.path()));
    }
    for entry in std::fs::read_dir(folder.path()).expect("it is there").flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
});
