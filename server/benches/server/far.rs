//! PostgreSQL at the other end of a network.

use std::path::Path;
use std::time::Duration;

use seatmeter_e2e::pooler::Pooler;
use seatmeter_e2e::postgres::Cluster;
use seatmeter_e2e::relay::Relay;

use crate::load::Bench;
use crate::say;

/// The times of a round trip, in microseconds.
const ROUND_TRIPS: [u64; 4] = [0, 1_300, 2_400, 10_000];

impl Bench {
    /// Measure with each round trip, and by way of a pooler.
    pub(crate) fn far(&self, seatmeterd: &Path) {
        let Some(cluster) = Cluster::start(true) else {
            return say("left out: PostgreSQL, which is not on this machine");
        };
        for micros in ROUND_TRIPS {
            let network = Relay::start(cluster.port(), Duration::from_micros(micros));
            let port = |port: u16| format!("127.0.0.1:{port}/");
            let url = cluster.url(&cluster.new_database());
            let url = url.replace(&port(cluster.port()), &port(network.port()));
            let name = format!("PostgreSQL, round trip {} ms", micros as f64 / 1e3);
            self.over_network(&name, seatmeterd, &url);
        }
        for mode in ["session", "transaction"] {
            let Some(pooler) = Pooler::start(&cluster, mode, 20) else {
                return say("left out: PgBouncer, which is not on this machine");
            };
            let url = pooler.url(&cluster.new_database());
            self.over_network(&format!("PostgreSQL, PgBouncer ({mode})"), seatmeterd, &url);
        }
    }
}
