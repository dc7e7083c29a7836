//! Tests of work under a strict item whose device takes another UUID.

use seatmeter_protocol::license::{CountAllowance, LicenseItem, LocalLicense};

use super::*;
use crate::clock::test_support::HandClock;
use crate::device::Device;
use crate::license::test_support::{NOW, answer, item, key, local};
use crate::usage::Segment;

const SCAN: Work = (UsageKind::Scan, 1, 1);

/// Return a grant of this many scans to the device of this digit.
fn grant(device: &str, serial: u32, allowed: u64) -> Arc<Grant> {
    let charge_way = ChargeWay::BarcodeScan;
    let item = LicenseItem { strict: true, charge_way, quota: 10_000, ..item() };
    let (license_id, device_uuid) = (device.repeat(32), device.repeat(32));
    let device = Device::with_uuid(&device_uuid);
    let allowances = vec![CountAllowance { module: 0, allowed, used: 0 }];
    let local = LocalLicense {
        license_id,
        device_key: device.key().unwrap().public().clone(),
        device_uuid,
        serial,
        charge_way,
        seats: 0,
        allowances,
        ..local()
    };
    Grant::verify(&answer(item, &local), key(1).public(), &device).unwrap().into()
}

fn licensed(folder: &Path, grant: Arc<Grant>) -> Licensed {
    licensed_by(folder, grant).0
}

fn licensed_by(folder: &Path, grant: Arc<Grant>) -> (Licensed, &'static HandClock) {
    let usage = folder.join("usage");
    std::fs::create_dir_all(&usage).unwrap();
    let clock: &'static HandClock = Box::leak(Box::new(HandClock::at(NOW)));
    (Licensed::new(grant, folder, usage, clock, || {}).unwrap(), clock)
}

/// Return the total that was counted under the UUID of this digit.
fn counted(folder: &Path, device: &str) -> u64 {
    let files = std::fs::read_dir(folder.join("usage")).unwrap().flatten();
    let segments = files.map(|file| Segment::open(&file.path()).unwrap());
    let own =
        segments.filter(|segment| segment.header().attribution.device_uuid == device.repeat(32));
    own.flat_map(|segment| segment.totals()).map(|total| total.usage.total).sum()
}

fn work_until_refused(licensed: &Licensed) -> u64 {
    let mut mine = SlotEntries::default();
    (0..).take_while(|_| licensed.count(&mut mine, 1, &[SCAN]).is_ok()).count() as u64
}

#[test]
fn a_device_that_took_another_uuid_may_count_what_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let licensed = licensed(folder.path(), grant("a", 9, 500));
    assert_eq!(work_until_refused(&licensed), 500);
    assert!(licensed.renew(&grant("b", 1, 200)));
    assert_eq!(work_until_refused(&licensed), 200);
    assert_eq!((counted(folder.path(), "a"), counted(folder.path(), "b")), (500, 200));
    assert!(licensed.renew(&grant("b", 2, 210)));
    assert_eq!(work_until_refused(&licensed), 10);
}

#[test]
fn a_program_that_has_not_heard_of_it_goes_on_under_the_uuid_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let programs = [(); 2].map(|()| licensed(folder.path(), grant("a", 9, 500)));
    programs[0].renew(&grant("b", 1, 200));
    assert_eq!((work_until_refused(&programs[0]), work_until_refused(&programs[1])), (200, 500));
    assert_eq!((counted(folder.path(), "a"), counted(folder.path(), "b")), (500, 200));
}

#[test]
fn threads_that_count_while_the_uuid_changes_count_under_each_what_is_spent_of_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let licensed = licensed(folder.path(), grant("a", 1, 1_000));
        let performed: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..3).map(|_| scope.spawn(|| work_until_refused(&licensed))).collect();
            licensed.renew(&grant("b", 1, 700));
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let rest = work_until_refused(&licensed);
        let (before, after) = (counted(folder.path(), "a"), counted(folder.path(), "b"));
        assert!(before <= 1_000, "{before}");
        assert_eq!((performed + rest, after), (before + 700, 700));
    }
}

