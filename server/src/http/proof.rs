//! The headers by which a device proves who it is.

use axum::Extension;
use axum::http::HeaderMap;
use seatmeter_protocol::message::{
    DEVICE_SIGNATURE_HEADER, NONCE_HEADER, REPORT_KEY_ID_HEADER, REPORT_TAG_HEADER,
};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};

use super::proxy::{self, Source};
use crate::licensing::RequestProof;

/// Read the proof of a request at this path. A signature counts before an HMAC.
pub(super) fn proof(
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    source: Option<Extension<Source>>,
) -> RequestProof {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header(DEVICE_SIGNATURE_HEADER).map(|text| Proof::Signature(text.to_owned()));
    let tag = || {
        let key_id = header(REPORT_KEY_ID_HEADER)?.to_owned();
        Some(Proof::Tag { key_id, tag: header(REPORT_TAG_HEADER)?.to_owned() })
    };
    let facts = RequestFacts::new(path, header(NONCE_HEADER).unwrap_or(""), body);
    let site = source.map(|Extension(source)| proxy::site(source.address));
    RequestProof { facts, proof: signature.or_else(tag), site }
}
