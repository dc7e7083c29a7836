//! Bodies of requests: read within a bound and with memory of the budget, and parsed as JSON.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::message::BODY_BYTES_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::JSON;
use super::budget::Share;
use crate::error::Error;
use crate::licensing;
use crate::problem::ProblemKind;

/// The number of bytes that are read and discarded from a body that is too long. A client that
/// still sends when the connection is closed never sees the answer with the reason. Beyond this
/// number of bytes, it gets no answer.
const DISCARD_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// The smallest step by which the memory of a body grows.
const STEP_BYTES: usize = 8 << 10;

/// A body that was read, with its part of the budget, which it keeps until its request is answered.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    _share: Option<Share>,
}

impl ReadBody {
    /// Return the body of a request whose body was not read to its end.
    pub(super) fn none() -> Self {
        Self { bytes: Bytes::new(), _share: None }
    }
}

/// Return whether a body is declared to fit into what every request has as its own.
pub(super) fn is_small(body: &Body, share: &Share) -> bool {
    body.size_hint().exact().is_some_and(|bytes| {
        usize::try_from(bytes).is_ok_and(|bytes| share.is_own(bytes) && bytes <= BODY_BYTES_MAX)
    })
}

/// Read a body to its end, with memory from the budget.
pub(super) async fn read(mut body: Body, mut share: Share) -> Result<ReadBody, Error> {
    let declared = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let bytes_max = declared.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
    let (mut bytes, mut discarded) = (Vec::new(), 0);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = share.wanted() => return Err(Error::Busy),
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| broken_off())?;
        // A frame without data holds trailers, which have no meaning here.
        let Ok(data) = frame.into_data() else { continue };
        let needed = bytes.len() + data.len();
        if discarded == 0 && needed <= BODY_BYTES_MAX {
            if needed > bytes.capacity() {
                let room = needed.max(2 * bytes.capacity()).max(STEP_BYTES.min(bytes_max));
                let room = room.min(bytes_max).max(needed);
                share.grow(room).await?;
                bytes.reserve_exact(room - bytes.len());
            }
            bytes.extend_from_slice(&data);
            continue;
        }
        discarded += data.len();
        if discarded > DISCARD_BYTES_MAX {
            break;
        }
    }
    if discarded == 0 {
        share.is_complete();
        return Ok(ReadBody { bytes: bytes.into(), _share: Some(share) });
    }
    let detail = format!("the body has more than {BODY_BYTES_MAX} bytes; send less at a time");
    Err(Error::BadRequest { status: 413, detail })
}

fn broken_off() -> Error {
    Error::of(ProblemKind::MalformedBody, "the body broke off before its end; send it again")
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
            Error::of(ProblemKind::MalformedBody, detail)
        };
        licensing::require_protocol(version).err().unwrap_or_else(not_understood)
    })
}
