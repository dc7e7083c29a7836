//! The server: whether it is ready, its keys, the epochs of its data, and its backup.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::frame::{Frame, Visitor, page};
use super::overview;
use super::table::Table;
use crate::error::Error;
use crate::http::Web;
use crate::operator::commands::{EpochRow, Listing, View};
use crate::operator::queries::sheet::{Cell, Sheet, Sheets};
use crate::operator::queries::status::StatusQuery;

/// The page.
#[derive(Template)]
#[template(path = "server.html")]
struct ServerPage {
    frame: Frame,
    key: String,
    warning: Option<&'static str>,
    facts: Table,
    epochs: Table,
}

/// Show the server.
pub(super) async fn server(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let t = visitor.t();
    let asked = StatusQuery { limit: Some(1), ..StatusQuery::default() };
    let found = overview::status(&web, &visitor, asked).await?;
    let Listing::Epochs(rows) = web.licensing.look(visitor.caller.view(View::Epochs)).await? else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    let row = |row: &EpochRow| {
        vec![
            Cell::from(row.number),
            Cell::Instant(row.begun_at),
            Cell::from(&row.cause),
            Cell::from(&row.epoch),
        ]
    };
    let epochs = Sheet {
        columns: vec!["number", "begun_at", "cause", "epoch"],
        rows: rows.iter().map(row).collect(),
        ..Sheet::default()
    };
    let facts = found.sheets().into_iter().nth(1).unwrap_or_default();
    page(&ServerPage {
        key: web.licensing.keys.current().public().to_string(),
        warning: EpochRow::rollbacks(&rows, found.at).1,
        facts: Table::new(t, t.server, &facts).as_json_only("/status"),
        epochs: Table::new(t, t.epochs, &epochs).as_json_only("/epochs"),
        frame: Frame::new(&visitor, "/server", t.server),
    })
}
