//! Usage reports over HTTP: what is booked, what is refused, and that repeats change nothing.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::page_module::PAGE_MODULE_MAX;
use seatmeter_protocol::segment_refusal::SegmentFault;
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::operator::commands::Change;
use seatmeter_server::store::{UsageFilter, UsageRow};

use crate::support::*;

fn server() -> TestServer {
    TestServer::with_items(vec![item("instances", 4)])
}

fn rows(server: &TestServer) -> Vec<UsageRow> {
    let mut rows = Vec::new();
    let reader = server.location.read_usage().unwrap();
    reader
        .for_each(UsageFilter::ALL, |row| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
    rows
}

fn totals(server: &TestServer) -> Vec<(u32, UsageKind, u32, u128)> {
    rows(server).into_iter().map(|row| (row.slot, row.kind, row.what, row.total)).collect()
}

#[test]
fn a_report_is_booked_to_device_code_item_and_slot() {
    let server = server();
    let device = id();
    let license = server.authorize(&request(&device, 1)).unwrap();
    let segment_id = id();
    let counted = vec![
        scans(10_000_000, 0x20, 3),
        UsageTotal { slot: 10_000_000, kind: UsageKind::Image, what: 0, total: 1 },
    ];
    let answer =
        server.report(&report(&device, vec![segment(&segment_id, &license.license_id, counted)]));
    assert_eq!((answer.recorded, answer.refused), (vec![segment_id], vec![]));
    assert_eq!(answer.epoch.len(), 32);
    let rows = rows(&server);
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0],
        UsageRow {
            handshake_code: CODE.into(),
            item_id: "instances".into(),
            device_uuid: device,
            friendly_name: "till 7".into(),
            slot: 10_000_000,
            kind: UsageKind::Scan,
            what: 0x20,
            total: 3,
        }
    );
}

#[test]
fn slots_in_which_a_device_cannot_have_counted_are_left_out_and_named() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    let (device, segment_id) = (id(), id());
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let (now, day) = (10_000_000, 480);
    let recorded = || server.number("SELECT coalesce(max(used), 0) FROM item_used WHERE kind = 1");
    for (slot, why) in [
        (now - day - 1, "before the first license"),
        (1, "before the first license"),
        (now + day + 1, "more than a day ahead"),
        (u32::MAX, "more than a day ahead"),
    ] {
        let counted = vec![scans(slot, 2, 1_000_000), scans(now, 2, 3)];
        let answer =
            server.report(&report(&device, vec![segment(&segment_id, &license_id, counted)]));
        assert_eq!(answer.recorded.len(), 0, "slot {slot}");
        assert_eq!(answer.refused[0].segment_id, segment_id);
        let fault = match slot < now {
            true => SegmentFault::SlotTooEarly,
            false => SegmentFault::SlotTooLate,
        };
        assert_eq!(answer.refused[0].code, fault, "{answer:?}");
        assert!(answer.refused[0].reason.contains(why), "{answer:?}");
        assert_eq!(recorded(), 3, "slot {slot}");
    }
    for slot in [now - day, now + day] {
        let counted = vec![scans(slot, 2, 1)];
        let answer =
            server.report(&report(&device, vec![segment(&segment_id, &license_id, counted)]));
        assert_eq!(answer.refused, [], "slot {slot}");
    }
    assert_eq!(recorded(), 5);
}

#[test]
fn what_is_counted_after_a_clock_that_was_ahead_is_accepted_is_recorded_also_when_it_comes_late() {
    let day = 86_400;
    for is_accepted in [true, false] {
        let server = TestServer::with_items(vec![item("instances", 4)]);
        let (device, segment_id) = (id(), id());
        server.clock.set(START + 3 * day);
        let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
        let send = |total| {
            let counted = vec![scans(10_000_000, 2, total)];
            server.report(&report(&device, vec![segment(&segment_id, &license_id, counted)]))
        };
        server.clock.set(START);
        if is_accepted {
            server.wait(server.licensing.change(Change::AcceptClock, "ann")).unwrap();
        } else {
            assert_eq!(send(1).refused, [], "the device is heard before the wrong time has come");
        }
        server.clock.set(START + 15 * day);
        assert_eq!(send(2).refused, [], "accepted: {is_accepted}");
    }
}

#[test]
fn a_report_that_is_sent_again_keeps_no_seat() {
    let devices = LicenseItem {
        window_days: Some(1),
        ..LicenseItem::new("devices", ChargeWay::ClientDevice, 4, START, EXPIRY)
    };
    let server = TestServer::with_items(vec![devices]);
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let sent = report(&device, vec![segment(&id(), &license_id, vec![scans(10_000_000, 2, 5)])]);
    let until = || server.number("SELECT held_until FROM seat_holder");
    server.clock.set(START + 3_600);
    server.report(&sent);
    let before = until();
    assert_eq!(before, START + 3_600 + 86_400);
    server.clock.set(START + 7_200);
    assert_eq!(server.report(&sent).refused, []);
    assert_eq!(until(), before);
}

