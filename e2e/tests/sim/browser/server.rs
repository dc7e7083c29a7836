//! One request of a page to a license server, and what it believes of the answer, by the rules of
//! `bindings/web/src/server.js`.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::Problem;
use seatmeter_protocol::request_auth::{Proof, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, SigningKey, random_id};
use serde_json::Value;

use super::Browser;
use super::errors::{Failure, Outcome, fail};
use super::tab::Tab;
use crate::net::PageRequest;

/// Who sends a request, and how it proves that.
pub(super) struct Sender<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) report_key: Option<&'a ReportKey>,
    /// The server that is known at the address.
    pub(super) server: Option<(&'a str, &'a PublicKey)>,
}

/// An answer, and whether the server that is known has signed it.
pub(super) struct Answer {
    pub(super) is_ok: bool,
    pub(super) body: Value,
    pub(super) time: u64,
    pub(super) key_id: String,
    pub(super) is_believed: bool,
    retry_after: u64,
    signed: Signed,
}

/// What the signature of an answer covers.
struct Signed {
    request_body: Vec<u8>,
    nonce: String,
    status: u16,
    body: Vec<u8>,
    signature: String,
}

impl Answer {
    /// Return whether the server with this key has given the answer.
    pub(super) fn is_by(&self, key: &PublicKey) -> bool {
        let Signed { request_body, nonce, status, body, signature } = &self.signed;
        let (status, server_time, key_id) = (*status, self.time, self.key_id.as_str());
        let facts = AnswerFacts { request_body, nonce, status, server_time, key_id };
        key.id() == self.key_id && facts.verify(body, signature, key).is_ok()
    }

    /// Return the bytes of the body.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.signed.body
    }

    /// Return the challenge with which the request must come again.
    pub(super) fn challenge(&self) -> Option<seatmeter_protocol::signature::Signed> {
        let problem: Problem = serde_json::from_value(self.body.clone()).ok()?;
        problem.challenge.map(|challenge| *challenge)
    }

    /// Return a refusal as an error.
    pub(super) fn refusal(&self) -> Failure {
        let code = self.body["code"].as_i64().and_then(|code| i32::try_from(code).ok());
        let code = code.map_or(ErrorCode::LICENSE_SYNC_FAILED, ErrorCode);
        let detail = self.body["detail"].as_str().unwrap_or("the request was refused");
        Failure {
            code,
            message: detail.to_owned(),
            is_believed: Some(self.is_believed),
            retry_after: if self.is_believed { self.retry_after } else { 0 },
        }
    }
}

/// Post a request. While it is on its way, the pages of the profile may count.
pub(super) fn post(
    tab: &mut Tab,
    profile: &mut Browser,
    url: &'static str,
    path: &'static str,
    body: Vec<u8>,
    sender: &Sender<'_>,
    ms: i64,
) -> Outcome<Answer> {
    let nonce = random_id().expect("the seed gives random numbers");
    let facts = RequestFacts::new(path, &nonce, &body);
    let proof = match sender.report_key {
        Some(key) => Proof::Tag { key_id: key.id(), tag: facts.tag(key) },
        None => Proof::Signature(facts.sign(sender.key)),
    };
    profile.store.kill_point()?;
    let key_id = sender.server.map(|(key_id, _)| key_id.to_owned());
    let (machine, origin) = (profile.machine, profile.origin);
    let request = PageRequest { machine, origin, url, path, body, nonce, proof, key_id };
    let begun_at = tab.clock.wall_ms();
    profile.meanwhile(tab, false)?;
    let fetched = profile.net().lock().fetch(request, u64::try_from(ms).unwrap_or(0));
    profile.meanwhile(tab, true)?;
    profile.store.kill_point()?;
    let unreachable = |why| Failure::new(ErrorCode::FAILED_TO_REACH_SERVER, why);
    // An answer that has waited for a page that slept tells the time of before.
    if fetched.is_some() && tab.clock.wall_ms() - begun_at > ms {
        profile.waits += 1;
        return Err(unreachable("the server gave no answer in time").into());
    }
    let fetched = fetched.ok_or_else(|| unreachable("the server gave no answer"))?;
    let raw = fetched.answer;
    let body = serde_json::from_slice(&raw.body);
    let (Ok(body), Some(time), Some(signature), Some(key_id)) =
        (body, raw.server_time, raw.signature, raw.key_id)
    else {
        return Err(unreachable("the answer is not a license server's").into());
    };
    let mut answer = Answer {
        is_ok: raw.status == 200,
        body,
        time,
        key_id,
        is_believed: false,
        retry_after: raw.retry_after.unwrap_or(0),
        signed: Signed {
            request_body: fetched.request_body,
            nonce: fetched.nonce,
            status: raw.status,
            body: raw.body,
            signature,
        },
    };
    if let Some((key_id, key)) = sender.server {
        answer.is_believed = answer.is_by(key);
        if !answer.is_believed && answer.key_id == key_id {
            return fail(ErrorCode::LICENSE_SYNC_FAILED, "the answer was changed on its way");
        }
    }
    Ok(answer)
}
