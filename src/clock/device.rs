//! The device's idea of time. The wall clock can be wrong, be set back to stretch a licence, be set forward by
//! mistake, or say 1970 after a start without a battery. So it is only one of the witnesses:
//!
//! | witness | believed |
//! |---|---|
//! | a server, signed | always: it sets this clock, forward or back |
//! | the boot clock | for what has passed since; it counts suspended time, too, and nobody can set it |
//! | the highest time seen, on disk | time is never before it, until a server says so |
//! | the wall clock | where it is later than all of that, and no server was heard since the machine was started |
//!
//! ```text
//!             no server heard since the start                        a server was heard
//!  start ──▶ max(highest + boot clock, wall clock − its error) ──▶ what it said + boot clock
//! ```
//!
//! So a clock that is set back stretches nothing: time goes on from the highest that was seen. One that is set forward
//! while servers are reached changes nothing. One that was wrong at the start may end a licence early, but not for
//! good: the next contact sets it right, and the error that the wall clock had then is remembered, so that a clock that
//! stays wrong does no harm at the next start. What is lost is the time for which the machine was off with its clock
//! set back: a device that is never in contact and never has a right clock counts only the time that it runs.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use seatmeter_protocol::rehearsal::has_bug;
use serde::{Deserialize, Serialize};

use super::Clock;
use crate::log::{Level, say};
use crate::state::{FramedFile, Kind, Loaded, StateDirectory};

/// A server says whole seconds, and its answer takes a while: what differs by less is the same time.
const AGREE_MS: i64 = 5_000;

/// A wall clock whose remembered error would put it further back than this was set right since.
const DAY_MS: i64 = 86_400_000;

/// The device's clock.
pub struct DeviceClock {
    system: &'static dyn Clock,
    file: FramedFile,
    boot_id: String,
    /// Device time less boot clock.
    offset_ms: AtomicI64,
    /// Whether a server was heard since the machine was started.
    is_set: AtomicBool,
    /// By how much the wall clock was ahead when a server was heard last. One that was behind has no error to remember:
    /// it may be set right at any time, and time is not before the highest that was seen anyway.
    error_ms: AtomicI64,
    /// What the server said then; 0 when none was heard.
    heard_ms: AtomicI64,
}

/// What is kept on disk, for the next process and the next start of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    highest_ms: i64,
    boot_id: String,
    offset_ms: i64,
    is_set: bool,
    error_ms: i64,
    heard_ms: i64,
}

impl DeviceClock {
    /// The clock of this state directory, on a machine that was started under this id. It goes on from what was seen
    /// before, if that can be read.
    pub fn open(state: &StateDirectory, system: &'static dyn Clock, boot_id: String) -> Self {
        let clock = Self {
            system,
            file: state.file("clock", Kind::Clock),
            boot_id,
            offset_ms: AtomicI64::new(-signed(system.boot_ms())),
            is_set: AtomicBool::new(false),
            error_ms: AtomicI64::new(0),
            heard_ms: AtomicI64::new(0),
        };
        if let Ok(Loaded::Content(seen)) = clock.file.load::<Seen>() {
            clock.go_on_from(&seen);
        }
        clock
    }

    fn go_on_from(&self, seen: &Seen) {
        let heard = self.heard_ms.load(Ordering::Relaxed);
        if seen.heard_ms < heard {
            return;
        }
        let is_same_boot = self.is_same_boot(seen);
        let offset =
            if is_same_boot { seen.offset_ms } else { seen.highest_ms - signed(self.system.boot_ms()) };
        if seen.heard_ms == heard && self.is_set.load(Ordering::Relaxed) == (is_same_boot && seen.is_set) {
            self.offset_ms.fetch_max(offset, Ordering::Relaxed);
            return;
        }
        self.offset_ms.store(offset, Ordering::Relaxed);
        self.error_ms.store(seen.error_ms, Ordering::Relaxed);
        self.heard_ms.store(seen.heard_ms, Ordering::Relaxed);
        self.is_set.store(is_same_boot && seen.is_set, Ordering::Relaxed);
    }

