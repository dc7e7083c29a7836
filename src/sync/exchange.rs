//! The exchange with one server after the other, and the check of the answer's signature.

use std::time::Duration;

use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::foreign_answer::ForeignAnswer;
use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::message::{Problem, ProblemNumbers};
use seatmeter_protocol::request_auth::{Proof, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, Signed, SigningKey, random_id};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::transport::{RawAnswer, RawRequest, Transport, Unreachable};
use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result, Stage};

/// The servers and the resources for requests to them.
pub struct Servers<'a> {
    /// The transport of the requests.
    pub transport: &'a dyn Transport,
    /// The clock for the bounds.
    pub clock: &'a dyn Clock,
    /// The base URLs, main server first.
    pub urls: &'a [String],
    /// The server's key that is known already; the server is asked to continue with it.
    pub known_key: Option<PublicKey>,
}

/// The result of a request.
#[derive(Debug)]
pub struct Answered<T> {
    /// What the server that decided has answered, or its refusal, or why no server has decided.
    pub value: Result<T>,
    /// The URL of the server that decided; empty if none did.
    pub server: String,
    /// The epoch that the last grant or believed refusal has named; empty for none.
    pub epoch: String,
}

/// The content of one answer.
#[derive(Debug)]
pub(super) struct Content<T> {
    /// The value, or the refusal, or why the answer cannot be used.
    pub(super) value: Result<T>,
    /// The epoch that the answer names, if the answer can be believed; else empty.
    pub(super) epoch: String,
}

impl<T> Content<T> {
    /// Return a content that names no epoch.
    pub(super) fn without_epoch(value: Result<T>) -> Self {
        Self { value, epoch: String::new() }
    }
}

impl<T> Answered<T> {
    /// Return the result of a request that could not be sent.
    pub(super) fn not_asked(error: Error) -> Self {
        Self { value: Err(error), server: String::new(), epoch: String::new() }
    }
}

/// The secret by which a request proves which device sends it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prover<'a> {
    /// The key of the device.
    Device(&'a SigningKey),
    /// The report key that device and server agreed on.
    Report(&'a ReportKey),
}

impl Prover<'_> {
    fn prove(self, facts: &RequestFacts) -> Proof {
        match self {
            Self::Device(key) => Proof::Signature(facts.sign(key)),
            Self::Report(key) => Proof::Tag { key_id: key.id(), tag: facts.tag(key) },
        }
    }
}

/// An answer, with the values that its signature covers.
#[derive(Debug)]
pub(super) struct Answer {
    raw: RawAnswer,
    request_body: Vec<u8>,
    nonce: String,
    base: String,
    url: String,
    /// The boot clock when the request was sent.
    asked_at_ms: u64,
}

