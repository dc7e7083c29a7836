//! A machine whose clocks and disk the test controls.

use super::*;
use crate::clock::test_support::{ApartClock, HandClock};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

/// A machine with its clocks and its disk.
struct Machine {
    system: &'static HandClock,
    folder: tempfile::TempDir,
}

impl Machine {
    /// Return a machine whose clock is right, with a program that has received the server's time.
    fn in_contact() -> (Self, DeviceClock) {
        let machine = Self {
            system: Box::leak(Box::new(HandClock::at(NOW))),
            folder: tempfile::tempdir().unwrap(),
        };
        let clock = machine.program();
        hear(&clock, NOW);
        clock.keep();
        (machine, clock)
    }

    /// Start a new program on the machine.
    fn program(&self) -> DeviceClock {
        let state = StateDirectory::open(self.folder.path().to_owned()).unwrap();
        DeviceClock::open(&state, self.system)
    }

    /// Start a new program whose boot clock is this many seconds ahead of the machine's. `report`
    /// is what the system reports of the difference.
    fn apart(&self, ahead: i64, report: fn(&ApartClock) -> Boot) -> DeviceClock {
        let state = StateDirectory::open(self.folder.path().to_owned()).unwrap();
        DeviceClock::open(&state, ApartClock::new(self.system, ahead * 1000, report))
    }

    fn reboot(&mut self, off_seconds: u64) -> DeviceClock {
        self.system.reboot(off_seconds * 1000);
        self.program()
    }
}

/// Give the clock the time of a server that was asked just now.
fn hear(clock: &DeviceClock, server_seconds: u64) {
    clock.hear(server_seconds, clock.boot_ms());
}

/// The possible reports of the system about a time namespace: the difference, that there is no
/// namespace, or nothing.
const REPORTED: fn(&ApartClock) -> Boot =
    |clock| Boot { ahead_ms: Some(clock.ahead_ms), ..clock.machine.boot() };
const CONCEALED: fn(&ApartClock) -> Boot = |clock| clock.machine.boot();
const SILENT: fn(&ApartClock) -> Boot = |_| Boot::default();
const WITHOUT_OFFSET: fn(&ApartClock) -> Boot =
    |clock| Boot { ahead_ms: None, ..clock.machine.boot() };

#[test]
fn a_right_clock_is_believed_before_any_contact() {
    let (mut machine, _) = Machine::in_contact();
    std::fs::remove_file(machine.folder.path().join("clock")).unwrap();
    let clock = machine.reboot(5 * DAY);
    assert_eq!(clock.unix_seconds(), NOW + 5 * DAY);
}

#[test]
fn a_clock_that_is_set_back_stretches_nothing() {
    let (mut machine, clock) = Machine::in_contact();
    machine.system.pass(DAY * 1000);
    machine.system.set_wall(1000 * (NOW - 30 * DAY));
    assert_eq!(clock.unix_seconds(), NOW + DAY);
    machine.system.pass(DAY * 1000);
    assert_eq!(clock.unix_seconds(), NOW + 2 * DAY, "time goes on");
    clock.keep();
    let clock = machine.reboot(60);
    assert_eq!(clock.unix_seconds(), NOW + 2 * DAY, "after a start, too");
    machine.system.pass(DAY * 1000);
    assert_eq!(clock.unix_seconds(), NOW + 3 * DAY);
}

#[test]
fn a_clock_that_is_right_again_is_believed_again() {
    let (mut machine, clock) = Machine::in_contact();
    machine.system.set_wall(1000 * (NOW - 30 * DAY));
    clock.keep();
    let clock = machine.reboot(DAY);
    assert_eq!(clock.unix_seconds(), NOW);
    machine.system.set_wall(1000 * (NOW + DAY));
    assert_eq!(clock.unix_seconds(), NOW + DAY);
}

