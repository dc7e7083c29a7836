//! Seats that processes share, through the C API: given back at every death, waited for, forked,
//! listed.

use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::Server;

struct Device {
    server: Server,
    tool: Program,
}

impl Device {
    fn new() -> Self {
        Self { server: Server::with_demo_license(), tool: Program::compile("tests/c/seat_tool.c") }
    }

    /// Start a process that is licensed with this number of seats.
    fn process(&self, seats: u32) -> Dialogue {
        let mut command = self.tool.command(self.server.url());
        command.arg(seats.to_string());
        let mut process = Dialogue::start(command);
        assert_eq!(process.hear(), "0", "licensed");
        process
    }
}

#[test]
fn processes_of_a_device_share_its_seats() {
    let device = Device::new();
    let (mut a, mut b) = (device.process(4), device.process(4));
    for process in [&mut a, &mut b] {
        assert_eq!(process.ask("take"), "0");
        assert_eq!(process.ask("take"), "0");
    }
    assert_eq!((a.ask("idle"), b.ask("idle")), ("0".into(), "0".into()));
    assert_eq!(a.ask("take"), "-20008");
    assert_eq!(b.ask("give"), "0");
    assert_eq!(a.ask("idle"), "1");
    assert_eq!(a.ask("take"), "0");
    assert_eq!(b.ask("take"), "-20008");
}

#[test]
fn a_killed_process_gives_its_seats_back_at_once() {
    let device = Device::new();
    let mut witness = device.process(4);
    for _ in 0..20 {
        let mut holder = device.process(4);
        for _ in 0..4 {
            assert_eq!(holder.ask("take"), "0");
        }
        assert_eq!(witness.ask("take"), "-20008");
        holder.kill();
        assert_eq!(witness.ask("idle"), "4");
        assert_eq!(witness.ask("take"), "0");
        assert_eq!(witness.ask("give"), "0");
    }
}

#[test]
fn a_death_wakes_who_waits_for_a_seat() {
    let device = Device::new();
    let (mut holder, mut waiter) = (device.process(4), device.process(4));
    for _ in 0..4 {
        assert_eq!(holder.ask("take"), "0");
    }
    waiter.tell("within 60000");
    let killed = Instant::now();
    holder.kill();
    assert_eq!(waiter.hear(), "0");
    assert!(
        killed.elapsed() < Duration::from_secs(30),
        "woken by the death, not by the end of the wait"
    );
}

#[test]
fn a_seat_given_back_wakes_who_waits_for_it_and_a_wait_ends_when_it_said() {
    let device = Device::new();
    let (mut holder, mut waiter) = (device.process(4), device.process(4));
    for _ in 0..4 {
        assert_eq!(holder.ask("take"), "0");
    }
    assert_eq!(waiter.ask("within 50"), "-20008");
    waiter.tell("within 60000");
    assert_eq!(holder.ask("give"), "0");
    assert_eq!(waiter.hear(), "0");
}

#[test]
fn of_different_numbers_of_seats_the_highest_counts() {
    let device = Device::new();
    let mut modest = device.process(2);
    assert_eq!(modest.ask("idle"), "2");
    let mut greedy = device.process(3);
    assert_eq!((modest.ask("idle"), greedy.ask("idle")), ("3".into(), "3".into()));
    let mut late = device.process(1);
    assert_eq!(late.ask("idle"), "3", "who asks for less takes nothing away");
}

#[test]
fn a_forked_child_has_no_seats_and_its_parents_stay() {
    let device = Device::new();
    let (mut parent, mut witness) = (device.process(4), device.process(4));
    assert_eq!(parent.ask("take"), "0");
    assert_eq!(parent.ask("fork"), "child");
    // From here on the child answers.
    assert_eq!(parent.ask("idle"), "3");
    assert_eq!(parent.ask("give"), "0");
    assert_eq!(witness.ask("idle"), "3", "a child cannot give its parent's seat back");
    assert_eq!(parent.ask("take"), "0");
    assert_eq!(witness.ask("idle"), "2");
    assert_eq!(parent.ask("exit"), "parent 0");
    assert_eq!(witness.ask("idle"), "3", "the child's seat came back, the parent's is still held");
    assert_eq!(parent.ask("give"), "0");
    assert_eq!(witness.ask("idle"), "4");
}

#[test]
fn who_holds_the_seats_is_known() {
    let device = Device::new();
    let (mut a, mut b) = (device.process(4), device.process(4));
    assert_eq!(a.ask("list"), "0:");
    assert_eq!((a.ask("take"), a.ask("take"), b.ask("take")), ("0".into(), "0".into(), "0".into()));
    let listed = b.ask("list");
    assert!(listed.starts_with("2:"), "{listed}");
    assert!(listed.contains(&format!(" {}/program/2", a.pid())), "{listed}");
    assert!(listed.contains(&format!(" {}/program/1", b.pid())), "{listed}");
    a.kill();
    assert_eq!(b.ask("list"), format!("1: {}/program/1", b.pid()));
}

#[test]
fn the_doctor_shows_who_holds_the_seats_and_who_has_died() {
    let device = Device::new();
    let mut a = device.process(4);
    assert_eq!((a.ask("take"), a.ask("take")), ("0".into(), "0".into()));
    let told = device.server.doctor_seats(&device.tool.state());
    assert!(told.contains("2 of 4 seats in use, 2 free"), "{told}");
    assert!(told.contains(&format!("2 seats  program (pid {})", a.pid())), "{told}");
    a.kill();
    let told = device.server.doctor_seats(&device.tool.state());
    assert!(told.contains("0 of 4 seats in use, 4 free") && told.contains("has died"), "{told}");
}

#[test]
fn shutting_down_gives_the_seats_back_and_the_next_start_finds_all_free() {
    let device = Device::new();
    let (mut a, mut b) = (device.process(4), device.process(4));
    assert_eq!((a.ask("take"), b.ask("idle")), ("0".into(), "3".into()));
    assert_eq!(a.ask("shutdown"), "0");
    assert_eq!(b.ask("idle"), "4");
    assert_eq!(a.ask("give"), "0", "a reader may be destroyed after the end");
    assert_eq!(b.ask("idle"), "4");
}
