//! The explored scenarios, and the scenario that finds each seeded fault.

use super::explore;
use super::world::Act::{self, AskAll, AskFlags, Attach, Detach, Give, Guard, Take};
use super::world::{Fault, World};

/// The seats, the kills, and the acts of each process. A process whose script begins with `Attach`
/// comes later; the others are attached when the exploration begins.
type Scenario = (u32, u32, &'static [&'static [Act]]);

const TWO_TAKE_AND_GIVE: Scenario = (1, 2, &[&[Take, Give, Take, Give], &[Take, Give, Take, Give]]);
const THREE_TAKE_AND_GIVE: Scenario = (2, 0, &[&[Take, Give], &[Take, Give], &[Take, Give, Take]]);
const THREE_AND_A_KILL: Scenario = (2, 1, &[&[Take, Give], &[Take, Give], &[Take, AskAll]]);
const TWO_RECLAIM_FROM_ONE: Scenario =
    (1, 2, &[&[Take, Give, Take], &[AskAll, Take], &[AskAll, Take]]);
const A_SLOT_IS_USED_AGAIN: Scenario =
    (1, 2, &[&[Guard, Take], &[Attach, Guard, Take], &[AskFlags, AskAll]]);
const A_SLOT_IS_USED_UNGUARDED: Scenario =
    (1, 2, &[&[Guard, Take], &[Attach, Take, Give], &[AskFlags, Take]]);
const TWO_WANT_A_DEAD_SLOT: Scenario = (2, 1, &[&[Guard, Take], &[Attach, Take], &[Attach, Take]]);
const ONE_DETACHES: Scenario = (1, 1, &[&[Take, Detach, Attach], &[Take, Give], &[AskAll]]);
const TWO_ATTACH_AT_ONCE: Scenario = (2, 1, &[&[Attach, Take, Detach], &[Attach, Take, Give]]);

#[track_caller]
fn is_sound((seats, kills, scripts): Scenario) {
    match explore(World::new(seats, kills, scripts), Fault::None) {
        Ok(states) => assert!(states > 1_000, "only {states} states: nothing was explored"),
        Err(fault) => panic!("{fault}"),
    }
}

#[track_caller]
fn is_found(fault: Fault, (seats, kills, scripts): Scenario) {
    assert!(explore(World::new(seats, kills, scripts), fault).is_err(), "{fault:?} was not found");
}

#[test]
fn two_who_take_and_give_leave_true_counts_wherever_they_die() {
    is_sound(TWO_TAKE_AND_GIVE);
}

#[test]
fn three_who_take_and_give_leave_true_counts() {
    is_sound(THREE_TAKE_AND_GIVE);
}

#[test]
fn three_who_take_and_give_leave_true_counts_wherever_one_dies() {
    is_sound(THREE_AND_A_KILL);
}

#[test]
fn two_who_reclaim_at_once_give_a_seat_back_once() {
    is_sound(TWO_RECLAIM_FROM_ONE);
}

#[test]
fn a_slot_that_is_used_again_is_not_taken_for_the_dead_one() {
    is_sound(A_SLOT_IS_USED_AGAIN);
    is_sound(A_SLOT_IS_USED_UNGUARDED);
}

#[test]
fn of_two_who_want_a_dead_slot_each_gets_one() {
    is_sound(TWO_WANT_A_DEAD_SLOT);
}

#[test]
fn detaching_and_attaching_again_loses_nothing() {
    is_sound(ONE_DETACHES);
    is_sound(TWO_ATTACH_AT_ONCE);
}

#[test]
fn an_owner_change_without_flush_is_found() {
    is_found(Fault::OwnerChangeWithoutFlush, TWO_TAKE_AND_GIVE);
}

#[test]
fn a_flush_that_does_not_look_again_is_found() {
    is_found(Fault::FlushWithoutRecheck, THREE_TAKE_AND_GIVE);
}

#[test]
fn a_slot_word_without_seq_is_found() {
    is_found(Fault::EntryWordWithoutSeq, THREE_TAKE_AND_GIVE);
}

#[test]
fn reclaiming_without_looking_at_the_attachment_is_found() {
    is_found(Fault::ReclaimWithoutLife, A_SLOT_IS_USED_AGAIN);
}

#[test]
fn a_living_process_that_is_taken_for_dead_is_found() {
    is_found(Fault::LiveTakenForDead, TWO_RECLAIM_FROM_ONE);
}

#[test]
fn a_stale_flag_at_attach_is_found() {
    is_found(Fault::StaleFlagAtAttach, A_SLOT_IS_USED_UNGUARDED);
}

#[test]
fn a_failed_flush_that_is_taken_for_done_is_found() {
    is_found(Fault::FailedFlushTakenForDone, THREE_TAKE_AND_GIVE);
}

#[test]
fn a_lock_that_is_given_twice_is_found() {
    is_found(Fault::LockGivenTwice, TWO_ATTACH_AT_ONCE);
}

/// Explore a scenario in a weak memory (`weak.rs`).
#[track_caller]
fn is_sound_if_weak((seats, kills, scripts): Scenario) {
    match explore(World::new(seats, kills, scripts).weakened(), Fault::None) {
        Ok(states) => assert!(states > 1_000, "only {states} states: nothing was explored"),
        Err(fault) => panic!("{fault}"),
    }
}

#[track_caller]
fn is_found_if_weak(fault: Fault, (seats, kills, scripts): Scenario) {
    let world = World::new(seats, kills, scripts).weakened();
    assert!(explore(world, fault).is_err(), "{fault:?} was not found");
}

#[test]
fn two_who_take_and_give_leave_true_counts_in_a_weak_memory() {
    is_sound_if_weak(TWO_TAKE_AND_GIVE);
}

#[test]
fn three_who_take_and_give_leave_true_counts_in_a_weak_memory_wherever_one_dies() {
    is_sound_if_weak(THREE_AND_A_KILL);
}

#[test]
fn two_who_reclaim_at_once_give_a_seat_back_once_in_a_weak_memory() {
    is_sound_if_weak(TWO_RECLAIM_FROM_ONE);
}

#[test]
fn a_slot_that_is_used_again_is_not_taken_for_the_dead_one_in_a_weak_memory() {
    is_sound_if_weak(A_SLOT_IS_USED_AGAIN);
}

#[test]
fn attaching_and_detaching_lose_nothing_in_a_weak_memory() {
    is_sound_if_weak(TWO_ATTACH_AT_ONCE);
    is_sound_if_weak(ONE_DETACHES);
}

#[test]
#[ignore = "takes minutes: 13 million states"]
fn the_large_scenarios_are_sound_in_a_weak_memory() {
    is_sound_if_weak(THREE_TAKE_AND_GIVE);
    is_sound_if_weak(A_SLOT_IS_USED_UNGUARDED);
    is_sound_if_weak(TWO_WANT_A_DEAD_SLOT);
}

#[test]
fn loads_that_do_not_acquire_are_found() {
    is_found_if_weak(Fault::LoadsWithoutAcquire, THREE_TAKE_AND_GIVE);
    is_found_if_weak(Fault::LoadsWithoutAcquire, A_SLOT_IS_USED_AGAIN);
}

#[test]
fn exchanges_that_do_not_release_are_found() {
    is_found_if_weak(Fault::ExchangesWithoutRelease, THREE_TAKE_AND_GIVE);
    is_found_if_weak(Fault::ExchangesWithoutRelease, A_SLOT_IS_USED_AGAIN);
}
