//! Exports of the usage, as the planner reads them: CSV or JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_server::planner::history::History;
use seatmeter_server::planner::usage_file::for_each;

fuzz_target!(|bytes: &[u8]| {
    let mut history = History::default();
    let mut rows = 0;
    let _ = for_each(bytes, |row| {
        rows += 1;
        history.add(&row)
    });
    assert!(history.device_count() <= rows);
});
