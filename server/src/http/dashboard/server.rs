//! The server: whether it is ready, its keys, the epochs of its data, and its backup.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::frame::{Frame, Visitor, done, page};
use super::overview;
use super::table::Table;
use crate::access::By;
use crate::backup;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::http::Web;
use crate::operator::commands::{Change, EpochRow, Listing, View};
use crate::operator::queries::sheet::{Cell, Sheet, Sheets};
use crate::operator::queries::status::StatusQuery;
use crate::problem::ProblemKind;
use crate::utc;

/// The page.
#[derive(Template)]
#[template(path = "server.html")]
struct ServerPage {
    frame: Frame,
    key: String,
    warning: Option<&'static str>,
    facts: Table,
    /// The lives of the data; `None` for somebody who is bound to an organization.
    epochs: Option<Table>,
    /// Whether a backup can be asked for.
    has_backups: bool,
}

/// The folder of backups in the data directory.
const BACKUPS: &str = "backups";

/// The time for which a page waits for a backup. A longer one continues without it.
const BACKUP_WAIT: Duration = Duration::from_secs(15);

/// Show the server.
pub(super) async fn server(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let t = visitor.t();
    let asked = StatusQuery { limit: Some(1), ..StatusQuery::default() };
    let found = overview::status(&web, &visitor, asked).await?;
    // The lives of the data are about the whole server.
    let rows = match visitor.owner() {
        Some(_) => Vec::new(),
        None => match web.licensing.look(View::Epochs).await? {
            Listing::Epochs(rows) => rows,
            _ => return Err(Error::Internal("a list was answered otherwise".to_owned())),
        },
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
    let is_bound = visitor.owner().is_some();
    let facts = found.sheets().into_iter().nth(1).unwrap_or_default();
    page(&ServerPage {
        key: web.licensing.keys.current().public().to_string(),
        warning: EpochRow::rollbacks(&rows, found.at).1,
        facts: Table::new(t, t.server, &facts).only_json("/status"),
        epochs: (!is_bound).then(|| Table::new(t, t.epochs, &epochs).only_json("/epochs")),
        has_backups: web.backups.is_some() && !is_bound,
        frame: Frame::new(&visitor, "/server", t.server),
    })
}

/// Write a backup into the data directory, as `seatmeterd backup` does.
pub(super) async fn back_up(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    if visitor.owner().is_some() {
        let why = "a backup holds the data of all organizations: use a user that is bound to none";
        return Err(Error::told(ProblemKind::OtherOrganization, why));
    }
    let Some(dir) = &web.backups else {
        let why = "PostgreSQL has backups of its own: use pg_dump or pg_basebackup";
        return Err(Error::bad_request(why));
    };
    let Ok(dir) = dir.clone().try_lock_owned() else {
        return Err(Error::conflict("a backup runs already: the audit log says when it is made"));
    };
    let (licensing, by) = (web.licensing.clone(), By::from(&visitor.caller));
    let name = format!("seatmeter-{}.backup", utc::text(visitor.now).replace(':', "-"));
    // A browser that leaves does not end the backup.
    let work = tokio::spawn(async move {
        let folder = dir.path().join(BACKUPS);
        let file = folder.join(name);
        let path = file.display().to_string();
        let write = move || {
            // A folder for backups is as private as the data directory.
            DataDir::new(folder).create()?;
            backup::backup(&dir, &file)
        };
        let written = tokio::task::spawn_blocking(write).await;
        let written =
            written.map_err(|why| Error::Internal(format!("the backup panicked: {why}")))?;
        written.map_err(crate::operator::queries::asked)?;
        licensing.change(Change::NoteBackup { file: path }, by).await
    });
    match tokio::time::timeout(BACKUP_WAIT, work).await {
        Ok(Ok(made)) => made.and_then(|()| done("/server", "backed_up")),
        Ok(Err(why)) => Err(Error::Internal(format!("the backup panicked: {why}"))),
        Err(_) => done("/server", "backing_up"),
    }
}
