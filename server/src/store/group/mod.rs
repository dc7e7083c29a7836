//! The writer threads and the group commit.
//!
//! A writer takes all requests that wait, up to a bound. It runs them in one transaction, in the
//! order in which it took them, makes the transaction durable, and only then answers any of them.
//! Reports, authorizations and checks that follow one another run together as one batch
//! ([`super::sql::run`]). Every other request, such as a change by an operator, runs by itself.
//! Each batch and each other request has a savepoint.
//!
//! | a request | its savepoint | the others |
//! | --- | --- | --- |
//! | succeeds | kept | – |
//! | of a batch is refused, or is only a check | kept: the batch has booked nothing of it | untouched |
//! | outside of a batch is refused, fails or panics | rolled back | untouched |
//! | of a batch fails or panics | rolled back, each request of the batch runs by itself | untouched |
//! | makes the engine drop the whole transaction (disk full) | gone | all answered with the error, none recorded |
//! | conflicts with a transaction of another server (deadlock, serialization) | – | the whole group runs again |

mod requests;
mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::requests::{Job, Member, Other, Task, lane_of, panicked, stopped, unanswered};
use super::Reply;
use super::queue::{NoPlace, Queue};
use super::sql::{self, Acknowledged, Answer, Request, Sequence, Sql};
use crate::error::Error;
use crate::histogram::Histogram;
use crate::kill_points::kill_point;
use crate::log_lines::Pace;

pub(super) use self::requests::Concerned;
pub(super) use self::store::GroupStore;

/// The greatest number of requests that share a transaction: large enough that the sync no longer
/// matters, small enough that the first request does not wait long for the last.
pub const GROUP_MAX: usize = 512;

/// The greatest number of requests that may wait. A request beyond that is refused and has to come
/// back later. As many may wait as there are connections, so that devices that all start at nine
/// wait for their turn. Even at two thousand a second, the last one is served before it gives up.
/// They cost nobody else time, because each transaction takes from all lanes.
pub(super) const QUEUE_MAX: usize = 8 * GROUP_MAX;

/// The fraction of the last transaction's time that the next transaction may wait to fill, and the
/// upper bound of this wait.
const GATHER_FRACTION: u32 = 4;
const GATHER_TIME_MAX: Duration = Duration::from_millis(2);

/// The time after which a transaction begins no further request, but is made durable, because other
/// transactions wait for it and for the items that it has locked. The remaining requests begin the
/// next transaction.
const WORK_TIME_MAX: Duration = Duration::from_millis(100);

/// The bounds of the time that a transaction takes, in seconds.
const COMMIT_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The number of attempts to run a group that conflicts with other transactions.
const ATTEMPTS: u32 = 4;

/// A database, as a writer uses it.
pub(super) trait Engine {
    /// Return the connection, within the transaction.
    fn sql(&self) -> &dyn Sql;

    /// Begin a transaction for requests that concern these names, if an engine has to know them.
    fn begin<'a>(&self, concerned: impl FnOnce() -> Concerned<'a>) -> Result<(), Error>;

    /// Begin a savepoint. Changes since the previous savepoint, if there was one, are kept.
    fn save(&self) -> Result<(), Error>;

    /// Undo the changes since the savepoint.
    fn undo(&self) -> Result<(), Error>;

    /// Make the transaction durable.
    fn commit(&self) -> Result<(), Error>;

    /// Undo the transaction, if there is one. An engine that has lost its connection opens another.
    fn roll_back(&self);

    /// Return whether the connection is another one since the last call, perhaps to other data.
    fn has_reconnected(&self) -> bool {
        false
    }

    /// Return whether the transaction failed because of a concurrent transaction, and would not
    /// fail again.
    fn met_another(&self) -> bool {
        false
    }
}

