//! The archive of what was acknowledged, whatever is in its files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::usage::Archive;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("there is memory");
    std::fs::write(folder.path().join("0000020000.acknowledged"), bytes).expect("there is memory");
    let archive = Archive::new(folder.path());
    let read: Vec<_> = archive.read().expect("it can be read").collect();
    // What was understood is understood when it is written anew; what is too old by then is gone.
    let copy = tempfile::tempdir_in("/dev/shm").expect("there is memory");
    let archive = Archive::new(copy.path());
    if read.iter().all(|acknowledged| archive.add(acknowledged).is_ok()) {
        assert!(archive.read().expect("it can be read").count() <= read.len());
    }
});
