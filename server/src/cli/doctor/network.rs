//! The doctor's check of the way to the license server, stage by stage: name, address, TLS, HTTP,
//! signature, clock.
//!
//! The doctor speaks HTTP without a library, because it needs to know what a library hides. It
//! connects directly: a proxy is only named.

#![allow(
    clippy::disallowed_methods,
    reason = "proxies are named in the environment, and nowhere else"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use seatmeter_protocol::foreign_answer::ForeignAnswer;
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, DEVICE_SIGNATURE_HEADER, KEY_ID_HEADER, NONCE_HEADER, SIGNATURE_HEADER,
    TIME_HEADER,
};
use seatmeter_protocol::no_proxy::names;
use seatmeter_protocol::request_auth::RequestFacts;
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, SigningKey, random_id};

use super::clock::DIFFER_SECONDS_MAX;
use super::state::Device;
use super::{Findings, Health};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::http::tls::trust;
use crate::utc;

/// The time limit of each stage.
const STAGE: Duration = Duration::from_secs(5);

/// The time before the end of a certificate in which it is to be renewed.
const ENDS_SOON_SECONDS: u64 = 7 * 86_400;

/// The greatest number of bytes that are read of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 16;

/// The operations that both kinds of connection have.
trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// The reason why the way ends here.
struct Broken {
    stage: &'static str,
    finding: String,
    todo: &'static str,
}

/// The end of the way to the server.
enum Reached {
    Server(Way),
    Broken(Broken),
}

/// Check the way to the server, and return it if it leads to a license server.
pub(super) fn examine(
    url: &str,
    ca_file: Option<&Path>,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<Option<Way>, Error> {
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    name_proxy(&url, findings)?;
    let Broken { stage, finding, todo } = match ask(&url, ca_file, device, findings)? {
        Reached::Server(way) => return Ok(Some(way)),
        Reached::Broken(broken) => broken,
    };
    findings.say(Health::Broken, stage, &finding, todo)?;
    let now = SystemClock.unix_seconds();
    if device.good_until > now {
        let until = utc::text(device.good_until);
        findings.good(
            "meanwhile",
            &format!("programs work on with the license of this device, until {until}"),
        )?;
    }
    Ok(None)
}

fn name_proxy(url: &str, findings: &mut Findings<'_>) -> Result<(), Error> {
    let excepted =
        std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default();
    let Ok(uri) = url.parse::<Uri>() else { return Ok(()) };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let is_excepted = uri.host().is_some_and(|host| names(&excepted, host, port));
    let Some(proxy) = Matcher::from_env().intercept(&uri).filter(|_| !is_excepted) else {
        return Ok(());
    };
    let finding = format!("programs with this environment go through the proxy {}", proxy.uri());
    findings.say(Health::Warning, "proxy", &finding, "what follows is the direct way, without it")
}

fn ask(
    url: &str,
    ca_file: Option<&Path>,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<Reached, Error> {
    let broken = |stage, finding, todo| Ok(Reached::Broken(Broken { stage, finding, todo }));
    // Programs read this file first of all, even for a server without TLS.
    let extra = match ca_file.map_or(Ok(Vec::new()), trust::certificates) {
        Ok(extra) => extra,
        Err(why) => {
            return broken("CA file", why, "name a file with certificates in PEM form, or none");
        }
    };
    let parts = url.parse::<Uri>().ok().and_then(|uri| {
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some((is_tls, host, uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 })))
    });
    let Some((is_tls, host, port)) = parts else {
        return broken(
            "server",
            format!("{url} is not a URL"),
            "write it like http://license.example:48080",
        );
    };
    let addresses = match look_up(&host, port) {
        Ok(addresses) => addresses,
        Err(why) => {
            return broken(
                "lookup",
                format!("{host} has no address: {why}"),
                "check the URL, and DNS",
            );
        }
    };
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    findings.good("lookup", &format!("{host} is {}", shown.join(", ")))?;
    let Some((address, stream)) = connect(&addresses, findings)? else {
        let todo = "start the server; check the port, and the firewalls between";
        return broken("connect", format!("nobody answers at port {port} of {host}"), todo);
    };
    let way = Way { address, host, is_tls, extra };
    let (mut stream, ends_at) = match way.over(stream) {
        Ok(opened) => opened,
        Err(why) => {
            let todo = advice(&why);
            return broken(if is_tls { "TLS" } else { "connect" }, why, todo);
        }
    };
    secrecy(&way, ends_at, findings)?;
    let key_id = device.server_keys.first().map(PublicKey::id);
    match exchange(
        stream.as_mut(),
        &way.host,
        ("POST", AUTHORIZATIONS_PATH),
        QUESTION,
        key_id.as_deref(),
        None,
    ) {
        Ok(answer) => Ok(match judge(&answer, &way, device, findings)? {
            None => Reached::Server(way),
            Some(broken) => Reached::Broken(broken),
        }),
        Err(why) => {
            let todo = "check whether the server is overloaded, and the proxies and firewalls \
            between";
            broken("answer", format!("no whole answer: {why}"), todo)
        }
    }
}