#[test]
fn repeated_and_overtaken_reports_change_nothing() {
    let server = server();
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let segment_id = id();
    let send = |total| {
        let counted = vec![scans(10_000_005, 0x20, total)];
        let answer =
            server.report(&report(&device, vec![segment(&segment_id, &license_id, counted)]));
        assert_eq!(answer.recorded, std::slice::from_ref(&segment_id));
    };
    send(7);
    send(7);
    send(3);
    assert_eq!(totals(&server), [(10_000_005, UsageKind::Scan, 0x20, 7)]);
    send(8);
    assert_eq!(totals(&server), [(10_000_005, UsageKind::Scan, 0x20, 8)]);
}

#[test]
fn an_old_local_license_still_takes_late_reports() {
    let server = server();
    let device = id();
    let old = server.authorize(&request(&device, 1)).unwrap();
    server.clock.set(EXPIRY + 365 * 86_400);
    let segments = vec![segment(&id(), &old.license_id, vec![scans(10_000_001, 0x20, 2)])];
    assert_eq!(server.report(&report(&device, segments)).recorded.len(), 1);
    assert_eq!(totals(&server), [(10_000_001, UsageKind::Scan, 0x20, 2)]);
}

#[test]
fn what_cannot_be_booked_does_not_hold_up_the_rest() {
    let server = server();
    let (device, other_device) = (id(), id());
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let second_license_id = server.authorize(&request(&device, 2)).unwrap().license_id;
    let foreign_license_id = server.authorize(&request(&other_device, 1)).unwrap().license_id;
    let known = id();
    server.report(&report(
        &device,
        vec![segment(&known, &license_id, vec![scans(10_000_001, 2, 1)])],
    ));
    let [good, stranger, foreign, too_much, last] = [id(), id(), id(), id(), id()];
    let answer = server.report(&report(
        &device,
        vec![
            segment(&good, &license_id, vec![scans(10_000_001, 2, 10)]),
            segment(&stranger, &id(), vec![scans(10_000_001, 2, 100)]),
            segment(&foreign, &foreign_license_id, vec![scans(10_000_001, 2, 1_000)]),
            segment(&known, &second_license_id, vec![scans(10_000_001, 2, 10_000)]),
            segment(
                &too_much,
                &license_id,
                vec![scans(10_000_001, 2, 5), scans(10_000_002, 2, TOTAL_MAX + 1)],
            ),
            segment(&last, &license_id, vec![scans(10_000_001, 2, 20)]),
        ],
    ));
    assert_eq!(answer.recorded, [good, last]);
    let refused: Vec<_> = answer.refused.iter().map(|refusal| refusal.segment_id.clone()).collect();
    assert_eq!(refused, [stranger, foreign, known, too_much]);
    let words = [
        "no local license",
        "another device",
        "another local license",
        "more than a device can count",
    ];
    let codes: Vec<_> = answer.refused.iter().map(|refusal| refusal.code).collect();
    let expected = [
        SegmentFault::LicenseUnknown,
        SegmentFault::LicenseOfOtherDevice,
        SegmentFault::SegmentOfOtherLicense,
        SegmentFault::TotalTooLarge,
    ];
    assert_eq!(codes, expected);
    for (refusal, word) in answer.refused.iter().zip(words) {
        assert!(refusal.reason.contains(word), "{}", refusal.reason);
    }
    assert_eq!(totals(&server), [(10_000_001, UsageKind::Scan, 2, 31)]);
}

#[test]
fn a_text_that_no_database_keeps_holds_up_nobody() {
    let server = server();
    let device = id();
    let license = server.authorize(&request(&device, 1)).unwrap();
    let changes: [&dyn Fn(&mut LocalLicense); 4] = [
        &|shown| shown.item_id.push('\0'),
        &|shown| shown.license_id.push('\0'),
        &|shown| shown.handshake_code.push('\0'),
        &|shown| shown.item_id = "x".repeat(TEXT_BYTES_MAX + 1),
    ];
    for change in changes {
        let mut shown = license.clone();
        change(&mut shown);
        // Somebody else's signature, under the name of the server's key.
        let key_id = server_key().public().id();
        let forged = Signed { key_id, ..Signed::seal(&shown, &key(9)).unwrap() };
        let counted = segment(&id(), &license.license_id, vec![scans(10_000_001, 2, 1)]);
        let sent = SegmentReport { local_license: Some(forged), ..counted };
        assert_eq!(server.report(&report(&device, vec![sent])).recorded.len(), 1);
    }
}

