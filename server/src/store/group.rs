//! The writer threads and the group commit.
//!
//! A writer takes all requests that wait, up to a bound, runs them in one transaction, makes the
//! transaction durable, and only then answers any of them. All reports are booked together as one
//! batch; every other request runs by itself in a savepoint.
//!
//! | a request | its savepoint | the others |
//! | --- | --- | --- |
//! | succeeds | kept | – |
//! | succeeds, and is only a check | rolled back | untouched |
//! | is refused, fails or panics | rolled back | untouched |
//! | makes the engine drop the whole transaction (disk full) | gone | all answered with the error, none recorded |
//! | fails within a batch of reports | rolled back, each report runs by itself | untouched |
//! | conflicts with a transaction of another server (deadlock, serialization) | – | the whole group runs again |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seatmeter_protocol::message::{UsageAnswer, UsageReport};
use tokio::sync::oneshot;

use super::queue::{NoPlace, Queue};
use super::sql::{self, Report, Sql};
use super::{Authorization, Decision, Organization, Reply, ShownLicense, Store};
use crate::error::Error;
use crate::kill_points::kill_point;
use crate::operator::commands::{Actor, Change, Listing, View};

/// The greatest number of requests that share a transaction: large enough that the sync no longer
/// matters, small enough that the first request does not wait long for the last.
pub const GROUP_MAX: usize = 512;

/// The greatest number of requests that may wait. A request beyond that is refused and has to come
/// back later.
pub(super) const QUEUE_MAX: usize = 2 * GROUP_MAX;

/// The fraction of the last transaction's time that the next transaction may wait to fill, and the
/// upper bound of this wait.
const GATHER_FRACTION: u32 = 4;
const GATHER_TIME_MAX: Duration = Duration::from_millis(2);

/// The time after which a transaction begins no further request, but is made durable, because other
/// transactions wait for it and for the items that it has locked. The remaining requests begin the
/// next transaction.
const WORK_TIME_MAX: Duration = Duration::from_millis(100);

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

    /// Return whether the transaction failed because of a concurrent transaction, and would not
    /// fail again.
    fn met_another(&self) -> bool {
        false
    }
}

/// The names in the requests of a group. With them, an engine that several servers share finds the
/// items to lock.
#[derive(Debug, Default)]
pub(super) struct Concerned<'a> {
    /// The handshake codes that are named.
    pub(super) codes: Vec<&'a str>,
    /// The organizations with a default code that is meant.
    pub(super) organizations: Vec<&'a str>,
    /// The ids of the local licenses that are named.
    pub(super) licenses: Vec<&'a str>,
    /// The ids of the items that are named.
    pub(super) items: Vec<&'a str>,
}

/// The names in one request; a name that the request does not have is empty.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Concern {
    pub(super) handshake_code: String,
    pub(super) organization_id: String,
    pub(super) item_id: String,
}

/// A request on its way through the writer.
trait Request: Send {
    fn concern(&self) -> &Concern;
    /// Do the work. Return `false` when it must be rolled back. The work may be done again.
    fn run(&mut self, sql: &dyn Sql) -> bool;
    /// Answer the client. An error replaces the outcome of `run`.
    fn answer(self: Box<Self>, transaction: Result<(), Error>);
}

