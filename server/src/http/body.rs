//! Bodies of requests: read within a bound, and parsed as JSON.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::message::BODY_BYTES_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::JSON;
use crate::error::Error;
use crate::licensing;
use crate::problem::ProblemKind;

/// The number of bytes that are read and discarded from a body that is too long. A client that
/// still sends when the connection is closed never sees the answer with the reason. Beyond this
/// number of bytes, it gets no answer.
const DISCARD_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// Read a body to its end.
pub(super) async fn read(mut body: Body) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("the body broke off before its end"))?;
        // A frame without data holds trailers, which have no meaning here.
        let Ok(data) = frame.into_data() else { continue };
        if discarded == 0 && bytes.len() + data.len() <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
            continue;
        }
        discarded += data.len();
        if discarded > DISCARD_BYTES_MAX {
            break;
        }
    }
    if discarded == 0 {
        return Ok(bytes.into());
    }
    let detail = format!("the body has more than {BODY_BYTES_MAX} bytes; send less at a time");
    Err(Error::BadRequest { status: 413, detail })
}

/// The field that every version of a request has.
#[derive(Deserialize)]
struct Version {
    protocol: u32,
}

/// Read the JSON of a request. A request of another version may look quite different, and is
/// refused for its version.
pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Error> {
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case(JSON) {
        return Err(Error::BadRequest {
            status: 415,
            detail: format!("the content type is {media_type:?}; it must be {JSON}"),
        });
    }
    serde_json::from_slice(body).map_err(|error| {
        let version =
            serde_json::from_slice::<Version>(body).map_or(PROTOCOL_VERSION, |v| v.protocol);
        let not_understood = || {
            let detail = format!("the request is not what this server understands: {error}");
            Error::told(ProblemKind::MalformedBody, detail)
        };
        licensing::require_protocol(version).err().unwrap_or_else(not_understood)
    })
}
