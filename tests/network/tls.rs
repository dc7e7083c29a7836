//! The certificates that the library trusts.

use std::io::Write;

use seatmeter::error::Stage;
use seatmeter::sync::HttpTransport;

use super::peer::{FINE, peer, read_head, stall, tls_peer, tls_peer_showing};
use super::{BOUND, ask_within, certificate, stage_of};

fn https_server() -> u16 {
    tls_peer(|mut stream| {
        if !read_head(&mut stream).is_empty() {
            let _ = stream.write_all(FINE.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

#[test]
fn a_companys_own_authority_is_trusted_when_its_file_is_named_and_else_not() {
    let port = https_server();
    let url = format!("https://localhost:{port}/");
    let trusting = HttpTransport::trusting(Some(certificate("ca.pem")));
    assert_eq!(ask_within(&trusting, &url, BOUND * 10).unwrap().body, b"{}");
    let (stage, detail) = stage_of(&HttpTransport::trusting(None), &url);
    assert_eq!(stage, Stage::Tls);
    assert!(detail.contains("UnknownIssuer"), "{detail}");
}

#[test]
fn a_request_over_tls_needs_little_of_its_callers_stack() {
    let url = format!("https://localhost:{}/", https_server());
    let ask = move || {
        let trusting = HttpTransport::trusting(Some(certificate("ca.pem")));
        ask_within(&trusting, &url, BOUND * 10).unwrap().body
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(ask).unwrap();
    assert_eq!(thread.join().unwrap(), b"{}");
}

#[test]
fn a_certificate_for_another_name_is_not_trusted() {
    let port = https_server();
    let trusting = HttpTransport::trusting(Some(certificate("ca.pem")));
    let (stage, detail) = stage_of(&trusting, &format!("https://127.0.0.1:{port}/"));
    assert_eq!(stage, Stage::Tls);
    assert!(detail.contains("not valid for name"), "{detail}");
}

#[test]
fn what_is_wrong_with_tls_is_told_with_what_to_do() {
    let trusting = HttpTransport::trusting(Some(certificate("ca.pem")));
    let told = |port: u16| {
        let (stage, detail) = stage_of(&trusting, &format!("https://localhost:{port}/"));
        assert_eq!(stage, Stage::Tls, "{detail}");
        detail
    };
    let self_signed = told(tls_peer_showing("ca.pem", |mut stream| drop(read_head(&mut stream))));
    assert!(self_signed.contains("CA:FALSE"), "{self_signed}");
    let plain = told(peer(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        stall(stream);
    }));
    assert!(plain.contains("http://?"), "{plain}");
    let (_, stranger) =
        stage_of(&HttpTransport::trusting(None), &format!("https://localhost:{}/", https_server()));
    assert!(stranger.contains("SEATMETER_CA_FILE"), "{stranger}");
}
