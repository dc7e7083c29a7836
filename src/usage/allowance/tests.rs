//! Allowances: what is spent, kept, lost and carried.

use std::fs;

use super::*;
#[cfg(feature = "kill-points")]
use crate::fault_injection::disk::{Disk, Hang, play};
use crate::files::Standing;

const NOW_MS: u64 = 1_000_000;

fn allowance(module: u32, allowed: u64, used: u64) -> CountAllowance {
    CountAllowance { module, allowed, used }
}

fn open(folder: &tempfile::TempDir) -> SpentAllowance {
    open_as("uuid", folder)
}

fn open_as(uuid: &str, folder: &tempfile::TempDir) -> SpentAllowance {
    SpentAllowance::open(folder.path(), "item", uuid, NOW_MS, || false).unwrap()
}

fn spend_all(of: &SpentAllowance, module: u32) -> u64 {
    // More than any test grants, should nothing end it.
    (0..10_000).take_while(|_| of.spend(module, 1).is_ok()).count() as u64
}

#[test]
fn no_more_is_spent_than_allowed_whoever_spends() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    assert_eq!(of.spend(0, 1).unwrap_err().code, ErrorCode::USED_UP, "nothing was granted yet");
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    let total: u64 = std::thread::scope(|scope| {
        let spenders: Vec<_> = (0..4)
            .map(|_| {
                // Each thread has a mapping of its own, as processes have.
                let of = open(&folder);
                scope.spawn(move || spend_all(&of, 0))
            })
            .collect();
        spenders.into_iter().map(|spender| spender.join().unwrap()).sum()
    });
    assert_eq!(total, 1_000);
    of.take_back(0, 3);
    assert!(of.spend(0, 4).is_err());
    assert!(of.spend(0, 3).is_ok());
    assert!(of.spend(4, 1).is_err(), "another module");
    assert!(of.spend(99, 1).is_err(), "no module");
}

#[test]
fn a_newer_grant_wins_and_an_older_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(5, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    of.grant(4, &[allowance(0, 99, 0)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&of, 0), 10);
    of.grant(6, &[allowance(0, 15, 12)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&of, 0), 3, "the server knows of 12");
}

#[test]
fn after_a_power_cut_what_was_kept_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 1).unwrap();
    // The disk has `kept`, and of `spent` what it had at the last wait: nothing here. The boot
    // changes, too.
    of.spent(0).store(0, Ordering::Relaxed);
    of.file.word64(BOOT).fetch_xor(1, Ordering::Relaxed);
    let kept = 1 + 999 / KEPT_FRACTION;
    assert_eq!(spend_all(&open(&folder), 0), 1_000 - kept);
}

#[cfg(feature = "kill-points")]
#[test]
fn nobody_spends_what_the_disk_does_not_have_yet() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    let hang: &'static Hang = Box::leak(Box::default());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            play(Disk::Hangs(hang));
            let spent = of.spend(0, 1);
            play(Disk::Sound);
            spent
        });
        hang.await_one();
        // Another process sees no more than the disk has. If the power is cut now, all that any
        // process could have spent counts as spent.
        let other = open(&folder);
        assert_eq!(other.kept(0).load(Ordering::Acquire), 0);
        hang.let_go();
        first.join().unwrap().unwrap();
        assert_eq!(other.kept(0).load(Ordering::Acquire), 1 + 999 / KEPT_FRACTION);
    });
}

#[cfg(feature = "kill-points")]
#[test]
fn a_full_disk_keeps_nobody_from_a_file_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    play(Disk::Full);
    let again = SpentAllowance::open(folder.path(), "item", "uuid", NOW_MS, || false);
    play(Disk::Sound);
    assert_eq!(spend_all(&again.unwrap(), 0), 10);
}

#[test]
fn whatever_power_cuts_cost_is_asked_for_so_that_none_is_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let lost = |boot| match lost_in(boot, folder.path(), "item", "uuid")[..] {
        [] => 0,
        [(0, lost)] => lost,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(lost(1), 0);
    let (mut allowed, mut used, mut serial) = (100, 0, 1);
    for boot in 1..200 {
        // A program that works under another item knows it, too.
        let before = lost(boot);
        let of =
            SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || false).unwrap();
        of.grant(serial, &[allowance(0, allowed, used)], NOW_MS, |_| 0).unwrap();
        if of.spend(0, 5).is_err() {
            // A server with enough left grants this much.
            allowed = allowed.max(used + lost(boot) + 50);
            serial += 1;
            let granted = [allowance(0, allowed, used)];
            of.grant(serial, &granted, NOW_MS, |_| 0).unwrap();
            of.spend(0, 5).unwrap();
        }
        assert_eq!(lost(boot), before);
        used += 5;
    }
    assert!(lost(200) > 8_000, "each cost some");
    assert_eq!(lost_in(200, folder.path(), "item", "other"), []);
    assert_eq!(lost_in(200, folder.path(), "none", "uuid"), []);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was created");
}

