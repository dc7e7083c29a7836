//! A transport that answers from a script, with a server's signature, and records the requests.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::message::ItemStanding;
use seatmeter_protocol::signature::{AnswerFacts, SigningKey, batch};

use super::transport::{RawAnswer, RawRequest, Transport, Unreachable};
use crate::error::Stage;
use crate::license::test_support::NOW;
use crate::os::locks::{Mutex, as_another_thread};

/// A file that no process can open for writing: a running program.
pub(crate) struct RunningFile(std::process::Child);

impl RunningFile {
    pub(crate) fn at(path: &std::path::Path) -> Self {
        std::fs::copy("/bin/sleep", path).unwrap();
        Self(std::process::Command::new(path).arg("600").spawn().unwrap())
    }
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The seconds after which a server that is not ready wants to be asked again.
pub(crate) const RETRY_AFTER: u64 = 1;

/// A function that makes status and body of an answer from a request.
pub(crate) type Reply = Box<dyn FnOnce(&serde_json::Value) -> (u16, String) + Send>;

/// The fate of the next request.
pub(crate) enum Step {
    /// The answer has this status and body, and is signed.
    Answer(u16, String),
    /// The answer has this status and body, and is not signed.
    Unsigned(u16, String),
    /// No answer comes.
    Silence,
    /// The server records everything in the report.
    RecordAll,
    /// The server records everything, and its answer says how far items are used.
    RecordAllAnd(Vec<ItemStanding>),
    /// The server records, but its answer is lost.
    RecordAllAndLoseAnswer,
    /// The request arrives twice; the second answer comes.
    RecordAllTwice,
    /// Another server with the same key records everything, in this epoch.
    RecordAllIn(&'static str),
    /// The server records everything but the nth segment, which it refuses.
    RecordAllBut(usize),
    /// This function runs while the request is on its way; then the server records everything.
    During(Box<dyn FnOnce() + Send>),
    /// This function runs while the request is on its way; then the next step follows.
    Meanwhile(Box<dyn FnOnce() + Send>),
    /// The answer to the nth request comes now.
    Replay(usize),
    /// The function makes status and body of the answer from the request.
    Reply(Reply),
}

/// A counter of a segment: (segment, slot, kind, what).
type CounterName = (String, u64, String, u64);

/// The transport and its script.
pub(crate) struct Scripted {
    key: SigningKey,
    steps: Mutex<VecDeque<Step>>,
    /// The URL and the body of every request so far.
    pub(crate) asked: Mutex<Vec<(String, serde_json::Value)>>,
    /// The answers that the server would have given to each report.
    answers: Mutex<Vec<RawAnswer>>,
    /// The epoch that the server names; empty for none.
    epoch: Mutex<String>,
    /// The server's time, in Unix seconds.
    time: AtomicU64,
    /// The server's records: the largest total of each counter.
    recorded: Mutex<HashMap<CounterName, u64>>,
}

impl Scripted {
    pub(crate) fn new(key: SigningKey, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            key,
            steps: Mutex::new(steps.into_iter().collect()),
            asked: Mutex::default(),
            answers: Mutex::default(),
            epoch: Mutex::default(),
            time: AtomicU64::new(NOW),
            recorded: Mutex::default(),
        }
    }

    /// Set the server's time from now on.
    pub(crate) fn set_time(&self, unix_seconds: u64) {
        self.time.store(unix_seconds, Ordering::Relaxed);
    }

    fn server_time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Add one more step to the script.
    pub(crate) fn then(&self, step: Step) {
        self.steps.lock().push_back(step);
    }

    /// Return the sum of everything that the server has recorded.
    pub(crate) fn billed(&self) -> u64 {
        self.recorded.lock().values().sum()
    }

    /// Restore the server's state from a copy of its first day, with another epoch from now on.
    pub(crate) fn begin_epoch(&self, epoch: &str) {
        self.recorded.lock().clear();
        epoch.clone_into(&mut self.epoch.lock());
    }

    fn record(
        &self,
        request: &RawRequest<'_>,
        body: &serde_json::Value,
        but: Option<usize>,
    ) -> RawAnswer {
        self.record_and(request, body, but, &[])
    }

