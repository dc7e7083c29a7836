//! Alerts that a batch causes: a threshold of an item that its bookings reach. They are written in
//! the transaction of the bookings.
//!
//! Most batches pass no whole percent of a quota. Then nothing is looked up and nothing is written.

use std::collections::HashMap;

use seatmeter_protocol::message::{Meter, Metered};
use seatmeter_protocol::page_module::page_module_name;

use super::Sql;
use super::alerts::{Thresholds, fire_reached};
use crate::error::Error;
use crate::operator::queries::conditions::Figures;
use crate::store::account::Account;
use crate::store::account::load::Accounts;

/// The use of the items before a batch.
pub(super) struct Booked {
    before: HashMap<String, Vec<Meter>>,
    now: u64,
}

impl Booked {
    /// Note what is used before anything is booked.
    pub(super) fn before(accounts: &Accounts, now: u64) -> Self {
        let of = |(id, account): (&String, &Account)| (id.clone(), account.meters_as_loaded(now));
        Self { before: accounts.iter().map(of).collect(), now }
    }

    /// Fire the thresholds that the batch has reached.
    pub(super) fn fire(&self, sql: &dyn Sql, accounts: &Accounts) -> Result<(), Error> {
        for (item_id, account) in accounts {
            // Late reports of an item that has ended reach nothing that matters to anybody.
            let before = self.before.get(item_id).filter(|_| !account.has_ended(self.now));
            let Some(before) = before else { continue };
            let after = account.meters_as_loaded(self.now);
            for (before, after) in before.iter().zip(&after) {
                let before = figures(item_id, account, before, "").percent();
                let module = match after.of {
                    Metered::Pages => page_module_name(after.module),
                    _ => String::new(),
                };
                let figures = figures(item_id, account, after, &module);
                if figures.percent() <= before && !begins_overuse(&figures, before) {
                    continue;
                }
                let thresholds = Thresholds::load_of(sql, item_id)?;
                fire_reached(sql, figures.readings(thresholds.of(item_id)), self.now)?;
            }
        }
        Ok(())
    }
}

/// Return whether the budget is exceeded by less than a percent, which is overuse all the same.
fn begins_overuse(figures: &Figures<'_>, percent_before: u64) -> bool {
    figures.of == Metered::Excess && percent_before == 100 && figures.used > figures.quota
}

fn figures<'a>(
    item_id: &'a str,
    account: &'a Account,
    meter: &Meter,
    module: &'a str,
) -> Figures<'a> {
    Figures {
        item_id,
        organization_id: account.organization_id(),
        of: meter.of,
        module,
        used: meter.used,
        quota: meter.quota,
        grace: meter.grace,
    }
}