/// A handle of the writer threads.
pub(super) struct Writers {
    queue: Arc<Queue<Job>>,
    commits: Arc<Histogram>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Start a thread for each engine.
    pub(super) fn start<E: Engine + Send + 'static>(
        engines: impl IntoIterator<Item = E>,
        group_max: usize,
    ) -> Result<Self, Error> {
        let mut writers = Self {
            queue: Arc::new(Queue::new(QUEUE_MAX)),
            commits: Arc::new(Histogram::new(COMMIT_SECONDS)),
            threads: Vec::new(),
        };
        let acknowledged = Acknowledged::default();
        for (place, engine) in engines.into_iter().enumerate() {
            let (queue, commits) = (writers.queue.clone(), writers.commits.clone());
            let sequence = Sequence::of_writer(place, acknowledged.clone());
            let thread = std::thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || write_groups(&engine, &queue, &commits, group_max, sequence))
                .map_err(|e| {
                    Error::Setup(format!("the system gives no thread for the database: {e}"))
                })?;
            writers.threads.push(thread);
        }
        Ok(writers)
    }

    /// Pass work to the threads; the reply comes once the work is durable.
    pub(super) fn submit<T, F>(&self, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    {
        self.submit_to("", work)
    }

    /// Pass work to the threads that waits in this lane.
    fn submit_to<T, F>(&self, lane: &str, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task { work, outcome: Err(unanswered()), reply };
        self.push(&lane, Job::Other(Box::new(task)));
        wait_for(answer)
    }

    /// Pass a request to the threads that runs in a batch; the reply comes once it is durable.
    fn batch(&self, request: Request) -> Reply<Answer> {
        let (reply, answer) = oneshot::channel();
        let lane = lane_of(&request);
        let member = Member { since: Instant::now(), request, outcome: Err(unanswered()), reply };
        self.push(&lane, Job::Member(Box::new(member)));
        wait_for(answer)
    }

    fn push(&self, lane: &impl std::hash::Hash, job: Job) {
        match self.queue.push(lane, job) {
            Ok(()) => {}
            Err(NoPlace::Full(job)) => job.answer(Err(Error::Busy)),
            Err(NoPlace::Closed(job)) => job.answer(Err(stopped())),
        }
    }
}

impl Drop for Writers {
    /// Let the threads finish the waiting requests, and wait for the threads to end.
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a writer thread of the store panicked");
            }
        }
    }
}

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

fn wait_for<T: Send + 'static>(answer: oneshot::Receiver<Result<T, Error>>) -> Reply<T> {
    Box::pin(async move { answer.await.unwrap_or_else(|_| Err(stopped())) })
}

/// The requests of one transaction, in the order in which they run.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    /// The number of requests that the transaction has run.
    done: usize,
}

impl Group {
    /// Take a request, unless it is outdated.
    fn add(&mut self, job: Job) {
        match job.outdated() {
            None => self.jobs.push(job),
            Some(error) => job.answer(Err(error)),
        }
    }

    fn concerned(&self) -> Concerned<'_> {
        let mut concerned = Concerned::default();
        for job in &self.jobs {
            if let Job::Member(member) = job {
                concerned.add(&member.request);
            }
        }
        concerned
    }

    fn answer(&mut self, outcome: &Result<(), Error>) {
        // When the transaction failed before it reached all requests, the remaining ones fail with
        // it.
        let count = if outcome.is_ok() { self.done } else { self.jobs.len() };
        for job in self.jobs.drain(..count) {
            job.answer(outcome.clone());
            kill_point("answers: one sent");
        }
    }
}

/// The pace of the line about groups that were not recorded: while a database is down, every group
/// is one.
static NOT_RECORDED: Pace = Pace::per_second();

fn write_groups(
    engine: &impl Engine,
    queue: &Queue<Job>,
    commits: &Histogram,
    group_max: usize,
    mut sequence: Sequence,
) {
    let mut group = Group::default();
    let mut last = LastGroup::default();
    loop {
        // Requests that did not fit into the last transaction begin the next one.
        if group.jobs.is_empty() {
            let Some(first) = queue.pop() else { return };
            group.add(first);
        }
        gather(queue, &mut group, group_max, &last);
        if group.jobs.is_empty() {
            continue;
        }
        kill_point("group: gathered");
        let begun = Instant::now();
        let outcome = run_group(engine, &mut group, &mut sequence);
        last = LastGroup { requests: group.jobs.len(), took: begun.elapsed() };
        commits.note(last.took.as_secs_f64());
        if let Err(error) = &outcome
            && let Some(before) = NOT_RECORDED.due()
        {
            let requests = group.jobs.len();
            tracing::error!(requests, groups_before = before, %error, "a group of requests was not recorded");
        }
        kill_point("commit: durable, not answered");
        group.answer(&outcome);
    }
}

/// The size and duration of the last group, from which those of the next are estimated.
#[derive(Default)]
struct LastGroup {
    requests: usize,
    took: Duration,
}