    /// Whether the machine was not started anew since. Where the system does not name its starts, it may have been.
    fn is_same_boot(&self, seen: &Seen) -> bool {
        !self.boot_id.is_empty() && seen.boot_id == self.boot_id
    }

    /// Keeps what was seen, and takes over what other processes of the device have seen. A disk that does not take it
    /// is no reason to fail: then the next process has to see for itself.
    pub fn keep(&self) {
        if let Ok(Loaded::Content(seen)) = self.file.load::<Seen>()
            && self.is_same_boot(&seen)
        {
            self.go_on_from(&seen);
        }
        let highest_ms = signed(self.unix_ms());
        let seen = Seen {
            highest_ms,
            boot_id: self.boot_id.clone(),
            offset_ms: self.offset_ms.load(Ordering::Relaxed),
            is_set: self.is_set.load(Ordering::Relaxed),
            error_ms: self.error_ms.load(Ordering::Relaxed),
            heard_ms: self.heard_ms.load(Ordering::Relaxed),
        };
        if let Err(error) = self.file.store(&seen) {
            say(Level::Warning, format_args!("{error}"));
        }
    }

    /// What the server said by which this clock goes (Unix milliseconds), heard by this process or by one whose word
    /// it took over; 0 when none was heard.
    pub fn heard_ms(&self) -> u64 {
        unsigned(self.heard_ms.load(Ordering::Relaxed))
    }

    /// Takes notice that it is at least this time (Unix seconds): a server has signed something then.
    pub fn is_at_least(&self, seconds: u64) {
        if !self.is_set.load(Ordering::Relaxed) {
            let offset = signed(seconds.saturating_mul(1000)) - signed(self.system.boot_ms());
            self.offset_ms.fetch_max(offset, Ordering::Relaxed);
        }
    }
}

impl Clock for DeviceClock {
    fn wait(&self, time: std::time::Duration) {
        self.system.wait(time);
    }

    fn wall_ms(&self) -> u64 {
        self.system.wall_ms()
    }

    fn boot_ms(&self) -> u64 {
        self.system.boot_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.system.monotonic_ms()
    }

    fn unix_ms(&self) -> u64 {
        let boot = signed(self.system.boot_ms());
        let offset = self.offset_ms.load(Ordering::Relaxed);
        let steady = boot + offset;
        if self.is_set.load(Ordering::Relaxed) {
            return unsigned(steady);
        }
        let wall = believed(steady, signed(self.system.wall_ms()), self.error_ms.load(Ordering::Relaxed));
        if has_bug("clock: set back with the wall clock") {
            return unsigned(wall);
        }
        if wall <= steady {
            return unsigned(steady);
        }
        // If it fails, then another thread has seen a later time, or a server was heard: the next call knows.
        let _ = self.offset_ms.compare_exchange(offset, wall - boot, Ordering::Relaxed, Ordering::Relaxed);
        unsigned(wall)
    }

    fn hear(&self, server_seconds: u64) {
        let server = signed(server_seconds.saturating_mul(1000));
        let ahead = signed(self.unix_ms()) - server;
        let error = signed(self.system.wall_ms()) - server;
        let was_set = self.is_set.swap(true, Ordering::Relaxed);
        let differs = ahead.abs() > AGREE_MS;
        if differs {
            say(
                Level::Warning,
                format_args!(
                    "this device's clock was {} s {} the license server's, and is set by it",
                    ahead.abs() / 1000,
                    if ahead > 0 { "ahead of" } else { "behind" }
                ),
            );
            self.offset_ms.store(server - signed(self.system.boot_ms()), Ordering::Relaxed);
        }
        self.error_ms.store(if error > AGREE_MS { error } else { 0 }, Ordering::Relaxed);
        self.heard_ms.store(server, Ordering::Relaxed);
        if differs || !was_set {
            // At once: a program that begins before this one's next round goes by the server's time, too.
            self.keep();
        }
    }
}

