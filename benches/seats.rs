//! What the seat pool costs by itself: flat in the number of seats, in a crowd of processes, when
//! holders die. What else could count seats between processes is measured through C, in
//! `benches/through_c`.
//!
//! `cargo bench -p seatmeter --bench seats -- [pairs] [idle] [attach] [deaths]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at the first surprise"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use seatmeter::seats::SeatPool;
use seatmeter_protocol::seat_layout::LOCK_BASE;

/// Many short rounds: a round that another program disturbed does not move the median.
const ROUNDS: usize = 101;
const PAIRS: u32 = 20_000;
const DEATHS: usize = 40;
const CROWDS: [usize; 5] = [1, 2, 8, 64, 512];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds of one `act`, the median of the rounds.
fn nanoseconds(count: u32, mut act: impl FnMut()) -> f64 {
    let round = |_| {
        let begun = Instant::now();
        (0..count).for_each(|_| act());
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    };
    median((0..ROUNDS).map(round).collect())
}

fn fork(body: impl FnOnce()) -> i32 {
    // SAFETY: this program has one thread besides guardians; the child ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            body();
            // SAFETY: ends the child without what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        pid => pid,
    }
}

fn end(pid: i32) {
    // SAFETY: a child of ours that was not waited for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

fn sleep() -> ! {
    loop {
        // SAFETY: no memory is involved.
        unsafe { libc::pause() };
    }
}

fn pair(pool: &SeatPool) {
    let seat = black_box(pool).take().unwrap();
    pool.give(seat);
}

fn pool_of(directory: &Path, seats: u32) -> SeatPool {
    let pool = SeatPool::open(directory, &format!("n{seats}")).unwrap();
    assert!(pool.grant(seats, 1));
    pool
}

fn pairs(directory: &Path) {
    println!("take + give, one process (ns)");
    for seats in [4, 64, 1_024, 65_536] {
        let pool = pool_of(directory, seats);
        let empty = nanoseconds(PAIRS, || pair(&pool));
        let _held: Vec<_> = (1..seats).map(|_| pool.take().unwrap()).collect();
        let full = nanoseconds(PAIRS, || pair(&pool));
        println!("  seat pool, N = {seats:6}: nearly empty {empty:6.1}, nearly full {full:6.1}");
    }
}

fn contended(directory: &Path) {
    let pool = pool_of(directory, 8);
    let threads = median(
        (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| (0..PAIRS).for_each(|_| pair(&pool)));
                    }
                });
                begun.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS)
            })
            .collect(),
    );
    let busy = fork(|| {
        let pool = pool_of(directory, 8);
        loop {
            pair(&pool);
        }
    });
    let processes = nanoseconds(PAIRS, || pair(&pool));
    end(busy);
    println!(
        "take + give, each of two threads {threads:.1} ns, each of two processes {processes:.1} ns"
    );
}

