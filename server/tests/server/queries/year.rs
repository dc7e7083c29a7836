//! A year of generated usage with known truth.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseItem, PageQuotas};
use seatmeter_protocol::message::*;
use seatmeter_protocol::slot::{SLOTS_PER_DAY, slot_of, slot_start};
use seatmeter_server::operator::queries::date;
use seatmeter_server::operator::queries::day::DayQuery;
use seatmeter_server::operator::queries::status::{ItemState, ItemStatus, StatusQuery};
use seatmeter_server::operator::queries::usage::{TimeUnit, Usage, UsageQuery, UsageSum};
use seatmeter_server::operator::queries::year::YearQuery;

use super::{ask, code_of, server_with, try_ask};
use crate::support::*;

const DAY: u64 = 86_400;
const DEVICES: usize = 4;
const X: u32 = 2;
const N: u64 = 4;

/// One counter of one slot, as a device has reported it.
#[derive(Clone, Debug)]
struct Counted {
    item_id: &'static str,
    device: String,
    slot: u32,
    kind: UsageKind,
    what: u32,
    total: u64,
}

/// Numbers that are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }
}

fn items() -> Vec<LicenseItem> {
    let item = |id: &str, way, quota| LicenseItem::new(id, way, quota, START, EXPIRY + 90 * DAY);
    let quotas = PageQuotas { core: 5_000, ocr: 5_000, ..PageQuotas::default() };
    vec![
        item("scans", ChargeWay::BarcodeScan, 1_000_000),
        LicenseItem { page_quotas: Some(quotas), ..item("pages", ChargeWay::Page, 0) },
        item("devices", ChargeWay::ConcurrentDevice, 2),
        item("instances", ChargeWay::ConcurrentInstance, N),
    ]
}

/// What a device does in the thirty days from this slot on, under an item.
fn month(item_id: &'static str, device: &str, first: u32, numbers: &mut Numbers) -> Vec<Counted> {
    let mut all: BTreeMap<(u32, UsageKind, u32), u64> = BTreeMap::new();
    for day in (0..30).step_by(3) {
        for _ in 0..5 {
            let slot = first + day * SLOTS_PER_DAY as u32 + numbers.below(6);
            let (kind, what) = match numbers.below(4) {
                0 => (UsageKind::Page, 1),
                1 => (UsageKind::Page, 8),
                2 => (UsageKind::Image, 0),
                _ => (UsageKind::Scan, 1 << numbers.below(3)),
            };
            *all.entry((slot, kind, what)).or_default() += u64::from(1 + numbers.below(9));
        }
    }
    let counted = all.into_iter().map(|((slot, kind, what), total)| Counted {
        item_id,
        device: device.to_owned(),
        slot,
        kind,
        what,
        total,
    });
    counted.collect()
}

/// A server with a year of usage, and the list of all of it.
fn with_a_year() -> (TestServer, Vec<Counted>) {
    let server = server_with(items());
    let devices: Vec<String> = (0..DEVICES).map(|_| id()).collect();
    let (mut witness, mut numbers) = (Vec::new(), Numbers(7));
    let ids = ["scans", "pages", "devices", "instances"];
    let grant = |item_id: &str, device: &str| {
        let asked = AuthorizationRequest {
            handshake_code: code_of(item_id),
            ..request(device, if item_id == "instances" { X } else { 1 })
        };
        server.authorize(&asked).unwrap().license_id
    };
    let mut licenses = BTreeMap::new();
    for item_id in ids {
        for device in &devices {
            licenses.insert((item_id, device.clone()), grant(item_id, device));
        }
    }
    for month_number in 0..12 {
        let begin = START + month_number * 30 * DAY;
        server.clock.set(begin + 30 * DAY);
        for item_id in ids {
            for device in &devices {
                let counted = month(item_id, device, slot_of(begin), &mut numbers);
                let totals = counted.iter().map(|one| UsageTotal {
                    slot: one.slot,
                    kind: one.kind,
                    what: one.what,
                    total: one.total,
                });
                let license = &licenses[&(item_id, device.clone())];
                let segments = vec![segment(&id(), license, totals.collect())];
                let answer = server.report(&report(device, segments));
                assert!(answer.refused.is_empty(), "{answer:?}");
                witness.extend(counted);
            }
        }
    }
    (server, witness)
}

