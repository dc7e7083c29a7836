//! The store whose requests the writers run.

use std::sync::Arc;

use seatmeter_protocol::message::UsageAnswer;

use super::Writers;
use crate::access::Known;
use crate::alert::Alert;
use crate::error::Error;
use crate::histogram::Counted;
use crate::operator::commands::{Actor, Change, Listing, View};
use crate::operator::queries::alerts::AlertCheck;
use crate::server_time::RecordedTime;
use crate::store::reading::Readers;
use crate::store::sql::{self, Request};
use crate::store::{
    Authorization, Decision, DeliveryOutcome, NewSession, Organization, ReadWork, Reply, Report,
    Shown, Store, TakeDeliveries,
};

/// A store that passes its requests to writers.
pub(in crate::store) trait GroupStore: Send + Sync + 'static {
    fn writers(&self) -> &Writers;

    /// Return the connections that answer questions.
    fn readers(&self) -> &Arc<Readers>;

    /// Return who answers what operators list, beside those who write.
    fn listers(&self) -> &Writers {
        self.writers()
    }

    /// Return who answers whether the server is ready, also when the others are busy.
    fn probers(&self) -> &Writers {
        self.writers()
    }

    /// Return whether a synchronous standby has what is answered; see [`Store::has_standby`].
    fn has_standby(&self) -> Reply<Option<bool>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Begin to look for damage; see [`Store::look_for_damage`].
    fn look_for_damage(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Check damage and room; see [`Store::probe`].
    fn probe(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl<S: GroupStore> Store for S {
    fn authorize(&self, request: Authorization) -> Reply<Decision> {
        let answer = self.writers().batch(Request::Authorization(request));
        Box::pin(async { answer.await?.decided() })
    }

    fn check(&self, request: Authorization) -> Reply<Decision> {
        let answer = self.writers().batch(Request::Check(request));
        Box::pin(async { answer.await?.decided() })
    }

    fn record(&self, report: Report) -> Reply<UsageAnswer> {
        let answer = self.writers().batch(Request::Report(report));
        Box::pin(async { answer.await?.recorded() })
    }

    fn change(&self, change: Change, by: Actor) -> Reply<()> {
        self.writers().submit(move |sql| sql::change(sql, &change, &by))
    }

    fn read(&self, work: ReadWork) -> Reply<()> {
        self.readers().read(work)
    }

    fn waiting(&self) -> Option<u64> {
        Some(self.writers().queue.waiting() as u64)
    }

    fn note_alerts(&self, check: AlertCheck, now: u64) -> Reply<()> {
        let AlertCheck { reached, recovered } = check;
        self.writers().submit(move |sql| sql::alerts::note(sql, &reached, &recovered, now))
    }

    fn note_summaries(&self, summaries: Vec<(String, Alert)>, now: u64) -> Reply<()> {
        self.writers().submit(move |sql| sql::alerts::note_summaries(sql, &summaries, now))
    }

    fn take_deliveries(&self, take: TakeDeliveries) -> Reply<Vec<String>> {
        self.writers().submit(move |sql| sql::deliveries::take(sql, &take))
    }

    fn note_deliveries(&self, outcome: DeliveryOutcome) -> Reply<()> {
        self.writers().submit(move |sql| sql::deliveries::note(sql, &outcome))
    }

    fn commit_times(&self) -> Option<Counted> {
        Some(self.writers().commits.counted())
    }

    fn look(&self, view: View, _: u64) -> Reply<Listing> {
        let by = if matches!(view, View::Epochs) { self.probers() } else { self.listers() };
        by.submit(move |sql| sql::look(sql, &view))
    }

    fn caller(&self, shown: Shown, now: u64) -> Reply<Option<Known>> {
        // A flood of wrong tokens must not hold up what is in the lane of other requests, such as
        // the check whether the server is ready.
        self.listers().submit_to("callers", move |sql| sql::access::caller(sql, &shown, now))
    }

    fn note_use(&self, shown: Shown, now: u64) -> Reply<()> {
        self.writers().submit(move |sql| sql::access::note_use(sql, &shown, now))
    }

    fn password_hash(&self, user: String) -> Reply<Option<String>> {
        self.listers().submit(move |sql| sql::access::password_hash(sql, &user))
    }

    fn begin_session(&self, session: NewSession, now: u64) -> Reply<bool> {
        self.writers().submit(move |sql| sql::access::begin_session(sql, &session, now))
    }

    fn end_session(&self, digest: String) -> Reply<()> {
        self.writers().submit(move |sql| sql::access::end_session(sql, &digest))
    }

    fn organization(&self, organization_id: String) -> Reply<Option<Organization>> {
        self.listers().submit(move |sql| sql::organization(sql, &organization_id))
    }

    fn serving(&self, now: u64) -> Reply<()> {
        self.writers().submit(move |sql| sql::serving(sql, now))
    }

    fn tidy(&self, now: u64) -> Reply<bool> {
        self.writers().submit(move |sql| sql::tidy(sql, now))
    }

    fn note_time(&self, time: RecordedTime) -> Reply<RecordedTime> {
        self.probers().submit(move |sql| sql::time::note(sql, time))
    }

    fn look_for_damage(&self) -> Result<(), Error> {
        GroupStore::look_for_damage(self)
    }

    fn probe(&self) -> Result<(), Error> {
        GroupStore::probe(self)
    }

    fn has_standby(&self) -> Reply<Option<bool>> {
        GroupStore::has_standby(self)
    }

    fn keys_named(&self) -> Reply<Vec<String>> {
        self.probers().submit(|sql| Ok(sql::keys(sql)?.of_files))
    }

    fn ready(&self) -> Reply<Vec<String>> {
        self.probers().submit(sql::ready)
    }
}
