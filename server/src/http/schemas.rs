//! The descriptions of the API of devices: `GET /v1/openapi.json` and `GET /v1/schemas/{name}`.
//!
//! They are committed beside the types that they are made from, and served as they are.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Web;
use super::answer::JSON;
use crate::error::Error;

/// The path of the OpenAPI document of the API of devices.
const DOCUMENT_PATH: &str = "/v1/openapi.json";

const SCHEMA_JSON: &str = "application/schema+json";

/// Define the files that are served, each with its name.
macro_rules! files {
    ($($name:literal),*) => {
        /// The JSON Schemas, each with the name of its file.
        const SCHEMAS: &[(&str, &str)] = &[
            $((concat!($name, ".json"),
               include_str!(concat!("../../../protocol/schema/", $name, ".json"))),)*
        ];
    };
}

files!(
    "authorization-request",
    "authorization-answer",
    "authorization-check",
    "usage-report",
    "usage-answer",
    "origin-answer",
    "problem",
    "envelope",
    "license-file",
    "local-license",
    "challenge",
    "correction",
    "correction-file",
    "usage-export",
    "usage-export-file"
);

const DOCUMENT: &str = include_str!("../../../protocol/schema/openapi.json");

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new()
        .route(DOCUMENT_PATH, get(async || ([(CONTENT_TYPE, JSON)], DOCUMENT)))
        .route("/v1/schemas/{name}", get(schema))
}

async fn schema(Path(name): Path<String>) -> Response {
    match SCHEMAS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => ([(CONTENT_TYPE, SCHEMA_JSON)], *text).into_response(),
        None => {
            let names: Vec<_> = SCHEMAS.iter().map(|(name, _)| *name).collect();
            let detail = format!("there is no schema of this name, but {}", names.join(", "));
            Error::not_found(detail).into_response()
        }
    }
}