/// What makes a row: code, item, device, begin, kind, what.
type Key =
    (Option<String>, Option<String>, Option<String>, Option<u64>, Option<UsageKind>, Option<u32>);

fn key_of(row: &UsageSum) -> Key {
    (
        row.handshake_code.clone(),
        row.item_id.clone(),
        row.device_uuid.clone(),
        row.begins_at,
        row.kind,
        row.what,
    )
}

/// Sum the list by these words, naively; also by slot within each row.
fn naive(witness: &[Counted], by: &str) -> BTreeMap<String, (u128, BTreeMap<u32, u128>)> {
    let has = |word: &str| by.split(',').any(|one| one == word);
    let units = [
        ("slot", TimeUnit::Slot),
        ("hour", TimeUnit::Hour),
        ("day", TimeUnit::Day),
        ("week", TimeUnit::Week),
        ("month", TimeUnit::Month),
    ];
    let unit = units.into_iter().find(|(word, _)| has(word)).map(|(_, unit)| unit);
    let mut sums: BTreeMap<String, (u128, BTreeMap<u32, u128>)> = BTreeMap::new();
    for one in witness {
        let key: Key = (
            has("code").then(|| code_of(one.item_id)),
            has("item").then(|| one.item_id.to_owned()),
            has("device").then(|| one.device.clone()),
            unit.map(|unit| slot_start(unit.begin(one.slot))),
            (has("kind") || has("what")).then_some(one.kind),
            has("what").then_some(one.what),
        );
        let (sum, slots) = sums.entry(format!("{key:?}")).or_default();
        *sum += u128::from(one.total);
        *slots.entry(one.slot).or_default() += u128::from(one.total);
    }
    sums
}

/// Ask for all parts of an answer.
fn all_rows(server: &TestServer, query: &UsageQuery) -> (Vec<UsageSum>, Usage) {
    let first = ask(server, query.clone());
    let (mut rows, mut next) = (first.rows.clone(), first.next);
    while let Some(after) = next {
        let part = ask(server, UsageQuery { after: Some(after), ..query.clone() });
        rows.extend(part.rows);
        next = part.next;
    }
    (rows, first)
}

#[test]
fn each_answer_about_a_year_equals_a_naive_sum() {
    let (server, witness) = with_a_year();
    sums_by_anything(&server, &witness);
    filters(&server, &witness);
    days_and_years(&server, &witness);
    states(&server, &witness);
}

fn sums_by_anything(server: &TestServer, witness: &[Counted]) {
    for by in [
        "",
        "code",
        "item",
        "device",
        "kind",
        "what",
        "item,kind",
        "item,device,slot",
        "item,kind,day",
        "item,week",
        "device,month,what",
        "hour,kind",
        "code,item,device,what,slot",
    ] {
        let query = UsageQuery {
            by: Some(by.to_owned()),
            peaks: true,
            limit: Some(700),
            ..UsageQuery::default()
        };
        let (rows, first) = all_rows(server, &query);
        let expected = naive(witness, by);
        assert_eq!(rows.len(), expected.len(), "by {by:?}");
        for row in &rows {
            let (sum, slots) = &expected[&format!("{:?}", key_of(row))];
            assert_eq!(row.total, *sum, "by {by:?}: {row:?}");
            assert_eq!(row.peak, slots.values().max().copied(), "by {by:?}: {row:?}");
            assert_eq!(slots[&row.peak_slot.unwrap()], row.peak.unwrap(), "by {by:?}");
        }
        let all: u128 = witness.iter().map(|one| u128::from(one.total)).sum();
        assert_eq!(first.totals.iter().map(|sum| sum.total).sum::<u128>(), all, "by {by:?}");
    }
}