struct Task<T, F> {
    concern: Concern,
    work: F,
    /// Whether the effects are kept.
    is_kept: bool,
    outcome: Result<T, Error>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Request for Task<T, F>
where
    T: Send,
    F: Fn(&dyn Sql) -> Result<T, Error> + Send,
{
    fn concern(&self) -> &Concern {
        &self.concern
    }

    fn run(&mut self, sql: &dyn Sql) -> bool {
        // The connection is intact after a panic: the savepoint is rolled back as after an error.
        self.outcome =
            catch_unwind(AssertUnwindSafe(|| (self.work)(sql))).unwrap_or_else(|_| Err(panicked()));
        self.outcome.is_ok() && self.is_kept
    }

    fn answer(self: Box<Self>, transaction: Result<(), Error>) {
        // The client may be gone; the work is kept all the same.
        let _ = self.reply.send(transaction.and(self.outcome));
    }
}

struct ReportTask {
    report: Report,
    outcome: Result<UsageAnswer, Error>,
    reply: oneshot::Sender<Result<UsageAnswer, Error>>,
}

impl ReportTask {
    fn answer(self, transaction: Result<(), Error>) {
        let _ = self.reply.send(transaction.and(self.outcome));
    }
}

enum Job {
    Report(Box<ReportTask>),
    Other(Box<dyn Request>),
}

impl Job {
    fn answer(self, transaction: Result<(), Error>) {
        match self {
            Self::Report(task) => task.answer(transaction),
            Self::Other(request) => request.answer(transaction),
        }
    }
}

/// A handle of the writer threads.
pub(super) struct Writers {
    queue: Arc<Queue<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Start a thread for each engine.
    pub(super) fn start<E: Engine + Send + 'static>(
        engines: impl IntoIterator<Item = E>,
        group_max: usize,
    ) -> Result<Self, Error> {
        let mut writers = Self { queue: Arc::new(Queue::new(QUEUE_MAX)), threads: Vec::new() };
        for engine in engines {
            let queue = writers.queue.clone();
            let thread = std::thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || write_groups(&engine, &queue, group_max))
                .map_err(|e| {
                    Error::Setup(format!("the system gives no thread for the database: {e}"))
                })?;
            writers.threads.push(thread);
        }
        Ok(writers)
    }

    /// Pass work to the threads; the reply comes once the work is durable.
    pub(super) fn submit<T, F>(&self, concern: Concern, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    {
        self.submit_task(concern, work, true)
    }

    /// Pass work to the threads as [`Self::submit`] does, but roll back its effects.
    pub(super) fn try_out<T, F>(&self, concern: Concern, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    {
        self.submit_task(concern, work, false)
    }

    fn submit_task<T, F>(&self, concern: Concern, work: F, is_kept: bool) -> Reply<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let lane = concern.clone();
        let task = Task { concern, work, is_kept, outcome: Err(unanswered()), reply };
        self.push(&lane, Job::Other(Box::new(task)));
        wait_for(answer)
    }

    /// Pass a report to the threads; the reply comes once the report is durable.
    pub(super) fn report(&self, report: Report) -> Reply<UsageAnswer> {
        let (reply, answer) = oneshot::channel();
        // Clients show a license with their reports. A report without one gets a lane by chance,
        // from the device's UUID.
        let item_id = report.shown.first().map(|shown| shown.license.item_id.clone());
        let lane = item_id.unwrap_or_else(|| report.report.device.uuid.clone());
        self.push(
            &lane,
            Job::Report(Box::new(ReportTask { report, outcome: Err(unanswered()), reply })),
        );
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

/// A store that passes its requests to writers.
pub(super) trait GroupStore: Send + Sync + 'static {
    fn writers(&self) -> &Writers;
}

impl<S: GroupStore> Store for S {
    fn authorize(&self, request: Authorization) -> Reply<Decision> {
        self.writers().submit(concern_of(&request), move |sql| sql::authorize(sql, &request))
    }

    fn check(&self, request: Authorization) -> Reply<Decision> {
        self.writers().try_out(concern_of(&request), move |sql| sql::authorize(sql, &request))
    }

    fn record(
        &self,
        report: UsageReport,
        shown: Vec<ShownLicense>,
        now: u64,
    ) -> Reply<UsageAnswer> {
        self.writers().report(Report { report, shown, now })
    }

    fn change(&self, change: Change, by: Actor) -> Reply<()> {
        self.writers().submit(Concern::default(), move |sql| sql::change(sql, &change, &by))
    }

    fn look(&self, view: View, now: u64) -> Reply<Listing> {
        self.writers().submit(Concern::default(), move |sql| sql::look(sql, &view, now))
    }

    fn token_hashes(&self) -> Reply<Vec<(String, String)>> {
        self.writers().submit(Concern::default(), sql::token_hashes)
    }

    fn organization(&self, organization_id: String) -> Reply<Option<Organization>> {
        self.writers()
            .submit(Concern::default(), move |sql| sql::organization(sql, &organization_id))
    }

    fn serving(&self, now: u64) -> Reply<()> {
        self.writers().submit(Concern::default(), move |sql| sql::serving(sql, now))
    }

    fn tidy(&self, now: u64) -> Reply<bool> {
        self.writers().submit(Concern::default(), move |sql| sql::tidy(sql, now))
    }

    fn ready(&self) -> Reply<()> {
        self.writers().submit(Concern::default(), sql::write_and_forget)
    }
}

fn concern_of(request: &Authorization) -> Concern {
    Concern {
        handshake_code: request.handshake_code.clone(),
        organization_id: request.organization_id.clone(),
        item_id: request.held.as_ref().map(|held| held.item_id.clone()).unwrap_or_default(),
    }
}

fn wait_for<T: Send + 'static>(answer: oneshot::Receiver<Result<T, Error>>) -> Reply<T> {
    Box::pin(async move { answer.await.unwrap_or_else(|_| Err(stopped())) })
}

fn stopped() -> Error {
    Error::Store("the store has stopped".to_owned())
}

fn unanswered() -> Error {
    Error::Internal("a request was answered before it ran".to_owned())
}

fn panicked() -> Error {
    Error::Internal("a request panicked in the store".to_owned())
}

/// The requests of one transaction.
#[derive(Default)]
struct Group {
    reports: Vec<ReportTask>,
    others: Vec<Box<dyn Request>>,
    /// The number of the others that the transaction has run.
    others_done: usize,
}

