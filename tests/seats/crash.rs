//! Seats are given back by every death of a process.
//!
//! `make soak KILLS=100000` runs it for long.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter::seats::Seat;

#[cfg(feature = "kill-points")]
use crate::processes::End;
use crate::processes::{Device, KILLED, Pipe, Process, holder, take_all};

/// The number of kills in an ordinary test run.
const KILLS: u64 = 1_500;
/// The number of processes that take and give seats while others are killed.
const WORKERS: usize = 6;
const SEATS: u32 = 4;
/// A time that is longer than the kernel ever takes to end a process.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_killed_process_gives_its_seats_back_at_once() {
    let device = Device::new();
    let pool = device.pool_of(2);
    let mut holder = holder(&device, 2);
    assert_eq!(pool.idle(), 0);
    assert!(pool.take().is_err());
    holder.kill();
    assert_eq!(pool.idle(), 2);
    assert_eq!(take_all(&pool).len(), 2);
}

#[test]
fn a_stopped_process_keeps_its_seats_and_blocks_nobody() {
    let device = Device::new();
    let pool = device.pool_of(2);
    let mut holder = holder(&device, 1);
    holder.signal(libc::SIGSTOP);
    assert_eq!((pool.idle(), take_all(&pool).len()), (1, 1));
    holder.kill();
    assert_eq!(take_all(&pool).len(), 1);
}

#[test]
fn all_holders_are_killed_and_all_seats_can_be_taken_a_thousand_times() {
    let device = Device::new();
    let pool = device.pool_of(SEATS);
    for round in 0..1_000 {
        let mut holders = [(); 2].map(|()| holder(&device, SEATS / 2));
        assert!(pool.take().is_err(), "round {round}");
        for holder in &holders {
            holder.signal(libc::SIGKILL);
        }
        for holder in &mut holders {
            assert_eq!(holder.wait(), KILLED);
        }
        let seats = take_all(&pool);
        assert_eq!(seats.len(), SEATS as usize, "round {round}");
        seats.into_iter().for_each(|seat| pool.give(seat));
    }
}

#[test]
fn a_death_wakes_who_waits_for_a_seat() {
    let device = Device::new();
    let pool = device.pool_of(1);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let mut holder = holder(&device, 1);
        waits.push(std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let seat = pool.take_within(Duration::from_secs(60)).unwrap();
                (seat, Instant::now())
            });
            let killed = Instant::now();
            holder.signal(libc::SIGKILL);
            let (seat, got) = waiter.join().unwrap();
            pool.give(seat);
            got - killed
        }));
        holder.wait();
    }
    waits.sort();
    assert!(waits[waits.len() - 1] < Duration::from_secs(1), "{waits:?}");
}

#[test]
fn a_stale_holder_with_the_pid_of_a_living_process_does_not_block_its_seat() {
    use seatmeter_protocol::seat_layout::{IN_ENTRY_PID, entry_offset, parse};
    use std::os::unix::fs::FileExt;
    let device = Device::new();
    let pool = device.pool_of(1);
    let mut holder = holder(&device, 1);
    let file = File::options().read(true).write(true).open(device.pool_file()).unwrap();
    let report = parse(&std::fs::read(device.pool_file()).unwrap()).unwrap();
    let entry = report.entries.iter().find(|entry| entry.held == 1).unwrap();
    assert_eq!(entry.pid, holder.pid as u32);
    file.write_all_at(&1_u32.to_le_bytes(), (entry_offset(entry.entry) + IN_ENTRY_PID) as u64)
        .unwrap();
    assert_eq!(pool.holders()[0].pid, 1);
    holder.kill();
    assert_eq!(pool.idle(), 1);
}

/// Witnesses: one lock of the kernel for each seat, in a file that the pool does not know. A
/// process with a seat must be able to lock a witness.
struct Witness {
    file: File,
}

impl Witness {
    fn open(device: &Path) -> Self {
        let path = device.join("witness");
        Self {
            file: File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .unwrap(),
        }
    }

    fn lock(&self, kind: i32, byte: i64) -> bool {
        let range = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: byte,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: `range` is what the command expects.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) == 0 }
    }

    /// Lock a free witness. No process gives a seat back or is killed meanwhile (see `Board`). But
    /// the kernel drops the locks of a dying process some time after it has marked its flags.
    fn find(&self) -> Option<i64> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(byte) = (0..i64::from(SEATS)).find(|&byte| self.lock(libc::F_WRLCK, byte)) {
                return Some(byte);
            }
            std::thread::yield_now();
        }
        None
    }
}

/// The memory that the workers share with the process that kills them.
///
/// While one process looks for a witness, all others keep what they have. So a surplus seat is
/// always noticed: its owner never finds a free witness.
struct Board {
    looking: [AtomicU32; WORKERS],
    issued_twice: AtomicU32,
}

impl Board {
    fn new() -> &'static Self {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of zeros, which are a `Board`; it stays for the life of the
        // process.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), size_of::<Self>(), access, kind, -1, 0);
            assert!(page != libc::MAP_FAILED);
            &*page.cast()
        }
    }

    fn wait_while_somebody_looks(&self) {
        let begun = Instant::now();
        while self.looking.iter().any(|looking| looking.load(SeqCst) != 0)
            && begun.elapsed() < 2 * PATIENCE
        {
            std::thread::yield_now();
        }
    }
}

