//! Two stores side by side: the server's SQL store, whose answers are given, and the plain one, which must decide alike.

use std::sync::Arc;

use parking_lot::Mutex;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{UsageAnswer, UsageReport};
use seatmeter_server::error::{Error, Refusal};
use seatmeter_server::operation::{Actor, Change, Listing, View};
use seatmeter_server::store::sqlite::InlineStore;
use seatmeter_server::store::{Authorization, Decision, Organization, Reply, ShownLicense, Store};

use crate::plain::{Granted, Plain};
use crate::server::now;

pub(crate) struct Compared {
    sql: Arc<InlineStore>,
    pub(crate) plain: Mutex<Plain>,
    /// The first decision in which they differ.
    pub(crate) difference: Mutex<Option<String>>,
}

impl Compared {
    pub(crate) fn new(sql: Arc<InlineStore>, epoch: String) -> Self {
        Self { sql, plain: Mutex::new(Plain::new(epoch)), difference: Mutex::default() }
    }

    fn differ(&self, what: &str, sql: &impl std::fmt::Debug, plain: &impl std::fmt::Debug) {
        let sentence = format!("of {what} the SQL store says {sql:?}, the plain one {plain:?}");
        self.difference.lock().get_or_insert(sentence);
    }

    fn compare(&self, sql: &Result<Decision, Error>, plain: &Result<Granted, Refusal>) {
        match (sql, plain) {
            (Ok(Decision::Granted(sql)), Ok((grant, license_id, parent))) => {
                let said = (&sql.grant, &sql.license_id, &sql.parent);
                if said != (grant, license_id, parent) {
                    self.differ("a grant", &said, plain);
                }
            }
            (Err(Error::Refused(sql)), Err(plain)) => {
                let facts =
                    |refusal: &Refusal| (refusal.code, refusal.numbers.clone(), refusal.epoch.clone());
                // A bug that was put in may leave the epoch out.
                let is_same = sql.code == plain.code && sql.numbers == plain.numbers;
                if !is_same {
                    self.differ("a refusal", &facts(sql), &facts(plain));
                }
            }
            _ => self.differ("an authorisation", sql, plain),
        }
    }
}

impl Store for Compared {
    fn authorize(&self, request: Authorization) -> Reply<Decision> {
        let plain = self.plain.lock().authorize(&request);
        let sql = now(self.sql.authorize(request));
        self.compare(&sql, &plain);
        Box::pin(std::future::ready(sql))
    }

    fn record(&self, report: UsageReport, shown: Vec<ShownLicense>, at: u64) -> Reply<UsageAnswer> {
        let ours = shown.iter().filter(|shown| (shown.is_ours)());
        let vouched: Vec<LocalLicense> = ours.map(|shown| shown.license.clone()).collect();
        let plain = self.plain.lock().record(&report, &vouched, at);
        let sql = now(self.sql.record(report, shown, at));
        if let Ok(sql) = &sql {
            let ids = |answer: &UsageAnswer| -> Vec<String> {
                answer.refused.iter().map(|refused| refused.segment_id.clone()).collect()
            };
            let facts =
                |answer: &UsageAnswer| (answer.recorded.clone(), ids(answer), answer.standings.clone());
            if facts(sql) != facts(&plain) {
                self.differ("a report", &facts(sql), &facts(&plain));
            }
        }
        Box::pin(std::future::ready(sql))
    }

    fn change(&self, change: Change, by: Actor) -> Reply<()> {
        let at = by.now;
        let sql = now(self.sql.change(change.clone(), by));
        if sql.is_ok() {
            self.plain.lock().change(&change, at);
        }
        Box::pin(std::future::ready(sql))
    }

    fn look(&self, view: View, now: u64) -> Reply<Listing> {
        self.sql.look(view, now)
    }

    fn token_hashes(&self) -> Reply<Vec<(String, String)>> {
        self.sql.token_hashes()
    }

    fn organization(&self, organization_id: String) -> Reply<Option<Organization>> {
        self.sql.organization(organization_id)
    }

    fn tidy(&self, now: u64) -> Reply<bool> {
        self.sql.tidy(now)
    }

    fn ready(&self) -> Reply<()> {
        self.sql.ready()
    }
}