fn filters(server: &TestServer, witness: &[Counted]) {
    let device = &witness[0].device;
    let (from, to) = (slot_of(START + 40 * DAY), slot_of(START + 70 * DAY));
    let query = UsageQuery {
        by: Some("what".to_owned()),
        item: Some("pages".to_owned()),
        device: Some(device[..9].to_owned()),
        from: Some(seatmeter_server::utc::text(slot_start(from))),
        to: Some(seatmeter_server::utc::text(slot_start(to))),
        ..UsageQuery::default()
    };
    let is_meant = |one: &&Counted| {
        one.item_id == "pages" && one.device == *device && (from..to).contains(&one.slot)
    };
    let meant: Vec<Counted> = witness.iter().filter(is_meant).cloned().collect();
    let expected = naive(&meant, "what");
    let found = ask(server, query);
    assert!(!expected.is_empty());
    assert_eq!(found.rows.len(), expected.len());
    for row in &found.rows {
        assert_eq!(row.total, expected[&format!("{:?}", key_of(row))].0, "{row:?}");
    }
    let wrong = |query: UsageQuery| try_ask(server, query, None).unwrap_err().to_string();
    let item = UsageQuery { item: Some("nothing".into()), ..UsageQuery::default() };
    assert!(wrong(item).contains("nothing"));
    let by = UsageQuery { by: Some("colour".into()), ..UsageQuery::default() };
    assert!(wrong(by).contains("colour"));
}

/// The number of instances or devices that are active in each slot.
fn active(witness: &[Counted], item_id: &str, x: u64) -> BTreeMap<u32, u64> {
    let of_item = witness.iter().filter(|one| one.item_id == item_id);
    let visits: BTreeSet<(u32, &str)> =
        of_item.map(|one| (one.slot, one.device.as_str())).collect();
    let mut active: BTreeMap<u32, u64> = BTreeMap::new();
    visits.iter().for_each(|(slot, _)| *active.entry(*slot).or_default() += x);
    active
}

fn days_and_years(server: &TestServer, witness: &[Counted]) {
    let per_day = SLOTS_PER_DAY as u32;
    for (item_id, n, x) in [("devices", 2, 1), ("instances", N, X.into())] {
        let active = active(witness, item_id, x);
        let year = ask(server, YearQuery { item_id: item_id.into(), year: None });
        let mut by_day: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (slot, count) in &active {
            let (peak, excess) = by_day.entry(date(slot / per_day)).or_default();
            *peak = (*peak).max(*count);
            *excess += count.saturating_sub(n);
        }
        assert!(by_day.values().any(|(_, excess)| *excess > 0), "the test has excess");
        for day in &year.days {
            let expected = by_day.get(&day.date).copied().unwrap_or_default();
            assert_eq!((day.peak, day.excess), expected, "{item_id} on {}", day.date);
        }
        let busiest = *active.iter().max_by_key(|(_, count)| **count).unwrap().0;
        let query = DayQuery {
            item_id: item_id.into(),
            date: Some(date(busiest / per_day)),
            slot: Some(busiest.to_string()),
        };
        let day = ask(server, query);
        assert_eq!(day.slots.len(), 480);
        for slot in &day.slots {
            let expected = active.get(&slot.slot).copied().unwrap_or(0);
            assert_eq!(slot.count, u128::from(expected), "{item_id} in {}", slot.slot);
            assert_eq!(slot.excess, expected.saturating_sub(n));
        }
        let in_slot: BTreeSet<&str> = witness
            .iter()
            .filter(|one| one.item_id == item_id && one.slot == busiest)
            .map(|one| one.device.as_str())
            .collect();
        let listed: BTreeSet<&str> =
            day.devices.iter().map(|device| device.device_uuid.as_str()).collect();
        assert_eq!(listed, in_slot);
        assert!(day.devices.iter().all(|device| device.count == u128::from(x)));
    }
    let year = ask(server, YearQuery { item_id: "scans".into(), year: None });
    let scans: Vec<Counted> = of_kind(witness, "scans", UsageKind::Scan);
    for day in &year.days {
        let of_day = scans.iter().filter(|one| date(one.slot / per_day) == day.date);
        assert_eq!(day.total, of_day.map(|one| one.total).sum::<u64>(), "{}", day.date);
    }
    assert_eq!(year.total, scans.iter().map(|one| one.total).sum::<u64>());
    let day = ask(
        server,
        DayQuery { item_id: "scans".into(), date: Some(date(scans[0].slot / per_day)), slot: None },
    );
    let of_day = scans.iter().filter(|one| one.slot / per_day == scans[0].slot / per_day);
    assert_eq!(day.total, of_day.map(|one| u128::from(one.total)).sum::<u128>());
}

