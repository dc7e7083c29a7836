//! Pages to try a license out: the files of one folder, at `/demo/`. Only `serve --demo FOLDER`
//! serves them.
//!
//! The folder is flat, and a request names a file in it. A name with anything but letters, digits,
//! dots, dashes and underscores names none, and neither does one that begins with a dot. So no name
//! leads out of the folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{self, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::Web;
use crate::error::Error;

/// The longest file that is served.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The kinds of files that are served, by the end of their names.
const KINDS: [(&str, &str); 7] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("svg", "image/svg+xml"),
];

/// Scripts come from this server alone. A decoder in WebAssembly must be compiled, and pictures of
/// a camera or of a file are blobs.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
    img-src 'self' blob: data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'";

/// Check the folder of the pages.
///
/// # Errors
/// Fails when it has no page to begin with.
pub fn require_folder(folder: &Path) -> Result<(), Error> {
    let begin = folder.join("index.html");
    if begin.is_file() {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "--demo needs a folder with pages, and there is no file {}: \"make run-web\" makes one.",
        begin.display()
    )))
}

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route("/demo", get(async || Redirect::permanent("/demo/")))
        .route("/demo/", get(async |web| file(web, extract::Path("index.html".into())).await))
        .route("/demo/{name}", get(file))
}

async fn file(State(web): State<Arc<Web>>, extract::Path(name): extract::Path<String>) -> Response {
    let found = match (&web.demo, kind(&name)) {
        (Some(folder), Some(kind)) => read(folder.join(&name)).await.map(|bytes| (kind, bytes)),
        _ => None,
    };
    match found {
        Some((kind, bytes)) => {
            let headers = [
                (CONTENT_TYPE, kind),
                (CONTENT_SECURITY_POLICY, POLICY),
                (CACHE_CONTROL, "no-store"),
                (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, bytes).into_response()
        }
        None => Error::not_found(format!("there is no file {name:?} to try out")).into_response(),
    }
}

/// Return the content type of the file with this name; `None` when no such file is served.
fn kind(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.starts_with('.') || !name.chars().all(is_plain) {
        return None;
    }
    let (_, end) = name.rsplit_once('.')?;
    KINDS.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
}

async fn read(path: PathBuf) -> Option<Vec<u8>> {
    let read = move || {
        let facts = std::fs::metadata(&path).ok()?;
        let is_served = facts.is_file() && facts.len() <= FILE_BYTES_MAX;
        is_served.then(|| std::fs::read(&path).ok()).flatten()
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_or_is_of_no_page_names_no_file() {
        for (name, is_served) in [
            ("index.html", true),
            ("zxing_reader.wasm", true),
            ("seatmeter.js", true),
            ("../server.key", false),
            ("..", false),
            (".html", false),
            ("a/b.html", false),
            ("a\\b.html", false),
            ("%2e%2e.html", false),
            ("server.key", false),
            ("html", false),
            ("", false),
        ] {
            assert_eq!(kind(name).is_some(), is_served, "{name}");
        }
    }
}