#[test]
fn a_clock_set_forward_changes_nothing_while_servers_are_reached() {
    let (machine, clock) = Machine::in_contact();
    machine.system.set_wall(1000 * (NOW + 3650 * DAY));
    assert_eq!(clock.unix_seconds(), NOW);
    clock.keep();
    assert_eq!(machine.program().unix_seconds(), NOW, "nor for the next program");
}

#[test]
fn a_start_far_in_the_future_heals_at_the_next_contact_and_does_no_harm_at_the_start_after_it() {
    let (mut machine, _) = Machine::in_contact();
    machine.system.set_wall(1000 * (NOW + 3650 * DAY));
    let clock = machine.reboot(60);
    assert_eq!(clock.unix_seconds(), NOW + 3650 * DAY + 60);
    clock.keep();
    hear(&clock, NOW + 70);
    assert_eq!(clock.unix_seconds(), NOW + 70);
    clock.keep();
    let clock = machine.reboot(DAY);
    assert_eq!(clock.unix_seconds(), NOW + 70 + DAY, "the clock is still wrong by as much");
    clock.keep();
    machine.system.set_wall(1000 * (NOW + 2 * DAY));
    let clock = machine.reboot(DAY);
    assert_eq!(clock.unix_seconds(), NOW + 3 * DAY, "it was set right");
}

#[test]
fn a_start_in_1970_goes_on_from_the_highest_time_until_the_clock_is_set() {
    let (mut machine, _) = Machine::in_contact();
    machine.system.set_wall(0);
    let clock = machine.reboot(0);
    machine.system.pass(20_000);
    assert_eq!(clock.unix_seconds(), NOW + 20);
    machine.system.set_wall(1000 * (NOW + 2 * DAY));
    assert_eq!(clock.unix_seconds(), NOW + 2 * DAY);
    machine.system.set_wall(0);
    assert_eq!(clock.unix_seconds(), NOW + 2 * DAY);
    hear(&clock, NOW + 2 * DAY);
    clock.keep();
    let clock = machine.reboot(DAY);
    machine.system.set_wall(1000 * (NOW + 3 * DAY));
    assert_eq!(
        clock.unix_seconds(),
        NOW + 3 * DAY,
        "what was behind at the contact may be right now"
    );
}

#[test]
fn a_new_device_in_1970_is_set_by_its_first_contact() {
    let system: &'static HandClock = Box::leak(Box::new(HandClock::at(3)));
    let machine = Machine { system, folder: tempfile::tempdir().unwrap() };
    let clock = machine.program();
    assert_eq!(clock.unix_seconds(), 3);
    hear(&clock, NOW);
    assert_eq!(clock.unix_seconds(), NOW);
}

#[test]
fn starts_that_the_system_does_not_name_are_not_taken_for_one() {
    let (machine, _) = Machine::in_contact();
    let state = StateDirectory::open(machine.folder.path().to_owned()).unwrap();
    let nameless = ApartClock::new(machine.system, 0, |_| Boot::default());
    let program = || DeviceClock::open(&state, nameless);
    hear(&program(), NOW);
    machine.system.reboot(DAY * 1000);
    let clock = program();
    assert_eq!(clock.unix_seconds(), NOW + DAY);
    clock.keep();
    assert_eq!(clock.unix_seconds(), NOW + DAY);
}

#[test]
fn days_of_suspension_have_passed() {
    let (machine, clock) = Machine::in_contact();
    machine.system.pass(4 * DAY * 1000);
    machine.system.set_wall(0);
    assert_eq!(clock.unix_seconds(), NOW + 4 * DAY);
}

#[test]
fn a_contact_of_one_program_heals_the_others() {
    let (mut machine, _) = Machine::in_contact();
    machine.system.set_wall(1000 * (NOW + 3650 * DAY));
    let (one, other) = (machine.reboot(0), machine.program());
    other.keep();
    hear(&one, NOW + 5);
    one.keep();
    other.keep();
    assert_eq!(other.unix_seconds(), NOW + 5);
    one.keep();
    assert_eq!(one.unix_seconds(), NOW + 5);
}

