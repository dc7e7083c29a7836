//! The requests of pages. Their browser sets the header `Origin`, and lets a page post to a server
//! only if the server licenses the website (CORS).

use seatmeter::sync::RawAnswer;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::request_auth::Proof;
use seatmeter_protocol::signature::random_id;

use super::{Letter, Net, SILENCE_MS, STANDBY};
use crate::server::Server;

/// A request that a page posts.
pub(crate) struct PageRequest {
    pub(crate) machine: usize,
    pub(crate) origin: &'static str,
    pub(crate) url: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) proof: Proof,
    pub(crate) key_id: Option<String>,
}

/// An answer that a page can read, with the request that it answers.
pub(crate) struct Fetched {
    pub(crate) answer: RawAnswer,
    pub(crate) request_body: Vec<u8>,
    pub(crate) nonce: String,
}

impl Net {
    /// Post a request of a page, which waits for so many milliseconds. If CORS stops it, the page
    /// asks why.
    pub(crate) fn fetch(&mut self, request: PageRequest, timeout_ms: u64) -> Option<Fetched> {
        let PageRequest { machine, origin, url, path, body, nonce, proof, key_id } = request;
        let to_standby = url == STANDBY;
        let (request_body, own_nonce) = (body.clone(), nonce.clone());
        let origin_of = Some(origin);
        let is_late = false;
        let letter = Letter {
            machine,
            is_late,
            to_standby,
            path,
            body,
            nonce,
            proof,
            key_id,
            origin: origin_of,
        };
        let fetched = if self.receiver(&letter).licenses_website(origin) {
            let answer = self.carry(letter);
            answer.map(|answer| Fetched { answer, request_body, nonce: own_nonce })
        } else {
            self.ask_why(&letter)
        };
        if fetched.is_none() {
            self.heard.silences += 1;
            self.time.pass(SILENCE_MS.min(timeout_ms));
        }
        fetched
    }

    fn ask_why(&mut self, letter: &Letter) -> Option<Fetched> {
        let is_cut_off = !letter.to_standby && self.has_lost_main[letter.machine];
        if self.is_unplugged[letter.machine] || is_cut_off || !self.is_up(letter) {
            return None;
        }
        let nonce = random_id().expect("the seed gives random numbers");
        let answer = self.receiver(letter).unlicensed(&nonce, self.versions);
        self.heard.answers += 1;
        self.heard.refusals.push(ErrorCode::DOMAIN_MISMATCH);
        self.refusals[letter.machine].insert(ErrorCode::DOMAIN_MISMATCH);
        Some(Fetched { answer, request_body: Vec::new(), nonce })
    }

    /// Return the server that a letter reaches.
    fn receiver(&self, letter: &Letter) -> &Server {
        match (&self.apart, &self.copy) {
            (Some(apart), _) if letter.to_standby => apart,
            (_, Some(copy)) if !letter.to_standby && self.reaches_copy[letter.machine] => copy,
            _ => &self.server,
        }
    }
}
