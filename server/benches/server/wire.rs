//! Requests, written out by hand: a client library would be measured, too.

use seatmeter_protocol::message::{
    DEVICE_SIGNATURE_HEADER, NONCE_HEADER, REPORT_KEY_ID_HEADER, REPORT_TAG_HEADER,
};
use seatmeter_protocol::request_auth::{ReportKey, RequestFacts};
use seatmeter_protocol::signature::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::Connection;

/// The nonce of every request.
const NONCE: &str = "0123456789abcdef0123456789abcdef";

/// What a request is proved with.
pub(crate) enum By<'a> {
    Signature(&'a SigningKey),
    Tag(&'a ReportKey),
    /// Peers check nothing.
    Nothing,
}

impl By<'_> {
    fn headers(&self, path: &str, body: &[u8]) -> String {
        let facts = RequestFacts::new(path, NONCE, body);
        match self {
            Self::Signature(key) => {
                format!("{DEVICE_SIGNATURE_HEADER}: {}\r\n", facts.sign(key))
            }
            Self::Nothing => String::new(),
            Self::Tag(key) => {
                let (id, tag) = (key.id(), facts.tag(key));
                format!("{REPORT_KEY_ID_HEADER}: {id}\r\n{REPORT_TAG_HEADER}: {tag}\r\n")
            }
        }
    }
}

/// Posts JSON on a connection that is kept, and reads the answer.
pub(crate) async fn post<T: serde::de::DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
    body: &[u8],
    by: By<'_>,
) -> T {
    exchange(connection, &request(path, body, by)).await
}

/// A request with JSON.
pub(crate) fn request(path: &str, body: &[u8], by: By<'_>) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{NONCE_HEADER}: \
         {NONCE}\r\n{}content-length: {}\r\n\r\n",
        by.headers(path, body),
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Reads something of the admin API with a token, on a connection that is kept.
pub(crate) async fn get<T: serde::de::DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
    token: &str,
) -> T {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
    exchange(connection, request.as_bytes()).await
}

async fn exchange<T: serde::de::DeserializeOwned>(
    connection: &mut Connection,
    request: &[u8],
) -> T {
    connection.write_all(request).await.unwrap();
    let mut bytes = Vec::with_capacity(4_096);
    let (head, length) = loop {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the server has hung up");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            break (end + 4, length.trim().parse::<usize>().unwrap());
        }
    };
    while bytes.len() < head + length {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the server has hung up");
    }
    let body = &bytes[head..];
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(body).unwrap()
}

/// Sends a command to Redis that answers with 1.
pub(crate) async fn redis_command(connection: &mut Connection, words: &[&str]) {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let length = connection.read(&mut answer).await.unwrap();
    assert_eq!(&answer[..length], b":1\r\n");
}
