//! The constants of the model are those of the JavaScript sources.

use seatmeter_protocol::error_code::ErrorCode;

use super::{clock, counter, errors, grant, pause, reports, session, tab};

/// Return the text after the first occurrence of `name` in a source, up to this character.
fn text_after(file: &str, name: &str, end: char) -> String {
    let path = seatmeter_e2e::root().join("bindings/web/src").join(file);
    let source = std::fs::read_to_string(path).unwrap();
    let (_, rest) = source.split_once(name).unwrap_or_else(|| panic!("{file} has no {name:?}"));
    rest.split(end).next().unwrap_or_default().to_owned()
}

/// Return a constant of a source. It may be a product with one factor in front that is a name.
fn constant(file: &str, name: &str) -> u64 {
    let value = text_after(file, &format!("const {name} = "), ';');
    let number = |text: &str| text.trim().parse::<u64>();
    match value.split_once(" * ") {
        Some((days, "DAY_SECONDS" | "86400")) => number(days).unwrap() * grant::DAY_SECONDS,
        _ => number(&value).unwrap_or_else(|_| panic!("{name} of {file} is {value:?}")),
    }
}

/// Return the codes in a list of a source.
fn codes(file: &str, before: &str) -> Vec<ErrorCode> {
    let list = text_after(file, before, ']');
    list.split(',').map(|code| ErrorCode(code.trim().parse().unwrap())).collect()
}

#[test]
fn the_constants_are_those_of_the_sources() {
    let signed = |ms: i64| u64::try_from(ms).unwrap();
    let count = |count: usize| count as u64;
    for (file, name, expected) in [
        ("clock.js", "DAY_MS", signed(clock::DAY_MS)),
        ("clock.js", "LEAP_MS", signed(clock::LEAP_MS)),
        ("counter.js", "IMAGES_MS", signed(counter::IMAGES_MS)),
        ("grant.js", "SLOT_SECONDS", grant::SLOT_SECONDS),
        ("grant.js", "DAY_SECONDS", grant::DAY_SECONDS),
        ("grant.js", "GRACE_SECONDS", grant::GRACE_SECONDS),
        ("grant.js", "RENEWAL_SECONDS", grant::RENEWAL_SECONDS),
        ("license.js", "CHECK_MS", signed(tab::CHECK_MS)),
        ("license.js", "JITTER_MS", tab::JITTER_MS),
        ("pause.js", "ASKED_MS_MAX", pause::ASKED_MS_MAX),
        ("pause.js", "FIRST_MS", pause::FIRST_MS),
        ("pause.js", "LAST_MS", pause::LAST_MS),
        ("pause.js", "SPREAD_MS", pause::SPREAD_MS),
        ("reports.js", "KEPT_SECONDS", reports::KEPT_DAYS * grant::DAY_SECONDS),
        ("reports.js", "ROUNDS_MAX", count(reports::ROUNDS_MAX)),
        ("reports.js", "ROWS_MAX", count(reports::ROWS_MAX)),
        ("reports.js", "SEGMENTS_MAX", count(reports::SEGMENTS_MAX)),
        ("session.js", "AHEAD_SECONDS", session::AHEAD_SECONDS),
        ("session.js", "ROUND_MS", signed(session::ROUND_MS)),
    ] {
        assert_eq!(constant(file, name), expected, "{name} of {file}");
    }
}

#[test]
fn the_lists_of_codes_are_those_of_the_sources() {
    assert_eq!(codes("errors.js", "ENDS = ["), errors::ENDS);
    assert_eq!(codes("errors.js", "TAKES_FRESH_UUID = ["), errors::TAKES_FRESH_UUID);
    assert_eq!(codes("errors.js", "ASKS_OTHER = ["), errors::ASKS_OTHER);
    let mut passing = codes("license.js", "isPassing = [");
    passing.sort_by_key(|code| tab::PASSING.iter().position(|one| one == code));
    assert_eq!(passing, tab::PASSING);
}

#[test]
fn other_numbers_are_those_of_the_sources() {
    assert_eq!(text_after("clock.js", "if (this.error < ", ')'), clock::ERROR_MS_MIN.to_string());
    let failures = text_after("license.js", "Math.min(this.#failures + 1, ", ')');
    assert_eq!(failures, tab::FAILURES_MAX.to_string());
    let timeout = text_after("options.js", "timeout: [1, 600000, ", ']');
    assert_eq!(timeout, super::TIMEOUT_MS.to_string());
    for slot in ["image(ms) {\n    const slot = Math.floor(ms / ", "const slot = Math.floor(ms / "]
    {
        let ms = text_after("counter.js", slot, ')');
        assert_eq!(ms, (grant::SLOT_SECONDS * 1000).to_string());
    }
}
