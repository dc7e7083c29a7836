//! What a report and an authorization cost as the server grows, and what slow clients do to the
//! others.

use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::ReportKey;
use seatmeter_protocol::signature::digest_hex;
use seatmeter_protocol::slot::slot_of;

use crate::load::{Bench, Connections};
use crate::ours::{Server, authorize, device_key, facts};
use crate::wire::{By, post};
use crate::{now, say};

/// Clients that send half a head and wait.
const SLOW_CLIENTS: u64 = 5_000;

/// How many devices hold a license of the one item, for authorizations.
const LICENSES: [u64; 3] = [1_000, 40_000, 1_000_000];

impl Bench {
    /// Measure authorizations of known devices, each of which may be the next to ask.
    pub(crate) fn authorizations(&self, seatmeterd: &Path) {
        let rates = LICENSES.map(|devices| {
            let devices = self.size(devices);
            let server =
                Server::start_with(seatmeterd, None, |database| fill(database, devices, 0));
            let connections = self.connections(server.address);
            let name = format!("authorizations, {devices} licenses");
            self.measure(&name, known_devices_ask(devices, connections))
        });
        let ratio = |number: usize| rates[number] / rates[0];
        say(&format!(
            "authorizations with 40 000 licenses: {:.2} of the rate with a thousand; with a \
             million: {:.2}",
            ratio(1),
            ratio(2)
        ));
    }

    /// Devices, history and slow clients, on SQLite.
    pub(crate) fn scale(&self, seatmeterd: &Path) {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(2 * SLOW_CLIENTS)), hard).unwrap();
        let mut rates = Vec::new();
        for (name, devices, days) in [
            ("1 000 devices, 1 day", 1_000, 1),
            ("1 000 devices, 365 days", 1_000, 365),
            ("1 000 000 devices, 1 day", 1_000_000, 1),
        ] {
            let (devices, days) = (self.size(devices), self.size(days) as u32);
            let server =
                Server::start_with(seatmeterd, None, |database| fill(database, devices, days));
            let connections = self.connections(server.address);
            rates.push(
                self.measure(
                    &format!("reports, {name}"),
                    known_devices(devices, connections.clone()),
                ),
            );
            server.tell_memory(name);
            if rates.len() == 1 {
                let slow: Vec<_> = (0..self.size(SLOW_CLIENTS))
                    .map(|_| {
                        let mut slow = std::net::TcpStream::connect(server.address).unwrap();
                        slow.write_all(b"POST /v1/usage HTTP/1.1\r\nhost: be").unwrap();
                        slow
                    })
                    .collect();
                // Some of the clients' own connections have waited longest: they had nothing to do
                // meanwhile.
                let connections = self.connections(server.address);
                self.measure(
                    "reports, with 5 000 slow clients",
                    known_devices(devices, connections),
                );
                drop(slow);
            }
        }
        say(&format!(
            "a year of history: {:.2} of the rate with a day; a million devices: {:.2} of that \
             with a thousand",
            rates[1] / rates[0],
            rates[2] / rates[0]
        ));
    }
}

/// Something that looks like a random id, the same for the same numbers.
fn id_of(kind: u64, number: u64) -> String {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    format!("{:016x}{:016x}", mix(number ^ kind << 56), mix(mix(number) ^ kind))
}

/// The report key of a device that [`fill`] has made.
fn report_key(uuid: &str) -> ReportKey {
    let digest = digest_hex(uuid.as_bytes());
    ReportKey::try_from(format!("{}{digest}", &digest[..16])).unwrap()
}