#[test]
fn after_a_clean_end_the_next_start_of_the_machine_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let boot = |boot| {
        SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || false).unwrap()
    };
    let of = boot(1);
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 10).unwrap();
    of.settle();
    assert_eq!(of.kept(0).load(Ordering::Relaxed), 10);
    let next = boot(2);
    assert_eq!(lost_in(2, folder.path(), "item", "uuid"), []);
    assert_eq!(spend_all(&next, 0), 990);
}

/// Open the file as a program that finds it lost, under the grant of this serial.
fn open_after_loss(folder: &tempfile::TempDir, serial: u32) -> SpentAllowance {
    let of = SpentAllowance::open(folder.path(), "item", "uuid", NOW_MS, || true).unwrap();
    of.grant(serial, &[allowance(0, 10, 2)], NOW_MS, |_| 7).unwrap();
    of
}

#[test]
fn a_lost_file_counts_as_all_spent_until_a_later_grant_tells_how_much_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let of = open_after_loss(&folder, 4);
    assert!(of.runs_low(&[allowance(0, 10, 2)]), "so the server is asked");
    assert_eq!(spend_all(&of, 0), 0);
    let unreported = |_| 5;
    of.grant(5, &[allowance(0, 10, 4)], NOW_MS + 1, unreported).unwrap();
    assert_eq!(spend_all(&of, 0), 0, "another program may spend by the lost file");
    let again = open_after_loss(&folder, 5);
    assert_eq!(spend_all(&again, 0), 0, "also when it is opened again");
    of.grant(6, &[allowance(0, 20, 4)], NOW_MS + MOURNING_MS, unreported).unwrap();
    assert_eq!(spend_all(&again, 0), 20 - 4 - 5);
}

#[test]
fn the_grant_under_which_a_file_was_found_lost_tells_nothing_however_late_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let of = SpentAllowance::open(folder.path(), "item", "uuid", NOW_MS, || true).unwrap();
    for later in [MOURNING_MS, 2 * MOURNING_MS] {
        of.grant(4, &[allowance(0, 10, 2)], NOW_MS + later, |_| 7).unwrap();
        assert_eq!(spend_all(&of, 0), 0);
    }
}

#[test]
fn after_a_start_of_the_machine_the_next_grant_tells_what_a_lost_file_had_spent() {
    let folder = tempfile::tempdir().unwrap();
    let start = |boot, now_ms| {
        SpentAllowance::open_in(boot, folder.path(), "item", "uuid", now_ms, || true).unwrap()
    };
    start(1, NOW_MS).grant(4, &[allowance(0, 10, 2)], NOW_MS, |_| 7).unwrap();
    // The boot clock has begun anew, and nobody has the lost file mapped any more.
    let of = start(2, MOURNING_MS);
    of.grant(5, &[allowance(0, 10, 2)], MOURNING_MS + 1, |_| 5).unwrap();
    assert_eq!(spend_all(&of, 0), 10 - 2 - 5);
}

#[test]
fn a_program_whose_file_was_removed_or_replaced_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 3).unwrap();
    assert!(of.standing() == Standing::Same && !of.is_closed());
    std::fs::remove_file(folder.path().join("item.spent")).unwrap();
    assert_eq!(of.standing(), Standing::Lost);
    let next = open(&folder);
    assert_eq!((next.standing(), of.standing()), (Standing::Same, Standing::Lost));
}

#[test]
fn after_what_is_left_was_given_back_nothing_can_be_spent_before_the_next_grant() {
    let folder = tempfile::tempdir().unwrap();
    let (last, forgotten) = (open(&folder), open(&folder));
    last.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    forgotten.spend(0, 3).unwrap();
    last.forgo();
    assert_eq!(last.allowed(0), 3);
    assert_eq!(forgotten.spend(0, 1).unwrap_err().code, ErrorCode::USED_UP);
    last.grant(2, &[allowance(0, 10, 3)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&forgotten, 0), 7);
}

