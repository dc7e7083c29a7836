//! Two stores side by side: the server's SQL store, whose answers are used, and the plain one,
//! which must decide alike. On request the store on PostgreSQL is a third.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::UsageAnswer;
use seatmeter_server::error::{Error, Refusal};
use seatmeter_server::operator::commands::{Actor, Change, Listing, View};
use seatmeter_server::operator::queries::alerts::AlertCheck;
use seatmeter_server::store::postgres::{PostgresStore, renew_epoch};
use seatmeter_server::store::sqlite::InlineStore;
use seatmeter_server::store::{
    Authorization, Decision, Organization, ReadWork, Reply, Report, ShownLicense, Store,
};

use crate::plain::{Granted, No, Plain, Reported};
use crate::server::{epoch_of, now};
use seatmeter_e2e::postgres::Cluster;

thread_local! {
    /// The PostgreSQL server for this thread's worlds, if they have a store on PostgreSQL.
    pub(crate) static POSTGRES: RefCell<Option<Rc<Cluster>>> = const { RefCell::new(None) };
}

pub(crate) struct Compared {
    sql: Arc<InlineStore>,
    postgres: Mutex<Option<PostgresStore>>,
    /// The plain store; `None` if answers are not judged.
    pub(crate) plain: Mutex<Option<Plain>>,
    /// The first decision in which the stores differ.
    pub(crate) difference: Mutex<Option<String>>,
}

impl Compared {
    pub(crate) fn new(sql: Arc<InlineStore>, epoch: String, has_plain: bool) -> Self {
        let postgres = POSTGRES.with_borrow(|cluster| {
            let url = cluster.as_ref().map(|cluster| cluster.url(&cluster.new_database()))?;
            let store = PostgresStore::open_with(&url, 1, 1).expect("PostgreSQL is there");
            renew_epoch(&url, &epoch, 0).expect("it can be written");
            wait_for(store.serving(0)).expect("it can be written");
            Some(store)
        });
        Self {
            sql,
            postgres: Mutex::new(postgres),
            plain: Mutex::new(has_plain.then(|| Plain::new(epoch))),
            difference: Mutex::default(),
        }
    }

    /// Stop comparing with PostgreSQL: a backup is not restored there.
    pub(crate) fn leave_postgres(&self) {
        *self.postgres.lock() = None;
    }

    /// Return the answer of the store on PostgreSQL, if there is one.
    fn on_postgres<T>(
        &self,
        ask: impl FnOnce(&PostgresStore) -> Reply<T>,
    ) -> Option<Result<T, Error>> {
        self.postgres.lock().as_ref().map(|store| wait_for(ask(store)))
    }

    /// Return the epoch of the server's store.
    fn epoch(&self) -> String {
        epoch_of(&self.sql)
    }

    /// Check that the stores have begun an epoch alike since this one. The id is by chance, so the
    /// store on PostgreSQL has another one from then on, and is left.
    fn agree_on_epoch(&self, before: &str) {
        let epoch = self.epoch();
        if epoch != before {
            self.leave_postgres();
        }
        if self.plain.lock().as_mut().is_some_and(|plain| !plain.agrees_on_epoch(&epoch)) {
            self.differ("the epoch", &epoch, &before);
        }
    }

    fn note_receipt(&self, receipt: &str) {
        if let Some(plain) = self.plain.lock().as_mut() {
            plain.note_receipt(receipt);
        }
    }

    fn differ(&self, what: &str, sql: &impl std::fmt::Debug, plain: &impl std::fmt::Debug) {
        let sentence = format!("of {what} the SQL store says {sql:?}, the plain one {plain:?}");
        self.difference.lock().get_or_insert(sentence);
    }

    fn compare(&self, sql: &Result<Decision, Error>, plain: &Result<Granted, No>) {
        match (sql, plain) {
            (Ok(Decision::Granted(sql)), Ok((grant, license_id, generation))) => {
                let said = (&sql.grant, &sql.license_id, &sql.generation);
                if said != (grant, license_id, generation) {
                    self.differ("a grant", &said, plain);
                }
            }
            (Ok(Decision::ProveFresh), Err(No::NotFresh))
            | (Err(Error::NotReady(_)), Err(No::NotReady)) => {}
            (Err(Error::Refused(sql)), Err(No::Refused(plain))) => {
                let facts = |refusal: &Refusal| {
                    (refusal.code, refusal.numbers.clone(), refusal.epoch.clone())
                };
                // The epoch is not compared, because an inserted bug may leave it out.
                let is_same = sql.code == plain.code && sql.numbers == plain.numbers;
                if !is_same {
                    self.differ("a refusal", &facts(sql), &facts(plain));
                }
            }
            _ => self.differ("an authorization", sql, plain),
        }
    }
}

