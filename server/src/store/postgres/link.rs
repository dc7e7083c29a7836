//! One connection to PostgreSQL on which no wait is without a deadline.
//!
//! The database's own timeouts do not help when its process is frozen, its host hangs, or a network
//! drops what is sent. TCP notices none of these: the kernel of a frozen process acknowledges
//! everything. So each wait for an answer, also that for a commit and for each step of the
//! handshake, ends at a time on this side.
//!
//! Messages that are sent together are one flight: they are on their way before the first answer
//! comes back, and cost one round trip.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row, RowStream, Statement};

use crate::error::Error;

/// The reason why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL refused, or the connection ended.
    Postgres(tokio_postgres::Error),
    /// No answer came within this time.
    Late(Duration),
}

/// A statement, as the database knows it.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// A statement that is prepared on this connection.
    Named(Statement),
    /// A statement that is sent as a text each time, because the next transaction may run on
    /// another session.
    Text(std::sync::Arc<str>),
}

/// A value of a parameter, with the type that it has if the database is not asked for one.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A message of a flight.
pub(super) enum Message<'a> {
    /// Statements without parameters.
    Simple(&'a str),
    /// A statement.
    Run(&'a Known, Vec<Parameter<'a>>),
}

/// The rows of a message, and the number of rows that it has changed.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) changed: u64,
}

type Answered = Result<Answer, tokio_postgres::Error>;

/// The other half of a client, which moves the bytes; polled while somebody waits.
trait Driver: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moved>>;
}

type Moved = Result<AsyncMessage, tokio_postgres::Error>;

impl<S, T> Driver for Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moved>> {
        self.poll_message(cx)
    }
}

/// An open connection.
pub(super) struct Link {
    client: Client,
    driver: RefCell<Box<dyn Driver>>,
    /// Whether the database has sent a warning since the last call of [`Self::has_warned`].
    has_warned: Cell<bool>,
    runtime: Background,
}

/// A runtime that is dropped without a wait for the name lookups that may still run in it.
pub(super) struct Background(Option<Runtime>);

impl Background {
    /// Make a runtime that works in the thread of its caller alone.
    pub(super) fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| {
            Error::Setup(format!("the system gives no means to wait for the database: {e}"))
        })?;
        Ok(Self(Some(runtime)))
    }

    /// Run this until it ends.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is taken when it is dropped").block_on(work)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Link {
    /// Take over a connection that was made in this runtime.
    pub(super) fn new<S, T>(
        runtime: Background,
        client: Client,
        connection: Connection<S, T>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driver: RefCell<Box<dyn Driver>> = RefCell::new(Box::new(connection));
        Self { client, driver, has_warned: Cell::new(false), runtime }
    }

    /// Return the other half.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Return whether the database has sent a warning since the last call.
    pub(super) fn has_warned(&self) -> bool {
        self.has_warned.replace(false)
    }

    /// Send these messages in one flight, and return the answer to each. A message after one that
    /// was refused is refused, too, if they are in a transaction.
    pub(super) fn send(
        &self,
        messages: &[Message<'_>],
        limit: Duration,
    ) -> Result<Vec<Answered>, Failure> {
        let answers = messages.iter().map(|message| answer(&self.client, message)).collect();
        self.wait(limit, async { Ok(in_order(answers).await) })
    }

    /// Prepare a statement.
    pub(super) fn prepare(&self, text: &str, limit: Duration) -> Result<Statement, Failure> {
        self.wait(limit, self.client.prepare(text))
    }

    /// Run a statement, and return its rows one after another.
    pub(super) fn stream(
        &self,
        statement: &Known,
        parameters: &[Parameter<'_>],
        limit: Duration,
    ) -> Result<Pin<Box<RowStream>>, Failure> {
        self.wait(limit, rows(&self.client, statement, parameters)).map(Box::pin)
    }

    /// Wait for the next row.
    pub(super) fn next_row(
        &self,
        rows: &mut Pin<Box<RowStream>>,
        limit: Duration,
    ) -> Result<Option<Row>, Failure> {
        self.wait(limit, async { poll_fn(|cx| rows.as_mut().poll_next(cx)).await.transpose() })
    }

    /// Wait for this work, and move bytes meanwhile.
    pub(super) fn wait<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let mut driver = self.driver.borrow_mut();
        self.runtime.block_on(async {
            let mut work = pin!(work);
            let moving = poll_fn(|cx| {
                // The first poll of the work sends its messages.
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
                let ended = self.move_bytes(&mut **driver, cx);
                // What the database said before the connection ended is better than its end.
                match (work.as_mut().poll(cx), ended) {
                    (Poll::Ready(done), _) => Poll::Ready(done),
                    (Poll::Pending, Some(error)) => Poll::Ready(Err(error)),
                    (Poll::Pending, None) => Poll::Pending,
                }
            });
            match tokio::time::timeout(limit, moving).await {
                Ok(done) => done.map_err(Failure::Postgres),
                Err(_) => Err(Failure::Late(limit)),
            }
        })
    }

    /// Move what can be moved. Return the error with which the connection ended, if it did.
    fn move_bytes(
        &self,
        driver: &mut dyn Driver,
        cx: &mut Context<'_>,
    ) -> Option<tokio_postgres::Error> {
        loop {
            match driver.poll(cx) {
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                    // An existing table is not worth a message to the operator.
                    tracing::debug!(%notice, "PostgreSQL has sent a notice");
                    let is_warning = notice.code().code().starts_with("01");
                    let severity = notice.parsed_severity();
                    if is_warning || severity == Some(tokio_postgres::error::Severity::Warning) {
                        self.has_warned.set(true);
                    }
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Some(error),
                Poll::Ready(None) | Poll::Pending => return None,
            }
        }
    }
}

async fn rows(
    client: &Client,
    statement: &Known,
    parameters: &[Parameter<'_>],
) -> Result<RowStream, tokio_postgres::Error> {
    match statement {
        Known::Named(statement) => {
            client.query_raw(statement, parameters.iter().map(|(value, _)| *value)).await
        }
        Known::Text(text) => {
            let typed = parameters.iter().map(|(value, kind)| (*value, kind.clone()));
            client.query_typed_raw(text, typed).await
        }
    }
}

async fn answer(client: &Client, message: &Message<'_>) -> Answered {
    let (statement, parameters) = match message {
        Message::Simple(text) => {
            return client.batch_execute(text).await.map(|()| Answer::default());
        }
        Message::Run(statement, parameters) => (statement, parameters),
    };
    let mut stream = pin!(rows(client, statement, parameters).await?);
    let mut rows = Vec::new();
    while let Some(row) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        rows.push(row?);
    }
    let changed = stream.rows_affected().unwrap_or(0);
    Ok(Answer { rows, changed })
}

/// Run these futures together. They are polled for the first time in their order, because the first
/// poll of each sends its message.
async fn in_order<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outcomes: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, outcome) in running.iter_mut().zip(&mut outcomes) {
            if outcome.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *outcome = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}