#[test]
fn what_was_counted_under_another_item_is_not_spent_of_a_strict_one() {
    let folder = tempfile::tempdir().unwrap();
    let strict = grant("a", 1, 500);
    let usage = folder.path().join("usage");
    std::fs::create_dir_all(&usage).unwrap();
    for (license, n) in [("b".repeat(32), 600), (strict.local.license_id.clone(), 7)] {
        let counter = Counter::new(
            usage.clone(),
            crate::usage::attribution(&license, &strict.local.device_uuid),
        );
        counter.count(&mut SlotEntries::default(), 1, &[(UsageKind::Scan, 1, n)]).unwrap();
    }
    // The file of spent allowances is missing although something was counted: all counts as spent,
    // until a later grant.
    let (licensed, clock) = licensed_by(folder.path(), strict);
    assert_eq!(work_until_refused(&licensed), 0);
    clock.pass(3_000);
    assert!(licensed.renew(&grant("a", 2, 500)));
    assert_eq!(work_until_refused(&licensed), 493);
}

#[test]
fn the_counts_of_an_idle_reader_outlive_their_file_also_under_an_item_that_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let strict = grant("a", 1, 500);
    let licensed = licensed(folder.path(), strict);
    let mut mine = SlotEntries::default();
    licensed.count(&mut mine, 1, &[SCAN, SCAN]).unwrap();
    licensed.leave();
    assert!(!licensed.has_let_go(), "the reader still has its entries");
    for file in std::fs::read_dir(folder.path().join("usage")).unwrap().flatten() {
        std::fs::remove_file(file.path()).unwrap();
    }
    drop(mine);
    licensed.check_files();
    assert_eq!(counted(folder.path(), "a"), 2);
    assert!(licensed.has_let_go());
}

#[test]
fn two_programs_spend_no_more_than_there_is_when_their_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, clock) = licensed_by(folder.path(), grant("a", 1, 500));
    let mut mine = SlotEntries::default();
    first.count(&mut mine, 1, &[SCAN]).unwrap();
    std::fs::remove_file(folder.path().join("item-1.spent")).unwrap();
    let (second, other_clock) = licensed_by(folder.path(), grant("a", 1, 500));
    assert_eq!(work_until_refused(&second), 0);
    // The first may continue until it checks its files.
    first.count(&mut mine, 1, &[SCAN]).unwrap();
    first.check_files();
    assert_eq!(work_until_refused(&first), 0);
    for clock in [clock, other_clock] {
        clock.pass(3_000);
    }
    for licensed in [&first, &second] {
        assert!(licensed.renew(&grant("a", 2, 500)));
    }
    assert_eq!(work_until_refused(&first) + work_until_refused(&second), 498);
}

/// Let `job` wait for a disk that does not answer. Show that other threads count meanwhile, through
/// several of the checks that they make once a second.
#[cfg(feature = "kill-points")]
fn others_count_while_the_disk_hangs(
    licensed: &Licensed,
    clock: &HandClock,
    why: &str,
    job: impl FnOnce() + Send,
) {
    use crate::fault_injection::disk::{Disk, Hang, play};
    /// A time for which no thread waits for a free lock.
    const LONG: std::time::Duration = std::time::Duration::from_secs(120);
    let hang: &'static Hang = Box::leak(Box::default());
    let (sender, counted) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            play(Disk::Hangs(hang));
            job();
        });
        hang.await_one();
        scope.spawn(move || {
            let mut mine = SlotEntries::default();
            for _ in 0..3 {
                clock.pass(1_100);
                let slot = licensed.moment().unwrap().slot;
                licensed.count(&mut mine, slot, &[SCAN]).unwrap();
                licensed.count_without_reader(&[SCAN]).unwrap();
                let _ = licensed.take_seat_at_once();
            }
            sender.send(()).unwrap();
        });
        let outcome = counted.recv_timeout(LONG);
        hang.let_go();
        assert!(outcome.is_ok(), "{why}: who counts waits for the disk");
    });
}

#[cfg(feature = "kill-points")]
#[test]
fn who_counts_waits_for_no_disk_while_the_grant_is_renewed_or_files_are_looked_after() {
    let start = |grant: Arc<Grant>| {
        let (folder, clock) =
            (tempfile::tempdir().unwrap(), Box::leak(Box::new(HandClock::at(NOW))));
        let usage = folder.path().join("usage");
        let licensed = Licensed::new(grant, folder.path(), usage, clock, || {}).unwrap();
        licensed.watch();
        licensed.count_without_reader(&[SCAN]).unwrap();
        (folder, &*clock, licensed)
    };
    let (_folder, clock, licensed) = start(grant("a", 1, 500));
    others_count_while_the_disk_hangs(&licensed, clock, "renewed", || {
        assert!(licensed.renew(&grant("a", 2, 600)));
    });
    others_count_while_the_disk_hangs(&licensed, clock, "renewed under another UUID", || {
        assert!(licensed.renew(&grant("b", 3, 300)));
    });
    let (folder, clock, licensed) = start(grant("a", 1, 500));
    std::fs::remove_dir_all(folder.path().join("usage")).unwrap();
    others_count_while_the_disk_hangs(&licensed, clock, "usage was deleted", || licensed.watch());
    assert_eq!(counted(folder.path(), "a"), 7);
    let seats = |serial| {
        let (license_id, device_uuid) = ("d".repeat(32), "d".repeat(32));
        let local = LocalLicense { serial, license_id, device_uuid, ..local() };
        let device = Device::with_uuid(&local.device_uuid);
        Arc::new(Grant::verify(&answer(item(), &local), key(1).public(), &device).unwrap())
    };
    let (folder, clock, licensed) = start(seats(1));
    std::fs::remove_file(folder.path().join("item-1.pool")).unwrap();
    others_count_while_the_disk_hangs(&licensed, clock, "the seat pool moves", || {
        assert!(licensed.renew(&seats(2)));
    });
}