/// What the wall clock says without the error that it had when a server was heard last; as it stands, if that cannot
/// be, because it was set right since.
fn believed(floor: i64, wall: i64, error: i64) -> i64 {
    let corrected = wall.saturating_sub(error);
    if corrected.saturating_add(DAY_MS) >= floor { corrected } else { wall }
}

fn signed(ms: u64) -> i64 {
    // Far beyond any date, and far enough from the edge for sums.
    i64::try_from(ms).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::HandClock;
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    /// A machine with its clocks and its disk.
    struct Machine {
        system: &'static HandClock,
        folder: tempfile::TempDir,
        boots: u32,
    }

    impl Machine {
        /// One whose clock is right, with a program that has heard the server.
        fn in_contact() -> (Self, DeviceClock) {
            let machine = Self {
                system: Box::leak(Box::new(HandClock::at(NOW))),
                folder: tempfile::tempdir().unwrap(),
                boots: 0,
            };
            let clock = machine.program();
            clock.hear(NOW);
            clock.keep();
            (machine, clock)
        }

        /// A new program on it.
        fn program(&self) -> DeviceClock {
            let state = StateDirectory::open(self.folder.path().to_owned()).unwrap();
            DeviceClock::open(&state, self.system, format!("boot {}", self.boots))
        }

        fn reboot(&mut self, off_seconds: u64) -> DeviceClock {
            self.system.reboot(off_seconds * 1000);
            self.boots += 1;
            self.program()
        }
    }

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
        clock.hear(NOW + 70);
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
        clock.hear(NOW + 2 * DAY);
        clock.keep();
        let clock = machine.reboot(DAY);
        machine.system.set_wall(1000 * (NOW + 3 * DAY));
        assert_eq!(clock.unix_seconds(), NOW + 3 * DAY, "what was behind at the contact may be right now");
    }

    #[test]
    fn a_new_device_in_1970_is_set_by_its_first_contact() {
        let system: &'static HandClock = Box::leak(Box::new(HandClock::at(3)));
        let machine = Machine { system, folder: tempfile::tempdir().unwrap(), boots: 0 };
        let clock = machine.program();
        assert_eq!(clock.unix_seconds(), 3);
        clock.hear(NOW);
        assert_eq!(clock.unix_seconds(), NOW);
    }

    #[test]
    fn starts_that_the_system_does_not_name_are_not_taken_for_one() {
        let (machine, _) = Machine::in_contact();
        let state = StateDirectory::open(machine.folder.path().to_owned()).unwrap();
        let program = || DeviceClock::open(&state, machine.system, String::new());
        program().hear(NOW);
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
        one.hear(NOW + 5);
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
        clock.hear(NOW + 3);
        assert_eq!(clock.unix_ms(), NOW * 1000 + 700);
    }

    #[test]
    fn what_a_server_signed_was_not_signed_in_the_future() {
        let (mut machine, _) = Machine::in_contact();
        std::fs::remove_file(machine.folder.path().join("clock")).unwrap();
        machine.system.set_wall(0);
        let clock = machine.reboot(0);
        clock.is_at_least(NOW - 5);
        assert_eq!(clock.unix_seconds(), NOW - 5);
    }

    #[test]
    fn a_damaged_file_is_no_reason_to_fail() {
        let (mut machine, _) = Machine::in_contact();
        std::fs::write(machine.folder.path().join("clock"), "torn").unwrap();
        assert_eq!(machine.reboot(DAY).unix_seconds(), NOW + DAY);
        for absurd in [u64::MAX, 0] {
            let clock = machine.program();
            clock.hear(absurd);
            let _ = clock.unix_ms();
        }
    }
}
