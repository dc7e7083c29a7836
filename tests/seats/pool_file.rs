//! Pool files that are damaged, deleted, replaced, of another version, or not files at all.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter::seats::{Repair, SeatError, SeatPool};
use seatmeter_protocol::seat_layout::{
    AT_HIGH_WATER_MARK, AT_POOL, AT_VERSION, EntryWord, FILE_BYTES, PoolWord, Unfit, entry_offset,
    parse,
};

use crate::processes::{Device, End, KILLED, Pipe, Process, holder, sleep_for_ever, take_all};

fn set_aside(pool: &SeatPool) -> Vec<(Vec<u8>, Unfit)> {
    let repairs = pool.repairs();
    repairs
        .iter()
        .map(|repair| match repair {
            Repair::SetAside { path, unfit } => (fs::read(path).unwrap(), *unfit),
            other => panic!("{other}"),
        })
        .collect()
}

/// Return the content of a pool file that was in use.
fn sound_file() -> Vec<u8> {
    let device = Device::new();
    let pool = device.pool_of(3);
    let _seat = pool.take().unwrap();
    let bytes = fs::read(device.pool_file()).unwrap();
    assert_eq!(parse(&bytes).unwrap().used, 1);
    bytes
}

fn with(at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = sound_file();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn every_damaged_file_is_set_aside_and_rebuilt_and_the_limit_holds() {
    let mut dice = Rng::with_seed(7);
    let random: Vec<u8> = (0..FILE_BYTES).map(|_| dice.u8(..)).collect();
    let word = |word: [u64; 2]| [word[0].to_le_bytes(), word[1].to_le_bytes()].concat();
    let used = PoolWord { used: 9, held: 1, attachment: 1, entry: 0, seq: 99 };
    let beyond = PoolWord { used: 1, held: 1, attachment: 1, entry: 60_000, seq: 99 };
    for (bytes, unfit) in [
        (vec![], Unfit::Empty),
        (sound_file()[..FILE_BYTES / 2].to_vec(), Unfit::Torn),
        (sound_file()[..100].to_vec(), Unfit::Torn),
        ([sound_file(), vec![0]].concat(), Unfit::Torn),
        (vec![0; FILE_BYTES], Unfit::Foreign),
        (random, Unfit::Foreign),
        (b"#!/bin/sh\necho hello\n".to_vec(), Unfit::Foreign),
        (with(AT_VERSION, &[0]), Unfit::Older(0)),
        (with(AT_VERSION, &[9]), Unfit::Newer(9)),
        (with(AT_POOL, &word(used.pack())), Unfit::Inconsistent),
        (with(AT_POOL, &word(beyond.pack())), Unfit::Inconsistent),
        (with(AT_HIGH_WATER_MARK, &[0xff; 4]), Unfit::Inconsistent),
        (with(0x44, &[0xff; 4]), Unfit::Inconsistent),
    ] {
        let device = Device::new();
        fs::write(device.pool_file(), &bytes).unwrap();
        let pool = device.pool_of(3);
        assert_eq!(set_aside(&pool), [(bytes, unfit)]);
        assert_eq!((take_all(&pool).len(), pool.idle()), (3, 0), "{unfit}");
        assert_eq!(device.pool().repairs(), []);
    }
}

#[test]
fn what_dead_processes_left_before_a_power_cut_is_free_afterwards() {
    let device = Device::new();
    fs::write(device.pool_file(), sound_file()).unwrap();
    let pool = device.pool();
    assert_eq!((pool.capacity(), pool.idle(), pool.repairs()), (3, 3, vec![]));
    assert_eq!(take_all(&pool).len(), 3);
}

#[test]
fn scribbles_into_the_counts_of_a_pool_in_use_neither_crash_nor_hang_it() {
    for seed in 0..30 {
        let device = Device::new();
        let end = Process::fork(|| {
            let (pool, other) = (device.pool_of(5), device.pool());
            let file = fs::File::options().write(true).open(device.pool_file()).unwrap();
            let mut dice = Rng::with_seed(seed);
            for _ in 0..300 {
                let at =
                    [AT_POOL, entry_offset(0), entry_offset(1), AT_HIGH_WATER_MARK, AT_POOL + 8]
                        [dice.usize(..5)];
                let length = if at == AT_HIGH_WATER_MARK { 4 } else { 8 };
                let bytes: Vec<u8> = (0..length).map(|_| dice.u8(..)).collect();
                file.write_all_at(&bytes, at as u64).unwrap();
                for pool in [&pool, &other] {
                    if let Ok(seat) = pool.take() {
                        pool.give(seat);
                    }
                    let _ = (
                        pool.idle(),
                        pool.holders().len(),
                        pool.take_within(Duration::from_micros(10)).is_ok(),
                    );
                }
            }
            0
        })
        .wait();
        assert_eq!(end, End::Exit(0), "seed {seed}");
    }
}

#[test]
fn a_file_that_another_version_uses_is_left_alone_and_the_reason_given() {
    let device = Device::new();
    device.pool_of(2);
    let _holder = holder(&device, 1);
    let file = fs::File::options().write(true).open(device.pool_file()).unwrap();
    file.write_all_at(&[9], AT_VERSION as u64).unwrap();
    let error = SeatPool::open(device.path(), "license").unwrap_err();
    assert!(matches!(error, SeatError::OtherVersion { unfit: Unfit::Newer(9), .. }), "{error}");
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let place: [fn(&Device); 3] = [
        |device| fs::create_dir(device.pool_file()).unwrap(),
        |device| std::os::unix::fs::symlink("/etc/passwd", device.pool_file()).unwrap(),
        |device| {
            let path = std::ffi::CString::new(device.pool_file().to_str().unwrap()).unwrap();
            // SAFETY: a string that ends with a zero.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        },
    ];
    for place in place {
        let device = Device::new();
        place(&device);
        let error = SeatPool::open(device.path(), "license").unwrap_err();
        assert!(matches!(error, SeatError::NotAFile { .. }), "{error}");
    }
}

#[test]
fn the_file_is_private_unless_its_directory_is_shared() {
    for (directory, file) in [(0o700, 0o600), (0o755, 0o600), (0o770, 0o660), (0o1777, 0o666)] {
        let device = Device::new();
        fs::set_permissions(device.path(), PermissionsExt::from_mode(directory)).unwrap();
        device.pool();
        let mode = fs::metadata(device.pool_file()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, file, "{directory:o}");
    }
}

#[test]
fn processes_that_open_at_once_share_one_pool() {
    for _ in 0..20 {
        let device = Device::new();
        fs::write(device.pool_file(), "damaged").unwrap();
        let pipe = Pipe::new();
        let mut processes: Vec<Process> = (0..6)
            .map(|_| {
                Process::fork(|| {
                    let pool = device.pool_of(6);
                    let _seat = pool.take().unwrap();
                    pipe.tell();
                    sleep_for_ever()
                })
            })
            .collect();
        processes.iter().for_each(|_| pipe.hear());
        let pool = device.pool();
        assert_eq!((pool.idle(), pool.holders().len()), (0, 6));
        processes.iter_mut().for_each(|process| assert_eq!(process.kill(), KILLED));
        assert_eq!(pool.idle(), 6);
    }
}

#[test]
fn when_the_file_is_deleted_its_users_move_with_their_seats_and_the_limit_holds() {
    let device = Device::new();
    let pool = device.pool_of(3);
    let seats = [pool.take().unwrap(), pool.take().unwrap()];
    fs::remove_file(device.pool_file()).unwrap();
    let begun = Instant::now();
    // The new process gets in when the older one has moved. Only its guardian moves it, because no
    // call comes.
    let newcomer = device.pool_of(3);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((newcomer.idle(), take_all(&newcomer).len()), (1, 1));
    for seat in seats {
        pool.give(seat);
    }
    assert_eq!((newcomer.idle(), pool.idle()), (2, 2));
    assert!(matches!(pool.repairs()[..], [Repair::Moved { seats: 2, .. }]));
}

#[test]
fn when_the_file_is_replaced_every_user_moves_once() {
    let device = Device::new();
    let pool = device.pool_of(4);
    let mut holders = [holder(&device, 1), holder(&device, 1)];
    let _seat = pool.take().unwrap();
    let other = Device::new();
    other.pool_of(4);
    fs::rename(other.pool_file(), device.pool_file()).unwrap();
    // A grant looks at once, and the guardians of the holders within a second.
    assert!(pool.grant(4, 2));
    let begun = Instant::now();
    while pool.idle() != 1 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    assert_eq!((pool.idle(), pool.holders().len()), (1, 3));
    holders.iter_mut().for_each(|holder| assert_eq!(holder.kill(), KILLED));
    assert_eq!((pool.idle(), pool.repairs().len()), (3, 1));
}

#[test]
fn threads_that_take_and_give_while_the_file_is_deleted_again_and_again_keep_true_counts() {
    let device = Device::new();
    let pool = device.pool_of(3);
    let holding = std::sync::atomic::AtomicU32::new(0);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    use std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    if let Ok(seat) = pool.take() {
                        assert!(holding.fetch_add(1, SeqCst) < 3);
                        holding.fetch_sub(1, SeqCst);
                        pool.give(seat);
                    }
                }
            });
        }
        for number in 2..40 {
            fs::remove_file(device.pool_file()).unwrap();
            pool.grant(3, number);
        }
        is_over.store(true, SeqCst);
    });
    let moves = pool.repairs();
    assert!(moves.iter().all(|repair| matches!(repair, Repair::Moved { .. })), "{moves:?}");
    assert_eq!((pool.idle(), moves.len()), (3, 38));
    assert_eq!(take_all(&pool).len(), 3);
}

#[test]
fn a_dead_slots_count_is_clamped_when_it_exceeds_what_is_used() {
    let device = Device::new();
    let pool = device.pool_of(2);
    let _seat = pool.take().unwrap();
    let file = fs::File::options().write(true).open(device.pool_file()).unwrap();
    let dead = EntryWord { held: 1_000_000, attachment: 1, seq: 5 }.pack();
    file.write_all_at(&dead[0].to_le_bytes(), entry_offset(1) as u64).unwrap();
    file.write_all_at(&2_u32.to_le_bytes(), AT_HIGH_WATER_MARK as u64).unwrap();
    assert!(pool.idle() <= 2);
}