    fn record_and(
        &self,
        request: &RawRequest<'_>,
        body: &serde_json::Value,
        but: Option<usize>,
        standings: &[ItemStanding],
    ) -> RawAnswer {
        let segments = body["segments"].as_array().expect("a report");
        let (mut ids, mut refused) = (Vec::new(), Vec::new());
        for (number, segment) in segments.iter().enumerate() {
            let id = segment["segment_id"].as_str().expect("an id");
            if Some(number) == but {
                refused.push(serde_json::json!({ "segment_id": id, "reason": "because" }));
                continue;
            }
            ids.push(id);
            for total in segment["totals"].as_array().expect("totals") {
                let number = |name: &str| total[name].as_u64().expect("a number");
                let name =
                    (id.to_owned(), number("slot"), total["kind"].to_string(), number("what"));
                let mut recorded = self.recorded.lock();
                let known = recorded.entry(name).or_default();
                *known = number("total").max(*known);
            }
        }
        let epoch = self.epoch.lock().clone();
        let answer = serde_json::json!({
            "recorded": ids, "refused": refused, "epoch": epoch, "standings": standings,
        });
        let answer = self.signed(request, 200, answer.to_string());
        self.answers.lock().push(answer.clone());
        answer
    }

    fn signed(&self, request: &RawRequest<'_>, status: u16, body: String) -> RawAnswer {
        let key_id = self.key.public().id();
        let facts = AnswerFacts {
            request_body: request.body,
            nonce: request.nonce,
            status,
            server_time: self.server_time(),
            key_id: &key_id,
        };
        // The answer is the second of a batch of three.
        let other = AnswerFacts { nonce: "", ..facts.clone() }.leaf(b"");
        let leaves = [other, facts.leaf(body.as_bytes()), other];
        let signature = batch::sign(&leaves, &self.key).swap_remove(1);
        RawAnswer {
            status,
            server_time: Some(self.server_time()),
            key_id: Some(key_id.clone()),
            signature: Some(signature),
            retry_after: (status == 503).then_some(RETRY_AFTER),
            body: body.into_bytes(),
        }
    }
}

impl Transport for Scripted {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let body: serde_json::Value =
            serde_json::from_slice(request.body).expect("requests are JSON");
        self.asked.lock().push((request.url.clone(), body.clone()));
        let silence = Unreachable { stage: Stage::Connect, detail: "silence".into() };
        let next =
            || self.steps.lock().pop_front().expect("the script has a step for every request");
        let mut step = next();
        if let Step::Meanwhile(happen) = step {
            // The answer to this request was decided before.
            let own = next();
            as_another_thread(happen);
            step = own;
        }
        match step {
            Step::Meanwhile(_) => panic!("one thing at a time happens meanwhile"),
            Step::Answer(status, body) => Ok(self.signed(request, status, body)),
            Step::Unsigned(status, body) => {
                Ok(RawAnswer { status, body: body.into_bytes(), ..RawAnswer::default() })
            }
            Step::Silence => Err(silence),
            Step::RecordAll => Ok(self.record(request, &body, None)),
            Step::RecordAllAnd(standings) => Ok(self.record_and(request, &body, None, &standings)),
            Step::RecordAllAndLoseAnswer => {
                self.record(request, &body, None);
                Err(silence)
            }
            Step::RecordAllTwice => {
                self.record(request, &body, None);
                Ok(self.record(request, &body, None))
            }
            Step::RecordAllIn(epoch) => {
                self.begin_epoch(epoch);
                Ok(self.record(request, &body, None))
            }
            Step::RecordAllBut(number) => Ok(self.record(request, &body, Some(number))),
            Step::During(happen) => {
                as_another_thread(happen);
                Ok(self.record(request, &body, None))
            }
            Step::Reply(reply) => {
                let (status, body) = reply(&body);
                Ok(self.signed(request, status, body))
            }
            Step::Replay(number) => Ok(self.answers.lock()[number].clone()),
        }
    }
}