#[test]
fn a_torn_or_foreign_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("item.spent"), vec![7; FILE_BYTES]).unwrap();
    open(&folder).grant(1, &[allowance(0, 5, 0)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&open(&folder), 0), 5);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn under_another_uuid_as_much_is_spent_as_that_is_granted_whatever_was_spent_before() {
    let folder = tempfile::tempdir().unwrap();
    let before = open(&folder);
    before.grant(9, &[allowance(0, 500, 0)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&before, 0), 500);
    let fresh = open_as("fresh", &folder);
    assert!(fresh.spend(0, 1).is_err(), "nothing was granted yet");
    fresh.grant(1, &[allowance(0, 200, 0)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&open_as("fresh", &folder), 0), 200);
    assert!(fresh.spend(0, 1).is_err() && before.spend(0, 1).is_err());
}

#[test]
fn what_is_spent_of_a_later_uuid_stays_spent_when_the_file_of_the_first_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).grant(1, &[allowance(0, 5, 0)], NOW_MS, |_| 0).unwrap();
    let fresh = open_as("fresh", &folder);
    fresh.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    fresh.spend(0, 8).unwrap();
    std::fs::remove_file(folder.path().join("item.spent")).unwrap();
    assert_eq!(spend_all(&open_as("fresh", &folder), 0), 2);
}

#[test]
fn a_file_that_does_not_tell_whose_it_is_is_that_of_the_present_uuid() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 10, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 8).unwrap();
    of.file.word64(WHOSE).store(0, Ordering::Relaxed);
    assert_eq!(spend_all(&open(&folder), 0), 2);
    let fresh = open_as("fresh", &folder);
    fresh.grant(1, &[allowance(0, 3, 0)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&fresh, 0), 3, "it has told since");
}

#[test]
fn a_program_that_cannot_name_the_start_is_no_other_start_for_those_who_can() {
    let folder = tempfile::tempdir().unwrap();
    let open = |boot| {
        SpentAllowance::open_in(boot, folder.path(), "item", "uuid", NOW_MS, || true).unwrap()
    };
    let of = open(1);
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    let lost_at = of.lost_at().load(Ordering::Relaxed);
    assert_ne!(lost_at, 0, "the file was lost, and somebody may still have it mapped");
    for boot in [UNKNOWN_BOOT, 1, UNKNOWN_BOOT] {
        assert_eq!(open(boot).lost_at().load(Ordering::Relaxed), lost_at);
    }
    assert_eq!(of.file.word64(BOOT).load(Ordering::Relaxed), 1);
}

#[test]
fn where_no_boot_is_named_each_program_may_be_the_first_after_a_power_cut_and_nothing_is_lost_by_it()
 {
    let folder = tempfile::tempdir().unwrap();
    let program = || {
        SpentAllowance::open_in(boot_digest(""), folder.path(), "item", "uuid", NOW_MS, || false)
            .unwrap()
    };
    let of = program();
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 10).unwrap();
    of.spent(0).store(0, Ordering::Relaxed);
    assert_eq!(spend_all(&program(), 0), 990);
}

#[test]
fn what_was_spent_stays_spent_when_the_file_is_deleted_replaced_or_comes_back() {
    let harms: [fn(&Path); 4] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
        |file| {
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            fs::rename(copy, file).unwrap();
        },
        |file| {
            fs::remove_file(file).unwrap();
            fs::write(file, vec![7; FILE_BYTES]).unwrap();
        },
    ];
    for harm in harms {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("seats");
        let program = || SpentAllowance::open(&folder, "item", "uuid", NOW_MS, || false).unwrap();
        let (one, other) = (program(), program());
        one.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
        one.spend(0, 10).unwrap();
        harm(&one.path);
        other.spend(0, 5).unwrap();
        assert_ne!(one.standing(), Standing::Same);
        let one = one.carry().unwrap();
        assert_eq!(other.spend(0, 1).unwrap_err().code, ErrorCode::LICENSE_BUFFER_FAILED);
        assert!(other.is_closed());
        one.spend(0, 1).unwrap();
        let other = other.carry().unwrap();
        other.spend(0, 2).unwrap();
        assert_eq!(spend_all(&one, 0) + spend_all(&other, 0), 82);
    }
}

#[test]
fn an_empty_file_that_another_program_has_just_made_takes_over_what_was_spent() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 10).unwrap();
    fs::remove_file(&of.path).unwrap();
    fs::File::create(&of.path).unwrap().set_len(FILE_BYTES as u64).unwrap();
    of.carry().unwrap();
    let again = SpentAllowance::open(folder.path(), "item", "uuid", NOW_MS, || true).unwrap();
    assert_eq!(again.lost_at().load(Ordering::Relaxed), 0, "nothing was lost");
    assert_eq!(spend_all(&again, 0), 90);
}

