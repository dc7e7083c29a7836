//! What one decision costs with 100 000 devices under an item, and what an item's account takes to
//! keep.
//!
//! `cargo bench -p seatmeter-server --bench policy -- [devices]`
//!
//! Each round measures every decision and, beside it, a look-up in the standard map with as many
//! entries: what any server pays to find a device at all. The ratios are to that look-up, and say
//! more than the times on a machine that is busy with other work. Figures are medians of the
//! rounds.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::slot::SLOTS_PER_DAY;
use seatmeter_server::policy::active_slots::ActiveSlots;
use seatmeter_server::policy::charge_way::per_domain::Domains;
use seatmeter_server::policy::charge_way::{
    per_barcode_scan, per_client_device, per_concurrent_device, per_domain, per_server,
};
use seatmeter_server::policy::holders::{Hold, Holders};
use seatmeter_server::policy::running::Running;
use seatmeter_server::policy::strict_allowance;
use seatmeter_server::policy::strict_allowance::{Allowance, Allowances, Need};

const ROUNDS: usize = 7;
const DECISIONS: u32 = 200_000;
const START: u64 = 1_800_000_000;
const DAY: u32 = SLOTS_PER_DAY as u32;

/// One thing that is measured.
struct Measured {
    name: &'static str,
    rounds: Vec<f64>,
}

fn main() {
    // Cargo adds an option of its own.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let devices: u32 = words.next().map_or(100_000, |text| text.parse().unwrap());
    let mut table: Vec<Measured> = Vec::new();
    for _ in 0..ROUNDS {
        for (position, (name, ns)) in round(devices).into_iter().enumerate() {
            if position == table.len() {
                table.push(Measured { name, rounds: Vec::new() });
            }
            table[position].rounds.push(ns);
        }
    }
    let base = median(&mut table[0].rounds);
    say(&format!("{devices} devices, medians of {ROUNDS} rounds of {DECISIONS}"));
    for measured in &mut table {
        let ns = median(&mut measured.rounds);
        say(&format!("{:<52} {ns:>8.0} ns   {:>5.1} x", measured.name, ns / base));
    }
    for (name, slots_of_day) in [
        ("working days of 8 h, without a gap", (160..320).collect::<Vec<u32>>()),
        ("half of all slots at random", Vec::new()),
        ("around the clock", (0..DAY).collect()),
    ] {
        say(&bytes(name, &slots_of_day));
    }
}

/// Nanoseconds of each decision; the first is what the others are compared with.
fn round(devices: u32) -> Vec<(&'static str, f64)> {
    let n = u64::from(devices);
    let item = |way| LicenseItem::new("item", way, n, START, u64::MAX);
    let map: HashMap<u32, u64> = (0..devices).map(|device| (device, 7)).collect();
    let mut figures =
        vec![("look-up in the standard map", each(devices, |device| *map.get(&device).unwrap()))];

    let scans = item(ChargeWay::BarcodeScan);
    figures.push((
        "per_barcode_scan",
        each(devices, |d| per_barcode_scan::decide(&scans, u64::from(d)).is_ok()),
    ));

    let mut holders = full(devices, START + 1_000);
    let seats = item(ChargeWay::ActiveDevice);
    figures.push((
        "per_client_device, one more contact of a holder",
        each(devices, |device| {
            let occupied = holders.occupied(device, START);
            let (_, hold) = per_client_device::decide(&seats, &occupied, START).unwrap();
            holders.hold(device, hold);
        }),
    ));
    let one_less = LicenseItem { quota: n, ..item(ChargeWay::Server) };
    figures.push((
        "per_server, a refusal with its sentence",
        each(devices, |device| {
            let occupied = holders.occupied(devices + device, START);
            per_server::decide(DeploymentType::Server, &one_less, &occupied, START).is_err()
        }),
    ));

    let (free, mut running) = (item(ChargeWay::ConcurrentDevice), full(devices, START + 240));
    figures.push((
        "per_concurrent_device, free",
        each(devices, |device| {
            let occupied = running.occupied(device, START);
            per_concurrent_device::decide(&free, 0, &occupied, START).is_ok()
        }),
    ));
    figures.push((
        "per_concurrent_device, overused, renewed",
        each(devices, |device| {
            let occupied = running.occupied(device, START);
            match per_concurrent_device::decide(&free, u64::MAX, &occupied, START).unwrap() {
                Running::PerSlot(hold) => running.hold(device, hold),
                Running::Free => unreachable!("the item is overused"),
            }
        }),
    ));

    let domains =
        Domains::listed(&(0..1_000).map(|d| format!("company{d}.example")).collect::<Vec<_>>())
            .unwrap();
    figures.push((
        "per_domain, one of 1 000 domains",
        each(devices, |_| {
            per_domain::decide("item", &domains, "www.Company999.example:443").is_ok()
        }),
    ));
    let all = Allowances { quota: 1_000_000, allowed: 400_000, devices: n };
    let need = Need { needed: 4, lost: 0 };
    figures.push((
        "strict allowance",
        each(devices, |device| {
            strict_allowance::decide("item", &all, Allowance::default(), need, device).is_ok()
        }),
    ));
    figures
}

/// As many holders as there are devices.
fn full(devices: u32, until: u64) -> Holders<u32> {
    let mut holders = Holders::default();
    for device in 0..devices {
        holders.hold(device, Hold { seats: 1, until });
    }
    holders
}

/// Nanoseconds for one device, over devices far from each other.
fn each<T>(devices: u32, mut decide: impl FnMut(u32) -> T) -> f64 {
    let begun = Instant::now();
    for n in 0..DECISIONS {
        black_box(decide(black_box(n.wrapping_mul(7_919) % devices)));
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS)
}

/// A year of one device, stored.
fn bytes(name: &str, slots_of_day: &[u32]) -> String {
    let mut slots = ActiveSlots::default();
    let mut random = 88_172_645_463_325_252_u64;
    for day in 0..365 {
        for slot in 0..DAY {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let active = if slots_of_day.is_empty() {
                random.is_multiple_of(2)
            } else {
                slots_of_day.contains(&slot)
            };
            if active {
                slots.raise(day * DAY + slot, 1);
            }
        }
    }
    let stored = slots.stored_bytes();
    format!(
        "a device's year, {name:<35} {:>6} slots {stored:>6} bytes   {:.3} bytes for a device and \
         slot",
        slots.len(),
        stored as f64 / slots.len() as f64
    )
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn say(line: &str) {
    // Nobody reads on: the measurement goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}
