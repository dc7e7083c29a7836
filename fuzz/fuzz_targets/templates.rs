//! Templates of settings: what was understood is written and understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::reader::{Conflict, Profiles};

fuzz_target!(|text: &str| {
    let mut profiles = Profiles::default();
    for conflict in [1, 2].into_iter().filter_map(|number| Conflict::from_number(number).ok()) {
        let is_understood = profiles.initialize(text, conflict).is_ok();
        let _ = profiles.append(text, conflict);
        let names: Vec<String> = (0..profiles.count() as i32)
            .filter_map(|index| profiles.name(index).ok().map(str::to_owned))
            .collect();
        for name in &names {
            let _ = profiles.named(name);
        }
        if is_understood {
            let written = profiles.text("fuzz");
            Profiles::default()
                .initialize(&written, conflict)
                .expect("what we write, we understand");
        }
    }
});
