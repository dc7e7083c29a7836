//! Nine o'clock: ten thousand devices that are new ask for a license at one time, each on a
//! connection of its own, while others report as on any other day.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seatmeter_protocol::signature::random_bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Bench, connect, percentile};
use crate::ours::{Device, Server, first_slot, request_of_new_device};
use crate::say;

const NEW_DEVICES: u64 = 10_000;

/// The devices that report beside them, and the pause of each between two reports.
const REPORTING: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// The pause before a device asks again that got no answer or was refused, and the time over which
/// such devices are spread.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const RETRY_SPREAD_MS: u64 = 1_000;

/// What all devices count together.
#[derive(Default)]
struct Counts {
    /// Answers that the device is to come back later.
    refused: AtomicU64,
    /// Connections without an answer.
    broken: AtomicU64,
}

impl Bench {
    pub(crate) fn nine(&self, seatmeterd: &Path) {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let files = (2 * NEW_DEVICES).min(hard);
        setrlimit(Resource::RLIMIT_NOFILE, files.max(soft), hard).unwrap();
        let server = Server::start_with(seatmeterd, None, |_| ());
        // What the devices compute is done before, because they have processors of their own.
        let requests: Vec<_> =
            (0..self.size(NEW_DEVICES)).map(|_| request_of_new_device()).collect();
        let local = tokio::task::LocalSet::new();
        self.runtime.block_on(local.run_until(async {
            let (counts, is_over) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
            let reporting = begin_to_report(&server, &is_over).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (address, begun) = (server.address, Instant::now());
            let asking: Vec<_> = requests
                .into_iter()
                .map(|request| {
                    let counts = counts.clone();
                    tokio::task::spawn_local(async move {
                        let first = ask_until_answered(address, &request, &counts).await;
                        (first, begun.elapsed())
                    })
                })
                .collect();
            let (mut firsts, mut all) = (Vec::new(), Vec::new());
            for task in asking {
                let (first, done) = task.await.unwrap();
                firsts.extend(first);
                all.push(done);
            }
            is_over.store(true, Ordering::Relaxed);
            let mut reports = Vec::new();
            for task in reporting {
                reports.extend(task.await.unwrap());
            }
            tell("granted at the first attempt", firsts);
            tell("granted, since nine", all);
            tell("reports beside them", reports);
            let number = |of: &AtomicU64| of.load(Ordering::Relaxed);
            let (refused, broken) = (number(&counts.refused), number(&counts.broken));
            say(&format!("refused for a while: {refused}; connections without answer: {broken}"));
        }));
        server.tell_memory("at nine");
    }
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    if times.is_empty() {
        return say(&format!("{what:<34} none"));
    }
    let [p50, p99, last] = [50, 99, 100].map(|percent| percentile(&times, percent));
    let count = times.len();
    say(&format!(
        "{what:<34} {count:>8}      p50 {p50:>6.0} ms   p99 {p99:>6.0} ms   {last:>6.0} ms"
    ));
}

/// Devices that report until it is over; their tasks return what they have waited.
async fn begin_to_report(
    server: &Server,
    is_over: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<Vec<Duration>>> {
    let mut tasks = Vec::new();
    for number in 0..REPORTING {
        let mut connection = connect(server.address, None).await;
        let device = Device::authorized(&mut connection).await;
        let is_over = is_over.clone();
        tasks.push(tokio::task::spawn_local(async move {
            let mut times = Vec::new();
            let offset = PAUSE.mul_f64(number as f64 / REPORTING as f64);
            let mut next = Instant::now() + offset;
            for slot in first_slot().. {
                tokio::time::sleep_until(next.into()).await;
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                device.report_to(&mut connection, slot, 7).await;
                times.push(next.elapsed());
                next += PAUSE;
            }
            times
        }));
    }
    tasks
}

/// Asks until there is a grant. Returns how long the first attempt took, if that was enough.
async fn ask_until_answered(
    address: SocketAddr,
    request: &[u8],
    counts: &Counts,
) -> Option<Duration> {
    let begun = Instant::now();
    for attempt in 0.. {
        match exchange(address, request).await {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => {
                return (attempt == 0).then(|| begun.elapsed());
            }
            Ok(answer) if answer.starts_with(b"HTTP/1.1 503") => &counts.refused,
            Ok(answer) => panic!("{}", String::from_utf8_lossy(&answer)),
            Err(_) => &counts.broken,
        }
        .fetch_add(1, Ordering::Relaxed);
        let spread = u64::from_le_bytes(random_bytes::<8>().unwrap()) % RETRY_SPREAD_MS;
        tokio::time::sleep(RETRY_PAUSE + Duration::from_millis(spread)).await;
    }
    None
}

/// The beginning of the answer, on a connection of its own.
async fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut bytes = Vec::with_capacity(8_192);
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}
