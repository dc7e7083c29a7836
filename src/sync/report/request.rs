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
    send(servers, device, record, content, deadline, read).value.map(|_| ())
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
) -> Answered<UsageAnswer> {
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
        servers.ask(USAGE_PATH, &report, prover, deadline, |answer| {
            let value = read(answer);
            if let Ok(said) = &value {
                note_receipt(said, &report.receipt, record);
            }
            Content::without_epoch(value)
        })
    };
    if let Some(report_key) = report_key {
        let answered = ask(Prover::Report(&report_key));
        let is_unknown = |error: &Error| error.code == ErrorCode::DEVICE_NOT_MATCH;
        if !answered.value.as_ref().is_err_and(is_unknown) {
            return answered;
        }
    }
    let Some(key) = device.key_of(uuid) else {
        let message = format!(
            "the device has lost the key of its former UUID {uuid}: what was counted under it is \
             kept, and cannot be reported"
        );
        return Answered::not_asked(Error::new(ErrorCode::DEVICE_NOT_MATCH, message));
    };
    ask(Prover::Device(&key))
}

/// Note the receipt in a believed answer to a request that has shown this one. If the disk does not
/// take it, an older one is shown.
fn note_receipt(said: &UsageAnswer, shown: &str, record: &ServerRecord) {
    if said.receipt.is_empty() {
        return;
    }
    if let Err(error) = record.note_receipt(&said.receipt, shown) {
        say(Level::Warning, format_args!("{error}"));
    }
}
