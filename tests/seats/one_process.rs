//! The seat pool within one process: counting, growing, shrinking, waiting, threads.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use seatmeter::seats::{Seat, SeatError, SeatPool};

use crate::processes::{Device, take_all};

#[test]
fn as_many_seats_as_granted_can_be_taken_and_no_more() {
    let device = Device::new();
    let pool = device.pool_of(3);
    assert_eq!(pool.idle(), 3);
    let seats = take_all(&pool);
    assert_eq!((seats.len(), pool.idle()), (3, 0));
    assert!(matches!(pool.take(), Err(SeatError::Full { capacity: 3, used: 3 })));
    pool.give(seats[0]);
    assert_eq!(pool.idle(), 1);
    let _again = pool.take().unwrap();
}

#[test]
fn a_pool_without_a_grant_has_no_seats_and_says_what_to_do() {
    let error = Device::new().pool().take().unwrap_err();
    assert!(error.to_string().contains("initialize the license"), "{error}");
}

#[test]
fn every_handle_of_the_device_shares_the_seats_and_other_licenses_do_not() {
    let device = Device::new();
    let (one, other) = (device.pool_of(2), device.pool());
    let _seat = one.take().unwrap();
    assert_eq!(other.idle(), 1);
    let unrelated = SeatPool::open(device.path(), "another").unwrap();
    assert!(unrelated.grant(2, 1));
    assert_eq!(unrelated.idle(), 2);
}

#[test]
fn a_smaller_grant_takes_nothing_away_and_the_pool_shrinks_as_seats_come_back() {
    let device = Device::new();
    let pool = device.pool_of(4);
    let seats = take_all(&pool);
    assert!(pool.grant(2, 2));
    assert_eq!((pool.idle(), pool.holders()[0].seats), (0, 4));
    for (given, seat) in seats.into_iter().enumerate() {
        pool.give(seat);
        assert_eq!(pool.idle(), (given as u32).saturating_sub(1).min(2));
    }
    assert_eq!(pool.idle(), 2);
}

#[test]
fn the_newest_grant_wins_and_of_two_equally_new_the_greater() {
    let device = Device::new();
    let (one, other) = (device.pool_of(4), device.pool());
    assert!(other.grant(6, 1));
    assert!(!one.grant(5, 1));
    assert_eq!(one.capacity(), 6);
    assert!(one.grant(3, 2));
    assert!(!other.grant(100, 1));
    assert_eq!(other.capacity(), 3);
    assert!(one.grant(1_000_000, 3));
    assert_eq!(one.capacity(), 65_536);
}

#[test]
fn threads_that_attach_while_others_let_the_pool_rest_get_their_seats() {
    const ROUNDS: usize = 10_000;
    let device = Device::new();
    let pool = device.pool_of(4);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                pool.rest();
            }
        });
        let takers = [(); 2].map(|()| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    assert!(pool.grant(4, 1));
                    pool.give(pool.take()?);
                }
                Ok::<(), SeatError>(())
            })
        });
        let outcomes = takers.map(|taker| taker.join());
        is_over.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap().unwrap());
    });
    pool.rest();
    assert_eq!(device.pool().idle(), 4);
}

#[test]
fn a_pool_that_rests_holds_nothing_and_is_used_again_also_when_its_memory_is_anothers() {
    let device = Device::new();
    let (first, other) = (device.pool_of(3), device.pool());
    let _seats = [first.take().unwrap(), first.take().unwrap()];
    first.rest();
    assert_eq!((first.idle(), first.holders().len(), other.idle()), (0, 0, 3));
    first.rest();
    // There are so many that memory is used again.
    let pools: Vec<SeatPool> = (0..50)
        .map(|number| {
            let pool = SeatPool::open(device.path(), &format!("pool-{number}")).unwrap();
            assert!(pool.grant(2, 1));
            let _seat = pool.take().unwrap();
            assert_eq!((pool.idle(), pool.holders().len()), (1, 1), "{number}");
            pool.rest();
            pool
        })
        .collect();
    let seat = first.take().unwrap();
    assert_eq!(other.idle(), 2);
    for pool in &pools {
        assert!(pool.grant(2, 1));
        assert_eq!(pool.idle(), 2);
        pool.give(seat);
        let own = pool.take().unwrap();
        assert_eq!(pool.idle(), 1);
        pool.give(own);
        assert_eq!((pool.idle(), pool.repairs().len()), (2, 0));
    }
    first.give(seat);
    assert_eq!(other.idle(), 3);
}

#[test]
fn a_seat_may_be_given_back_by_another_thread() {
    let device = Device::new();
    let pool = device.pool_of(1);
    let seat = pool.take().unwrap();
    std::thread::scope(|scope| scope.spawn(|| pool.give(seat)).join().unwrap());
    assert_eq!(pool.idle(), 1);
}

#[test]
fn detaching_gives_everything_back_and_old_seats_mean_nothing_afterwards() {
    let device = Device::new();
    let (pool, other) = (device.pool_of(3), device.pool());
    let seats = take_all(&pool);
    pool.detach();
    assert_eq!(other.idle(), 3);
    let _new = pool.take().unwrap();
    for seat in seats {
        pool.give(seat);
    }
    assert_eq!(other.idle(), 2);
    drop(pool);
    assert_eq!(other.idle(), 3);
}

