//! A program's parameters: numbers first, then texts with zero bytes between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::environment::Environment;
use seatmeter::parameters::{Parameters, RawParameters, ValidationField};

fuzz_target!(|bytes: &[u8]| {
    let Some((numbers, texts)) = bytes.split_at_checked(28) else { return };
    let number =
        |i: usize| i32::from_le_bytes(numbers[4 * i..4 * i + 4].try_into().expect("four bytes"));
    let mut texts =
        texts.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let mut text = || texts.next().unwrap_or_default();
    let mut raw = RawParameters {
        main_server: text(),
        standby_server: text(),
        handshake_code: text(),
        session_password: text(),
        organization_id: text(),
        deployment_type: number(0),
        charge_way: number(1),
        uuid_generation_method: number(2),
        max_buffer_days: number(3),
        max_concurrent_instance_count: number(4),
        products: number(5),
        modules: vec![number(6), number(6) % 9],
        ..RawParameters::default()
    };
    raw.settings.website_domain = text();
    raw.settings.application_id = text();
    if let Ok(parameters) = Parameters::understand(&raw, &Environment::default()) {
        assert!(!parameters.servers.is_empty() && (1..=65_536).contains(&parameters.seats));
        // It becomes a file's name.
        assert!(
            parameters
                .grant_name()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
    }
    let _ = ValidationField::from_number(number(0));
});
