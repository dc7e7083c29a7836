//! The network of one machine, and the stops of programs in mid-request.

use std::sync::Weak;

use parking_lot::Mutex;
use seatmeter::error::Stage;
use seatmeter::os::locks::as_another_thread;
use seatmeter::sync::{RawAnswer, RawRequest, Transport, Unreachable};
use seatmeter_protocol::message::{AUTHORIZATIONS_PATH, USAGE_PATH};

use super::{Letter, Net, SILENCE_MS, STANDBY};
use crate::plan::Stopped;

/// The network of one machine.
pub(crate) struct Wire {
    pub(crate) net: Weak<Mutex<Net>>,
    pub(crate) machine: usize,
    /// The event while the program that sends the next request is stopped.
    pub(crate) stop: Mutex<Option<Stop>>,
    /// The request of the last stopped program. It is late for another server, too.
    pub(crate) late: Mutex<Vec<u8>>,
}

/// A stop of a program in mid-request.
pub(crate) struct Stop {
    /// The request in which it is stopped.
    pub(crate) stopped: Stopped,
    pub(crate) meanwhile: Box<dyn FnOnce() + Send>,
}

impl Transport for Wire {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let net = self.net.upgrade().expect("programs end before their world");
        let path = if request.url.ends_with(USAGE_PATH) { USAGE_PATH } else { AUTHORIZATIONS_PATH };
        let is_due =
            |stop: &mut Stop| stop.stopped == Stopped::Answered || path == AUTHORIZATIONS_PATH;
        let stop = self.stop.lock().take_if(is_due);
        // After the stop, a program without an answer from the main server sends the same request
        // to the standby.
        if stop.is_some() {
            *self.late.lock() = request.body.to_vec();
        }
        let is_stopped_after = stop.as_ref().is_some_and(|stop| stop.stopped != Stopped::Asking);
        let letter = Letter {
            machine: self.machine,
            is_late: *self.late.lock() == request.body && !is_stopped_after,
            to_standby: request.url.starts_with(STANDBY),
            path,
            body: request.body.to_vec(),
            nonce: request.nonce.to_owned(),
            key_id: request.key_id.map(str::to_owned),
            proof: request.proof.clone(),
            origin: None,
        };
        let answer = match stop {
            Some(Stop { stopped: Stopped::Asking, meanwhile }) => {
                as_another_thread(meanwhile);
                net.lock().carry(letter)
            }
            Some(Stop { meanwhile, .. }) => {
                let answer = net.lock().carry(letter);
                as_another_thread(meanwhile);
                answer
            }
            None => net.lock().carry(letter),
        };
        let mut net = net.lock();
        answer.ok_or_else(|| {
            net.heard.silences += 1;
            let bound = u64::try_from(request.timeout.as_millis()).unwrap_or(SILENCE_MS);
            net.time.pass(SILENCE_MS.min(bound));
            Unreachable { stage: Stage::Answer, detail: "silence".into() }
        })
    }
}