/// Report whether strangers can read what is said, and until when the certificate is good.
fn secrecy(way: &Way, ends_at: Option<u64>, findings: &mut Findings<'_>) -> Result<(), Error> {
    if !way.is_tls {
        if way.address.ip().is_loopback() {
            return Ok(());
        }
        let finding = "the server is named by http://, so session passwords can be read on their \
            way";
        let todo = "give the server a certificate (seatmeterd serve --tls-cert, or a TLS proxy), \
            and name it by https://";
        return findings.say(Health::Warning, "TLS", finding, todo);
    }
    let Some(ends_at) = ends_at else {
        return findings.good("TLS", "the server's certificate is trusted");
    };
    let finding = format!("the server's certificate is trusted, until {}", utc::text(ends_at));
    if ends_at.saturating_sub(SystemClock.unix_seconds()) < ENDS_SOON_SECONDS {
        let todo = "tell the server's operator to renew it";
        return findings.say(Health::Warning, "TLS", &finding, todo);
    }
    findings.good("TLS", &finding)
}

/// A way to a server that was found to work.
pub(super) struct Way {
    address: SocketAddr,
    host: String,
    is_tls: bool,
    /// The certificates to trust in addition to the system's.
    extra: Vec<CertificateDer<'static>>,
}

impl Way {
    fn open(&self) -> Result<Box<dyn Connection>, String> {
        let stream = TcpStream::connect_timeout(&self.address, STAGE).map_err(|e| e.to_string())?;
        self.over(stream).map(|(connection, _)| connection)
    }

    /// Speak over this connection. Return the end of the server's certificate, too.
    fn over(&self, stream: TcpStream) -> Result<(Box<dyn Connection>, Option<u64>), String> {
        let bounds = stream
            .set_read_timeout(Some(STAGE))
            .and_then(|()| stream.set_write_timeout(Some(STAGE)));
        bounds.map_err(|e| format!("a connection without a bound is no use: {e}"))?;
        Ok(match self.is_tls {
            true => {
                let (stream, ends_at) = trust(stream, &self.host, self.extra.clone())?;
                (Box::new(stream), ends_at)
            }
            false => (Box::new(stream), None),
        })
    }

    /// Send a request over a connection of its own. `key_id` names the key with which the answer
    /// must be signed, `signer` the key of the device that asks.
    pub(super) fn ask(
        &self,
        path: &str,
        body: &str,
        key_id: Option<&str>,
        signer: Option<&SigningKey>,
    ) -> Result<Answer, String> {
        exchange(self.open()?.as_mut(), &self.host, ("POST", path), body, key_id, signer)
    }

