//! Styles and scripts: they are inside the program, and come from nowhere else.
//!
//! An address holds the beginning of the content's digest, so a browser may keep the content for a
//! year and still has the new one after an update.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use seatmeter_protocol::signature::digest_hex;

use super::Page;
use crate::error::Error;

/// A file, with the beginning of its digest.
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
    version: String,
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 6] = [
        ("style.css", STYLE, include_bytes!("assets/style.css")),
        ("script.js", SCRIPT, include_bytes!("assets/script.js")),
        ("htmx.js", SCRIPT, include_bytes!("assets/vendor/htmx-2.0.7.min.js")),
        ("uplot.js", SCRIPT, include_bytes!("assets/vendor/uplot-1.6.32.min.js")),
        ("uplot.css", STYLE, include_bytes!("assets/vendor/uplot-1.6.32.min.css")),
        ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    ];
    let asset = |(name, kind, content): (&'static str, &'static str, &'static [u8])| Asset {
        name,
        kind,
        content,
        version: digest_hex(content)[..12].to_owned(),
    };
    files.map(asset).into()
});

/// Return the address of a file.
pub(super) fn address(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map(|asset| &*asset.version);
    format!("/dashboard/assets/{}-{name}", version.unwrap_or_default())
}

/// Show a file.
pub(super) async fn asset(Path(name): Path<String>) -> Page {
    let found = ASSETS.iter().find(|asset| {
        let (version, own) = name.split_once('-').unwrap_or_default();
        own == asset.name && version == asset.version
    });
    let Some(asset) = found else {
        return Err(Error::not_found(format!("there is no file \"{name}\" of the dashboard")));
    };
    let kept = "public, max-age=31536000, immutable";
    Ok(([(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, kept)], asset.content).into_response())
}
