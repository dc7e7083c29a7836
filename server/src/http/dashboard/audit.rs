//! The audit log: who has changed what, and when.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::form::Chosen;
use super::frame::{Frame, Visitor, page};
use super::table::Table;
use crate::error::Error;
use crate::http::Web;
use crate::operator::commands::{AuditRow, Listing, View};
use crate::operator::queries::audit::{AuditCheck, AuditCheckQuery};
use crate::operator::queries::sheet::{Cell, Sheet};

/// The number of lines of a page.
const LINES_MAX: usize = 100;

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    table: Table,
    head: Option<String>,
    is_bound: bool,
    check: Option<AuditCheck>,
    next: Option<u64>,
}

/// Show the audit log, newest first.
pub(super) async fn audit(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let t = visitor.t();
    let before: Option<u64> = query.number("before")?;
    let view = visitor.caller.view(View::Audit { before });
    let Listing::Audit(mut lines) = web.licensing.look(view).await? else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    let has_more = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
    let row = |line: &AuditRow| {
        vec![
            Cell::from(line.audit_id),
            Cell::Instant(line.at),
            Cell::from(&line.actor),
            Cell::from(&line.action),
            Cell::from(&line.subject),
            Cell::from(&line.detail),
        ]
    };
    let sheet = Sheet {
        columns: vec!["audit_id", "at", "actor", "action", "subject", "details"],
        rows: lines.iter().map(row).collect(),
        ..Sheet::default()
    };
    let before = before.map_or_else(String::new, |before| format!("?before={before}"));
    let table = Table::new(t, t.audit, &sheet).only_json(format!("/audit{before}"));
    let check = match query.has("verify") {
        true => Some(web.licensing.ask(AuditCheckQuery, visitor.owner()).await?),
        false => None,
    };
    page(&AuditPage {
        is_bound: visitor.owner().is_some(),
        check,
        table,
        head: lines.first().filter(|_| before.is_empty()).map(|line| line.hash.clone()),
        next: lines.last().filter(|_| has_more).map(|line| line.audit_id),
        frame: Frame::new(&visitor, "/audit", t.audit),
    })
}