    /// Get what is at this path, over a connection of its own.
    pub(super) fn get(&self, path: &str) -> Result<Answer, String> {
        exchange(self.open()?.as_mut(), &self.host, ("GET", path), "", None, None)
    }
}

/// Return what to do when TLS fails in this way.
fn advice(why: &str) -> &'static str {
    if why.contains("InvalidContentType") {
        "the program that answers there does not speak TLS: name the server with http://, or put \
        TLS before it"
    } else if why.contains("SSL_CERT_") {
        "name a file or folder with certificates in PEM form in this variable, or unset it"
    } else if why.contains("CaUsedAsEndEntity") {
        "the server shows a certificate that is for signing others, as \"openssl req -x509\" \
         makes them: make one with \
         basicConstraints=CA:FALSE"
    } else if why.contains("not valid for name") {
        "name the server as its certificate does, or have one made for this name"
    } else if why.contains("certificate expired") || why.contains("not valid yet") {
        "renew the server's certificate, or set the clock of this machine right"
    } else {
        "install the CA of the server, or of the proxy between, in the system's store, or name \
         its file with --ca-file"
    }
}

/// Look up the addresses of a host. The lookup runs in a thread of its own, because the system's
/// lookup has no time limit.
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let (sender, found) = mpsc::channel();
    let host = host.to_owned();
    let run =
        move || drop(sender.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect)));
    std::thread::Builder::new().spawn(run).map_err(|e| e.to_string())?;
    let found: std::io::Result<Vec<SocketAddr>> =
        found.recv_timeout(STAGE).map_err(|_| format!("no answer within {STAGE:?}"))?;
    found.map_err(|e| e.to_string())
}

/// Try every address. Return the first one that answers.
fn connect(
    addresses: &[SocketAddr],
    findings: &mut Findings<'_>,
) -> Result<Option<(SocketAddr, TcpStream)>, Error> {
    let mut connected = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, STAGE) {
            Ok(stream) => {
                findings.good("connect", &format!("{address}"))?;
                connected = connected.or(Some((*address, stream)));
            }
            Err(e) if addresses.len() > 1 => {
                let todo = "programs try the other addresses; take this one out of DNS if it is \
                    not to be used";
                findings.say(Health::Warning, "connect", &format!("{address}: {e}"), todo)?;
            }
            Err(_) => {}
        }
    }
    Ok(connected)
}

/// Open TLS over this connection. Return the end of the server's certificate, too.
fn trust(
    stream: TcpStream,
    host: &str,
    extra: Vec<CertificateDer<'static>>,
) -> Result<(StreamOwned<ClientConnection, TcpStream>, Option<u64>), String> {
    let config = trust::client_config(extra)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let connection = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|e| e.to_string())?;
    }
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
    let ends_at = shown.and_then(trust::ends_at);
    Ok((stream, ends_at))
}

/// The server's answer, with the request that it answers.
pub(super) struct Answer {
    asked: String,
    nonce: String,
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Return the signature's data: the server's time, the id of the key, the signature.
    fn signature(&self) -> Option<(u64, &str, &str)> {
        let time = self.header(TIME_HEADER)?.parse().ok()?;
        Some((time, self.header(KEY_ID_HEADER)?, self.header(SIGNATURE_HEADER)?))
    }

