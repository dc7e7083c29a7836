//! A way to a server that records every byte in both directions.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::super::peer::{on_a_thread, peer};

/// What one connection has carried.
#[derive(Clone, Default)]
pub(super) struct Exchange {
    pub(super) sent: Vec<u8>,
    pub(super) heard: Vec<u8>,
}

/// A request, taken apart.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// The names of the headers, in small letters, with their values.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Exchange {
    /// Take the request apart. The connection must have carried nothing else.
    pub(super) fn request(&self) -> Request {
        let text = String::from_utf8(self.sent.clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let line: Vec<_> = lines.next().unwrap().split(' ').collect();
        let [method, path, "HTTP/1.1"] = line[..] else { panic!("{line:?}") };
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        assert_eq!(body.len(), length, "something follows the request: {text}");
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        Request { method: method.to_owned(), path: path.to_owned(), headers, body }
    }

    /// Return whether the request has come whole. That of a program that was killed may not have.
    pub(super) fn is_whole(&self) -> bool {
        let Some(end) = self.sent.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let head = String::from_utf8_lossy(&self.sent[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        self.sent.len() >= end + 4 + length
    }
}

/// A proxy on a port of its own.
pub(super) struct Recorder {
    pub(super) port: u16,
    is_open: Arc<AtomicBool>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Recorder {
    /// Start a proxy in front of the server at this URL.
    pub(super) fn before(server: &str) -> Self {
        let far = server.trim_start_matches("http://").to_owned();
        let is_open = Arc::new(AtomicBool::new(true));
        let exchanges = Arc::<Mutex<Vec<Exchange>>>::default();
        let (open, all) = (is_open.clone(), exchanges.clone());
        let port = peer(move |near| {
            let number = {
                let mut all = all.lock().unwrap();
                all.push(Exchange::default());
                all.len() - 1
            };
            let far = open.load(Ordering::SeqCst).then(|| TcpStream::connect(&far).ok()).flatten();
            pass_on(near, far, &all, number);
        });
        Self { port, is_open, exchanges }
    }

    /// Let the server be reached, or not: then requests are taken, and the connection ends.
    pub(super) fn open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap().clone()
    }
}

fn pass_on(
    mut near: TcpStream,
    mut far: Option<TcpStream>,
    all: &Arc<Mutex<Vec<Exchange>>>,
    number: usize,
) {
    if let Some(far) = &far {
        let (mut far, mut near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let all = all.clone();
        on_a_thread(move || {
            while let Some(bytes) = read_some(&mut far) {
                all.lock().unwrap()[number].heard.extend(&bytes);
                if near.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = near.shutdown(Shutdown::Write);
        });
    }
    while let Some(bytes) = read_some(&mut near) {
        let is_whole = {
            let exchange = &mut all.lock().unwrap()[number];
            exchange.sent.extend(&bytes);
            exchange.is_whole()
        };
        let is_over = match &mut far {
            Some(far) => far.write_all(&bytes).is_err(),
            None => is_whole,
        };
        if is_over {
            break;
        }
    }
    match far {
        Some(far) => drop(far.shutdown(Shutdown::Write)),
        None => drop(near.shutdown(Shutdown::Both)),
    }
}

fn read_some(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 16 << 10];
    let n = from.read(&mut bytes).ok().filter(|n| *n > 0)?;
    bytes.truncate(n);
    Some(bytes)
}
