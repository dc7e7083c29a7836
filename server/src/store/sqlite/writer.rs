//! The one thread that writes, and the group commit.
//!
//! It takes all requests that wait, up to a bound, runs them in one transaction with a savepoint each, makes
//! the transaction durable, and only then answers any of them.
//!
//! | a request | its savepoint | the others |
//! | --- | --- | --- |
//! | succeeds | kept | – |
//! | is refused, fails or panics | rolled back | untouched |
//! | makes SQLite drop the whole transaction (disk full) | gone | all answered with the error, none recorded |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::kill_points::kill_point;
use crate::store::Reply;

/// Most requests that may wait. Two full groups: what waits longer is told to come back instead.
const QUEUE_MAX: usize = 2 * super::GROUP_MAX;

/// Which part of the last transaction's time the next one may wait to fill, and how long at most.
const GATHER_FRACTION: u32 = 4;
const GATHER_TIME_MAX: Duration = Duration::from_millis(2);

/// A request on its way through the writer.
trait Job: Send {
    /// Does the work; `false` when it is to be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells whoever waits. An error stands in for what `run` came to.
    fn answer(self: Box<Self>, transaction: Result<(), Error>);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Result<T, Error>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        // The connection is whole after a panic: the savepoint is rolled back like after an error.
        self.outcome = catch_unwind(AssertUnwindSafe(|| work(connection)))
            .unwrap_or_else(|_| Err(Error::Internal("a request panicked in the store".to_owned())));
        self.outcome.is_ok()
    }

    fn answer(self: Box<Self>, transaction: Result<(), Error>) {
        let outcome = match transaction {
            Ok(()) => self.outcome,
            Err(error) => Err(error),
        };
        // Whoever asked may be gone; the work stands all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Handle of the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on this connection.
    pub(super) fn start(connection: Connection, group_max: usize) -> Result<Self, Error> {
        let (queue, waiting) = mpsc::sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_groups(&connection, &waiting, group_max))
            .map_err(|e| Error::Setup(format!("the system gives no thread for the database: {e}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands work to the thread; the reply comes once it is durable.
    pub(super) fn submit<T, F>(&self, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let unanswered = Err(Error::Internal("a request was answered before it ran".to_owned()));
        let job = Box::new(Task { work: Some(work), outcome: unanswered, reply });
        let sent = match &self.queue {
            Some(queue) => queue.try_send(job).map_err(|error| match error {
                TrySendError::Full(_) => Error::Busy,
                TrySendError::Disconnected(_) => stopped(),
            }),
            None => Err(stopped()),
        };
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        })
    }
}

impl Drop for Writer {
    /// Lets the thread finish what waits, and waits for it.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

fn stopped() -> Error {
    Error::Store("the store has stopped".to_owned())
}

fn write_groups(connection: &Connection, waiting: &mpsc::Receiver<Box<dyn Job>>, group_max: usize) {
    let mut group = Vec::with_capacity(group_max);
    let mut last = LastGroup::default();
    while let Ok(first) = waiting.recv() {
        group.push(first);
        gather(waiting, &mut group, group_max, &last);
        kill_point("group: gathered");
        let begun = Instant::now();
        let outcome = commit_group(connection, &mut group);
        last = LastGroup { requests: group.len(), took: begun.elapsed() };
        if let Err(error) = &outcome {
            tracing::error!(requests = group.len(), %error, "a group of requests was not recorded");
            roll_back(connection);
        }
        kill_point("commit: durable, not answered");
        for job in group.drain(..) {
            job.answer(outcome.clone());
            kill_point("answers: one sent");
        }
    }
}

/// What the next group can be expected to be like.
#[derive(Default)]
struct LastGroup {
    requests: usize,
    took: Duration,
}

/// Takes what waits. When that is less than the last group was, those who were just answered are about to ask
/// again: waiting for them costs a fraction of a transaction and saves the next one. A client that is alone
/// never waits, because its last group was itself.
fn gather(
    waiting: &mpsc::Receiver<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
    group_max: usize,
    last: &LastGroup,
) {
    let deadline = Instant::now() + (last.took / GATHER_FRACTION).min(GATHER_TIME_MAX);
    while group.len() < group_max {
        let next = if group.len() < last.requests {
            waiting.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
        } else {
            waiting.try_recv().ok()
        };
        let Some(job) = next else { break };
        group.push(job);
    }
}

fn commit_group(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), Error> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    kill_point("group: begun");
    for job in group {
        connection.prepare_cached("SAVEPOINT request")?.execute([])?;
        if !job.run(connection) {
            connection.prepare_cached("ROLLBACK TO request")?.execute([])?;
        }
        connection.prepare_cached("RELEASE request")?.execute([])?;
        kill_point("request: done, not kept");
    }
    kill_point("commit: before");
    connection.execute_batch("COMMIT")?;
    Ok(())
}

fn roll_back(connection: &Connection) {
    // SQLite drops the transaction by itself after some errors; then there is nothing to roll back.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction cannot be rolled back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(group_max: usize) -> (Writer, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("db")).unwrap();
        connection.execute_batch("CREATE TABLE note (n INTEGER PRIMARY KEY)").unwrap();
        (Writer::start(connection, group_max).unwrap(), folder)
    }

    fn wait<T>(reply: Reply<T>) -> Result<T, Error> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reply)
    }

    fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<(), Error> {
        move |connection| Ok(connection.execute("INSERT INTO note VALUES (?1)", [n]).map(|_| ())?)
    }

    fn notes(writer: &Writer) -> Vec<i64> {
        wait(writer.submit(|connection| {
            let mut statement = connection.prepare("SELECT n FROM note ORDER BY n")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        }))
        .unwrap()
    }

    /// Holds the writer, so that what is submitted meanwhile makes one group.
    fn hold(writer: &Writer) -> (mpsc::Sender<()>, Reply<()>) {
        let (release, held) = mpsc::channel();
        let (started, running) = mpsc::channel();
        let reply = writer.submit(move |_| {
            started.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        });
        running.recv().unwrap();
        (release, reply)
    }

    #[test]
    fn a_failing_or_panicking_member_does_not_lose_the_others() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let first = writer.submit(insert(1));
        let fails = writer.submit(|connection| {
            insert(2)(connection)?;
            Err::<(), _>(Error::bad_request("no"))
        });
        let panics = writer.submit(|connection| {
            insert(3)(connection)?;
            #[allow(unreachable_code, reason = "the closure needs a type")]
            Ok::<(), Error>(panic!("on purpose"))
        });
        let twice = writer.submit(insert(1));
        let last = writer.submit(insert(4));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()));
        assert_eq!(wait(first), Ok(()));
        assert_eq!(wait(fails), Err(Error::bad_request("no")));
        assert!(matches!(wait(panics), Err(Error::Internal(_))));
        assert!(matches!(wait(twice), Err(Error::Store(_))));
        assert_eq!(wait(last), Ok(()));
        assert_eq!(notes(&writer), [1, 4]);
    }

    #[test]
    fn a_lost_transaction_is_an_error_for_every_member_and_the_writer_goes_on() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let before = writer.submit(insert(1));
        let culprit = writer.submit(|connection| Ok(connection.execute_batch("ROLLBACK")?));
        let after = writer.submit(insert(2));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()), "it ran in a group of its own");
        for reply in [before, culprit, after] {
            assert!(matches!(wait(reply), Err(Error::Store(_))));
        }
        assert_eq!(wait(writer.submit(insert(3))), Ok(()));
        assert_eq!(notes(&writer), [3]);
    }

    #[test]
    fn an_answer_comes_when_others_can_see_the_work() {
        let (writer, folder) = writer(512);
        let other = Connection::open(folder.path().join("db")).unwrap();
        for n in 0..200 {
            wait(writer.submit(insert(n))).unwrap();
            let seen = other.query_row("SELECT max(n) FROM note", [], |row| row.get::<_, i64>(0));
            assert_eq!(seen.unwrap(), n);
        }
    }

    #[test]
    fn without_a_transaction_nothing_is_acknowledged() {
        let (writer, folder) = writer(512);
        wait(writer.submit(|connection| Ok(connection.busy_timeout(Duration::ZERO)?))).unwrap();
        let other = Connection::open(folder.path().join("db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(wait(writer.submit(insert(1))), Err(Error::Store(_))));
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(wait(writer.submit(insert(2))), Ok(()));
        assert_eq!(notes(&writer), [2]);
    }

    #[test]
    fn a_full_queue_says_busy_and_loses_nothing() {
        let (writer, _folder) = writer(512);
        let (release, held) = hold(&writer);
        let replies: Vec<_> = (0..QUEUE_MAX).map(|n| writer.submit(insert(n.try_into().unwrap()))).collect();
        assert_eq!(wait(writer.submit(insert(-1))), Err(Error::Busy));
        release.send(()).unwrap();
        assert_eq!(wait(held), Ok(()));
        for reply in replies {
            assert_eq!(wait(reply), Ok(()));
        }
        assert_eq!(notes(&writer).len(), QUEUE_MAX);
    }

    #[test]
    fn finishing_completes_what_waits() {
        let (writer, folder) = writer(2);
        let (release, _held) = hold(&writer);
        let replies: Vec<_> = (0..9).map(|n| writer.submit(insert(n))).collect();
        release.send(()).unwrap();
        drop(writer);
        for reply in replies {
            assert_eq!(wait(reply), Ok(()));
        }
        let connection = Connection::open(folder.path().join("db")).unwrap();
        let count: u32 = connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 9);
    }
}