#[test]
fn holders_are_named_with_their_seats() {
    let device = Device::new();
    let pool = device.pool_of(5);
    assert_eq!(pool.holders(), []);
    let _seats = [pool.take().unwrap(), pool.take().unwrap()];
    let holders = device.pool().holders();
    assert_eq!(holders.len(), 1);
    assert_eq!((holders[0].pid, holders[0].seats), (std::process::id(), 2));
    assert!(!holders[0].name.is_empty() && holders[0].since > 1_600_000_000);
}

#[test]
fn threads_never_hold_more_than_there_is() {
    let device = Device::new();
    let (pool, holding) = (device.pool_of(3), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if let Ok(seat) = pool.take() {
                        assert!(holding.fetch_add(1, Ordering::SeqCst) < 3);
                        holding.fetch_sub(1, Ordering::SeqCst);
                        pool.give(seat);
                    }
                }
            });
        }
    });
    assert_eq!(pool.idle(), 3);
}

#[test]
fn threads_that_detach_while_others_take_leave_a_true_pool() {
    let device = Device::new();
    let (pool, witness) = (device.pool_of(4), device.pool());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..3_000 {
                    if let Ok(seat) = pool.take() {
                        pool.give(seat);
                    }
                }
            });
        }
        scope.spawn(|| (0..300).for_each(|_| pool.detach()));
    });
    pool.detach();
    assert_eq!((witness.idle(), witness.holders().len(), pool.repairs().len()), (4, 0, 0));
}

#[test]
fn a_waiter_gets_the_seat_that_is_given_back() {
    let device = Device::new();
    let (pool, other) = (device.pool_of(1), device.pool());
    let seat = pool.take().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| other.take_within(Duration::from_secs(60)));
        pool.give(seat);
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn a_waiter_gets_a_seat_when_the_grant_grows() {
    let device = Device::new();
    let (pool, other) = (device.pool_of(1), device.pool());
    let _seat = pool.take().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| other.take_within(Duration::from_secs(60)));
        assert!(pool.grant(2, 2));
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn nobody_waits_beyond_the_timeout() {
    let device = Device::new();
    let pool = device.pool_of(1);
    let _seat = pool.take().unwrap();
    let begun = Instant::now();
    assert!(matches!(pool.take_within(Duration::from_millis(30)), Err(SeatError::Full { .. })));
    assert!(
        begun.elapsed() >= Duration::from_millis(30) && begun.elapsed() < Duration::from_secs(5)
    );
}

#[test]
fn many_waiters_all_get_their_turn() {
    let device = Device::new();
    let pool = device.pool_of(2);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let seat = pool.take_within(Duration::from_secs(60)).unwrap();
                    pool.give(seat);
                }
            });
        }
    });
    assert_eq!(pool.idle(), 2);
}

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    let device = Device::new();
    for name in ["", ".", "../x", "a/b", ".hidden", "a\0b", &"x".repeat(201)] {
        assert!(matches!(SeatPool::open(device.path(), name), Err(SeatError::Name { .. })));
    }
}

/// A naive model of the pool.
#[derive(Default)]
struct Model {
    capacity: u32,
    number: u32,
    seats: [Vec<Seat>; 4],
}

impl Model {
    fn used(&self) -> u32 {
        self.seats.iter().map(|seats| seats.len() as u32).sum()
    }

    fn idle(&self) -> u32 {
        self.capacity.saturating_sub(self.used())
    }
}

#[test]
fn whatever_four_owners_do_the_pool_agrees_with_a_naive_model() {
    for seed in 0..60 {
        let (device, mut dice, mut model) = (Device::new(), Rng::with_seed(seed), Model::default());
        let mut pools = [(); 4].map(|()| device.pool());
        for step in 0..400 {
            let owner = dice.usize(..4);
            let (pool, seats) = (&pools[owner], &mut model.seats[owner]);
            match dice.u64(..20) {
                0..8 => match pool.take() {
                    Ok(seat) => seats.push(seat),
                    Err(SeatError::Full { capacity, used }) => {
                        assert_eq!(
                            (capacity, used),
                            (model.capacity, model.used()),
                            "seed {seed} step {step}"
                        );
                        assert_eq!(model.idle(), 0, "seed {seed} step {step}");
                    }
                    Err(other) => panic!("{other}"),
                },
                8..15 if !seats.is_empty() => {
                    let seat = seats.swap_remove(dice.usize(..seats.len()));
                    pool.give(seat);
                }
                15 => {
                    pool.detach();
                    seats.drain(..).for_each(|stale| pool.give(stale));
                }
                16 => {
                    pools[owner] = device.pool();
                    seats.clear();
                }
                17 => {
                    let (seats, number) = (dice.u32(..12), dice.u32(..30));
                    let holds = (number, seats) >= (model.number, model.capacity);
                    assert_eq!(pool.grant(seats, number), holds, "seed {seed} step {step}");
                    if holds {
                        (model.capacity, model.number) = (seats, number);
                    }
                }
                _ => {}
            }
            assert_eq!(pools[dice.usize(..4)].idle(), model.idle(), "seed {seed} step {step}");
        }
        let held: u32 = pools[0].holders().iter().map(|holder| holder.seats).sum();
        assert_eq!(held, model.used(), "seed {seed}");
    }
}
