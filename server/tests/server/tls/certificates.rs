//! The certificate: made, renewed, broken, ended, and that of an admin client.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{HandshakeKind, RootCertStore};

use super::{Kept, PATIENCE, Place, builder, client, get};
use crate::cli::failure;
use crate::support::*;

#[test]
fn a_certificate_for_a_trial_is_made_with_what_to_set_and_kept_secret() {
    let place = Place::new();
    let told = place.certify(&[]);
    assert!(told.contains("renewed the certificate"), "{told}");
    assert!(told.contains("SEATMETER_CA_FILE=/path/to/ca.pem"), "{told}");
    assert!(told.contains("--tls-cert") && told.contains("https://localhost:48080"), "{told}");
    for key in ["ca.key", "server.key", "client-ops.key"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(place.path("tls").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{key}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    let wrong = command.args(["tls", "self-signed", "--host", "https://a.example", "--out"]);
    let wrong = wrong.arg(place.path("none")).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("without scheme and port"));
    assert!(!place.path("none").exists());
}

#[test]
fn tls_and_plain_http_are_served_side_by_side() {
    let place = Place::new();
    let more = ["--listen", "127.0.0.1:0", "--listen", "http://127.0.0.1:0"];
    let mut child = place.command(&more).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |scheme: &str| -> SocketAddr {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(&format!("seatmeterd listening on {scheme}://")).unwrap().parse().unwrap()
    };
    let (tls, plain) = (address("https"), address("http"));
    assert_eq!(get(tls, &Arc::new(place.client()), "/healthz").unwrap(), 200);
    assert_eq!(Request::new("GET", "/healthz").send(plain).status, 200);
    // Who forgets the "s" learns it.
    let mut stream = TcpStream::connect(tls).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut told = String::new();
    let _ = stream.read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("https://"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn options_that_do_not_fit_together_and_files_that_cannot_be_used_are_named() {
    let place = Place::new();
    let (certificate, key) = (place.path("tls/server.pem"), place.path("tls/server.key"));
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let told = |arguments: &[&str]| {
        let listen =
            if arguments.contains(&"--listen") { vec![] } else { vec!["--listen", "127.0.0.1:0"] };
        failure(&place.data(), &[&["serve"], &listen[..], arguments].concat())
    };
    let with = |certificate: &str, key: &str| told(&["--tls-cert", certificate, "--tls-key", key]);
    assert!(told(&["--tls-cert", certificate]).contains("needs --tls-key"));
    assert!(told(&["--tls-key", key]).contains("needs --tls-cert"));
    assert!(told(&["--admin-client-ca", certificate]).contains("needs --tls-cert"));
    assert!(told(&["--listen", "https://127.0.0.1:0"]).contains("tls self-signed"));
    let plain = ["--listen", "http://127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
    assert!(told(&plain).contains("of no use"));
    assert!(with("/missing.pem", key).contains("--tls-cert /missing.pem cannot be used"));
    assert!(with(key, certificate).contains("Swap the files"));
    let other = place.path("tls/ca.key");
    let mismatch = with(certificate, other.to_str().unwrap());
    assert!(mismatch.contains("does not belong to the first certificate"), "{mismatch}");
    let text = fs::read_to_string(certificate).unwrap();
    let half = place.path("half.pem");
    fs::write(&half, &text[..text.len() / 2]).unwrap();
    assert!(with(half.to_str().unwrap(), key).contains("half.pem cannot be used"));
    fs::write(
        &half,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(with(certificate, half.to_str().unwrap()).contains("openssl pkey"));
}

#[test]
fn an_ended_certificate_a_readable_key_and_plain_http_are_warned_of() {
    let place = Place::new();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap().pem();
    fs::write(place.path("tls/server.pem"), certificate).unwrap();
    fs::write(place.path("tls/server.key"), pair.serialize_pem()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(place.path("tls/server.key"), readable).unwrap();
    drop(place.serve(&["--listen", "127.0.0.1:0", "--listen", "http://0.0.0.0:0"]));
    let log = place.log();
    assert!(log.contains("ended on 2020-01-01"), "{log}");
    assert!(log.contains("chmod o= ") && log.contains("server.key"), "{log}");
    assert!(log.contains("plain HTTP at 0.0.0.0:"), "{log}");
    drop(place.serve(&["--listen", "0.0.0.0:0"]));
    assert!(!place.log().contains("plain HTTP"), "{}", place.log());
}

#[test]
fn certificates_are_renewed_under_load_without_a_failed_request() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (address, client) = (server.address, Arc::new(place.client()));
    let ends = AtomicBool::new(false);
    let (asked, renewals) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (client, ends, asked) = (&client, &ends, &asked);
            scope.spawn(move || {
                let mut kept = Kept::open(address, client).unwrap();
                while !ends.load(Ordering::SeqCst) {
                    assert_eq!(kept.get("/healthz").unwrap().0, 200, "on a kept connection");
                    if n % 2 == 0 {
                        let status = get(address, client, "/healthz").unwrap();
                        assert_eq!(status, 200, "on a new connection");
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let renewed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut before = Kept::open(address, &client).unwrap().shown();
            for n in 0..4 {
                place.certify(&[]);
                // The files are read again by themselves, and at once when somebody asks.
                if n > 0 {
                    server.send("-HUP");
                }
                let begun = Instant::now();
                loop {
                    let shown = Kept::open(address, &client).unwrap().shown();
                    if shown != before {
                        before = shown;
                        break;
                    }
                    assert!(begun.elapsed() < PATIENCE, "the new certificate is not used");
                    std::thread::sleep(Duration::from_millis(20));
                }
                renewals.fetch_add(1, Ordering::SeqCst);
            }
        }));
        ends.store(true, Ordering::SeqCst);
        renewed.unwrap();
    });
    assert_eq!(renewals.load(Ordering::SeqCst), 4);
    assert!(asked.load(Ordering::SeqCst) > 20);
    assert!(place.log().contains("was read again"), "{}", place.log());
}

#[test]
fn a_half_written_renewal_keeps_the_old_certificate() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = Arc::new(place.client());
    let before = Kept::open(server.address, &client).unwrap().shown();
    let path = place.path("tls/server.pem");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    server.send("-HUP");
    place.wait_for_log("the certificate in use stays");
    assert!(place.log().contains("server.pem cannot be used"), "{}", place.log());
    assert_eq!(Kept::open(server.address, &client).unwrap().shown(), before);
    place.certify(&[]);
    place.wait_for_log("was read again");
    assert_ne!(Kept::open(server.address, &client).unwrap().shown(), before);
    assert_eq!(place.log().matches("the certificate in use stays").count(), 1, "{}", place.log());
}

#[test]
fn both_versions_of_tls_are_spoken_and_sessions_are_resumed() {
    let place = Place::new();
    let server = place.serve(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(place.path("tls/ca.pem")).unwrap()).unwrap();
        let client = builder().with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let client = Arc::new(client);
        let kind = |kept: &Kept| kept.0.conn.handshake_kind();
        let mut first = Kept::open(server.address, &client).unwrap();
        assert_eq!(kind(&first), Some(HandshakeKind::Full));
        // Under TLS 1.3 the ticket comes with the first answer.
        assert_eq!(first.get("/healthz").unwrap().0, 200);
        let mut second = Kept::open(server.address, &client).unwrap();
        assert_eq!(kind(&second), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(second.get("/healthz").unwrap().0, 200);
    }
}

#[test]
fn the_admin_api_requires_a_client_certificate_where_its_authority_is_named() {
    let place = Place::new();
    let ca = place.path("tls/ca.pem");
    let more = ["--admin-loopback", "--admin-client-ca", ca.to_str().unwrap()];
    let server = place.serve(&more);
    let items = "/admin/v1/items";
    let without = Arc::new(place.client());
    let (status, body) = Kept::open(server.address, &without).unwrap().get(items).unwrap();
    assert_eq!(status, 403);
    assert!(body.contains("client certificate") && body.contains("--admin-client-ca"), "{body}");
    assert_eq!(get(server.address, &without, "/admin/v1/openapi.json").unwrap(), 403);
    assert_eq!(get(server.address, &without, "/readyz").unwrap(), 200, "devices have none");
    let with = Arc::new(client(&ca, Some(&place.path("tls/client-ops.pem"))));
    assert_eq!(get(server.address, &with, items).unwrap(), 200);
    // One of another authority, as anybody can make it.
    let stranger = Place::new();
    let foreign = Arc::new(client(&ca, Some(&stranger.path("tls/client-ops.pem"))));
    assert!(get(server.address, &foreign, items).is_err());
    // That of a server, which is not for clients.
    let other_use = Arc::new(client(&ca, Some(&place.path("tls/server.pem"))));
    assert!(get(server.address, &other_use, items).is_err());
}

#[test]
fn plain_http_is_no_way_around_the_client_certificate() {
    let place = Place::new();
    let ca = place.path("tls/ca.pem");
    let more = ["--listen", "http://127.0.0.1:0", "--listen", "https://127.0.0.1:0"];
    let more = [&more[..], &["--admin-loopback", "--admin-client-ca", ca.to_str().unwrap()]];
    let server = place.serve(&more.concat());
    assert_eq!(Request::new("GET", "/admin/v1/items").send(server.address).status, 403);
    assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
}

#[test]
fn an_authority_that_is_replaced_lets_in_none_of_its_clients_not_even_by_a_resumed_session() {
    let place = Place::new();
    let authority = place.path("admin-ca.pem");
    fs::copy(place.path("tls/ca.pem"), &authority).unwrap();
    let more = ["--admin-loopback", "--admin-client-ca", authority.to_str().unwrap()];
    let server = place.serve(&more);
    let ca = place.path("tls/ca.pem");
    let admin = Arc::new(client(&ca, Some(&place.path("tls/client-ops.pem"))));
    for _ in 0..2 {
        assert_eq!(get(server.address, &admin, "/admin/v1/items").unwrap(), 200);
    }
    let mut kept = Kept::open(server.address, &admin).unwrap();
    let stranger = Place::new();
    fs::copy(stranger.path("tls/ca.pem"), &authority).unwrap();
    server.send("-HUP");
    place.wait_for_log("was read again");
    assert!(get(server.address, &admin, "/admin/v1/items").is_err());
    // A connection that was there is one that the old authority has let in.
    assert_eq!(kept.get("/admin/v1/items").unwrap().0, 200);
    let new = Arc::new(client(&ca, Some(&stranger.path("tls/client-ops.pem"))));
    assert_eq!(get(server.address, &new, "/admin/v1/items").unwrap(), 200);
}
