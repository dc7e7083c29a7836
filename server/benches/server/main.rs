//! Durable usage reports and authorizations per second over HTTP, client and server on the same
//! machine; on SQLite, on PostgreSQL, and beside them what Redis and etcd do that comes nearest.
//!
//! `cargo bench -p seatmeter-server --bench server -- [seconds per measurement] [clients]`; `make
//! bench-server` runs it. Without `--bench`, as with the tests, it tries a little of each.
//!
//! Each client has one connection that it keeps, and one request in flight. A report is as the
//! library sends it: the device's local license, signed, and two counters of a slot that was not
//! reported before. What the server does is its whole work: it checks the license, books, makes
//! durable, and signs the answer. A new device with each authorization. Reports are measured again
//! over TLS, and beside a storm of clients who connect, make a full handshake, and leave. The peers
//! neither check nor sign anything:
//!
//! | peer | a report | an authorization |
//! | --- | --- | --- |
//! | Redis, `appendfsync always` | a Lua script that keeps the maximum of two counters | one that counts the leases that run, and adds one |
//! | etcd | a put | a lease, and a put under it |
//!
//! A peer that is not on the machine is left out, and named.
//!
//! With the further word `scale` it measures in place of that what a report
//! costs on SQLite with a thousand and with a million known devices, each of which may be the next
//! to report; with one day and with a year of history; and what five thousand clients that send
//! half a head and wait do to the others. Before that, what an authorization costs when the item
//! has a thousand, forty thousand and a million licenses. `… authorizations` measures these alone.
//!
//! With the further word `far` it measures PostgreSQL at the other end of a network with round
//! trips of 0, 1.3, 2.4 and 10 ms, and once more by way of PgBouncer.
//!
//! With the further word `admin` it measures requests of the admin API with a token, with `open`
//! what a server in the open meets ([`open`]), and with `restored` ten thousand devices that come
//! back to a database of yesterday ([`restored`]).
//!
//! With the further word `nine` it measures ten thousand new devices that all ask at one time,
//! beside others that report; with `items`, reports under one item and under a thousand; with
//! `dashboards`, reports beside fifty open dashboards.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot run must stop")]
#![allow(clippy::disallowed_methods, reason = "it measures with the system's clock")]

mod admin;
mod dashboards;
mod far;
mod items;
mod load;
mod nine;
mod open;
mod ours;
mod peers;
mod restored;
mod scale;
mod storm;
mod wire;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seatmeter_e2e::postgres as cluster;
use seatmeter_protocol::slot::SLOT_SECONDS;

use load::Bench;

/// Devices that report in turn.
const DEVICES: usize = 1_000;

/// The time of each measurement of a trial.
const TRIAL_TIME: Duration = Duration::from_millis(50);

fn main() {
    // Cargo adds an option of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let is_trial = !std::env::args().any(|word| word == "--bench");
    let seconds: f64 = arguments.next().map_or(4.0, |text| text.parse().unwrap());
    let clients: usize = arguments.next().map_or(64, |text| text.parse().unwrap());
    let seatmeterd = Path::new(env!("CARGO_BIN_EXE_seatmeterd"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let time = Duration::from_secs_f64(seconds);
    if is_trial {
        let bench = Bench { runtime, time: time.min(TRIAL_TIME), clients: 2, is_trial };
        return bench.try_all(seatmeterd);
    }
    let bench = Bench { runtime, time, clients, is_trial };
    say(&format!(
        "{clients} clients, {seconds} s for each measurement; p99 at half of the rate in the last \
         column"
    ));
    match arguments.next().as_deref() {
        Some("authorizations") => return bench.authorizations(seatmeterd),
        Some("far") => return bench.far(seatmeterd),
        Some("admin") => {
            bench.admin(seatmeterd, "SQLite", None);
            if let Some(cluster) = cluster::Cluster::start(true) {
                let url = cluster.url(&cluster.new_database());
                bench.admin(seatmeterd, "PostgreSQL", Some(&url));
            }
            return;
        }
        Some("dashboards") => return bench.dashboards(seatmeterd),
        Some("open") => return bench.open(seatmeterd),
        Some("restored") => return bench.restored(seatmeterd),
        Some("nine") => return bench.nine(seatmeterd),
        Some("items") => return bench.items(seatmeterd),
        Some("scale") => {
            bench.authorizations(seatmeterd);
            return bench.scale(seatmeterd);
        }
        _ => {}
    }
    let sqlite = bench.seatmeter("SQLite", seatmeterd, None);
    let cluster = cluster::Cluster::start(true);
    if let Some(cluster) = &cluster {
        let postgres =
            bench.seatmeter("PostgreSQL", seatmeterd, Some(&cluster.url(&cluster.new_database())));
        compare("seatmeter on PostgreSQL / on SQLite", postgres, sqlite);
    } else {
        say("left out: PostgreSQL, which is not on this machine");
    }
    for (name, peer) in [("Redis", bench.redis()), ("etcd", bench.etcd())] {
        match peer {
            Some(figures) => compare(&format!("seatmeter on SQLite / {name}"), sqlite, figures),
            None => say(&format!("left out: {name}, which is not on this machine")),
        }
    }
    say(&format!(
        "at one report per device and slot: {:.1} million devices on SQLite",
        sqlite.0 * SLOT_SECONDS as f64 / 1e6
    ));
}

impl Bench {
    /// Run a little of what fills a database or knows the protocol, so that the tests find a
    /// measurement that no longer fits the server. The figures say nothing.
    fn try_all(&self, seatmeterd: &Path) {
        self.seatmeter("SQLite", seatmeterd, None);
        self.authorizations(seatmeterd);
        self.scale(seatmeterd);
        self.items(seatmeterd);
        self.nine(seatmeterd);
        self.restored(seatmeterd);
        self.admin(seatmeterd, "SQLite", None);
        self.dashboards(seatmeterd);
    }
}

/// Reports and authorizations per second.
type Rates = (f64, f64);

fn compare(what: &str, of: Rates, to: Rates) {
    say(&format!("{what}: reports {:.2}, authorizations {:.2}", of.0 / to.0, of.1 / to.1));
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn say(line: &str) {
    // Nobody reads on: the measurement goes on all the same.
    let _ = writeln!(std::io::stdout(), "{line}");
}
