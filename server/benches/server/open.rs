//! What a server in the open meets: TLS on kept connections, storms of handshakes, and guesses of
//! passwords. Rounds alternate, so that other work on the machine meets all of them alike.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use seatmeter_protocol::message::{AUTHORIZATIONS_PATH, AuthorizationRequest, NONCE_HEADER};
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::random_id;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::{Bench, Connection, connect, percentile};
use crate::ours::{CODE, Server, authorization, authorize_with, device_key, reporting};
use crate::say;
use crate::storm::Storm;

/// The rounds of each comparison.
const ROUNDS: usize = 5;

/// The reports a second beside a storm.
const BESIDE_STORM: f64 = 1_000.0;

/// Those who guess passwords, and the authorizations a second of those who know theirs.
const ATTACKERS: usize = 300;
const BESIDE_ATTACKERS: f64 = 200.0;

const PASSWORD: &str = "correct horse battery";

impl Bench {
    /// All of it, on SQLite.
    pub(crate) fn open(&self, seatmeterd: &Path) {
        self.tls(seatmeterd);
        self.guesses(seatmeterd);
    }

    fn tls(&self, seatmeterd: &Path) {
        let server = Server::start(seatmeterd, None);
        let (devices, turn) = (self.devices(&server), Arc::new(AtomicU64::new(0)));
        let (address, tls_address, trust) = (server.address, server.tls_address, server.trust());
        let plain = self.connections(address);
        let tls = self.connections_with(tls_address, Some(&trust));
        let (mut rates, mut costs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for round in 0..2 * ROUNDS {
            // Each of the two is as often the first as the second one.
            let which = (round + round / 2) % 2;
            let before = server.cpu_seconds();
            let work = reporting([&plain, &tls][which], &devices, &turn);
            let reports = self.latencies(None, work).len() as f64;
            costs[which].push(1e6 * (server.cpu_seconds() - before) / reports);
            rates[which].push(reports / self.time.as_secs_f64());
        }
        let ([plain, over_tls], [cpu, cpu_tls]) = (rates.map(median), costs.map(median));
        say(&format!(
            "reports on kept connections: {plain:.0} /s plain, {over_tls:.0} /s over TLS ({:.2}); \
             {cpu:.0} and {cpu_tls:.0} us of the server's processor each: TLS costs {:.0} %, \
             medians of {ROUNDS} rounds",
            over_tls / plain,
            100.0 * (1.0 - cpu / cpu_tls)
        ));
        let (mut quiet, mut stormy, mut made) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let work = reporting(&tls, &devices, &turn);
            quiet.push(percentile(&self.latencies(Some(BESIDE_STORM), work.clone()), 99));
            let storm = Storm::begin(tls_address, &trust);
            stormy.push(percentile(&self.latencies(Some(BESIDE_STORM), work), 99));
            made.push(storm.end());
        }
        say(&format!(
            "{BESIDE_STORM} reports/s over TLS on kept connections: p99 {:.1} ms, beside {:.0} \
             full handshakes/s {:.1} ms, medians of {ROUNDS} rounds",
            median(quiet),
            median(made),
            median(stormy)
        ));
    }

    /// Devices with the password of their code, beside those who guess it from many addresses.
    fn guesses(&self, seatmeterd: &Path) {
        let (folder, data) = Server::initialized(seatmeterd, None);
        let mut access = Command::new(seatmeterd);
        access.args(["handshake", "access", CODE, "--password", "--data"]).arg(data);
        let mut access = access.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(access.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(access.wait().unwrap().success());
        let server = Server::serve(seatmeterd, None, folder, &["--trusted-proxy", "127.0.0.1"]);
        let connections = self.connections(server.address);
        let (mut quiet, mut beside) = (Vec::new(), Vec::new());
        let mut guesses = Vec::new();
        for _ in 0..ROUNDS {
            let connections = connections.clone();
            let work = move |client: usize| {
                let connections = connections.clone();
                async move {
                    let mut connection = connections[client].lock().await;
                    let uuid = random_id().unwrap();
                    let show = |request: &mut _| with_password(request, PASSWORD);
                    authorize_with(&mut connection, &uuid, show).await;
                }
            };
            quiet.push(percentile(&self.latencies(Some(BESIDE_ATTACKERS), work.clone()), 99));
            let attack = Attack::begin(server.address);
            beside.push(percentile(&self.latencies(Some(BESIDE_ATTACKERS), work), 99));
            guesses.push(attack.end() as f64 / self.time.as_secs_f64());
        }
        say(&format!(
            "{BESIDE_ATTACKERS} authorizations/s with the right password: p99 {:.1} ms, beside \
             {ATTACKERS} who guess ({:.0} guesses/s) {:.1} ms, medians of {ROUNDS} rounds",
            median(quiet),
            median(guesses),
            median(beside)
        ));
    }
}

fn with_password(request: &mut AuthorizationRequest, password: &str) {
    request.session_password = password.to_owned();
}

/// Those who guess, each from an address of his own, until it is ended.
struct Attack {
    ends: Arc<AtomicBool>,
    guessed: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Attack {
    fn begin(address: SocketAddr) -> Self {
        let (ends, guessed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = std::thread::spawn({
            let (ends, guessed) = (ends.clone(), guessed.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let attackers: Vec<_> = (0..ATTACKERS)
                        .map(|n| tokio::spawn(guess(address, n, ends.clone(), guessed.clone())))
                        .collect();
                    for attacker in attackers {
                        attacker.await.unwrap();
                    }
                });
            }
        });
        Self { ends, guessed, thread }
    }

    /// End, and return how often somebody has guessed.
    fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.guessed.load(Ordering::Relaxed)
    }
}

async fn guess(address: SocketAddr, number: usize, ends: Arc<AtomicBool>, guessed: Arc<AtomicU64>) {
    let source = format!("198.51.{}.{}", number / 250, number % 250);
    let mut connection = connect(address, None).await;
    while !ends.load(Ordering::Relaxed) {
        let uuid = random_id().unwrap();
        let (key, agreement) = (device_key(&uuid), Agreement::begin().unwrap());
        let mut request = authorization(&uuid, &key, &agreement);
        with_password(&mut request, &uuid);
        let body = serde_json::to_vec(&request).unwrap();
        // The password is checked before the proof, so nobody need sign a guess.
        let head = format!(
            "POST {AUTHORIZATIONS_PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: \
             application/json\r\n{NONCE_HEADER}: {uuid}\r\nx-forwarded-for: \
             {source}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        read_answer(&mut connection).await;
        guessed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Read an answer, whatever it is.
async fn read_answer(connection: &mut Connection) {
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the server has hung up");
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            assert!(!text.starts_with("http/1.1 400"), "a guess must be one: {text}");
            return;
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