fn of_kind(witness: &[Counted], item_id: &str, kind: UsageKind) -> Vec<Counted> {
    let is_it = |one: &&Counted| one.item_id == item_id && one.kind == kind;
    witness.iter().filter(is_it).cloned().collect()
}

fn states(server: &TestServer, witness: &[Counted]) {
    let status = ask(server, StatusQuery::default());
    let item =
        |id: &str| -> &ItemStatus { status.items.iter().find(|item| item.item_id == id).unwrap() };
    let used = |id: &str, kind, what: Option<u32>| -> u64 {
        let all = of_kind(witness, id, kind);
        all.iter().filter(|one| what.is_none_or(|what| what == one.what)).map(|one| one.total).sum()
    };
    assert_eq!(item("scans").meters[0].used, used("scans", UsageKind::Scan, None));
    for meter in &item("pages").meters {
        assert_eq!(meter.used, used("pages", UsageKind::Page, Some(meter.module)), "{meter:?}");
    }
    for (id, n, x) in [("devices", 2, 1), ("instances", N, X.into())] {
        let excess: u64 =
            active(witness, id, x).values().map(|count| count.saturating_sub(n)).sum();
        assert_eq!(item(id).meters[0].used, excess, "{id}");
        assert_eq!(item(id).meters[0].quota, 1_000 * n);
    }
    assert_eq!(item("scans").state, ItemState::Within);
    let part = ask(server, StatusQuery { limit: Some(3), ..StatusQuery::default() });
    let rest = ask(server, StatusQuery { after: part.next.clone(), ..StatusQuery::default() });
    let ids: Vec<&str> =
        part.items.iter().chain(&rest.items).map(|item| item.item_id.as_str()).collect();
    assert_eq!(ids, ["devices", "instances", "pages", "scans"]);
}

#[test]
fn a_forecast_names_the_day_on_which_a_quota_is_used_up() {
    let server = server_with(vec![
        LicenseItem::new("scans", ChargeWay::BarcodeScan, 150, START, EXPIRY),
        LicenseItem::new("seats", ChargeWay::Server, 40, START, EXPIRY),
    ]);
    let forecast = |server: &TestServer, id: &str| {
        let query = StatusQuery { item: Some(id.to_owned()), ..StatusQuery::default() };
        ask(server, query).items[0].meters[0].forecast.clone()
    };
    let device = id();
    let asked = |code: &str, device: &str| AuthorizationRequest {
        handshake_code: code_of(code),
        ..request(device, 1)
    };
    let license = server.authorize(&asked("scans", &device)).unwrap();
    let segment_id = id();
    let mut totals = Vec::new();
    for day in 0..10 {
        server.clock.set(START + day * DAY);
        totals.push(scans(slot_of(START + day * DAY), 4, 10));
        server.report(&report(
            &device,
            vec![segment(&segment_id, &license.license_id, totals.clone())],
        ));
        // Two servers more each day; their window is a day, so the others renew.
        for number in 0..2 * (day + 1) {
            server.authorize(&asked("seats", &format!("{number:032x}"))).unwrap();
        }
        if day < 7 {
            let early = forecast(&server, "scans");
            assert!(early.used_up_on.is_none() && early.reason.contains("needs 7 days"));
        }
    }
    server.clock.set(START + 10 * DAY - 60);
    let found = forecast(&server, "scans");
    // 100 are used, and today, the tenth, is not over: 50 more are 5 days.
    assert_eq!(found.used_up_on.as_deref(), Some("2027-01-29"));
    assert_eq!(found.refused_on.as_deref(), Some("2027-01-30"));
    assert_eq!(found.basis_days, 10);
    let seats = forecast(&server, "seats");
    // Today is the day after the tenth, with 20 seats; 2 more each day.
    assert_eq!(seats.used_up_on.as_deref(), Some("2027-02-03"), "{seats:?}");
}
