//! Reading for people: questions that one snapshot of the data answers, beside the requests that
//! write.
//!
//! ```text
//! question ─▶ one of READERS_MAX places ─▶ a connection that cannot write ─▶ one transaction ─▶ answer
//! ```
//!
//! A question never waits in the queue of the writers, and never holds them up. Its transaction
//! shows the data as it was at one instant, so the sums of one answer belong together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::sql::{Row, Sql, Value};
use super::{Reply, Store, UsageReader};
use crate::error::Error;

/// The number of questions that are answered at one time. More of them would take the processor
/// from devices.
const READERS_MAX: usize = 2;

/// The number of questions that may wait for a place.
const WAITING_MAX: usize = 64;

/// The longest time for one question. A snapshot that is held open keeps SQLite from shortening its
/// log, and PostgreSQL from removing old rows.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(25);

/// The longest time for a question on the command line, where somebody waits for it.
pub(super) const COMMAND_TIME_MAX: Duration = Duration::from_secs(3_600);

/// The data at one instant, as a question sees it.
pub struct Snapshot<'a> {
    sql: &'a dyn Sql,
    /// The instant of the question, Unix seconds.
    pub(super) now: u64,
    /// The organization to which the caller is bound; `None` for all.
    pub(super) owner: Option<&'a str>,
    /// The instant at which the question is given up.
    until: Instant,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    /// Return the connection.
    pub(super) fn sql(&self) -> &'a dyn Sql {
        self.sql
    }

    /// Pass the rows of a statement to `each`, and give up when the time for the question is over.
    pub(super) fn for_each(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rows = 0_u32;
        self.sql.for_each(statement, parameters, &mut |row| {
            rows = rows.wrapping_add(1);
            // The clock is read once for many rows, because reading it costs as much as a row.
            if rows.is_multiple_of(1_024) {
                self.require_time()?;
            }
            each(row)
        })
    }

    /// Pass the rows of a statement to `each` until it returns `false`.
    pub(super) fn for_each_until(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut is_enough = false;
        let outcome = self.for_each(statement, parameters, &mut |row| {
            is_enough = !each(row)?;
            // Only an error ends the reading of rows early.
            if is_enough {
                Err(Error::Internal("there are enough rows".to_owned()))
            } else {
                Ok(())
            }
        });
        if is_enough { Ok(()) } else { outcome }
    }

    /// Fail when the time for the question is over.
    pub(super) fn require_time(&self) -> Result<(), Error> {
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(Error::bad_request(format!(
            "the question reads more than is possible in {} s here: ask for a shorter time, for \
             one item, or for fewer groups, or ask on the command line",
            READ_TIME_MAX.as_secs()
        )))
    }
}

/// A question about the data.
pub trait Question: Send + 'static {
    /// The type of the answer.
    type Answer: Send + 'static;

    /// Answer from a snapshot.
    ///
    /// # Errors
    /// Fails when a named thing is unknown, or the data cannot be read.
    fn answer(&self, from: &Snapshot<'_>) -> Result<Self::Answer, Error>;
}

/// Work on a connection within a transaction that only reads.
pub type ReadWork = Box<dyn FnOnce(Connected<'_>) + Send>;

/// A connection within a transaction that only reads.
pub struct Connected<'a>(pub(super) &'a dyn Sql);

impl std::fmt::Debug for Connected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connected").finish_non_exhaustive()
    }
}

/// Answer a question on this connection.
pub(super) fn answer_on<Q: Question>(
    sql: &dyn Sql,
    question: &Q,
    owner: Option<&str>,
    now: u64,
    time_max: Duration,
) -> Result<Q::Answer, Error> {
    let until = Instant::now() + time_max;
    question.answer(&Snapshot { sql, now, owner, until })
}

/// Ask a store. `owner` is the organization to which the caller is bound.
///
/// # Errors
/// Fails as the question does, or when too many questions wait.
pub async fn ask<Q: Question>(
    store: &dyn Store,
    question: Q,
    owner: Option<String>,
    now: u64,
) -> Result<Q::Answer, Error> {
    let (reply, answer) = oneshot::channel();
    let work = move |Connected(sql): Connected<'_>| {
        // The caller may be gone.
        let _ = reply.send(answer_on(sql, &question, owner.as_deref(), now, READ_TIME_MAX));
    };
    store.read(Box::new(work)).await?;
    answer.await.unwrap_or_else(|_| Err(Error::Internal("a question was not answered".to_owned())))
}

/// Opens a connection that only reads.
type Open = Box<dyn Fn() -> Result<UsageReader, Error> + Send + Sync>;

/// The connections that answer questions.
pub(super) struct Readers {
    open: Open,
    /// Connections that wait for the next question. An embedded database is opened anew for each
    /// one: this costs little, and its file may have been replaced meanwhile.
    idle: Option<Mutex<Vec<UsageReader>>>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Readers {
    /// Make readers of a database. Connections that are expensive are kept for the next question.
    pub(super) fn new(
        are_kept: bool,
        open: impl Fn() -> Result<UsageReader, Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: Box::new(open),
            idle: are_kept.then(Mutex::default),
            places: Arc::new(Semaphore::new(READERS_MAX)),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Do this work on a connection, in a thread that may block.
    pub(super) fn read(self: &Arc<Self>, work: ReadWork) -> Reply<()> {
        let readers = self.clone();
        Box::pin(async move {
            let waiting = Waiting::begin(readers.clone())?;
            let place = readers.places.clone().acquire_owned().await;
            drop(waiting);
            let place = place.map_err(|e| Error::Internal(e.to_string()))?;
            let done = tokio::task::spawn_blocking(move || {
                // The place stays taken until the work ends, also when nobody waits for it.
                let _place = place;
                readers.run(work)
            });
            done.await.map_err(|e| Error::Internal(format!("a question panicked: {e}")))?
        })
    }

    fn run(&self, work: ReadWork) -> Result<(), Error> {
        let idle = self.idle.as_ref().and_then(|idle| idle.lock().pop());
        let reader = match idle.filter(|reader| reader.begin().is_ok()) {
            Some(reader) => reader,
            None => {
                let reader = (self.open)()?;
                reader.begin()?;
                reader
            }
        };
        work(Connected(reader.sql()));
        if let (Some(idle), Ok(())) = (&self.idle, reader.end()) {
            idle.lock().push(reader);
        }
        Ok(())
    }
}

impl Drop for Readers {
    /// Close the idle connections in a thread of their own: a client of PostgreSQL closes its
    /// connection by blocking, which a thread of the runtime must not.
    fn drop(&mut self) {
        let idle = self.idle.take().map(Mutex::into_inner).filter(|idle| !idle.is_empty());
        if let Some(idle) = idle {
            let close = std::thread::Builder::new().name("store-close".to_owned());
            if let Ok(closing) = close.spawn(move || drop(idle)) {
                // The thread only drops; if it panicked, the connection is gone all the same.
                let _ = closing.join();
            }
        }
    }
}

/// A question that waits for its place.
struct Waiting(Arc<Readers>);

impl Waiting {
    fn begin(readers: Arc<Readers>) -> Result<Self, Error> {
        // Relaxed is enough: the number only bounds how many wait.
        let before = readers.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(readers);
        if before < WAITING_MAX { Ok(waiting) } else { Err(Error::Busy) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
