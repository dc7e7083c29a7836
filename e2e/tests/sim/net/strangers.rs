//! Strangers: they know a UUID, a handshake code, and what was on the wire, and have a key of their
//! own.

use std::collections::BTreeMap;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationRequest, EndedLicense, USAGE_PATH, UsageReport,
};
use seatmeter_protocol::request_auth::{Proof, RequestFacts};
use seatmeter_protocol::signature::{SigningKey, random_id};

use super::{Letter, Net, refused_with};
use crate::plan::{Theft, Versions};
use crate::server::Asked;

/// What strangers have overheard: the last request of each machine, by path.
#[derive(Default)]
pub(crate) struct Strangers {
    overheard: BTreeMap<(usize, &'static str), Vec<u8>>,
}

/// A request of a stranger.
struct Forged {
    path: &'static str,
    body: Vec<u8>,
    /// Whether it comes under the UUID of a device that the server knows.
    is_of_another: bool,
}

impl Strangers {
    pub(super) fn overhear(&mut self, letter: &Letter) {
        let mut body = letter.body.clone();
        if let (Some(origin), AUTHORIZATIONS_PATH) = (letter.origin, letter.path) {
            // A stranger has no browser, and names the website in the body.
            let mut request: AuthorizationRequest =
                serde_json::from_slice(&body).expect("a page asks as it must");
            request.validation.website_domain = origin.to_owned();
            body = serde_json::to_vec(&request).expect("it came from JSON");
        }
        self.overheard.insert((letter.machine, letter.path), body);
    }

    fn request(&self, m: usize) -> Option<AuthorizationRequest> {
        let body = self.overheard.get(&(m, AUTHORIZATIONS_PATH))?;
        serde_json::from_slice(body).ok()
    }

    fn any_request(&self) -> Option<AuthorizationRequest> {
        let mut bodies =
            self.overheard.iter().filter(|((_, path), _)| *path == AUTHORIZATIONS_PATH);
        bodies.next().and_then(|(_, body)| serde_json::from_slice(body).ok())
    }

    fn report(&self, m: usize) -> Option<UsageReport> {
        let body = self.overheard.get(&(m, USAGE_PATH))?;
        serde_json::from_slice(body).ok()
    }
}

impl Net {
    /// Let a stranger use the UUID of a machine, and check that nobody loses anything by it.
    ///
    /// # Errors
    /// Fails when the server believes the stranger.
    pub(crate) fn steal(&mut self, m: usize, theft: Theft, uuid: &str) -> Result<(), String> {
        let key = SigningKey::from_seed(&"9".repeat(64)).expect("64 digits are a seed");
        let Some(forged) = self.forge(m, theft, uuid, &key) else { return Ok(()) };
        if theft == Theft::AskFirst {
            self.installations.taken.insert(uuid.to_owned());
        }
        self.is_touched = true;
        let nonce = random_id().expect("the system gives random numbers");
        let facts = RequestFacts::new(forged.path, &nonce, &forged.body);
        let asked = Asked {
            path: forged.path,
            body: &forged.body,
            versions: Versions::default(),
            nonce: &nonce,
            proof: &Proof::Signature(facts.sign(&key)),
            key_id: None,
            origin: None,
            is_copied: true,
            is_forged: true,
        };
        let before = self.server.rows_of_devices();
        let answer = self.server.answer(&asked)?;
        if !forged.is_of_another {
            return Ok(());
        }
        if refused_with(&answer) != Some(ErrorCode::DEVICE_NOT_MATCH) {
            return Err(format!(
                "a stranger uses the UUID of machine {m} ({theft:?}), and is answered with {}",
                answer.status
            ));
        }
        let after = self.server.rows_of_devices();
        match before.iter().zip(&after).find(|(before, after)| before != after) {
            Some((before, after)) => Err(format!(
                "a stranger changes what the server knows of a device ({theft:?}): {before:?} is \
                 {after:?} now"
            )),
            None => Ok(()),
        }
    }

    fn forge(&self, m: usize, theft: Theft, uuid: &str, key: &SigningKey) -> Option<Forged> {
        let device_key = key.public().clone();
        let is_known = self.server.knows(uuid);
        // A stranger who came first is the device, while the machine works at another server.
        let is_of_stranger = |uuid: &str| self.installations.taken.contains(uuid);
        if theft == Theft::Report {
            let mut report = self.strangers.report(m)?;
            let is_of_another =
                self.server.knows(&report.device.uuid) && !is_of_stranger(&report.device.uuid);
            for segment in &mut report.segments {
                segment.totals.iter_mut().for_each(|total| total.total += 1_000);
            }
            if let Some(license) = self.server.newest_license_of(&report.device.uuid) {
                let (license_id, serial) = license;
                report.ended = vec![EndedLicense { license_id, serial }];
            }
            let body = serde_json::to_vec(&report).expect("it came from JSON");
            return is_of_another.then_some(Forged { path: USAGE_PATH, body, is_of_another });
        }
        let mut request = match theft {
            Theft::AskFirst => self.strangers.any_request()?,
            _ => self.strangers.request(m)?,
        };
        request.challenge = None;
        request.device_key = device_key;
        request.receipt = String::new();
        let mut is_of_another = !is_of_stranger(&request.device.uuid);
        match theft {
            Theft::Ask if !self.server.knows(&request.device.uuid) => return None,
            Theft::AskFirst if is_known || self.owners.contains_key(uuid) => return None,
            Theft::AskFirst => {
                request.device.uuid = uuid.to_owned();
                (request.held_license, request.newest_license) = (None, None);
                is_of_another = false;
            }
            Theft::Show => {
                request.device.uuid = "5712a06e".repeat(4);
                is_of_another = false;
            }
            Theft::Ask | Theft::Report => {}
        }
        let body = serde_json::to_vec(&request).expect("it came from JSON");
        Some(Forged { path: AUTHORIZATIONS_PATH, body, is_of_another })
    }
}