/// Devices, each with a license, a segment and some days of usage, as if they had been there.
fn fill(database: &Path, devices: u64, days: u32) {
    let mut connection = rusqlite::Connection::open(database).unwrap();
    // The ids come in no order: with all pages in memory, in KiB, each is written once.
    connection.pragma_update(None, "cache_size", -(2_i64 << 20)).unwrap();
    let transaction = connection.transaction().unwrap();
    let item: String =
        transaction.query_row("SELECT item_id FROM license_item", [], |row| row.get(0)).unwrap();
    let (now, today) = (now(), slot_of(now()) / 480);
    {
        let mut device = transaction
            .prepare("INSERT INTO device VALUES (?1, ?2, 'till 7', '0.1.0', 1, ?3, ?3)")
            .unwrap();
        let mut license = transaction
            .prepare(
                "INSERT INTO local_license (item_id, license_id, device_uuid, handshake_code, \
                serial, seats_asked, seats, issued_at, valid_until, holder, begun_at) \
                VALUES (?1, ?2, ?3, 'BENCH', 1, 1, 1, ?4, ?4 + 604800, ?3, ?4)",
            )
            .unwrap();
        let mut segment = transaction
            .prepare("INSERT INTO segment VALUES (?1, ?2, ?3, ?4, 'BENCH', ?5)")
            .unwrap();
        let mut seats =
            transaction.prepare("INSERT INTO device_seats VALUES (?1, ?2, 0, 1)").unwrap();
        // Each has its key, and may ask for its first license once more.
        let mut identity = transaction
            .prepare(
                "INSERT INTO device_identity VALUES (?1, ?2, 0, 0, 0, 1, '[[1,0,0]]', ?1, ?3, '', \
                ?4, 0, 0, 0, ?4)",
            )
            .unwrap();
        for number in 0..devices {
            let (uuid, license_id) = (id_of(1, number), id_of(2, number));
            let keys = (device_key(&uuid).public().to_string(), String::from(report_key(&uuid)));
            identity.execute(rusqlite::params![uuid, keys.0, keys.1, now]).unwrap();
            device.execute(rusqlite::params![item, uuid, now]).unwrap();
            license.execute(rusqlite::params![item, license_id, uuid, now]).unwrap();
            segment
                .execute(rusqlite::params![item, id_of(3, number), license_id, uuid, now])
                .unwrap();
            seats.execute(rusqlite::params![item, uuid]).unwrap();
        }
        // One counter of ten slots in each day: kind 1, symbology 2, total 7. The slots as one run
        // for one instance.
        let totals: Vec<u8> =
            [1, 1, 2].into_iter().chain((0..10).flat_map(|n| [u8::from(n > 0), 0, 7])).collect();
        let mut usage =
            transaction.prepare("INSERT INTO usage_day VALUES (?1, ?2, ?3, ?4)").unwrap();
        for day in today - days..today {
            for number in 0..devices {
                usage.execute(rusqlite::params![item, day, id_of(3, number), totals]).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

/// Authorizations of devices that [`fill`] has made, in no order.
fn known_devices_ask(
    devices: u64,
    connections: Connections,
) -> impl Fn(usize) -> Pin<Box<dyn Future<Output = ()>>> + Clone {
    let turn = Arc::new(AtomicU64::new(0));
    move |client| {
        let (turn, connections) = (turn.clone(), connections.clone());
        Box::pin(async move {
            let number = random_number(turn.fetch_add(1, Ordering::Relaxed), devices);
            let mut connection = connections[client].lock().await;
            authorize(&mut connection, &id_of(1, number)).await;
        })
    }
}

/// Something that looks like a random number below this one.
fn random_number(turn: u64, below: u64) -> u64 {
    u64::from_str_radix(&id_of(4, turn)[..15], 16).unwrap() % below
}

/// Reports of devices that [`fill`] has made, in no order.
fn known_devices(
    devices: u64,
    connections: Connections,
) -> impl Fn(usize) -> Pin<Box<dyn Future<Output = ()>>> + Clone {
    let turn = Arc::new(AtomicU64::new(0));
    let first_slot = slot_of(now()) / 480 * 480;
    move |client| {
        let (turn, connections) = (turn.clone(), connections.clone());
        Box::pin(async move {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let number = random_number(turn, devices);
            let slot = first_slot + (turn / 97 % 480) as u32;
            let total = |kind, what| UsageTotal { slot, kind, what, total: turn + 1 };
            let segment = SegmentReport {
                segment_id: id_of(3, number),
                license_id: id_of(2, number),
                local_license: None,
                totals: vec![total(UsageKind::Scan, 2), total(UsageKind::Image, 0)],
            };
            let uuid = id_of(1, number);
            let report = UsageReport {
                receipt: String::new(),
                protocol: 1,
                device: facts(&uuid),
                newest_license: None,
                segments: vec![segment],
                ended: Vec::new(),
            };
            let body = serde_json::to_vec(&report).unwrap();
            let mut connection = connections[client].lock().await;
            let by = By::Tag(&report_key(&uuid));
            let answer: UsageAnswer = post(&mut connection, USAGE_PATH, &body, by).await;
            assert_eq!((answer.recorded.len(), answer.refused.len()), (1, 0));
        })
    }
}