#[test]
fn small_differences_do_not_make_time_jump() {
    let (machine, clock) = Machine::in_contact();
    machine.system.pass(700);
    hear(&clock, NOW + 3);
    assert_eq!(clock.unix_ms(), NOW * 1000 + 700);
}

#[test]
fn what_a_server_signed_was_not_signed_in_the_future() {
    let (mut machine, _) = Machine::in_contact();
    std::fs::remove_file(machine.folder.path().join("clock")).unwrap();
    machine.system.set_wall(0);
    let clock = machine.reboot(0);
    assert_eq!(clock.signed_at(NOW - 5), NOW - 5);
    assert_eq!(clock.unix_seconds(), NOW - 5);
}

#[test]
fn a_damaged_file_is_no_reason_to_fail() {
    let (mut machine, _) = Machine::in_contact();
    std::fs::write(machine.folder.path().join("clock"), "torn").unwrap();
    assert_eq!(machine.reboot(DAY).unix_seconds(), NOW + DAY);
    for absurd in [u64::MAX, 0] {
        let clock = machine.program();
        hear(&clock, absurd);
        let _ = clock.unix_ms();
    }
}

#[test]
fn the_server_time_heard_last_is_believed_and_not_the_later_time() {
    for ahead in [7_200, 400 * DAY] {
        let (machine, one) = Machine::in_contact();
        let other = machine.program();
        machine.system.pass(1000);
        hear(&one, NOW + ahead);
        other.keep();
        assert_eq!(other.unix_seconds(), NOW + ahead, "for want of a better one");
        machine.system.pass(1000);
        hear(&other, NOW + 2);
        other.keep();
        one.keep();
        for clock in [&one, &other, &machine.program()] {
            assert_eq!(clock.unix_seconds(), NOW + 2, "{ahead} s");
        }
        one.keep();
        assert_eq!(machine.program().unix_seconds(), NOW + 2, "nobody brings the older time back");
    }
}

#[test]
fn of_two_servers_the_one_that_was_heard_last_is_believed() {
    let (machine, clock) = Machine::in_contact();
    let other = machine.program();
    for turn in 1..10 {
        for ahead in [7_200, 0] {
            machine.system.pass(1000);
            let now = NOW + turn * 2 - u64::from(ahead > 0);
            hear(if turn % 2 == 0 { &clock } else { &other }, now + ahead);
            clock.keep();
            other.keep();
            assert_eq!([&clock, &other].map(Clock::unix_seconds), [now + ahead; 2]);
        }
    }
}

#[test]
fn a_server_time_of_an_older_start_of_the_machine_is_older() {
    let (mut machine, clock) = Machine::in_contact();
    machine.system.pass(1_000_000);
    hear(&clock, NOW + 400 * DAY);
    machine.system.set_wall(1000 * (NOW + 1000));
    let clock = machine.reboot(60);
    let other = machine.program();
    assert_eq!(clock.unix_seconds(), NOW + 400 * DAY, "offline, it goes on from there");
    hear(&clock, NOW + 1060);
    other.keep();
    assert_eq!([&clock, &other, &machine.program()].map(Clock::unix_seconds), [NOW + 1060; 3]);
    let clock = machine.reboot(60);
    assert_eq!(clock.unix_seconds(), NOW + 1120, "nor does it come back with the next start");
}

#[test]
fn a_program_takes_over_what_another_one_has_heard_before_it_believes_an_older_time() {
    let (machine, one) = Machine::in_contact();
    let other = machine.program();
    let asked_at = one.boot_ms();
    machine.system.pass(3_600_000);
    hear(&other, NOW + 3_600 + 7_200);
    hear(&other, NOW + 3_600);
    // A program that was stopped receives the answer to a question of an hour ago.
    one.hear(NOW + 400 * DAY, asked_at);
    one.keep();
    assert_eq!([&one, &other, &machine.program()].map(Clock::unix_seconds), [NOW + 3_600; 3]);
}