impl Store for Compared {
    fn authorize(&self, request: Authorization) -> Reply<Decision> {
        let epoch = self.epoch();
        let plain = self.plain.lock().as_mut().map(|plain| plain.authorize(&request));
        let third = self.on_postgres(|store| {
            store.authorize(Authorization { receipt: None, ..request.clone() })
        });
        let sql = now(self.sql.authorize(request));
        if let Some(plain) = plain {
            self.compare(&sql, &plain);
        }
        if let Ok(Decision::Granted(granted)) = &sql {
            self.note_receipt(&granted.receipt);
        }
        match third {
            Some(Ok(Decision::Granted(granted))) => {
                let granted = (granted.grant, granted.license_id, granted.generation);
                self.compare(&sql, &Ok(granted));
            }
            Some(Ok(Decision::ProveFresh)) => self.compare(&sql, &Err(No::NotFresh)),
            Some(Err(Error::Refused(refusal))) => self.compare(&sql, &Err(refusal.into())),
            Some(other) => self.differ("an authorization on PostgreSQL", &sql, &other),
            None => {}
        }
        self.agree_on_epoch(&epoch);
        Box::pin(std::future::ready(sql))
    }

    fn check(&self, request: Authorization) -> Reply<Decision> {
        self.sql.check(request)
    }

    fn note_alerts(&self, check: AlertCheck, now: u64) -> Reply<()> {
        self.sql.note_alerts(check, now)
    }

    fn read(&self, work: ReadWork) -> Reply<()> {
        self.sql.read(work)
    }

    fn record(&self, report: Report) -> Reply<UsageAnswer> {
        let epoch = self.epoch();
        let ours = report.shown.iter().filter(|shown| (shown.is_ours)());
        let vouched: Vec<LocalLicense> = ours.map(|shown| shown.license.clone()).collect();
        let newest = report.newest.as_ref().map(|newest| newest.license.clone());
        let is_newest_ours = report.newest.as_ref().is_some_and(|newest| (newest.is_ours)());
        let again = |license: &LocalLicense, is_ours| ShownLicense {
            license: license.clone(),
            is_ours: Box::new(move || is_ours),
        };
        let content = report.report.clone();
        let third = self.on_postgres(|store| {
            store.record(Report {
                report: content.clone(),
                proof: report.proof.clone(),
                newest: newest.as_ref().map(|newest| again(newest, is_newest_ours)),
                shown: vouched.iter().map(|license| again(license, true)).collect(),
                // A receipt is of the other store, and the data is never put back while both run.
                receipt: None,
                keys: report.keys.clone(),
                now: report.now,
            })
        });
        let (at, receipt) = (report.now, report.receipt.clone());
        let sql = now(self.sql.record(report));
        // Who has sent the report is checked by the others alone.
        let reported = Reported {
            report: &content,
            newest: newest.as_ref(),
            is_newest_ours,
            receipt: receipt.as_ref(),
            vouched: &vouched,
            now: at,
        };
        let plain =
            self.plain.lock().as_mut().filter(|_| sql.is_ok()).map(|plain| plain.record(&reported));
        if let Ok(sql) = &sql {
            self.note_receipt(&sql.receipt);
            let ids = |answer: &UsageAnswer| -> Vec<String> {
                answer.refused.iter().map(|refused| refused.segment_id.clone()).collect()
            };
            let facts = |answer: &UsageAnswer| {
                (answer.recorded.clone(), ids(answer), answer.standings.clone())
            };
            if let Some(plain) = plain.filter(|plain| facts(sql) != facts(plain)) {
                self.differ("a report", &facts(sql), &facts(&plain));
            }
            match third {
                Some(Ok(third)) if facts(sql) != facts(&third) => {
                    self.differ("a report on PostgreSQL", &facts(sql), &facts(&third));
                }
                Some(Err(error)) => self.differ("a report on PostgreSQL", &facts(sql), &error),
                _ => {}
            }
        }
        self.agree_on_epoch(&epoch);
        Box::pin(std::future::ready(sql))
    }

    fn change(&self, change: Change, by: Actor) -> Reply<()> {
        let at = by.now;
        let third = self.on_postgres(|store| store.change(change.clone(), by.clone()));
        let sql = now(self.sql.change(change.clone(), by));
        if third.as_ref().is_some_and(|third| third.is_ok() != sql.is_ok()) {
            self.differ("a change on PostgreSQL", &sql, &third);
        }
        if let (true, Some(plain)) = (sql.is_ok(), self.plain.lock().as_mut()) {
            plain.change(&change, at);
        }
        Box::pin(std::future::ready(sql))
    }

    fn look(&self, view: View, now: u64) -> Reply<Listing> {
        self.sql.look(view, now)
    }

    fn organization(&self, organization_id: String) -> Reply<Option<Organization>> {
        self.sql.organization(organization_id)
    }

    fn serving(&self, at: u64) -> Reply<()> {
        let _ = self.on_postgres(|store| store.serving(at));
        self.sql.serving(at)
    }

    fn tidy(&self, now: u64) -> Reply<bool> {
        let _ = self.on_postgres(|store| store.tidy(now));
        self.sql.tidy(now)
    }

    fn ready(&self) -> Reply<Vec<String>> {
        self.sql.ready()
    }
}

/// Wait for a store that works in threads of its own.
fn wait_for<T>(reply: Reply<T>) -> Result<T, Error> {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut reply = pin!(reply);
    loop {
        match reply.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}