#[cfg(feature = "kill-points")]
#[test]
fn a_file_that_cannot_be_made_again_is_tried_again_with_all_that_was_spent() {
    // To make it longer, to make it durable, to give it its name, and to make that durable.
    for nth in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let of = open(&folder);
        of.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
        of.spend(0, 10).unwrap();
        fs::remove_file(&of.path).unwrap();
        play(Disk::FailsOnce(nth));
        let carried = of.carry();
        play(Disk::Sound);
        assert!(carried.is_err(), "use {nth}");
        assert_eq!(spend_all(&of.carry().unwrap(), 0), 90, "use {nth}");
    }
}

#[test]
fn a_file_that_comes_back_under_its_name_knows_what_was_spent_in_the_one_between() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 100, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 10).unwrap();
    let aside = folder.path().join("aside");
    fs::rename(&of.path, &aside).unwrap();
    let between = of.carry().unwrap();
    between.spend(0, 30).unwrap();
    fs::rename(&aside, &of.path).unwrap();
    assert_eq!(spend_all(&between.carry().unwrap(), 0), 60);
    assert!(open(&folder).spend(0, 1).is_err());
}

#[test]
fn enough_is_kept_ahead_that_who_spends_does_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 10_000, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 1).unwrap();
    let kept = || of.kept(0).load(Ordering::Relaxed);
    // The first count has kept an eighth of what it left. Half of that is not needed yet.
    assert_eq!(kept(), 1 + 9_999 / 8);
    of.spend(0, 666).unwrap();
    assert_eq!(kept() - 667, (10_000 - 667) / 8 / 2);
    of.keep_ahead();
    assert_eq!(kept(), 1_250, "there is enough");
    of.spend(0, 1).unwrap();
    of.keep_ahead();
    assert_eq!(kept(), 668 + (10_000 - 668) / 8);
}

#[test]
fn nothing_is_kept_ahead_of_what_nobody_spends() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 10_000, 0), allowance(1, 500, 0)], NOW_MS, |_| 0).unwrap();
    of.spend(0, 1).unwrap();
    of.keep_ahead();
    assert_eq!(of.kept(1).load(Ordering::Relaxed), 0);
}

#[test]
fn each_module_has_its_share_and_an_unknown_one_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    let last = u32::try_from(PAGE_MODULES.len()).unwrap();
    let unknown = last + 1;
    let granted = [allowance(last, 10, 0), allowance(unknown, 10, 0)];
    of.grant(1, &granted, NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&of, last), 10);
    assert!(of.spend(unknown, 1).is_err());
    // What is in the file behind the last module is not touched, and means nothing.
    let behind = of.word(unknown as usize, 1);
    of.take_back(unknown, 1);
    assert_eq!(behind.swap(10, Ordering::Relaxed), 0);
    assert!(!of.runs_low(&[allowance(unknown, 10, 0)]));
}

#[test]
fn a_grant_that_a_killed_program_had_begun_to_take_over_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.file.word64(SERIAL).store(5, Ordering::Relaxed);
    of.grant(5, &[allowance(0, 10, 4)], NOW_MS, |_| 0).unwrap();
    assert_eq!(spend_all(&of, 0), 6);
}

#[test]
fn what_was_being_kept_when_the_power_went_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    of.grant(1, &[allowance(0, 1_000, 0)], NOW_MS, |_| 0).unwrap();
    of.keeping(0).store(300, Ordering::Relaxed);
    of.file.word64(BOOT).fetch_xor(1, Ordering::Relaxed);
    assert_eq!(spend_all(&open(&folder), 0), 700);
}

#[test]
fn it_runs_low_when_half_of_the_new_part_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let of = open(&folder);
    let granted = [allowance(0, 120, 100)];
    of.grant(1, &granted, NOW_MS, |_| 0).unwrap();
    of.spend(0, 10).unwrap();
    assert!(!of.runs_low(&granted));
    of.spend(0, 1).unwrap();
    assert!(of.runs_low(&granted));
    // A grant that has brought nothing cannot run low.
    let nothing = [allowance(0, 120, 120)];
    of.grant(2, &nothing, NOW_MS, |_| 0).unwrap();
    assert!(!of.runs_low(&nothing));
}
