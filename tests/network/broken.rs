//! Servers that answer badly or not at all.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seatmeter::error::Stage;
use seatmeter::sync::HttpTransport;

use super::peer::{BlackHole, FINE, peer, read_head, says, says_then_stalls, stall};
use super::{BOUND, ask_within, stage_of};

fn transport() -> HttpTransport {
    HttpTransport::trusting(None)
}

#[test]
fn a_server_that_stalls_is_left_within_the_bound_and_the_stage_is_named() {
    let hole = BlackHole::new();
    let silent = || peer(stall);
    for (stage, scheme, port) in [
        (Stage::Connect, "http", hole.address.port()),
        (Stage::Connect, "https", hole.address.port()),
        (Stage::Tls, "https", silent()),
        (Stage::Answer, "http", silent()),
        (Stage::Answer, "http", says_then_stalls("HTTP/1.1 20")),
        (Stage::Answer, "http", says_then_stalls("HTTP/1.1 200 OK\r\nseatmeter-ti")),
        (Stage::Answer, "http", says_then_stalls("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")),
        (
            Stage::Answer,
            "http",
            says_then_stalls("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\""),
        ),
        (
            Stage::Answer,
            "http",
            says_then_stalls("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"),
        ),
    ] {
        let (found, detail) = stage_of(&transport(), &format!("{scheme}://127.0.0.1:{port}/"));
        assert_eq!(found, stage, "{detail}");
    }
}

#[test]
fn a_server_that_drips_is_left_within_the_bound_however_it_drips() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"] {
        let port = peer(move |mut stream: TcpStream| {
            read_head(&mut stream);
            let drops = b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
            let _ = stream.write_all(head.as_bytes());
            for drop in drops {
                if stream.write_all(&[*drop]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(stage_of(&transport(), &format!("http://127.0.0.1:{port}/")).0, Stage::Answer);
    }
}

#[test]
fn resets_and_garbage_are_no_answers() {
    let reset = |stream: TcpStream| {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = size_of::<libc::linger>().try_into().unwrap();
        // SAFETY: the option is of the type and size that it says.
        let done = unsafe {
            let option = (&raw const linger).cast();
            libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, option, size)
        };
        assert_eq!(done, 0);
    };
    let reset_after = |text: &'static str| {
        peer(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(text.as_bytes());
            reset(stream);
        })
    };
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for port in [
        peer(reset),
        reset_after(""),
        reset_after("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\""),
        peer(drop),
        says(""),
        says(noise),
        says("220 mail.example ESMTP\r\n"),
        says("HTTP/1.1 999999 ?\r\n\r\n"),
        says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"),
        says("HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n{}"),
        says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
        says(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n{{}}", "x".repeat(10_000_000))),
        says(format!("HTTP/1.1 200 OK\r\n{}\r\n{{}}", "x: y\r\n".repeat(100_000))),
    ] {
        let (stage, detail) = stage_of(&transport(), &format!("http://127.0.0.1:{port}/"));
        assert!(matches!(stage, Stage::Answer | Stage::Connect), "{stage}: {detail}");
        assert!(!detail.is_empty());
    }
    let plain = says(FINE);
    assert_eq!(stage_of(&transport(), &format!("https://127.0.0.1:{plain}/")).0, Stage::Tls);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(stage_of(&transport(), &format!("http://{nobody}/")).0, Stage::Connect);
    assert_eq!(stage_of(&transport(), "http://[/").0, Stage::Setup);
}

#[test]
fn ten_megabytes_are_not_read_to_their_end() {
    let all_sent = Arc::new(AtomicBool::new(false));
    let sent = all_sent.clone();
    let port = peer(move |mut stream| {
        read_head(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
        let block = [b' '; 1 << 16];
        let _ = stream.write_all(head.as_bytes());
        sent.store((0..1526).all(|_| stream.write_all(&block).is_ok()), Ordering::Relaxed);
    });
    let outcome =
        ask_within(&transport(), &format!("http://127.0.0.1:{port}/"), Duration::from_secs(10));
    let refused = outcome.unwrap_err();
    assert_eq!(refused.stage, Stage::Answer);
    assert!(refused.detail.contains("larger than"), "{}", refused.detail);
    assert!(!all_sent.load(Ordering::Relaxed));
}

#[test]
fn redirects_are_not_followed() {
    let asked = Arc::new(AtomicBool::new(false));
    let was_asked = asked.clone();
    let elsewhere = peer(move |mut stream| {
        was_asked.store(true, Ordering::Relaxed);
        read_head(&mut stream);
        let _ = stream.write_all(FINE.as_bytes());
    });
    for status in [301, 302, 303, 307, 308] {
        let port = says(format!(
            "HTTP/1.1 {status} Moved\r\nlocation: \
             http://127.0.0.1:{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
        ));
        let answer =
            ask_within(&transport(), &format!("http://127.0.0.1:{port}/"), BOUND * 10).unwrap();
        assert_eq!(answer.status, status);
    }
    assert!(!asked.load(Ordering::Relaxed));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let port = says(FINE);
    let transport = transport();
    for _ in 0..5 {
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(ask_within(&transport, &url, BOUND * 10).unwrap().body, b"{}");
    }
}
