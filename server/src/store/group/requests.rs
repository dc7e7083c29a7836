//! The requests of a group: those that run in a batch, and those that run by themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::error::Error;
use crate::store::Report;
use crate::store::sql::{Answer, Request, Sql};

/// The time after which a request that waits for its transaction is refused instead. A client waits
/// for ten seconds in all, and the transaction takes its time, too.
pub(super) const WAIT_TIME_MAX: Duration = Duration::from_secs(5);

/// The names in the requests of a group. With them, an engine that several servers share finds the
/// items to lock.
#[derive(Debug, Default)]
pub(in crate::store) struct Concerned<'a> {
    /// The handshake codes that are named.
    pub(in crate::store) codes: Vec<&'a str>,
    /// The organizations with a default code that is meant.
    pub(in crate::store) organizations: Vec<&'a str>,
    /// The ids of the local licenses that are named.
    pub(in crate::store) licenses: Vec<&'a str>,
    /// The ids of the items that are named.
    pub(in crate::store) items: Vec<&'a str>,
}

impl<'a> Concerned<'a> {
    pub(super) fn add(&mut self, request: &'a Request) {
        match request {
            Request::Report(Report { report, shown, .. }) => {
                // A license that is shown already names its item.
                let is_shown = |id: &str| shown.iter().any(|shown| shown.license.license_id == id);
                let named = report.segments.iter().map(|segment| segment.license_id.as_str());
                self.licenses.extend(named.filter(|id| !is_shown(id)));
                self.items.extend(shown.iter().map(|shown| shown.license.item_id.as_str()));
                self.licenses.extend(report.ended.iter().map(|ended| ended.license_id.as_str()));
            }
            Request::Authorization(request) | Request::Check(request) => {
                self.codes.extend(named(&request.handshake_code));
                self.organizations.extend(named(&request.organization_id));
                self.items.extend(request.held.as_ref().map(|held| held.item_id.as_str()));
            }
        }
    }
}

fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A request that runs by itself.
pub(super) trait Other: Send {
    /// Do the work. Return `false` when it must be rolled back. The work may be done again.
    fn run(&mut self, sql: &dyn Sql) -> bool;
    /// Answer the client. An error replaces the outcome of `run`.
    fn answer(self: Box<Self>, transaction: Result<(), Error>);
}

pub(super) struct Task<T, F> {
    pub(super) work: F,
    pub(super) outcome: Result<T, Error>,
    pub(super) reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Other for Task<T, F>
where
    T: Send,
    F: Fn(&dyn Sql) -> Result<T, Error> + Send,
{
    fn run(&mut self, sql: &dyn Sql) -> bool {
        // The connection is intact after a panic: the savepoint is rolled back as after an error.
        let work = || {
            let done = (self.work)(sql)?;
            sql.settle().map(|()| done)
        };
        self.outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()));
        self.outcome.is_ok()
    }

    fn answer(self: Box<Self>, transaction: Result<(), Error>) {
        // The client may be gone; the work is kept all the same.
        let _ = self.reply.send(transaction.and(self.outcome));
    }
}

/// A request that runs in a batch.
pub(super) struct Member {
    /// The instant from which the request waits.
    pub(super) since: Instant,
    pub(super) request: Request,
    pub(super) outcome: Result<Answer, Error>,
    pub(super) reply: oneshot::Sender<Result<Answer, Error>>,
}

pub(super) enum Job {
    Member(Box<Member>),
    Other(Box<dyn Other>),
}

impl Job {
    /// Return why a request does not run any more, if it does not. Its client has gone or will have
    /// gone before it is answered, and sends it again. Work that nobody waits for would keep those
    /// who do wait until they are gone, too.
    pub(super) fn outdated(&self) -> Option<Error> {
        let Self::Member(member) = self else { return None };
        let is_outdated = member.reply.is_closed() || member.since.elapsed() > WAIT_TIME_MAX;
        is_outdated.then_some(Error::Busy)
    }

    pub(super) fn answer(self, transaction: Result<(), Error>) {
        match self {
            Self::Member(member) => {
                let _ = member.reply.send(transaction.and(member.outcome));
            }
            Self::Other(other) => other.answer(transaction),
        }
    }
}

/// Return the name of the queue's lane for a request. Clients show a license with their reports. A
/// report without one gets a lane by chance, from the device's UUID.
pub(super) fn lane_of(request: &Request) -> [String; 3] {
    match request {
        Request::Report(Report { report, shown, .. }) => {
            let item_id = shown.first().map(|shown| shown.license.item_id.clone());
            [item_id.unwrap_or_else(|| report.device.uuid.clone()), String::new(), String::new()]
        }
        Request::Authorization(request) | Request::Check(request) => {
            let item_id = request.held.as_ref().map(|held| held.item_id.clone());
            [
                item_id.unwrap_or_default(),
                request.handshake_code.clone(),
                request.organization_id.clone(),
            ]
        }
    }
}

pub(super) fn stopped() -> Error {
    Error::Store("the store has stopped".to_owned())
}

pub(super) fn unanswered() -> Error {
    Error::Internal("a request was answered before it ran".to_owned())
}

pub(super) fn panicked() -> Error {
    Error::Internal("a request panicked in the store".to_owned())
}