/// Take the requests that wait. When they are fewer than the last group, the clients that were just
/// answered are likely to ask again. Waiting for them costs a fraction of a transaction and saves
/// the next one. A single client never waits, because its last group had one request.
fn gather(queue: &Queue<Job>, group: &mut Group, group_max: usize, last: &LastGroup) {
    let begun = Instant::now();
    let deadline = begun + (last.took / GATHER_FRACTION).min(GATHER_TIME_MAX);
    while group.jobs.len() < group_max {
        let until = if group.jobs.len() < last.requests { deadline } else { begun };
        let Some(job) = queue.pop_until(until) else { break };
        group.add(job);
    }
}

fn run_group(
    engine: &impl Engine,
    group: &mut Group,
    sequence: &mut Sequence,
) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let outcome = commit_group(engine, group, sequence);
        let met_another = engine.met_another();
        if outcome.is_err() || met_another {
            engine.roll_back();
            // The engine may have opened another connection, to data that was put back.
            sequence.end();
        }
        if !met_another {
            return outcome;
        }
        if attempt == ATTEMPTS {
            return Err(Error::Busy);
        }
        attempt += 1;
    }
}

fn commit_group(
    engine: &impl Engine,
    group: &mut Group,
    sequence: &mut Sequence,
) -> Result<(), Error> {
    let begun = Instant::now();
    engine.begin(|| group.concerned())?;
    if engine.has_reconnected() {
        sequence.suspect();
    }
    kill_point("group: begun");
    group.done = 0;
    while group.done < group.jobs.len() && (group.done == 0 || begun.elapsed() <= WORK_TIME_MAX) {
        group.done += match &mut group.jobs[group.done..] {
            [Job::Other(other), ..] => {
                run_other(engine, other.as_mut())?;
                1
            }
            jobs => run_members(engine, &mut first_members(jobs), begun, sequence)?,
        };
    }
    kill_point("commit: before");
    engine.commit()?;
    sequence.acknowledge();
    Ok(())
}

fn run_other(engine: &impl Engine, other: &mut dyn Other) -> Result<(), Error> {
    engine.save()?;
    if !other.run(engine.sql()) {
        give_up_if_met(engine)?;
        engine.undo()?;
    }
    kill_point("request: done, not kept");
    Ok(())
}

/// Return the requests up to the first one that runs by itself.
fn first_members(jobs: &mut [Job]) -> Vec<&mut Member> {
    let members = jobs.iter_mut().map_while(|job| match job {
        Job::Member(member) => Some(member.as_mut()),
        Job::Other(_) => None,
    });
    members.collect()
}

/// Run these requests as a batch. If one spoils the batch, each runs by itself, so that only this
/// one fails. Return the number of requests that have run.
fn run_members(
    engine: &impl Engine,
    members: &mut [&mut Member],
    begun: Instant,
    sequence: &mut Sequence,
) -> Result<usize, Error> {
    engine.save()?;
    match run_batch(engine, members, sequence) {
        Ok(outcomes) => {
            for (member, outcome) in members.iter_mut().zip(outcomes) {
                member.outcome = outcome;
                kill_point("request: done, not kept");
            }
            return Ok(members.len());
        }
        Err(error) => {
            give_up_if_met(engine)?;
            engine.undo()?;
            if let [member] = members {
                member.outcome = Err(error);
                return Ok(1);
            }
        }
    }
    let mut done = 0;
    for member in members.chunks_mut(1) {
        if done > 0 && begun.elapsed() > WORK_TIME_MAX {
            break;
        }
        done += run_members(engine, member, begun, sequence)?;
    }
    Ok(done)
}

fn run_batch(
    engine: &impl Engine,
    members: &[&mut Member],
    sequence: &mut Sequence,
) -> Result<Vec<Result<Answer, Error>>, Error> {
    let requests: Vec<&Request> = members.iter().map(|member| &member.request).collect();
    catch_unwind(AssertUnwindSafe(|| sql::run(engine.sql(), &requests, sequence)))
        .unwrap_or_else(|_| Err(panicked()))
}

/// Stop when the transaction has met another, because nothing more in it can succeed.
fn give_up_if_met(engine: &impl Engine) -> Result<(), Error> {
    if engine.met_another() { Err(Error::Busy) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
