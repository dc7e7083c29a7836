//! A transport that answers from a script, with a server's signature, and notes what it was asked.

use std::collections::VecDeque;

use parking_lot::Mutex;
use seatmeter_protocol::signature::{AnswerFacts, SigningKey};

use super::transport::{RawAnswer, RawRequest, Stage, Transport, Unreachable};

/// What happens to the next request.
pub(crate) enum Step {
    /// This status and body, signed.
    Answer(u16, String),
    /// The same, not signed.
    Unsigned(u16, String),
    /// Nothing comes.
    Silence,
    /// Everything that the report holds is recorded.
    RecordAll,
    /// The server records, but its answer is lost.
    RecordAllAndLoseAnswer,
}

/// The transport.
pub(crate) struct Scripted {
    key: SigningKey,
    steps: Mutex<VecDeque<Step>>,
    /// URL and body of every request so far.
    pub(crate) asked: Mutex<Vec<(String, serde_json::Value)>>,
}

impl Scripted {
    pub(crate) fn new(key: SigningKey, steps: impl IntoIterator<Item = Step>) -> Self {
        Self { key, steps: Mutex::new(steps.into_iter().collect()), asked: Mutex::default() }
    }

    fn signed(&self, request: &RawRequest<'_>, status: u16, body: String) -> RawAnswer {
        let key_id = self.key.public().id();
        let facts = AnswerFacts {
            request_body: request.body,
            nonce: request.nonce,
            status,
            server_time: 7,
            key_id: &key_id,
        };
        let signature = facts.sign(body.as_bytes(), &self.key);
        RawAnswer {
            status,
            server_time: Some(7),
            key_id: Some(key_id.clone()),
            signature: Some(signature),
            body: body.into_bytes(),
        }
    }
}

impl Transport for Scripted {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let body: serde_json::Value = serde_json::from_slice(request.body).expect("requests are JSON");
        self.asked.lock().push((request.url.clone(), body.clone()));
        let silence = Unreachable { stage: Stage::Connect, detail: "silence".into() };
        match self.steps.lock().pop_front().expect("the script has a step for every request") {
            Step::Answer(status, body) => Ok(self.signed(request, status, body)),
            Step::Unsigned(status, body) => {
                Ok(RawAnswer { status, body: body.into_bytes(), ..RawAnswer::default() })
            }
            Step::Silence | Step::RecordAllAndLoseAnswer => Err(silence),
            Step::RecordAll => {
                let ids: Vec<&str> = body["segments"]
                    .as_array()
                    .expect("a report")
                    .iter()
                    .filter_map(|segment| segment["segment_id"].as_str())
                    .collect();
                Ok(self.signed(request, 200, serde_json::json!({ "recorded": ids }).to_string()))
            }
        }
    }
}