impl Servers<'_> {
    /// Send a request to the main server. If it is silent, says that it is not in charge, or cannot
    /// be trusted, send the request to the next one. `read` returns the content of an answer. Each
    /// server gets an equal share of the remaining time.
    pub(super) fn ask<T>(
        &self,
        path: &str,
        request: &impl Serialize,
        prover: Prover<'_>,
        deadline: Deadline,
        read: impl FnMut(&Answer) -> Content<T>,
    ) -> Answered<T> {
        self.ask_each(path, |_, _| Ok(request), prover, deadline, read)
    }

    /// Do as [`Self::ask`] does, with a request of its own for each base URL. A server may answer
    /// once that the request must come again with a challenge.
    pub(super) fn ask_each<T, R: Serialize>(
        &self,
        path: &str,
        request: impl Fn(&str, Option<Signed>) -> Result<R>,
        prover: Prover<'_>,
        deadline: Deadline,
        mut read: impl FnMut(&Answer) -> Content<T>,
    ) -> Answered<T> {
        let mut failures: Vec<Error> = Vec::new();
        let mut epoch = String::new();
        for (i, url) in self.urls.iter().enumerate() {
            let left = u32::try_from(self.urls.len() - i).unwrap_or(1);
            let mut challenge = None;
            let content = loop {
                let share = deadline.remaining(self.clock) / left;
                let body = request(url, challenge.clone()).and_then(|request| as_json(&request));
                let body = match body {
                    Ok(body) => body,
                    Err(error) => return Answered::not_asked(error),
                };
                match self.ask_one(url, path, &body, prover, share) {
                    Ok(answer) => match answer.challenge().filter(|_| challenge.is_none()) {
                        Some(given) => challenge = Some(given),
                        None => break read(&answer),
                    },
                    Err(error) => break Content::without_epoch(Err(error)),
                }
            };
            // A believed answer names its epoch, even if another server has to decide.
            if !content.epoch.is_empty() {
                epoch = content.epoch;
            }
            match content.value {
                Err(e) if e.code.action() == DeviceAction::AsksOther => failures.push(e),
                value => return Answered { value, server: url.clone(), epoch },
            }
        }
        Answered { value: Err(joined(failures)), server: String::new(), epoch }
    }

    fn ask_one(
        &self,
        base: &str,
        path: &str,
        body: &[u8],
        prover: Prover<'_>,
        timeout: Duration,
    ) -> Result<Answer> {
        let url = &format!("{base}{path}");
        let nonce = random_id().ok_or_else(|| {
            Error::new(ErrorCode::LICENSE_SYNC_FAILED, "the system gives no random numbers")
        })?;
        if timeout.is_zero() {
            return Err(Error::unreachable(
                Stage::Connect,
                format!("no time was left to ask {url}"),
            ));
        }
        let key_id = self.known_key.as_ref().map(PublicKey::id);
        let request = RawRequest {
            url: url.to_owned(),
            nonce: &nonce,
            key_id: key_id.as_deref(),
            proof: prover.prove(&RequestFacts::new(path, &nonce, body)),
            body,
            timeout,
        };
        let asked_at_ms = self.clock.boot_ms();
        let answer = self.transport.post(&request);
        let taken = Duration::from_millis(self.clock.boot_ms().saturating_sub(asked_at_ms));
        match answer {
            // This process was stopped, or the machine slept. The device may have continued
            // meanwhile, so neither the time nor the grant in this answer is the server's latest.
            Ok(_) if taken > timeout + LATE_AFTER => Err(Error::unreachable(
                Stage::Answer,
                format!(
                    "the answer of {url} came after {} s, too late to be used: the server is asked \
                     again",
                    taken.as_secs()
                ),
            )),
            Ok(raw) => Ok(Answer {
                raw,
                request_body: body.to_vec(),
                nonce,
                base: base.to_owned(),
                url: url.to_owned(),
                asked_at_ms,
            }),
            Err(Unreachable { stage, detail }) => {
                Err(Error::unreachable(stage, format!("no answer from {url} ({stage}): {detail}")))
            }
        }
    }
}

fn as_json(request: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(request)
        .map_err(|e| Error::new(ErrorCode::UNKNOWN, format!("a request has no JSON form: {e}")))
}

/// The delay after a request's timeout beyond which an answer was waiting for this process, instead
/// of the process for the answer.
const LATE_AFTER: Duration = Duration::from_secs(5);

/// Return the end of a sentence about an answer of this status that is not a license server's.
fn advice(status: u16) -> String {
    let ForeignAnswer { cause, todo } = ForeignAnswer::of_status(status);
    if cause.is_empty() { format!(": {todo}") } else { format!(": {cause}; {todo}") }
}

fn joined(failures: Vec<Error>) -> Error {
    let sentences: Vec<String> = failures.iter().map(|e| e.message.clone()).collect();
    let first =
        failures.into_iter().next().unwrap_or_else(|| ErrorCode::FAILED_TO_REACH_SERVER.into());
    Error { message: sentences.join("; and "), ..first }
}

impl Answer {
    /// Return the base URL of the server that answered.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Return whether the server says that the proof of who asks does not belong to the request.
    pub(super) fn is_unproven(&self) -> bool {
        self.raw.status == 401
    }

    /// Return the challenge with which the server wants the request again.
    fn challenge(&self) -> Option<Signed> {
        let problem = self.problem().filter(|_| self.is_unproven())?;
        problem.challenge.map(|challenge| *challenge)
    }

    /// Return whether the server has granted the request.
    pub(super) fn is_success(&self) -> bool {
        self.raw.status == 200
    }

    /// Give the server's time to the clock. Call this after [`Self::verify`].
    pub(super) fn tell_time(&self, clock: &dyn Clock) {
        clock.hear(self.raw.server_time.unwrap_or(0), self.asked_at_ms);
    }

