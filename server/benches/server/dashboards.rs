//! Reports beside fifty open dashboards, each of which refreshes as a browser does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::load::Bench;
use crate::ours::Server;
use crate::say;

/// The open dashboards.
const DASHBOARDS: u32 = 50;

/// The time after which a page refreshes: `hx-trigger` of its template.
const REFRESH: Duration = Duration::from_secs(30);

/// How often the two are measured in turn. Each round has its own ratio, so that a machine that
/// becomes slower concerns both.
const ROUNDS: usize = 11;

const PASSWORD: &str = "correct horse battery";

impl Bench {
    /// Measures reports with and without dashboards.
    pub(crate) fn dashboards(&self, seatmeterd: &Path) {
        let server = Server::start(seatmeterd, None);
        make_user(seatmeterd, &server.data());
        let cookie = log_in(server.address);
        let devices = self.devices(&server);
        let connections = self.connections(server.address);
        let turn = Arc::<AtomicU64>::default();
        let (mut slower, mut dearer) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let measured = |name: &str| {
                let before = (server.cpu_seconds(), turn.load(Ordering::Relaxed));
                let rate = self.reports(name, &connections, &devices, &turn);
                let sent = (turn.load(Ordering::Relaxed) - before.1) as f64;
                (rate, (server.cpu_seconds() - before.0) / sent)
            };
            let (rate, processor) = measured("reports alone");
            let open = Dashboards::open(server.address, &cookie);
            let beside = measured(&format!("reports beside {DASHBOARDS} dashboards"));
            open.close();
            slower.push(100.0 * (1.0 - beside.0 / rate));
            dearer.push(100.0 * (beside.1 / processor - 1.0));
        }
        for (what, costs) in [("the rate", &mut slower), ("the server's processor", &mut dearer)] {
            costs.sort_by(f64::total_cmp);
            let (least, cost, most) = (costs[0], costs[ROUNDS / 2], costs[ROUNDS - 1]);
            say(&format!(
                "{DASHBOARDS} open dashboards cost {cost:.1} % of {what} for each report, the \
                 median of {ROUNDS} rounds ({least:.1} to {most:.1} %)"
            ));
        }
    }
}

fn make_user(seatmeterd: &Path, data: &Path) {
    let mut command = Command::new(seatmeterd);
    command.args(["user", "create", "bench", "--role", "viewer", "--data"]).arg(data);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Sends a request on a connection of its own, and returns the answer.
fn exchange(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn log_in(address: SocketAddr) -> String {
    let body = format!("name=bench&password={}", PASSWORD.replace(' ', "+"));
    let request = format!(
        "POST /dashboard/login HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(exchange(address, &request)).unwrap();
    let cookie = answer.split("seatmeter_session=").nth(1).unwrap();
    format!("seatmeter_session={}", cookie.split(';').next().unwrap())
}

/// Dashboards that refresh until they are closed.
struct Dashboards {
    begun: Instant,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Dashboards {
    fn open(address: SocketAddr, cookie: &str) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let request = format!(
            "GET /dashboard HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\naccept-encoding: \
             gzip\r\nhx-request: true\r\nconnection: close\r\n\r\n"
        );
        let thread = std::thread::spawn({
            let is_over = is_over.clone();
            move || {
                let mut times = Vec::new();
                let mut next = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = exchange(address, &request);
                    assert!(answer.starts_with(b"HTTP/1.1 200"));
                    times.push(begun.elapsed());
                    next += REFRESH / DASHBOARDS;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                times
            }
        });
        Self { begun: Instant::now(), is_over, thread }
    }

    fn close(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let times = self.thread.join().unwrap();
        let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
        say(&format!(
            "the dashboards: {} pages in {:.0} s, {:.1} ms each",
            times.len(),
            self.begun.elapsed().as_secs_f64(),
            1e3 * mean
        ));
    }
}
