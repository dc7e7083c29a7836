//! The rows that a batch will look up, announced in advance. Rows that do not depend on one another
//! come from an engine on another machine in one round trip.
//!
//! The announcement decides nothing. A row that was not announced, or that turns out to be another
//! one, is looked up by itself.

use std::collections::BTreeSet;

use super::epoch;
use super::identity::{asking, reporting};
use super::table::{
    CODE, CODE_ITEMS, COMMIT_SEQUENCE, IDENTITY, ITEM, LICENSE, ORGANIZATION, SEGMENT_OWNER,
};
use super::{Sql, Value, Wanted};
use crate::error::Error;
use crate::store::{Authorization, Report};

/// The names in the requests of a batch.
pub(super) struct Named<'a> {
    pub(super) reports: &'a [&'a Report],
    pub(super) authorizations: &'a [&'a Authorization],
    pub(super) sequences: BTreeSet<&'a str>,
    pub(super) licenses: BTreeSet<&'a str>,
}

impl Named<'_> {
    /// Expect what the requests themselves name. The items that they concern must be locked before.
    pub(super) fn expect(&self, sql: &dyn Sql) -> Result<(), Error> {
        let items = sql.locked_items();
        let of_requests = |of: fn(&Authorization) -> &str| {
            let names = self.authorizations.iter().map(|request| of(request));
            texts(names.filter(|name| !name.is_empty()).collect())
        };
        let asking = asking(self.authorizations);
        sql.expect(&|| {
            let codes = of_requests(|request| &request.handshake_code);
            vec![
                Wanted::Query(epoch::CURRENT, Vec::new()),
                Wanted::Rows(&COMMIT_SEQUENCE, texts(self.sequences.clone())),
                Wanted::Rows(&ORGANIZATION, of_requests(|request| &request.organization_id)),
                Wanted::Rows(&CODE, codes.clone()),
                Wanted::Rows(&CODE_ITEMS, codes),
                Wanted::Rows(&LICENSE, texts(self.licenses.clone())),
                Wanted::Rows(&SEGMENT_OWNER, texts(self.segments())),
                Wanted::Rows(&ITEM, items.iter().map(Value::from).collect()),
                Wanted::Rows(&IDENTITY, texts(&reporting(self.reports) - &asking)),
            ]
        })
    }

    fn segments(&self) -> BTreeSet<&str> {
        let segments = self.reports.iter().flat_map(|report| &report.report.segments);
        segments.map(|segment| segment.segment_id.as_str()).collect()
    }
}

/// Return these names as keys, in order.
pub(super) fn texts(names: BTreeSet<&str>) -> Vec<Value<'_>> {
    names.into_iter().map(Value::Text).collect()
}