    /// Return whether the holder of this key has given this answer to this request.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Some((server_time, key_id, signature)) = self.signature() else { return false };
        let request_body = self.asked.as_bytes();
        let facts = AnswerFacts {
            request_body,
            nonce: &self.nonce,
            status: self.status,
            server_time,
            key_id,
        };
        facts.verify(&self.body, signature, key).is_ok()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The body of the request: the server refuses it with a signed answer, and records nothing.
const QUESTION: &str = "{}";

fn exchange(
    stream: &mut dyn Connection,
    host: &str,
    (method, path): (&str, &str),
    body: &str,
    key_id: Option<&str>,
    signer: Option<&SigningKey>,
) -> Result<Answer, String> {
    let nonce = random_id().ok_or("the system has no random numbers")?;
    let signature = signer.map_or_else(String::new, |key| {
        let signature = RequestFacts::new(path, &nonce, body.as_bytes()).sign(key);
        format!("{DEVICE_SIGNATURE_HEADER}: {signature}\r\n")
    });
    // A server with a replaced key answers with the old key when the request names that.
    let known = key_id.map_or_else(String::new, |id| format!("{KEY_ID_HEADER}: {id}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{NONCE_HEADER}: {nonce}\r\n{known}{signature}\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush())
        .map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    // A server that closes the connection without notice may still have sent its whole answer, so
    // the error is used only when the head is missing.
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return Err(read
            .err()
            .map_or_else(|| "the connection was closed".into(), |e| e.to_string()));
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or("it does not speak HTTP")?;
    Ok(Answer { asked: body.to_owned(), nonce, status, head, body: bytes.split_off(end + 4) })
}

/// Report what the answer says. Return why the way ends here, if it does.
fn judge(
    answer: &Answer,
    way: &Way,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<Option<Broken>, Error> {
    let Some((server_time, key_id, _)) = answer.signature() else {
        let ForeignAnswer { cause, todo } = ForeignAnswer::of_status(answer.status);
        let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
        let finding =
            format!("status {}, which is not an answer of a license server{cause}", answer.status);
        return Ok(Some(Broken { stage: "HTTP", finding, todo }));
    };
    findings.good("HTTP", "a license server answers")?;
    whose_signature(answer, key_id, way, device, findings)?;
    let now = SystemClock.unix_seconds();
    let differ = now.abs_diff(server_time);
    if differ <= DIFFER_SECONDS_MAX {
        findings.good("clock", &format!("{differ} s from the server's"))?;
    } else {
        let finding = format!(
            "this machine's time is {}, the server's is {}",
            utc::text(now),
            utc::text(server_time)
        );
        let todo = "correct the clock that is wrong, and let NTP keep it right; programs use the \
        server's time while they reach it";
        findings.say(Health::Warning, "clock", &finding, todo)?;
    }
    let programs =
        device.programs_ahead.map_or(server_time, |ahead| now.saturating_add_signed(ahead));
    if programs.abs_diff(server_time) > DIFFER_SECONDS_MAX {
        let finding = format!(
            "programs use the time {}, the server's is {}: an earlier server had a wrong clock, or \
            this server's is wrong now",
            utc::text(programs),
            utc::text(server_time)
        );
        let todo = "the next contact of a program sets the time of all of them";
        findings.say(Health::Warning, "clock", &finding, todo)?;
    }
    Ok(None)
}

/// Report whether the server is one that has granted a license of this device. The request is made
/// with the key of each license, as programs do.
fn whose_signature(
    answer: &Answer,
    key_id: &str,
    way: &Way,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let Some(first) = device.server_keys.first() else {
        let finding = format!(
            "not checked: this device has no license, so it knows no key; the server's key is \
            {key_id}"
        );
        return findings.say(Health::Note, "signature", &finding, "");
    };
    let is_of = |key: &PublicKey| {
        let again = way.ask(AUTHORIZATIONS_PATH, QUESTION, Some(&key.id()), None);
        again.is_ok_and(|answer| answer.is_signed_by(key))
    };
    if answer.is_signed_by(first) || device.server_keys.iter().skip(1).any(is_of) {
        return findings
            .good("signature", "it is the server that has granted the license of this device");
    }
    let finding = format!(
        "it is not the server that has granted the license of this device: its key is {key_id}, \
         the license is of key {}",
        first.id()
    );
    let todo = "check the URL. If the server was made anew, restore its keys from a backup, or \
        import license files that \
                the vendor issues for the new key: programs then get a license by that; until \
                then they cannot renew";
    findings.say(Health::Warning, "signature", &finding, todo)
}
