//! Ten thousand devices that come back at once to a server whose database was put back to an
//! earlier state. Half of them are unknown to it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seatmeter_protocol::message::AuthorizationRequest;
use seatmeter_protocol::slot::slot_of;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::load::{Bench, connect, percentile};
use crate::ours::{Device, Server, authorize_with};
use crate::{now, say};

const DEVICES: u64 = 10_000;

/// The connections that are open at one time. A server has 4 096 places, unless its process may
/// open fewer files; the others wait in the devices.
const AT_ONCE_MAX: usize = 1_000;

impl Bench {
    /// Each device connects, reports, and asks for its license anew, as a program does at its
    /// start. It signs the report with its own key, because the server has forgotten what they
    /// agreed on.
    pub(crate) fn restored(&self, seatmeterd: &Path) {
        let count = self.size(DEVICES) as usize;
        let (folder, data) = Server::initialized(seatmeterd, None);
        let server = Server::serve(seatmeterd, None, folder, &[]);
        let (begun, cpu) = (Instant::now(), server.cpu_seconds());
        let mut devices = self.make_devices(&server, count / 2);
        let (took, made) = (begun.elapsed().as_secs_f64(), devices.len() as f64);
        let cpu = 1e6 * (server.cpu_seconds() - cpu) / made;
        say(&format!("new devices: {:.0} /s, {cpu:.0} us of the server each", made / took));
        // The database as it is now is what will be put back.
        let folder = server.kill();
        let copy = folder.path().join("copy.db");
        let (database, log) = (data.join("seatmeter.db"), data.join("seatmeter.db-wal"));
        fold(&database);
        std::fs::copy(&database, &copy).unwrap();
        let server = Server::serve(seatmeterd, None, folder, &[]);
        devices.extend(self.make_devices(&server, count - count / 2));
        let folder = server.kill();
        std::fs::copy(&copy, &database).unwrap();
        let _ = std::fs::remove_file(log);
        let server = Server::serve(seatmeterd, None, folder, &[]);
        let begun = Instant::now();
        let mut latencies = self.come_back(&server, devices);
        let took = begun.elapsed().as_secs_f64();
        latencies.sort_unstable();
        say(&format!(
            "{count} devices came back to a database without half of them: all served after \
             {took:.1} s, {:.0} devices/s; a report and an authorization on a new connection: p50 \
             {:.0} ms, p99 {:.0} ms with {AT_ONCE_MAX} at once, {:.0} us of the server's \
             processor; none was refused or called a copy",
            count as f64 / took,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
            1e6 * server.cpu_seconds() / count as f64,
        ));
        server.tell_memory("restored");
    }

    fn make_devices(&self, server: &Server, count: usize) -> Vec<Device> {
        let connections = self.connections(server.address);
        let clients = self.clients;
        self.runtime.block_on(LocalSet::new().run_until(async move {
            let makers: Vec<_> = (0..clients)
                .map(|client| {
                    let connections = connections.clone();
                    tokio::task::spawn_local(async move {
                        let mut made = Vec::new();
                        let mut connection = connections[client].lock().await;
                        for _ in (client..count).step_by(clients) {
                            made.push(Device::authorized(&mut connection).await);
                        }
                        made
                    })
                })
                .collect();
            let mut devices = Vec::new();
            for maker in makers {
                devices.extend(maker.await.unwrap());
            }
            devices
        }))
    }

    /// Let all come back, and return how long each of them took from its turn on.
    fn come_back(&self, server: &Server, devices: Vec<Device>) -> Vec<Duration> {
        let address = server.address;
        let slot = slot_of(now());
        self.runtime.block_on(LocalSet::new().run_until(async move {
            let turns = Arc::new(Semaphore::new(AT_ONCE_MAX));
            let coming: Vec<_> = devices
                .into_iter()
                .map(|device| {
                    let turns = turns.clone();
                    tokio::task::spawn_local(async move {
                        let _turn = turns.acquire().await.unwrap();
                        let begun = Instant::now();
                        let mut connection = connect(address, None).await;
                        // Both end the measurement if they are refused.
                        device.report_signed(&mut connection, slot, 7).await;
                        let license = device.local_license.clone();
                        let show = |request: &mut AuthorizationRequest| {
                            request.newest_license = Some(license);
                        };
                        authorize_with(&mut connection, &device.uuid, show).await;
                        begun.elapsed()
                    })
                })
                .collect();
            let mut latencies = Vec::new();
            for device in coming {
                latencies.push(device.await.unwrap());
            }
            latencies
        }))
    }
}

/// Bring everything of the database into its one file.
fn fold(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}