impl Group {
    fn len(&self) -> usize {
        self.reports.len() + self.others.len()
    }

    fn add(&mut self, job: Job) {
        match job {
            Job::Report(task) => self.reports.push(*task),
            Job::Other(request) => self.others.push(request),
        }
    }

    fn concerned(&self) -> Concerned<'_> {
        let mut concerned = Concerned::default();
        for Concern { handshake_code, organization_id, item_id } in
            self.others.iter().map(|request| request.concern())
        {
            concerned.codes.extend(named(handshake_code));
            concerned.organizations.extend(named(organization_id));
            concerned.items.extend(named(item_id));
        }
        for Report { report, shown, .. } in self.reports.iter().map(|task| &task.report) {
            // A license that is shown already names its item.
            let is_shown = |id: &str| shown.iter().any(|shown| shown.license.license_id == id);
            let named = report.segments.iter().map(|segment| segment.license_id.as_str());
            concerned.licenses.extend(named.filter(|id| !is_shown(id)));
            concerned.items.extend(shown.iter().map(|shown| shown.license.item_id.as_str()));
            concerned.licenses.extend(report.ended.iter().map(|ended| ended.license_id.as_str()));
        }
        concerned
    }

    fn answer(&mut self, outcome: &Result<(), Error>) {
        // When the transaction failed before it reached all requests, the remaining ones fail with
        // it.
        let others = if outcome.is_ok() { self.others_done } else { self.others.len() };
        for task in self.reports.drain(..) {
            task.answer(outcome.clone());
            kill_point("answers: one sent");
        }
        for request in self.others.drain(..others) {
            request.answer(outcome.clone());
            kill_point("answers: one sent");
        }
    }
}

fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn write_groups(engine: &impl Engine, queue: &Queue<Job>, group_max: usize) {
    let mut group = Group::default();
    let mut last = LastGroup::default();
    loop {
        // Requests that did not fit into the last transaction begin the next one.
        if group.len() == 0 {
            let Some(first) = queue.pop() else { return };
            group.add(first);
        }
        gather(queue, &mut group, group_max, &last);
        kill_point("group: gathered");
        let begun = Instant::now();
        let outcome = run_group(engine, &mut group);
        last = LastGroup { requests: group.len(), took: begun.elapsed() };
        if let Err(error) = &outcome {
            tracing::error!(requests = group.len(), %error, "a group of requests was not recorded");
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
    while group.len() < group_max {
        let until = if group.len() < last.requests { deadline } else { begun };
        let Some(job) = queue.pop_until(until) else { break };
        group.add(job);
    }
}

fn run_group(engine: &impl Engine, group: &mut Group) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let outcome = commit_group(engine, group);
        let met_another = engine.met_another();
        if outcome.is_err() || met_another {
            engine.roll_back();
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

fn commit_group(engine: &impl Engine, group: &mut Group) -> Result<(), Error> {
    let begun = Instant::now();
    engine.begin(|| group.concerned())?;
    kill_point("group: begun");
    group.others_done = 0;
    for request in &mut group.others {
        if group.others_done > 0 && begun.elapsed() > WORK_TIME_MAX {
            break;
        }
        group.others_done += 1;
        engine.save()?;
        if !request.run(engine.sql()) {
            give_up_if_met(engine)?;
            engine.undo()?;
        }
        kill_point("request: done, not kept");
    }
    book_reports(engine, &mut group.reports)?;
    kill_point("commit: before");
    engine.commit()
}

fn book_reports(engine: &impl Engine, tasks: &mut [ReportTask]) -> Result<(), Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    engine.save()?;
    match book_batch(engine, tasks) {
        Ok(answers) => {
            for (task, answer) in tasks.iter_mut().zip(answers) {
                task.outcome = Ok(answer);
                kill_point("request: done, not kept");
            }
            return Ok(());
        }
        Err(_) if tasks.len() > 1 => {
            give_up_if_met(engine)?;
            engine.undo()?;
        }
        Err(error) => {
            tasks[0].outcome = Err(error);
            give_up_if_met(engine)?;
            return engine.undo();
        }
    }
    // A report spoils the batch. Each report now runs by itself, so that only this one fails.
    for task in tasks {
        book_reports(engine, std::slice::from_mut(task))?;
    }
    Ok(())
}

fn book_batch(engine: &impl Engine, tasks: &[ReportTask]) -> Result<Vec<UsageAnswer>, Error> {
    let reports: Vec<&Report> = tasks.iter().map(|task| &task.report).collect();
    catch_unwind(AssertUnwindSafe(|| sql::record(engine.sql(), &reports)))
        .unwrap_or_else(|_| Err(panicked()))
}

/// Stop when the transaction has met another, because nothing more in it can succeed.
fn give_up_if_met(engine: &impl Engine) -> Result<(), Error> {
    if engine.met_another() { Err(Error::Busy) } else { Ok(()) }
}