#[test]
fn an_answer_that_was_under_way_for_long_does_not_set_the_time_back() {
    let (machine, clock) = Machine::in_contact();
    let asked_at = clock.boot_ms();
    machine.system.pass(8 * DAY * 1000);
    clock.hear(NOW, asked_at);
    assert_eq!(clock.unix_seconds(), NOW + 8 * DAY, "it may have been said just now, or then");
    clock.hear(NOW + 9 * DAY, asked_at);
    assert_eq!(clock.unix_seconds(), NOW + 9 * DAY);
}

#[test]
fn what_a_server_has_dated_too_late_is_read_right_once_another_time_was_heard() {
    let (mut machine, clock) = Machine::in_contact();
    hear(&clock, NOW + 400 * DAY);
    let date = NOW + 400 * DAY;
    assert_eq!(clock.signed_at(date), date, "nobody knows yet");
    machine.system.pass(3 * DAY * 1000);
    hear(&clock, NOW + 3 * DAY);
    let other = machine.program();
    assert_eq!([&clock, &other].map(|clock| clock.signed_at(date)), [NOW; 2]);
    assert_eq!(clock.signed_at(NOW + DAY), NOW + DAY, "a right date");
    clock.keep();
    let clock = machine.reboot(60);
    assert_eq!(clock.signed_at(date), NOW, "after a start, too");
    assert_eq!(clock.unix_seconds(), NOW + 3 * DAY + 60, "and time is not taken from it");
    machine.system.pass(400 * DAY * 1000);
    assert_eq!(clock.signed_at(date), NOW, "nor when the present has come so far");
}

#[test]
fn a_date_ahead_that_nobody_can_explain_is_one_of_the_moment_at_which_it_is_seen() {
    let (machine, clock) = Machine::in_contact();
    let date = NOW + 100 * DAY;
    assert_eq!(clock.signed_at(date), NOW);
    clock.keep();
    for days in [1, 150] {
        machine.system.pass(days * DAY * 1000);
        assert_eq!([&clock, &machine.program()].map(|clock| clock.signed_at(date)), [NOW; 2]);
    }
}

#[test]
fn a_license_of_a_server_that_was_ahead_ends_with_its_time_however_late_that_is_found() {
    let (machine, clock) = Machine::in_contact();
    hear(&clock, NOW + 7_200);
    let stamp = clock.stamp();
    let date = NOW + 7_200;
    // As much time passes as the server was ahead, and then more: its date is not ahead of the
    // present any more.
    for seconds in [7_200, 9_000] {
        machine.system.pass(if seconds == 7_200 { 7_200_000 } else { 1_800_000 });
        assert_eq!(clock.dated_since(date, &stamp), date, "nobody knows yet");
    }
    hear(&clock, NOW + 9_000);
    assert_eq!(clock.dated_since(date, &stamp), NOW);
    assert_eq!(clock.signed_at(date), NOW);
    clock.keep();
    assert_eq!(machine.program().signed_at(date), NOW, "other programs know it");
}

#[test]
fn a_license_that_a_server_dated_before_its_clock_was_set_ahead_keeps_its_date() {
    let (machine, clock) = Machine::in_contact();
    // The server decides at `NOW`. Its clock is set ahead before it signs the answer.
    hear(&clock, NOW + 400 * DAY);
    let stamp = clock.stamp();
    machine.system.pass(1000);
    hear(&clock, NOW + 1);
    assert_eq!(clock.dated_since(NOW, &stamp), NOW);
    assert_eq!(clock.signed_at(NOW), NOW, "nor does this spoil other licenses of that second");
}

