//! How long a program waits for its license when it starts: each start in a process of its own,
//! with the license stored on the device, and a server that answers, refuses, or drops every
//! packet.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Library, ROUNDS, license, median};

const START: &str = "--start-once";

/// What the promise is.
const START_MAX: Duration = Duration::from_millis(5);

/// Whether this process is one of the starts.
pub(crate) fn is_asked_for() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == START)
}

/// Gets licensed, says how long that took, in nanoseconds, and is gone.
pub(crate) fn start_once() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let library = Library::load();
    println!("{}", license(&library, &arguments[0], Path::new(&arguments[1])).as_nanos());
}

pub(crate) fn compare_starts(server: &str, state: &Path) {
    let (hole, _kept) = black_hole();
    let hole = format!("http://{hole}");
    let nobody = "http://127.0.0.1:1".to_owned();
    let cases = [
        ("the server answers", server),
        ("nobody listens at its address", &nobody),
        ("its packets are dropped (a black hole)", &hole),
    ];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for ((_, url), times) in cases.iter().zip(&mut times) {
            let ns = start(url, state);
            // The first round warms up.
            if round > 0 {
                times.push(ns);
            }
        }
    }
    println!("\nInitLicenseFromDLS in a fresh process, from the license stored on the device, µs");
    let first = median(times[0].clone());
    for ((name, _), times) in cases.iter().zip(times) {
        let slowest = times.iter().copied().fold(0.0, f64::max);
        let median = median(times);
        let ratio = median / first;
        println!(
            "  {name:<46} {:>9.1} {ratio:>7.2} ×   slowest {:>9.1}",
            median / 1e3,
            slowest / 1e3
        );
        assert!(median < START_MAX.as_secs_f64() * 1e9, "a start is to take {START_MAX:?} at most");
    }
}

fn start(url: &str, state: &Path) -> f64 {
    let itself = std::env::current_exe().unwrap();
    let output = Command::new(itself).args([START, url]).arg(state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// An address at which packets are dropped, because its queue is short and full.
fn black_hole() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: shortens the queue of our own socket; no memory is involved.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().unwrap();
    let fill = std::iter::from_fn(|| {
        TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
    });
    let fill = fill.take(64).collect();
    (address, (listener, fill))
}