    /// Check that the answer is from the holder of this key and to this very request.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<()> {
        let (Some(server_time), Some(key_id), Some(signature)) =
            (self.raw.server_time, self.raw.key_id.as_deref(), self.raw.signature.as_deref())
        else {
            return Err(self.untrusted("it is not signed"));
        };
        AnswerFacts {
            request_body: &self.request_body,
            nonce: &self.nonce,
            status: self.raw.status,
            server_time,
            key_id,
        }
        .verify(&self.raw.body, signature, key)
        .map_err(|e| self.untrusted(&e.to_string()))
    }

    /// Check that the server's time is not before this instant, at which the vendor has issued its
    /// license file. A vendor's clock may be ahead by a day.
    pub(super) fn is_not_before(&self, issued_at: u64) -> Result<()> {
        let time = self.raw.server_time.unwrap_or(0);
        if time.saturating_add(DAY_SECONDS) >= issued_at {
            return Ok(());
        }
        Err(self.untrusted(&format!(
            "its time, {time}, is before the vendor has issued the license file ({issued_at}): \
             the server's clock has to be set right"
        )))
    }

    /// Read the body of a successful answer.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.raw.body)
            .map_err(|e| self.untrusted(&format!("its content is not valid: {e}")))
    }

    /// Return the refusal in the answer. Anything that is not one of our server's refusals (a
    /// proxy's page, a captive portal) counts as no answer, so that it cannot end a license.
    pub(super) fn refusal(&self, known_key: Option<&PublicKey>) -> Error {
        let Some(problem) = self.problem() else {
            return Error::unreachable(
                Stage::Status,
                format!(
                    "{} answers with HTTP status {}, and not as a license server does{}",
                    self.url,
                    self.raw.status,
                    advice(self.raw.status)
                ),
            );
        };
        match known_key.map(|key| self.verify(key)) {
            Some(Err(untrusted)) => untrusted,
            _ => Error {
                retry_after: self.raw.retry_after,
                ..Error::new(problem.code, problem.detail)
            },
        }
    }

    /// Return the numbers behind a refusal, for people.
    pub(super) fn numbers(&self) -> Option<ProblemNumbers> {
        self.problem()?.numbers.map(|numbers| *numbers)
    }

    /// Return the epoch that a refusal names. It can be believed after [`Self::verify`].
    pub(super) fn refusing_epoch(&self) -> String {
        self.problem().map(|problem| problem.epoch).unwrap_or_default()
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.raw.body).ok()
    }

    pub(super) fn untrusted(&self, why: &str) -> Error {
        // The body is a page of a network that requires a login, or of another server at this
        // address.
        let is_json = serde_json::from_slice::<IgnoredAny>(&self.raw.body).is_ok();
        let todo = if is_json {
            ""
        } else {
            ". It is no license server's: check the URL, or sign in to this network"
        };
        Error::new(
            ErrorCode::LICENSE_SYNC_FAILED,
            format!("the answer of {} cannot be trusted: {why}{todo}", self.url),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{RETRY_AFTER, Scripted, Step};
    use super::*;
    use crate::clock::test_support::HandClock;

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&hex::encode([n; 32])).unwrap()
    }

    /// Request from two servers with this script. Return the body's first value, or the error.
    fn ask(steps: impl IntoIterator<Item = Step>) -> (Result<u32>, usize) {
        let transport = Scripted::new(key(1), steps);
        let clock = HandClock::at(100);
        let urls = ["http://main".to_owned(), "http://standby".to_owned()];
        let servers =
            Servers { transport: &transport, clock: &clock, urls: &urls, known_key: None };
        let deadline = Deadline::after(&clock, Duration::from_secs(10));
        let read = |answer: &Answer| {
            if !answer.is_success() {
                return Err(answer.refusal(Some(key(1).public())));
            }
            answer.verify(key(1).public())?;
            answer.read()
        };
        let device_key = key(9);
        let prover = Prover::Device(&device_key);
        let answered = servers.ask("/x", &"question", prover, deadline, |answer| {
            Content::without_epoch(read(answer))
        });
        let asked = transport.asked.lock().len();
        let is_decided = match &answered.value {
            Ok(_) => true,
            Err(error) => error.code.action() != DeviceAction::AsksOther,
        };
        let decided = if is_decided { urls[asked - 1].as_str() } else { "" };
        assert_eq!(answered.server, decided, "{answered:?}");
        (answered.value, asked)
    }

    fn problem(code: ErrorCode) -> String {
        serde_json::to_string(&Problem::new(403, code, "because")).unwrap()
    }

    #[test]
    fn the_main_server_is_asked_first_and_alone_if_it_answers() {
        assert_eq!(ask([Step::Answer(200, "5".into())]), (Ok(5), 1));
    }

    #[test]
    fn the_standby_is_asked_when_the_main_server_is_silent_or_not_in_charge_or_not_itself() {
        for first in [
            Step::Silence,
            Step::Answer(503, problem(ErrorCode::STANDBY_NOT_READY)),
            Step::Unsigned(502, "<html>Bad Gateway</html>".into()),
            Step::Unsigned(200, "<html>Welcome to this network</html>".into()),
            Step::Unsigned(403, problem(ErrorCode::REVOKED)),
        ] {
            assert_eq!(ask([first, Step::Answer(200, "5".into())]), (Ok(5), 2));
        }
    }

    #[test]
    fn an_error_says_when_a_server_that_is_too_busy_wants_to_be_asked_again() {
        let busy = || Step::Answer(503, problem(ErrorCode::STANDBY_NOT_READY));
        let (answer, asked) = ask([busy(), busy()]);
        let error = answer.unwrap_err();
        assert_eq!((error.retry_after, asked), (Some(RETRY_AFTER), 2));
        assert_eq!(ask([Step::Silence, Step::Silence]).0.unwrap_err().retry_after, None);
    }

    fn challenge() -> Step {
        let mut problem = Problem::new(401, ErrorCode::DEVICE_NOT_MATCH, "once more");
        let (payload, key_id, signature) = ("{}".to_owned(), "1".to_owned(), "2".to_owned());
        problem.challenge = Some(Box::new(Signed { payload, key_id, signature }));
        Step::Answer(401, serde_json::to_string(&problem).unwrap())
    }

    #[test]
    fn a_server_that_wants_the_request_again_with_a_challenge_gets_it_once() {
        let asked = |steps: Vec<Step>| {
            let transport = Scripted::new(key(1), steps);
            let clock = HandClock::at(100);
            let urls = ["http://main".to_owned()];
            let servers =
                Servers { transport: &transport, clock: &clock, urls: &urls, known_key: None };
            let deadline = Deadline::after(&clock, Duration::from_secs(10));
            let request = |_: &str, challenge: Option<Signed>| Ok(challenge);
            let device_key = key(9);
            let prover = Prover::Device(&device_key);
            let answered = servers.ask_each("/x", request, prover, deadline, |answer| {
                Content::without_epoch(match answer.is_success() {
                    true => answer.read::<u32>(),
                    false => Err(answer.refusal(None)),
                })
            });
            let bodies: Vec<_> =
                transport.asked.lock().iter().map(|(_, body)| body.clone()).collect();
            (answered.value, bodies)
        };
        let (value, bodies) = asked(vec![challenge(), Step::Answer(200, "5".into())]);
        assert_eq!(value.unwrap(), 5);
        assert!(bodies[0].is_null());
        assert_eq!(bodies[1]["payload"], "{}");
        let (value, bodies) = asked(vec![challenge(), challenge()]);
        assert_eq!(value.unwrap_err().code, ErrorCode::DEVICE_NOT_MATCH);
        assert_eq!(bodies.len(), 2, "it is not asked for ever");
    }

    #[test]
    fn a_page_is_called_what_it_is_and_a_wrong_signature_is_not() {
        let page = || Step::Unsigned(200, "<html>Welcome to this network</html>".into());
        assert!(ask([page(), page()]).0.unwrap_err().message.contains("sign in to this network"));
        let unsigned = || Step::Unsigned(200, "5".into());
        assert!(!ask([unsigned(), unsigned()]).0.unwrap_err().message.contains("sign in"));
    }

    #[test]
    fn a_refusal_is_final_and_explained() {
        let (outcome, asked) = ask([Step::Answer(403, problem(ErrorCode::EXPIRED))]);
        let error = outcome.unwrap_err();
        assert_eq!((error.code, error.message.as_str(), asked), (ErrorCode::EXPIRED, "because", 1));
    }

    #[test]
    fn when_all_are_silent_each_is_named_with_its_stage() {
        let error = ask([Step::Silence, Step::Silence]).0.unwrap_err();
        assert_eq!(error.code, ErrorCode::FAILED_TO_REACH_SERVER);
        assert!(error.message.contains("http://main/x (connect)"), "{error}");
        assert!(error.message.contains("http://standby/x (connect)"), "{error}");
    }

    #[test]
    fn what_is_not_signed_by_the_known_server_is_not_believed() {
        let not_signed = [
            || Step::Unsigned(200, "5".into()),
            || Step::Unsigned(403, problem(ErrorCode::REVOKED)),
        ];
        for step in not_signed {
            let outcome = ask([step(), step()]).0;
            assert_eq!(outcome.unwrap_err().code, ErrorCode::LICENSE_SYNC_FAILED);
        }
    }
}