#[test]
fn a_date_ahead_is_the_time_at_least_while_no_server_was_heard() {
    let (mut machine, _) = Machine::in_contact();
    let clock = machine.reboot(60);
    assert_eq!(clock.signed_at(NOW + 100 * DAY), NOW + 100 * DAY);
    assert_eq!(clock.unix_seconds(), NOW + 100 * DAY);
}

#[test]
fn a_time_namespace_stretches_nothing_and_spoils_nothing() {
    for report in [REPORTED, CONCEALED, SILENT, WITHOUT_OFFSET] {
        for ahead in [-1200, 1200, 0] {
            let (machine, clock) = Machine::in_contact();
            machine.system.pass(2_000_000);
            clock.keep();
            let apart = machine.apart(ahead, report);
            let now = NOW + 2000;
            let is_hidden = ahead > 0 && apart.system.boot() == machine.system.boot();
            assert_eq!(apart.unix_seconds(), if is_hidden { now + 1200 } else { now }, "{ahead} s");
            for minute in 1..10 {
                machine.system.pass(60_000);
                apart.keep();
                let now = now + 60 * minute;
                assert!(apart.unix_seconds() >= now, "{ahead} s");
                let newcomer = machine.program();
                if !is_hidden {
                    assert_eq!(newcomer.unix_seconds(), now, "{ahead} s");
                }
                clock.keep();
                assert!(clock.unix_seconds() == now || is_hidden, "{ahead} s");
            }
            let now = now + 540;
            for set in [&apart, &clock] {
                hear(set, now);
                clock.keep();
                assert!(apart.unix_seconds() >= now);
            }
            assert_eq!(
                [&clock, &machine.program()].map(Clock::unix_seconds),
                [now; 2],
                "{ahead} s"
            );
        }
    }
}

#[test]
fn what_a_program_in_a_time_namespace_has_heard_is_known_to_the_others() {
    let (machine, clock) = Machine::in_contact();
    machine.system.pass(2_000_000);
    let apart = machine.apart(-1200, REPORTED);
    hear(&apart, NOW + 7_200);
    clock.keep();
    assert_eq!([&clock, &machine.program()].map(Clock::unix_seconds), [NOW + 7_200; 2]);
    machine.system.pass(1000);
    hear(&clock, NOW + 2_001);
    apart.keep();
    assert_eq!([&apart, &machine.apart(500, REPORTED)].map(Clock::unix_seconds), [NOW + 2_001; 2]);
}

#[test]
fn one_who_cannot_tell_whose_boot_clock_it_is_keeps_how_far_time_has_come() {
    let (machine, _) = Machine::in_contact();
    for hour in 1..5 {
        let apart = machine.apart(-1200, SILENT);
        assert_eq!(apart.unix_seconds(), NOW + 3_600 * (hour - 1));
        machine.system.pass(3_600_000);
        machine.system.set_wall(0);
        apart.keep();
    }
}

#[test]
fn a_program_that_was_frozen_and_thawed_after_another_start_begins_anew() {
    let (mut machine, clock) = Machine::in_contact();
    clock.keep();
    machine.reboot(DAY);
    assert!(clock.unix_seconds() < NOW + DAY, "its boot clock goes on from elsewhere");
    clock.keep();
    assert!(clock.unix_seconds() >= NOW + DAY, "now the wall clock is a witness again");
}

#[test]
fn a_server_time_from_an_instant_that_is_still_to_come_is_no_reason_to_hear_no_more() {
    let (machine, clock) = Machine::in_contact();
    machine.system.pass(DAY * 1000);
    hear(&clock, NOW + 2 * DAY);
    clock.keep();
    // This is the state after a snapshot of a virtual machine whose state directory is elsewhere.
    machine.system.set_ms(NOW * 1000 + 3_600_000);
    let clock = machine.program();
    assert_eq!(clock.unix_seconds(), NOW + 2 * DAY, "not before what was seen");
    hear(&clock, NOW + 3_600);
    assert_eq!(clock.unix_seconds(), NOW + 3_600);
}
