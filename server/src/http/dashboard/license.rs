//! License files: what is here, and what a new one would change before it is imported.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::form::Posted;
use super::frame::{Frame, Visitor, done, encode, grouped, minute, page};
use super::messages::{Messages, word};
use super::run_part::{RunPart, SHORT_WORK};
use crate::error::Error;
use crate::http::Web;
use crate::http::long_work::{Kind, Outcome, Run};
use crate::operator::IssuedFile;
use crate::operator::commands::{ItemRow, Listing, View};
use crate::operator::import::{Imported, ItemChange, Preview};
use crate::policy::select::item_choice::name;

/// The page with the files.
#[derive(Template)]
#[template(path = "licenses.html")]
struct LicensesPage {
    frame: Frame,
    key_id: String,
    files: Vec<FilePart>,
    /// The newest import that took long.
    import: Option<RunPart>,
    is_running: bool,
}

/// A license file.
struct FilePart {
    file_id: String,
    organization: String,
    items: Vec<ItemPart>,
}

/// An item of a file.
struct ItemPart {
    item_id: String,
    to: String,
    option: String,
    quota: String,
    starts: String,
    expires: String,
    note: Option<String>,
}

/// Show the license files.
pub(super) async fn licenses(State(web): State<Arc<Web>>, visitor: Visitor) -> Page {
    let t = visitor.t();
    let view = visitor.caller.view(View::Items);
    let Listing::Items(items) = web.licensing.look(view).await? else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    let mut files: Vec<FilePart> = Vec::new();
    for row in &items {
        let is_it = |file: &&mut FilePart| file.file_id == row.file_id;
        let part = item_part(t, row);
        match files.iter_mut().find(is_it) {
            Some(file) => file.items.push(part),
            None => files.push(FilePart {
                file_id: row.file_id.clone(),
                organization: row.organization_id.clone(),
                items: vec![part],
            }),
        }
    }
    // A user who is bound to an organization sees only work that a user of the same organization
    // has begun.
    let run = web.long_work.newest(Kind::Import);
    let own = visitor.owner();
    let run = run.filter(|run| own.is_none() || run.owner == own);
    let import = run.map(|run| {
        RunPart::new(t, &run, (t.import_file, t.done_imported), None).good_with_warnings()
    });
    let is_running = import.as_ref().is_some_and(|part| part.is_running);
    let mut frame = Frame::new(&visitor, "/licenses", t.licenses);
    frame.is_refreshed = is_running;
    page(&LicensesPage {
        key_id: web.licensing.keys.current().public().to_string(),
        files,
        import,
        is_running,
        frame,
    })
}

fn item_part(t: &'static Messages, row: &ItemRow) -> ItemPart {
    let item = row.item.as_ref();
    let revoked = row.revoked_at.map(|at| format!("{} {}", t.state_revoked, minute(at)));
    ItemPart {
        item_id: row.item_id.clone(),
        to: format!("/dashboard/items/{}", encode(&row.item_id)),
        option: item
            .map(|item| word(t, &name(&item.charge_way).replace('_', "-")))
            .unwrap_or_default(),
        quota: item
            .filter(|item| item.quota > 0)
            .map(|item| grouped(item.quota))
            .unwrap_or_default(),
        starts: item.map(|item| minute(item.starts_at)).unwrap_or_default(),
        expires: item.map(|item| minute(item.expires_at)).unwrap_or_default(),
        note: row.not_ready.clone().or(revoked),
    }
}

/// The page with what an import would change.
#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage {
    frame: Frame,
    file_id: String,
    organization: String,
    issued: String,
    is_new: bool,
    changes: Vec<ItemChange>,
    warnings: Vec<String>,
    file: String,
}

/// Show what a file would change, and change nothing.
pub(super) async fn preview(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let text = Some(form.raw("file")).filter(|text| !text.trim().is_empty());
    let text = text.unwrap_or_else(|| form.raw("text"));
    let Preview { file, is_new, changes, warnings } =
        web.licensing.preview_import(read(text)?, &visitor.caller).await?;
    page(&PreviewPage {
        file_id: file.file_id,
        organization: file.organization_id,
        issued: minute(file.issued_at),
        is_new,
        changes,
        warnings,
        file: text.to_owned(),
        frame: Frame::new(&visitor, "/licenses", visitor.t().preview),
    })
}

/// The page with the outcome of an import.
#[derive(Template)]
#[template(path = "imported.html")]
struct ImportedPage {
    frame: Frame,
    warnings: Vec<String>,
}

/// Import a file that was shown before.
pub(super) async fn import(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let issued = read(form.raw("text"))?;
    let (code, make_default) = (form.some("handshake_code"), form.has("make_default"));
    let caller = visitor.caller.clone();
    let next = Run { owner: visitor.owner(), ..Run::at(visitor.now) };
    let running = web.long_work.begin(Kind::Import, next)?;
    // A browser that leaves does not end the import.
    let own = web.clone();
    let mut work = tokio::spawn(async move {
        let importing = own.licensing.import_issued(issued, code, make_default, &caller);
        let imported = importing.await;
        running.end(outcome(&imported));
        imported
    });
    let Ok(imported) = tokio::time::timeout(SHORT_WORK, &mut work).await else {
        return done("/licenses#import", "importing");
    };
    web.long_work.forget(Kind::Import);
    let imported =
        imported.map_err(|why| Error::Internal(format!("the import panicked: {why}")))??;
    if imported.warnings.is_empty() {
        return done("/licenses", "imported");
    }
    let frame = Frame::new(&visitor, "/licenses", visitor.t().imported);
    page(&ImportedPage { frame, warnings: imported.warnings })
}

fn outcome(imported: &Result<Imported, Error>) -> Outcome {
    imported.as_ref().map(|done| done.warnings.clone()).map_err(ToString::to_string)
}

fn read(text: &str) -> Result<IssuedFile, Error> {
    serde_json::from_str(text.trim()).map_err(|why| {
        Error::bad_request(format!(
            "this is not a license file as a vendor hands it over: {why}. Choose the file that the \
             vendor has sent, or paste all of its text"
        ))
    })
}