#[test]
fn the_greatest_totals_are_added_without_overflow() {
    let server = server();
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    execute(
        &server.location,
        "INSERT INTO item_used VALUES ('instances', 1, 0, 9223372036854000000)",
    );
    let slot = 10_000_000;
    for _ in 0..3 {
        let counted = segment(&id(), &license_id, vec![scans(slot, u32::MAX, TOTAL_MAX)]);
        assert_eq!(server.report(&report(&device, vec![counted])).recorded.len(), 1);
    }
    let expected = (slot, UsageKind::Scan, u32::MAX, 3 * u128::from(TOTAL_MAX));
    assert_eq!(totals(&server), [expected]);
    assert_eq!(server.number("SELECT used FROM item_used"), i64::MAX as u64);
}

#[test]
fn counters_of_a_slot_beyond_what_a_device_has_are_refused_whenever_they_come() {
    let server = server();
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let (many, more, other) = (id(), id(), id());
    let counters =
        |range: std::ops::Range<u32>| range.map(|what| scans(10_000_007, what, 1)).collect();
    let segments = vec![
        segment(&many, &license_id, counters(0..65)),
        segment(&more, &license_id, counters(0..60)),
        segment(&other, &license_id, counters(0..64)),
    ];
    let answer = server.report(&report(&device, segments));
    assert_eq!(answer.recorded, [more.clone(), other]);
    assert_eq!(answer.refused[0].segment_id, many);
    assert_eq!(answer.refused[0].code, SegmentFault::TooManyCounters);
    assert!(answer.refused[0].reason.contains("slot 10000007 has 65 counters"), "{answer:?}");
    // With those that are recorded, a later report has too many, too.
    let again = |range| {
        let sent = segment(&more, &license_id, counters(range));
        server.report(&report(&device, vec![sent])).recorded.len()
    };
    assert_eq!((again(60..65), again(0..64), again(64..65)), (0, 1, 0));
    assert_eq!(server.number("SELECT used FROM item_used WHERE kind = 1"), 64 + 64);
}

#[test]
fn more_than_one_call_can_count_is_not_asked_for_and_lost_allowances_have_a_bound() {
    let server = server();
    let lost = |n| vec![LostAllowance { item_id: "scans".into(), module: 0, lost: u64::MAX }; n];
    let asked = |needed, n| AuthorizationRequest { needed, lost: lost(n), ..request(&id(), 1) };
    server.authorize(&asked(NEEDED_MAX, LOST_MAX)).unwrap();
    for (needed, n, why) in [
        (NEEDED_MAX + 1, 0, "needed is 4294967296"),
        (0, LOST_MAX + 1, "more than 256 lost allowances"),
    ] {
        let problem = server.authorize(&asked(needed, n)).unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains(why), "{}", problem.detail);
    }
}

fn pages(what: u32) -> UsageTotal {
    UsageTotal { slot: 10_000_000, kind: UsageKind::Page, what, total: 1 }
}

#[test]
fn a_module_that_is_not_known_yet_is_booked_and_one_that_can_never_be_is_refused() {
    let server = server();
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let send = |counter| {
        server
            .try_report(&report(&device, vec![segment(&id(), &license_id, vec![counter])]))
            .map(|_| ())
    };
    send(pages(PAGE_MODULE_MAX)).unwrap();
    let problem = send(pages(PAGE_MODULE_MAX + 1)).unwrap_err();
    assert_eq!(problem.status, 400);
    assert!(problem.detail.contains("module 64"), "{}", problem.detail);
    assert_eq!(totals(&server), [(10_000_000, UsageKind::Page, PAGE_MODULE_MAX, 1)]);
    assert_eq!(server.number("SELECT count(*) FROM item_used"), 1);
}

/// The clock of a device may be wrong by a day.
#[test]
fn work_in_slots_up_to_a_day_ahead_is_billed_and_counts_as_active() {
    let server = server();
    let device = id();
    let license_id = server.authorize(&request(&device, 1)).unwrap().license_id;
    let last = slot_of(START + 86_400);
    let counted: Vec<_> =
        [last - 1, last, last + 1, last + 500, u32::MAX].map(|slot| scans(slot, 2, 3)).into();
    let answer = server.report(&report(&device, vec![segment(&id(), &license_id, counted)]));
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(totals(&server).iter().map(|(.., total)| total).sum::<u128>(), 6);
    assert_eq!(server.number("SELECT used FROM item_used WHERE kind = 1"), 6);
    assert_eq!(server.number("SELECT count(*) FROM slot_sum"), 2);
    assert_eq!(server.number("SELECT max(slot) FROM slot_sum"), u64::from(last));
}

#[test]
fn an_empty_report_is_answered_with_nothing() {
    let (server, device) = (server(), id());
    server.authorize(&request(&device, 1)).unwrap();
    let answer = server.report(&report(&device, vec![]));
    assert_eq!((answer.recorded, answer.refused), (vec![], vec![]));
}