/// Take, hold, give back and wait for seats, detach and look, until killed.
fn work(device: &Device, board: &Board, number: usize, seed: u64) -> i32 {
    let mut dice = Rng::with_seed(seed);
    #[cfg(feature = "kill-points")]
    if dice.u64(..2) == 0 {
        use seatmeter::fault_injection::kill_points::{SEATS, arm};
        arm(SEATS[dice.usize(..SEATS.len())], 1 + dice.u32(..30));
    }
    let pool = device.pool();
    let mut held: Vec<(Seat, Witness, i64)> = Vec::new();
    loop {
        match dice.u64(..12) {
            0..6 => {
                let seat = match dice.u64(..4) {
                    0 => pool.take_within(Duration::from_micros(200)),
                    _ => pool.take(),
                };
                if let Ok(seat) = seat {
                    let witness = Witness::open(device.path());
                    board.looking[number].store(1, SeqCst);
                    match witness.find() {
                        Some(byte) => held.push((seat, witness, byte)),
                        None => _ = board.issued_twice.fetch_add(1, SeqCst),
                    }
                    board.looking[number].store(0, SeqCst);
                }
            }
            6..10 if !held.is_empty() => {
                let (seat, witness, byte) = held.swap_remove(dice.usize(..held.len()));
                board.wait_while_somebody_looks();
                // The witness is released before the seat, never after it.
                assert!(witness.lock(libc::F_UNLCK, byte));
                pool.give(seat);
            }
            10 => {
                let _ = pool.idle();
            }
            11 if dice.u64(..20) == 0 => {
                board.wait_while_somebody_looks();
                held.clear();
                pool.detach();
            }
            _ => std::thread::yield_now(),
        }
    }
}

#[test]
fn kills_at_any_moment_lose_no_seat_and_issue_none_twice() {
    #[allow(clippy::disallowed_methods, reason = "the length of the run is the caller's choice")]
    let kills = std::env::var("SEATMETER_SOAK_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let device = Device::new();
    let pool = device.pool_of(SEATS);
    let mut dice = Rng::with_seed(kills);
    let begun = Instant::now();
    let board = Board::new();
    let start = |number: usize, dice: &mut Rng| {
        let seed = dice.u64(..);
        board.looking[number].store(0, SeqCst);
        Process::fork(|| work(&device, board, number, seed))
    };
    let start_all =
        |dice: &mut Rng| (0..WORKERS).map(|number| start(number, dice)).collect::<Vec<_>>();
    let mut workers = start_all(&mut dice);
    let mut done = 0;
    while done < kills {
        let victim = dice.usize(..WORKERS);
        let moment = Instant::now() + Duration::from_micros(dice.u64(..1_500));
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        board.wait_while_somebody_looks();
        assert_eq!(workers[victim].kill(), KILLED, "after {done} kills");
        assert_eq!(board.issued_twice.load(SeqCst), 0, "after {done} kills");
        done += 1;
        workers[victim] = start(victim, &mut dice);
        if done % 500 == 0 {
            workers.iter_mut().for_each(|worker| assert_eq!(worker.kill(), KILLED));
            done += WORKERS as u64;
            let seats = take_all(&pool);
            assert_eq!(seats.len(), SEATS as usize, "after {done} kills");
            pool.detach();
            workers = start_all(&mut dice);
        }
    }
    workers.iter_mut().for_each(|worker| assert_eq!(worker.kill(), KILLED));
    done += WORKERS as u64;
    assert_eq!(take_all(&pool).len(), SEATS as usize);
    assert_eq!(pool.repairs(), []);
    #[allow(clippy::print_stderr, reason = "the figure of a long run is what it is for")]
    {
        eprintln!("{done} kills in {:.1?}: 0 seats lost, 0 issued twice", begun.elapsed());
    }
}

#[cfg(feature = "kill-points")]
mod named {
    use super::*;
    use seatmeter::fault_injection::kill_points::{SEATS, arm};

    /// Pass every named place, as a child that is killed at one of them.
    fn tour(device: &Device) -> i32 {
        let (one, other) = (device.pool(), device.pool());
        one.grant(3, 1);
        for _ in 0..3 {
            let seats = [one.take().unwrap(), one.take().unwrap()];
            let seat = other.take().unwrap();
            let _ = other.take_within(Duration::from_millis(1));
            seats.into_iter().for_each(|seat| one.give(seat));
            other.give(seat);
        }
        let (_stays, _moves) = (one.take().unwrap(), other.take().unwrap());
        other.detach();
        std::fs::remove_file(device.pool_file()).unwrap();
        one.grant(3, 2);
        one.detach();
        0
    }

    #[test]
    fn a_kill_at_every_named_place_leaves_all_seats() {
        for name in SEATS {
            for visit in 1..=4 {
                let device = Device::new();
                std::fs::write(device.pool_file(), "not a pool").unwrap();
                let end = Process::fork(|| {
                    arm(name, visit);
                    tour(&device)
                })
                .wait();
                assert!(
                    end == KILLED || visit > 1 && end == End::Exit(0),
                    "{name} {visit}: {end:?}"
                );
                let pool = device.pool();
                assert!(pool.grant(3, 3));
                assert_eq!((pool.idle(), take_all(&pool).len()), (3, 3), "{name} {visit}");
                assert!(pool.take().is_err());
            }
        }
    }
}

#[test]
fn a_process_that_ends_by_exec_gives_its_seats_back() {
    let device = Device::new();
    let pool = device.pool_of(1);
    let (told, go) = (Pipe::new(), Pipe::new());
    let mut process = Process::fork(|| {
        let pool = device.pool();
        let _ = pool.take().unwrap();
        told.tell();
        let sleep = [c"/bin/sleep".as_ptr(), c"60".as_ptr(), std::ptr::null()];
        go.hear();
        // SAFETY: strings that end with a zero, and a list that ends with null.
        unsafe { libc::execv(sleep[0], sleep.as_ptr()) };
        1
    });
    told.hear();
    assert_eq!(pool.idle(), 0);
    go.tell();
    let seat = pool.take_within(Duration::from_secs(20));
    assert!(seat.is_ok());
    assert_eq!(process.kill(), KILLED);
}
