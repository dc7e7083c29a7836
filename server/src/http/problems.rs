//! The pages behind the `type` of each problem: `GET /problems` and `GET /problems/{name}`.
//!
//! A person who reads an answer with `"type": "/problems/rate-limited"` opens that address on the
//! same server. The texts are those of the tables: [`ProblemKind`], `docs/problems.md`, and the
//! error numbers. The pages have no script and no style of others, and need no token.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use seatmeter_protocol::error_code::ErrorEntry;
use seatmeter_protocol::message::Problem;

use super::Web;
use crate::error::Error;
use crate::problem::{ProblemKind, error_kinds};

/// The path of the list, and what the path of each page begins with.
const PROBLEMS_PATH: &str = "/problems";

const HTML: &str = "text/html; charset=utf-8";

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route(PROBLEMS_PATH, get(list))
        .route(&format!("{PROBLEMS_PATH}/{{name}}"), get(one))
}

async fn list() -> Response {
    let mut rows = String::new();
    let mut row = |uri: &str, title: &str| {
        // A text grows without an error.
        let _ = write!(rows, "<li><a href=\"{uri}\">{uri}</a>: {}</li>", escaped(title));
    };
    for kind in ProblemKind::ALL {
        row(&kind.uri(), kind.title());
    }
    for entry in error_kinds() {
        row(&uri(entry), text(entry));
    }
    page("Problems", &format!("<ul>{rows}</ul>"))
}

async fn one(Path(name): Path<String>) -> Response {
    let asked = format!("{PROBLEMS_PATH}/{name}");
    if let Some(kind) = ProblemKind::ALL.iter().find(|kind| kind.uri() == asked) {
        let body = format!(
            "<p>HTTP status {}.</p><p>What to do: {}.</p>",
            kind.status(),
            escaped(&kind.todo().replace('`', ""))
        );
        return page(kind.title(), &body);
    }
    match error_kinds().find(|entry| uri(entry) == asked) {
        Some(entry) => {
            let body = format!("<p>Error number {}: {}.</p>", entry.code, entry.name);
            page(text(entry), &body)
        }
        None => {
            let detail = "there is no kind of problem of this name; /problems lists all";
            Error::not_found(detail).into_response()
        }
    }
}

fn uri(entry: &ErrorEntry) -> String {
    Problem::new(0, entry.code, "").kind
}

fn text(entry: &'static ErrorEntry) -> &'static str {
    entry.message.to_str().unwrap_or_default()
}

fn page(title: &str, body: &str) -> Response {
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <h1>{title}</h1>{body}<p>The field \"detail\" of the answer says what happened in that \
         request.</p><p><a href=\"{PROBLEMS_PATH}\">All problems</a></p></html>\n"
    );
    let headers = [
        (CONTENT_TYPE, HTML),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, html).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
