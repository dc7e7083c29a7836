//! Names, and the addresses behind them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use seatmeter::error::Stage;
use seatmeter::sync::HttpTransport;

use super::peer::{BlackHole, FINE, peer_at, read_head, says, stall};
use super::{BOUND, ask_within, stage_of};

const LONG: Duration = Duration::from_secs(10);

fn by(
    look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
) -> HttpTransport {
    HttpTransport::looking_up_by(Arc::new(look_up), None)
}

/// Return two addresses with one port: the first is a black hole, the second serves.
fn dead_and_live(dead: std::net::IpAddr, live: std::net::IpAddr) -> Option<(BlackHole, u16)> {
    let dead = TcpListener::bind((dead, 0)).ok()?;
    let port = dead.local_addr().unwrap().port();
    let live = TcpListener::bind((live, port)).ok()?;
    peer_at(live, |mut stream| {
        read_head(&mut stream);
        let _ = io::Write::write_all(&mut stream, FINE.as_bytes());
        stall(stream);
    });
    Some((BlackHole::at(dead), port))
}

fn address(ip: impl Into<std::net::IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), 0)
}

#[test]
fn a_name_without_an_address_and_one_whose_lookup_hangs_are_told_from_a_dead_server() {
    let unknown = by(|_| Err(io::Error::other("no such name")));
    let (stage, detail) = stage_of(&unknown, "http://license.example/");
    assert_eq!(stage, Stage::Lookup);
    assert!(detail.contains("no such name"), "{detail}");

    let hanging = by(move |_| {
        std::thread::sleep(3 * BOUND);
        Err(io::Error::other("too late"))
    });
    let (stage, detail) = stage_of(&hanging, "http://license.example/");
    assert_eq!(stage, Stage::Lookup, "{detail}");
}

#[test]
fn a_dead_ipv6_address_does_not_hide_a_live_ipv4_address() {
    let Some((_hole, port)) = dead_and_live(Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into())
    else {
        // Without IPv6 no device on this machine has the problem.
        return;
    };
    let both = by(|_| Ok(vec![address(Ipv6Addr::LOCALHOST), address(Ipv4Addr::LOCALHOST)]));
    let begun = Instant::now();
    let answer = ask_within(&both, &format!("http://license.example:{port}/"), LONG);
    assert_eq!(answer.unwrap().status, 200);
    assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
}

#[test]
fn a_dead_address_before_a_live_one_of_its_kind_costs_its_share_of_the_time() {
    let (_hole, port) =
        dead_and_live(Ipv4Addr::new(127, 0, 0, 2).into(), Ipv4Addr::LOCALHOST.into()).unwrap();
    let both = by(|_| Ok(vec![address([127, 0, 0, 2]), address(Ipv4Addr::LOCALHOST)]));
    let answer = ask_within(&both, &format!("http://license.example:{port}/"), LONG);
    assert_eq!(answer.unwrap().status, 200);
}

#[test]
fn a_server_that_has_moved_to_another_address_is_found_by_the_next_request() {
    let port = says(FINE);
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = lookups.clone();
    let moving = by(move |_| {
        let before = counted.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(vec![if before { address([127, 0, 0, 3]) } else { address(Ipv4Addr::LOCALHOST) }])
    });
    let url = format!("http://license.example:{port}/");
    assert_eq!(ask_within(&moving, &url, BOUND).unwrap_err().stage, Stage::Connect);
    assert_eq!(ask_within(&moving, &url, LONG).unwrap().status, 200);
    assert_eq!(lookups.load(Ordering::Relaxed), 2);
}