#[test]
fn what_cannot_be_carried_makes_counting_fail_until_it_is_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let clock: &'static HandClock = Box::leak(Box::new(HandClock::at(NOW)));
    let usage = folder.path().join("usage");
    let licensed =
        Licensed::new(grant("a", 1, 500), folder.path(), usage.clone(), clock, || {}).unwrap();
    licensed.watch();
    let count = || licensed.count_without_reader(&[SCAN]);
    count().unwrap();
    std::fs::remove_dir_all(&usage).unwrap();
    std::os::unix::fs::symlink("nowhere", &usage).unwrap();
    count().unwrap();
    licensed.watch();
    for _ in 0..2 {
        assert_eq!(count().unwrap_err().code, ErrorCode::LICENSE_BUFFER_FAILED);
    }
    std::fs::remove_file(&usage).unwrap();
    licensed.watch();
    count().unwrap();
    assert_eq!(counted(folder.path(), "a"), 3);
    let segment = std::fs::read_dir(&usage).unwrap().next().unwrap().unwrap().path();
    std::fs::File::options().write(true).open(segment).unwrap().set_len(0).unwrap();
    licensed.watch();
    let error = count().unwrap_err();
    assert!(
        error.code == ErrorCode::LICENSE_BUFFER_FAILED && error.message.contains("cut short"),
        "{error}"
    );
    count().unwrap();
}

#[test]
fn where_no_thread_watches_who_counts_looks_once_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let clock: &'static HandClock = Box::leak(Box::new(HandClock::at(NOW)));
    let usage = folder.path().join("usage");
    let licensed =
        Licensed::new(grant("a", 1, 500), folder.path(), usage.clone(), clock, || {}).unwrap();
    licensed.count_without_reader(&[SCAN]).unwrap();
    std::fs::remove_dir_all(&usage).unwrap();
    clock.pass(1_000);
    licensed.count_without_reader(&[SCAN]).unwrap();
    assert_eq!(counted(folder.path(), "a"), 2);
}

#[test]
fn what_is_spent_of_an_allowance_whose_file_is_deleted_stays_spent_in_every_program() {
    let folder = tempfile::tempdir().unwrap();
    let programs = [(); 2].map(|()| licensed(folder.path(), grant("a", 9, 500)));
    let mut mine = [SlotEntries::default(), SlotEntries::default()];
    let mut count = |program: usize, n: u64| {
        programs[program].count(&mut mine[program], 1, &[(UsageKind::Scan, 1, n)])
    };
    count(0, 100).unwrap();
    std::fs::remove_file(folder.path().join("item-1.spent")).unwrap();
    count(1, 50).unwrap();
    programs[0].watch();
    // The second one has not checked, and finds its file closed.
    count(1, 10).unwrap();
    count(0, 340).unwrap();
    assert_eq!(count(1, 1).unwrap_err().code, ErrorCode::USED_UP);
    assert_eq!(counted(folder.path(), "a"), 500);
}

#[test]
fn a_program_that_needs_too_much_again_and_again_asks_less_and_less_often() {
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    let renewal = EarlyRenewal::new(|| _ = WOKEN.fetch_add(1, Ordering::Relaxed));
    let mut answered = 0;
    for second in 1..=1_000 {
        renewal.call(second * 1_000);
        let woken = WOKEN.load(Ordering::Relaxed);
        (answered..woken).for_each(|_| renewal.answered(false));
        answered = woken;
    }
    assert!((15..25).contains(&answered), "{answered}");
    renewal.answered(true);
    for second in 1_001..=1_010 {
        renewal.call(second * 1_000);
    }
    assert!(WOKEN.load(Ordering::Relaxed) >= answered + 9);
}
