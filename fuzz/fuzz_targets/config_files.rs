//! Configuration files: what is accepted means the same when it is written anew, and every fault has
//! a line of the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_server::cli::config::check_text;

fuzz_target!(|text: &str| {
    match check_text(text) {
        Ok(written) => assert_eq!(check_text(&written).as_ref(), Ok(&written)),
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let rest = fault.strip_prefix("line ").expect("a fault has a line");
                let (line, what) = rest.split_once(": ").expect("a fault says what is wrong");
                let line: usize = line.parse().expect("a line is a number");
                assert!((1..=text.lines().count().max(1) + 1).contains(&line));
                assert!(!what.is_empty());
            }
        }
    }
});
