//! A session of the database: what is asked once, after each connect.
//!
//! No setting is ever made for a session. Behind a pooler in transaction mode, the next transaction
//! of this program runs on another session, and the next one on this session may be of anybody. So
//! all settings are those of one transaction, and statements have no names there. A pooler shows
//! itself by the key that it hands out for canceling: it is not that of the session.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::cluster::Cluster;
use super::connection::{refused, unanswered};
use super::link::{Known, Link, Message};
use super::{ANSWER_TIMEOUT, LOCK_TIMEOUT, STATEMENT_TIMEOUT};
use crate::error::Error;

/// Settings of the planner that each transaction switches off. Every statement finds its rows by a
/// key, and is short. An engine without statistics may plan otherwise, and compile statements that
/// it takes for long ones. Some engines have no such settings.
const SWITCHED_OFF: [&str; 4] = ["jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin"];

/// An open session.
pub(super) struct Session {
    pub(super) link: Link,
    /// The number of the host in the URL.
    pub(super) host: usize,
    /// Whether the next transaction may run on another session.
    pub(super) is_pooled: bool,
    /// The statements that begin a short transaction.
    pub(super) begin: String,
    /// The cluster that the database is in, if it says so.
    pub(super) cluster: Option<Cluster>,
}

impl Session {
    /// Ask for what is different from database to database.
    pub(super) fn open(link: Link) -> Result<Self, Error> {
        let facts = "SELECT pg_backend_pid(), current_setting('server_encoding'), \
             current_setting('synchronous_commit')";
        let facts = Known::Text(facts.into());
        let names = SWITCHED_OFF.map(str::to_owned).to_vec();
        let known = Known::Text("SELECT name FROM pg_settings WHERE name = ANY($1)".into());
        let messages =
            [Message::Run(&facts, vec![]), Message::Run(&known, vec![(&names, Type::TEXT_ARRAY)])];
        let answers = link.send(&messages, ANSWER_TIMEOUT).map_err(|e| unanswered(&e))?;
        let [facts, known] = <[_; 2]>::try_from(answers)
            .map_err(|_| Error::Internal("an answer is missing".to_owned()))?;
        let facts = facts.map_err(|e| refused(&e))?.rows;
        let row = facts.first().ok_or_else(|| Error::Store("a row is missing".to_owned()))?;
        require_utf8(&text(row, 1)?)?;
        let is_pooled = row.try_get::<_, i32>(0).map_err(|e| refused(&e))? != process_id(&link)?;
        if is_pooled {
            require_transactions(&link)?;
        }
        let known = known.map_err(|e| refused(&e))?.rows;
        let known = known.iter().map(|row| text(row, 0)).collect::<Result<Vec<_>, _>>()?;
        let begin = begin(&text(row, 2)?, &known);
        let cluster = Cluster::ask(&link);
        Ok(Self { link, host: 0, is_pooled, begin, cluster })
    }

    /// Return whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.link.client().is_closed()
    }
}

fn text(row: &Row, column: usize) -> Result<String, Error> {
    row.try_get(column).map_err(|e| refused(&e))
}

fn require_utf8(encoding: &str) -> Result<(), Error> {
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "the database has the encoding {encoding}, which cannot keep every name. Make one with \
         UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
    )))
}

/// Refuse a pooler that gives each statement to another session.
fn require_transactions(link: &Link) -> Result<(), Error> {
    let messages = [Message::Simple("BEGIN READ ONLY"), Message::Simple("ROLLBACK")];
    let answers = link.send(&messages, ANSWER_TIMEOUT);
    let refusal = match answers {
        Ok(answers) => answers.into_iter().find_map(Result::err).map(|error| refused(&error)),
        Err(failure) => Some(unanswered(&failure)),
    };
    match refusal {
        None => Ok(()),
        Some(error) => Err(Error::Setup(format!(
            "the pooler before the database allows no transactions ({error}). Set pool_mode = \
             transaction or session in its settings, or name the database itself in the URL."
        ))),
    }
}

fn begin(synchronous_commit: &str, known: &[String]) -> String {
    let mut begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; SET LOCAL \
         lock_timeout = {}",
        STATEMENT_TIMEOUT.as_millis(),
        LOCK_TIMEOUT.as_millis()
    );
    // Everything else waits for less than `on`.
    if synchronous_commit != "remote_apply" {
        begin.push_str("; SET LOCAL synchronous_commit = on");
    }
    for setting in known {
        begin.push_str(&format!("; SET LOCAL {setting} = off"));
    }
    begin
}

/// Return the process that a request for canceling would name. There is no other way to this
/// number, so such a request is written to memory, and goes nowhere.
fn process_id(link: &Link) -> Result<i32, Error> {
    let limit = Duration::from_secs(1);
    let read = link.wait(limit, async { Ok(canceled(link.client()).await) });
    read.map_err(|e| unanswered(&e))?
        .ok_or_else(|| Error::Store("the session has no key for canceling".to_owned()))
}

async fn canceled(client: &Client) -> Option<i32> {
    let (ours, mut theirs) = tokio::io::duplex(64);
    // The answer to the question about TLS, where it is asked.
    theirs.write_all(b"S").await.ok()?;
    let token = client.cancel_token();
    let mut written = Vec::new();
    let (sent, read) =
        tokio::join!(token.cancel_query_raw(ours, Same), theirs.read_to_end(&mut written));
    read.ok()?;
    let _ = sent;
    let number = written.len().checked_sub(8).and_then(|at| written.get(at..at + 4))?;
    Some(i32::from_be_bytes(number.try_into().ok()?))
}

/// The stand-in for TLS in memory: it passes the bytes unchanged.
struct Same;

struct SameBytes(DuplexStream);

impl TlsConnect<DuplexStream> for Same {
    type Stream = SameBytes;
    type Error = std::io::Error;
    type Future = std::future::Ready<std::io::Result<SameBytes>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        std::future::ready(Ok(SameBytes(stream)))
    }
}

impl TlsStream for SameBytes {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for SameBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SameBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
