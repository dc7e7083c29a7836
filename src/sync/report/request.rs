//! One request with a report, and how the device proves it.

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    EndedLicense, SegmentReport, USAGE_PATH, UsageAnswer, UsageReport,
};
use seatmeter_protocol::signature::PublicKey;

use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{ServerRecord, Shown};
use crate::log::{Level, say};
use crate::sync::authorize::device_facts;
use crate::sync::exchange::{Answer, Answered, Content, Prover, Servers};

/// Report to a server which of its local licenses this device has ended. If the server does not
/// learn of it, they end by themselves.
///
/// # Errors
/// Fails if the server cannot be reached or trusted.
pub fn report_end(
    servers: &Servers<'_>,
    device: &Device,
    record: &ServerRecord,
    key: &PublicKey,
    ended: Vec<EndedLicense>,
    deadline: Deadline,
) -> Result<()> {
    let read = |answer: &Answer| {
        if !answer.is_success() {
            return Err(answer.refusal(Some(key)));
        }
        answer.verify(key)?;
        // Nothing in it but the receipt matters.
        Ok(answer.read().unwrap_or_default())
    };
    let content = (device.uuid(), Vec::new(), ended);
    send(servers, device, record, content, deadline, read).answered.value.map(|_| ())
}

/// The result of a report that was sent.
pub(super) struct Sent {
    pub(super) answered: Answered<UsageAnswer>,
    /// Whether the receipt in the answer is stored. Without it, nothing proves later what the
    /// server has recorded: nobody would notice that its data was put back to before that.
    pub(super) is_receipt_kept: bool,
}

/// Send a report of the work under a UUID, proved by the report key. A server that does not know
/// this key, because its data was put back or another process got a newer one meanwhile, refuses
/// the report: then it is signed. So is a report of a device that has no report key.
pub(super) fn send(
    servers: &Servers<'_>,
    device: &Device,
    record: &ServerRecord,
    (uuid, segments, ended): (&str, Vec<SegmentReport>, Vec<EndedLicense>),
    deadline: Deadline,
    read: impl Fn(&Answer) -> Result<UsageAnswer>,
) -> Sent {
    let (Shown { newest, receipt }, report_key) = record.known(uuid);
    let report = UsageReport {
        protocol: PROTOCOL_VERSION,
        device: device_facts(uuid),
        newest_license: newest,
        receipt,
        segments,
        ended,
    };
    let ask = |prover: Prover<'_>| {
        let read = |answer: &Answer| Content::without_epoch(read(answer));
        servers.ask(USAGE_PATH, &report, prover, deadline, read)
    };
    let noted = |answered: Answered<UsageAnswer>| {
        let said = answered.value.as_ref().ok();
        let is_receipt_kept = said.is_none_or(|said| note_receipt(said, &report.receipt, record));
        Sent { answered, is_receipt_kept }
    };
    if let Some(report_key) = report_key {
        let answered = ask(Prover::Report(&report_key));
        if !is_unknown(&answered) {
            return noted(answered);
        }
    }
    let Some(key) = device.key_of(uuid) else {
        let message = format!(
            "the device has lost the key of its former UUID {uuid}: what was counted under it is \
             kept, and cannot be reported"
        );
        return noted(Answered::not_asked(Error::new(ErrorCode::DEVICE_NOT_MATCH, message)));
    };
    noted(ask(Prover::Device(&key)))
}

/// Return whether the server does not know the UUID, or not by this key.
pub(super) fn is_unknown(answered: &Answered<UsageAnswer>) -> bool {
    answered.value.as_ref().is_err_and(|error| error.code == ErrorCode::DEVICE_NOT_MATCH)
}

/// Note the receipt in a believed answer to a request that has shown this one. Return whether the
/// disk has taken it.
fn note_receipt(said: &UsageAnswer, shown: &str, record: &ServerRecord) -> bool {
    if said.receipt.is_empty() {
        return true;
    }
    let noted = record.note_receipt(&said.receipt, shown);
    noted.inspect_err(|error| say(Level::Warning, format_args!("{error}"))).is_ok()
}
