//! Clients that work beside each other, each with one request in flight, and what they see.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::say;

/// A connection, plain or with TLS.
pub(crate) type Connection = Box<dyn Stream>;

/// What both kinds of connection can do.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The connection of each client.
pub(crate) type Connections = Arc<Vec<Mutex<Connection>>>;

/// Connects, with TLS if there is something to trust.
pub(crate) async fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let Some(tls) = tls else { return Box::new(stream) };
    let name = "localhost".try_into().unwrap();
    Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await.unwrap())
}

/// The greatest number of devices, clients or days of a trial.
const TRIAL_SIZE: u64 = 20;

/// A measurement.
pub(crate) struct Bench {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) time: Duration,
    pub(crate) clients: usize,
    /// Whether this only tries that everything can still be measured: then a little is enough.
    pub(crate) is_trial: bool,
}

impl Bench {
    /// Returns the number to use in place of this one.
    pub(crate) fn size(&self, full: u64) -> u64 {
        if self.is_trial { full.min(TRIAL_SIZE) } else { full }
    }

    /// Measures at full speed, and at half of it.
    pub(crate) fn measure<W, F>(&self, name: &str, work: W) -> f64
    where
        W: Fn(usize) -> F + Clone + 'static,
        F: Future<Output = ()> + 'static,
    {
        let clients = self.clients;
        let full = self.runtime.block_on(drive(clients, self.time, None, work.clone()));
        let pause = self.time.mul_f64(2.0 * clients as f64 / full.len() as f64);
        let half = self.runtime.block_on(drive(clients, self.time, Some(pause), work));
        let rate = full.len() as f64 / self.time.as_secs_f64();
        say(&format!(
            "{name:<34} {rate:>8.0} /s   p50 {:>6.2} ms   p99 {:>6.2} ms   {:>6.2} ms",
            percentile(&full, 50),
            percentile(&full, 99),
            percentile(&half, 99)
        ));
        rate
    }

    /// The latencies of clients that work for a while, in order: at full speed, or with this number
    /// of requests a second from all of them.
    pub(crate) fn latencies<W, F>(&self, per_second: Option<f64>, work: W) -> Vec<Duration>
    where
        W: Fn(usize) -> F + Clone + 'static,
        F: Future<Output = ()> + 'static,
    {
        let pause = per_second.map(|rate| Duration::from_secs_f64(self.clients as f64 / rate));
        self.runtime.block_on(drive(self.clients, self.time, pause, work))
    }

    /// A connection for each client.
    pub(crate) fn connections(&self, address: SocketAddr) -> Connections {
        self.connections_with(address, None)
    }

    /// The same, with TLS if there is something to trust.
    pub(crate) fn connections_with(
        &self,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Connections {
        self.runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..self.clients {
                connections.push(Mutex::new(connect(address, tls).await));
            }
            Arc::new(connections)
        })
    }
}

/// Lets clients work until the time is over; the latencies of all, in order.
async fn drive<W, F>(
    clients: usize,
    time: Duration,
    pause: Option<Duration>,
    work: W,
) -> Vec<Duration>
where
    W: Fn(usize) -> F + Clone + 'static,
    F: Future<Output = ()> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let until = Instant::now() + time;
    let mut latencies = local
        .run_until(async {
            let tasks: Vec<_> = (0..clients)
                .map(|client| {
                    let work = work.clone();
                    tokio::task::spawn_local(async move {
                        let mut latencies = Vec::new();
                        let mut next = Instant::now()
                            + pause.unwrap_or_default().mul_f64(client as f64 / clients as f64);
                        loop {
                            if pause.is_some() {
                                tokio::time::sleep_until(next.into()).await;
                            }
                            let begun = Instant::now();
                            if begun >= until {
                                break latencies;
                            }
                            work(client).await;
                            latencies.push(begun.elapsed());
                            next += pause.unwrap_or_default();
                        }
                    })
                })
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.unwrap());
            }
            all
        })
        .await;
    latencies.sort_unstable();
    latencies
}

/// The latency in ms below which this share of all is.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}
