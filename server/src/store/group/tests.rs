//! The requests that a group takes.

use seatmeter_protocol::request_auth::RequestFacts;
use seatmeter_protocol::signature::SigningKey;

use super::requests::WAIT_TIME_MAX;
use super::*;
use crate::keyring::Keyring;
use crate::store::{Report, ReportProof};

type Asking = oneshot::Receiver<Result<Answer, Error>>;

/// A report that waits since this instant, and its client.
fn waiting(since: Instant) -> (Job, Asking) {
    let (reply, asking) = oneshot::channel();
    let device = r#"{"uuid":"d","friendly_name":"","library_version":""}"#;
    let report = format!(r#"{{"protocol":1,"device":{device},"segments":[]}}"#);
    let facts = RequestFacts::new("/", "", b"");
    let request = Request::Report(Report {
        report: serde_json::from_str(&report).unwrap(),
        proof: ReportProof { facts, proof: None, signed_by: None },
        newest: None,
        shown: Vec::new(),
        receipt: None,
        keys: Keyring::new(SigningKey::from_seed(&"01".repeat(32)).unwrap(), vec![]),
        now: 0,
    });
    (Job::Member(Box::new(Member { since, request, outcome: Err(unanswered()), reply })), asking)
}

#[test]
fn a_request_whose_client_has_gone_or_will_have_gone_is_not_run() {
    let now = Instant::now();
    let mut group = Group::default();
    let (job, mut asks) = waiting(now);
    group.add(job);
    assert_eq!(group.jobs.len(), 1);
    assert!(asks.try_recv().is_err(), "it is answered when it has run");
    let (job, gone) = waiting(now);
    drop(gone);
    group.add(job);
    let (job, mut late) = waiting(now.checked_sub(2 * WAIT_TIME_MAX).unwrap());
    group.add(job);
    assert_eq!(group.jobs.len(), 1);
    assert!(matches!(late.try_recv(), Ok(Err(Error::Busy))));
}