/// Processes that hold a seat each.
fn crowd(directory: &Path, name: &str, size: usize) -> Vec<i32> {
    let pool = SeatPool::open(directory, name).unwrap();
    let before = pool.idle();
    let pids = (0..size)
        .map(|_| {
            fork(|| {
                let pool = SeatPool::open(directory, name).unwrap();
                let _seat = pool.take().unwrap();
                sleep()
            })
        })
        .collect();
    while (pool.idle() as usize) + size > before as usize {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Let the guardians come to their place.
    std::thread::sleep(Duration::from_millis(300));
    pids
}

fn idle_counts(directory: &Path) {
    print!("idle count with");
    for size in CROWDS {
        let name = format!("idle{size}");
        let pool = SeatPool::open(directory, &name).unwrap();
        assert!(pool.grant(2_000, 1));
        let _seat = pool.take().unwrap();
        let pids = crowd(directory, &name, size - 1);
        let cost = nanoseconds(2_000, || {
            black_box(pool.idle());
        });
        print!("  {size}: {cost:.1} ns");
        pids.into_iter().for_each(end);
    }
    println!();
}

fn attaching(directory: &Path) {
    let pool = pool_of(directory, 9);
    let cost = nanoseconds(50, || {
        pair(&pool);
        pool.detach();
    });
    println!("attach + detach {:.1} µs", cost / 1000.0);
}

/// Slots whose lock is held.
fn locked_slots(pool: &Path) -> usize {
    let file = File::open(pool).unwrap();
    let is_locked = |slot: &u32| {
        // SAFETY: `flock` is plain numbers.
        let mut range: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
        range.l_type = libc::F_WRLCK as libc::c_short;
        range.l_start = LOCK_BASE + i64::from(*slot);
        range.l_len = 1;
        // SAFETY: `range` is what the command expects.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) }, 0);
        i32::from(range.l_type) != libc::F_UNLCK
    };
    // Slots are given out from the lowest.
    (0..1_100).filter(is_locked).count()
}

/// Microseconds of the clock that all processes share.
fn now_us() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the answer.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// A process that sleeps until there is a seat, whenever it is told to, and tells when it had it:
/// as a program that waits is another one than the one that kills.
struct Sleeper {
    pid: i32,
    told: UnixStream,
}

impl Sleeper {
    fn new(directory: &Path, name: &str) -> Self {
        let (told, mut ours) = UnixStream::pair().unwrap();
        let pid = fork(|| {
            let pool = SeatPool::open(directory, name).unwrap();
            let mut go = [0];
            while ours.read_exact(&mut go).is_ok() {
                let seat = pool.take_within(Duration::from_secs(10)).unwrap();
                let at = now_us();
                pool.give(seat);
                ours.write_all(&at.to_le_bytes()).unwrap();
            }
        });
        Self { pid, told }
    }

    fn begin(&mut self) {
        self.told.write_all(&[1]).unwrap();
    }

    /// When it had the seat.
    fn had_it_at(&mut self) -> f64 {
        let mut at = [0; 8];
        self.told.read_exact(&mut at).unwrap();
        f64::from_le_bytes(at)
    }
}

/// From SIGKILL of the holder to its seat in other hands, microseconds.
fn deaths(directory: &Path, bystanders: usize, megabytes: usize) {
    let name = format!("death{bystanders}-{megabytes}");
    let pool = SeatPool::open(directory, &name).unwrap();
    assert!(pool.grant(bystanders as u32 + 1, 1));
    let crowd_pids = crowd(directory, &name, bystanders);
    let mut sleeper = Sleeper::new(directory, &name);
    let mut times = [Vec::new(), Vec::new()];
    let mut before_its_lock = 0;
    for round in 0..DEATHS {
        let pid = fork(|| {
            let pool = SeatPool::open(directory, &name).unwrap();
            let memory = vec![1_u8; megabytes << 20];
            black_box(&memory);
            let _seat = pool.take().unwrap();
            sleep()
        });
        while pool.idle() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let is_asleep = round % 2 == 0;
        if is_asleep {
            sleeper.begin();
        }
        std::thread::sleep(Duration::from_millis(10));
        let begun = now_us();
        // SAFETY: a child of ours that was not waited for.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let had_at = if is_asleep {
            sleeper.had_it_at()
        } else {
            let seat = loop {
                if let Ok(seat) = pool.take() {
                    break seat;
                }
            };
            let at = now_us();
            // The slots of the crowd, of this process and the sleeper, and of whoever is dead and
            // not yet gone.
            before_its_lock +=
                usize::from(locked_slots(&directory.join(format!("{name}.pool"))) > bystanders + 2);
            pool.give(seat);
            at
        };
        times[round % 2].push(had_at - begun);
        end(pid);
    }
    let [asleep, awake] = times.map(median);
    println!(
        "SIGKILL to the seat in other hands, {bystanders} other processes, {megabytes} MiB: \
         asleep {asleep:.0} µs, \
         trying {awake:.0} µs; there before the kernel freed the lock: {before_its_lock} of {}",
        DEATHS / 2
    );
    end(sleeper.pid);
    crowd_pids.into_iter().for_each(end);
}

/// The least that a death can take to reach one who sleeps: the kernel has to wake the holder, so
/// that it dies, and then the sleeper. Here a byte goes to a sleeping process and comes back, after
/// as long a rest.
fn two_wakes() {
    let [mut there, mut back] = [[0; 2]; 2];
    // SAFETY: each array takes the two descriptors of a pipe.
    unsafe {
        assert_eq!(libc::pipe(there.as_mut_ptr()), 0);
        assert_eq!(libc::pipe(back.as_mut_ptr()), 0);
    }
    let pass_on = |from: i32, to: i32| {
        let mut byte = 0_u8;
        // SAFETY: one byte each, of an open pipe.
        unsafe {
            assert_eq!(libc::read(from, (&raw mut byte).cast(), 1), 1);
            assert_eq!(libc::write(to, (&raw const byte).cast(), 1), 1);
        }
    };
    let pid = fork(|| (0..DEATHS).for_each(|_| pass_on(there[0], back[1])));
    let mut times = Vec::new();
    for _ in 0..DEATHS {
        std::thread::sleep(Duration::from_millis(10));
        let (begun, mut byte) = (Instant::now(), 7_u8);
        // SAFETY: as above.
        unsafe {
            assert_eq!(libc::write(there[1], (&raw const byte).cast(), 1), 1);
            assert_eq!(libc::read(back[0], (&raw mut byte).cast(), 1), 1);
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    end(pid);
    println!("a byte to a sleeping process and back, which wakes two: {:.0} µs", median(times));
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    // Cargo adds an option of its own.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if is_wanted("pairs") {
        pairs(directory);
        contended(directory);
    }
    if is_wanted("idle") {
        idle_counts(directory);
    }
    if is_wanted("attach") {
        attaching(directory);
    }
    if is_wanted("deaths") {
        two_wakes();
        deaths(directory, 0, 0);
        deaths(directory, 0, 100);
        deaths(directory, 0, 1_000);
        deaths(directory, 1_000, 0);
    }
}
