//! The server: whether it is ready, its keys, the epochs of its data, and its backup.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};

use super::Page;
use super::frame::{Frame, Visitor, done, page};
use super::overview;
use super::run_part::{RunPart, SHORT_WORK};
use super::table::Table;
use crate::access::By;
use crate::backup;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::http::Web;
use crate::http::long_work::{Kind, Run};
use crate::operator::commands::{Change, EpochRow, Listing, View};
use crate::operator::queries::sheet::{Cell, Sheet, Sheets};
use crate::operator::queries::status::StatusQuery;
use crate::problem::ProblemKind;
use crate::store::{self, Location};
use crate::utc;

/// The page.
#[derive(Template)]
#[template(path = "server.html")]
struct ServerPage {
    frame: Frame,
    key: String,
    warning: Option<&'static str>,
    facts: Table,
    /// The epochs of the data; `None` for somebody who is bound to an organization.
    epochs: Option<Table>,
    /// Whether a backup and a check can be asked for.
    has_backups: bool,
    backup: Option<RunPart>,
    check: Option<RunPart>,
    is_running: bool,
}

/// The folder of backups in the data directory.
const BACKUPS: &str = "backups";

/// Show the server.
pub(super) async fn server(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let t = visitor.t();
    let asked = StatusQuery { limit: Some(1), ..StatusQuery::default() };
    let found = overview::status(&web, &visitor, asked).await?;
    // The epochs of the data are about the whole server.
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
    let part = |kind, words| {
        let run = web.long_work.newest(kind).filter(|_| !is_bound)?;
        Some(RunPart::new(t, &run, words, found.server.database_bytes))
    };
    let backup = part(Kind::Backup, (t.backup, t.done_backed_up));
    let check = part(Kind::Check, (t.check, t.data_is_whole));
    let is_running = [&backup, &check].into_iter().flatten().any(|part| part.is_running);
    let mut frame = Frame::new(&visitor, "/server", t.server);
    frame.is_refreshed = is_running;
    page(&ServerPage {
        key: web.licensing.keys.current().public().to_string(),
        warning: EpochRow::rollbacks(&rows, found.at).1,
        facts: Table::new(t, t.server, &facts).only_json("/status"),
        epochs: (!is_bound).then(|| Table::new(t, t.epochs, &epochs).only_json("/epochs")),
        has_backups: web.backups.is_some() && !is_bound,
        backup,
        check,
        is_running,
        frame,
    })
}

/// Write a backup into the data directory, as `seatmeterd backup` does.
pub(super) async fn back_up(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let Some(dir) = require_files(&web, &visitor)? else {
        let why = "PostgreSQL has backups of its own: use pg_dump or pg_basebackup";
        return Err(Error::bad_request(why));
    };
    let name = format!("seatmeter-{}.backup", utc::text(visitor.now).replace(':', "-"));
    let (folder, by) = (dir.path().join(BACKUPS), By::from(&visitor.caller));
    let file = folder.join(name);
    let next = Run { file: Some(file.clone()), ..Run::at(visitor.now) };
    let running = web.long_work.begin(Kind::Backup, next)?;
    let (own, path) = (web.clone(), file.display().to_string());
    let write = move || {
        // A folder for backups is as private as the data directory.
        DataDir::new(folder).create()?;
        backup::backup(&dir, &file)
    };
    // A browser that leaves does not end the backup.
    let work = tokio::spawn(async move {
        let written = blocking(write).await;
        let made = match written {
            Ok(()) => own.licensing.change(Change::NoteBackup { file: path }, by).await,
            Err(error) => Err(error),
        };
        running.end(made.map(|()| Vec::new()).map_err(|error| error.to_string()));
    });
    let is_over = tokio::time::timeout(SHORT_WORK, work).await.is_ok();
    let is_good = web.long_work.newest(Kind::Backup).and_then(|run| run.outcome);
    match is_good {
        Some(Ok(_)) if is_over => done("/server#backup", "backed_up"),
        Some(Err(_)) => Ok(Redirect::to("/dashboard/server#backup").into_response()),
        _ => done("/server#backup", "backing_up"),
    }
}

/// Check all data, as `seatmeterd check` does.
pub(super) async fn check(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let Some(dir) = require_files(&web, &visitor)? else {
        let why = "run seatmeterd check on this machine: only the command can reach PostgreSQL";
        return Err(Error::bad_request(why));
    };
    let running = web.long_work.begin(Kind::Check, Run::at(visitor.now))?;
    let work = tokio::spawn(async move {
        let location = Location::File(dir.database_path());
        let found = blocking(move || store::faults(&location, &dir)).await;
        running.end(found.map_err(|error| error.to_string()));
    });
    // A small database is checked before anybody looks.
    let _ = tokio::time::timeout(SHORT_WORK, work).await;
    Ok(Redirect::to("/dashboard/server#check").into_response())
}

/// Return the data directory that can be backed up and checked here; `None` when the data is not in
/// it.
///
/// # Errors
/// Fails for somebody who is bound to an organization.
fn require_files(web: &Web, visitor: &Visitor) -> Result<Option<DataDir>, Error> {
    if visitor.owner().is_some() {
        let why = "this is about the data of all organizations: use a user that is bound to none";
        return Err(Error::of(ProblemKind::OtherOrganization, why));
    }
    Ok(web.backups.clone())
}

/// Do work that waits for the disk, on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let outcome = tokio::task::spawn_blocking(work).await;
    let outcome = outcome.map_err(|why| Error::Internal(format!("the work panicked: {why}")))?;
    outcome.map_err(crate::operator::queries::asked)
}
