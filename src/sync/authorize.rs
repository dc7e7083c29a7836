//! The request for a local license.

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, DeviceFacts, LostAllowance,
    NEEDED_MAX, ValidationFacts,
};
use seatmeter_protocol::request_auth::{Agreement, KeyShare};
use seatmeter_protocol::signature::{PublicKey, Signed, SigningKey};

use super::exchange::{Answer, Answered, Content, Prover, Servers};
use crate::built_in;
use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{
    Accepted, Credentials, Grant, GrantStore, ServerRecord, Shown, covers, first_contact,
};
use crate::log::{Level, say};
use crate::os::locks::Mutex;
use crate::parameters::Parameters;
use crate::state::StateDirectory;

/// The content of a request for a license.
pub struct LicenseRequest<'a> {
    /// The state directory of the device.
    pub state: &'a StateDirectory,
    /// The device that sends the request.
    pub device: &'a Device,
    /// The store of the license.
    pub store: &'a GrantStore,
    /// The credentials that the program presents.
    pub credentials: &'a Credentials,
    /// The license that is shown to the server.
    pub shown: Option<Signed>,
    /// What to show of the server that is known to this program, at an address at which that server
    /// has not answered yet: it may be its main server, which was away.
    pub of_server: Shown,
    /// The amount that a strict item must allow at least.
    pub needed: u64,
    /// What the device has lost of its allowances of strict items.
    pub lost: Vec<LostAllowance>,
    /// The server that has refused, if other programs of the device know its key.
    pub refused_by: Mutex<Option<PublicKey>>,
}

/// Request a license, check it, and store it. `known_key` is the key of the server that gave the
/// last grant, if there was one. Refusals are then believed only from its holder.
///
/// The value is the server's refusal, -20200 if no server can be reached, or -20003 if the answer
/// cannot be trusted.
pub fn authorize(
    servers: &Servers<'_>,
    parameters: &Parameters,
    license_request: &LicenseRequest<'_>,
    known_key: Option<&PublicKey>,
    deadline: Deadline,
) -> Answered<Accepted> {
    let LicenseRequest { device, store, .. } = license_request;
    let prepared = store.load(device).and_then(|held| {
        let is_for_more = held.is_some_and(|held| is_for_more(&held, parameters));
        let (key, agreement) = (device.key()?, begin_agreement()?);
        let share = agreement.share().clone();
        let message = message(parameters, license_request, (&key, share))?;
        Ok((is_for_more, key, agreement, message))
    });
    let (is_for_more, key, agreement, message) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Answered::not_asked(error),
    };
    let clock = servers.clock;
    let request = |url: &str, challenge| license_request.to_server_at(url, &message, challenge);
    let mut agreement = Some(agreement);
    let prover = Prover::Device(&key);
    servers.ask_each(AUTHORIZATIONS_PATH, request, prover, deadline, |answer| {
        if answer.is_success() {
            match accepted(answer, license_request, parameters, known_key, &mut agreement, clock) {
                Ok((value, epoch)) => Content { value: Ok(value), epoch },
                Err(error) => Content::without_epoch(Err(error)),
            }
        } else {
            refused(answer, license_request, known_key, is_for_more, clock)
        }
    })
}

/// Return whether a device that has this grant asks for more. If it is refused, it keeps what it
/// has.
fn is_for_more(held: &Grant, parameters: &Parameters) -> bool {
    held.local.seats > 0 && held.local.seats < parameters.seats
}

fn begin_agreement() -> Result<Agreement> {
    Agreement::begin().ok_or_else(|| {
        Error::new(ErrorCode::LICENSE_SYNC_FAILED, "the system gives no random numbers")
    })
}

impl LicenseRequest<'_> {
    /// Return the message to the server at this base URL: with the newest license of that server,
    /// unless it is shown anyway, its last receipt, and the id of the first contact if the server
    /// has not given the device a license at that URL. For a challenge it is made anew, because
    /// another program of the device may have got a license meanwhile.
    fn to_server_at(
        &self,
        url: &str,
        message: &AuthorizationRequest,
        challenge: Option<Signed>,
    ) -> Result<AuthorizationRequest> {
        if self.store.held() != self.shown {
            // This program was stopped, or an answer came late. What it would show is outdated, and
            // the server would take it for a copy of the device.
            return Err(Error::new(
                ErrorCode::LICENSE_SYNC_FAILED,
                "another program of this device has got a license meanwhile",
            ));
        }
        let uuid = self.device.uuid();
        let Shown { newest, mut receipt } = ServerRecord::shown_at(self.state, url, uuid);
        if receipt.is_empty() {
            receipt.clone_from(&self.of_server.receipt);
        }
        let first_contact = match &newest {
            Some(_) => String::new(),
            None => first_contact(self.state, uuid)?,
        };
        let newest = newest.or_else(|| self.of_server.newest.clone());
        let newest_license = newest.filter(|newest| Some(newest) != self.shown.as_ref());
        Ok(AuthorizationRequest {
            newest_license,
            receipt,
            first_contact,
            challenge,
            ..message.clone()
        })
    }
}

/// Return the message to the servers. What is shown of each server's licenses is not in it yet.
fn message(
    parameters: &Parameters,
    license_request: &LicenseRequest<'_>,
    (key, key_share): (&SigningKey, KeyShare),
) -> Result<AuthorizationRequest> {
    let settings = &parameters.settings;
    let device_key = key.public().clone();
    Ok(AuthorizationRequest {
        protocol: PROTOCOL_VERSION,
        handshake_code: parameters.handshake_code.clone(),
        organization_id: parameters.organization_id.clone(),
        session_password: parameters.session_password.clone(),
        device: DeviceFacts {
            friendly_name: settings.friendly_name.clone(),
            ..device_facts(license_request.device.uuid())
        },
        deployment_type: parameters.deployment_type,
        charge_way: parameters.charge_way,
        products: parameters.products,
        seats: parameters.seats,
        buffer_days: parameters.buffer_days,
        modules: parameters.modules.clone(),
        product_version: built_in::product_version()
            .map_err(|why| Error::new(ErrorCode::LICENSE_SYNC_FAILED, why))?,
        product_edition: built_in::PRODUCT_EDITION.map(str::to_owned),
        validation: ValidationFacts {
            website_domain: settings.website_domain.clone(),
            application_id: settings.application_id.clone(),
            process_name: parameters.program.clone(),
        },
        held_license: license_request.shown.clone(),
        newest_license: None,
        device_key,
        key_share,
        first_contact: String::new(),
        needed: license_request.needed.min(NEEDED_MAX),
        lost: license_request.lost.clone(),
        receipt: String::new(),
        challenge: None,
    })
}

/// Check and store the grant in this answer. Return it with the epoch that the answer names.
fn accepted(
    answer: &Answer,
    license_request: &LicenseRequest<'_>,
    parameters: &Parameters,
    known_key: Option<&PublicKey>,
    agreement: &mut Option<Agreement>,
    clock: &dyn Clock,
) -> Result<(Accepted, String)> {
    let &LicenseRequest { state, device, store, credentials, ref shown, .. } = license_request;
    let content: AuthorizationAnswer = answer.read()?;
    // The file names the server's key; `accept` then proves that the file is the vendor's.
    let file: LicenseFile =
        content.license_file.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
    answer.verify(&file.server_key)?;
    let local: LocalLicense =
        content.local_license.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
    if let Some(item) = file.items.iter().find(|item| item.item_id == local.item_id) {
        covers(item, parameters).map_err(|why| answer.untrusted(&why))?;
    }
    answer.is_not_before(file.issued_at)?;
    if known_key != Some(&file.server_key) {
        store.verify(&content, device)?;
    }
    // Only a server that has proved itself uses it up.
    let agreement = agreement.take().ok_or_else(|| answer.untrusted("it is a second one"))?;
    let report_key = agreement
        .of_device(&content.key_share, device.uuid())
        .map_err(|e| answer.untrusted(&e.to_string()))?;
    // The time is set before the grant is stored: the disk may refuse the grant, and only a clock
    // that a server has set gives a stamp.
    answer.tell_time(clock);
    let stamp = clock.stamp();
    let accepted = store.accept(&content, device, shown.as_ref(), credentials, &stamp)?;
    // If the disk does not take it, the next request shows an older license, and the next report is
    // signed.
    let record = ServerRecord::of(state, &file.server_key);
    let (url, license) = (answer.base(), &content.local_license);
    if let Err(error) = record.note(url, license, &report_key, &content.receipt) {
        say(Level::Warning, format_args!("{error}"));
    }
    Ok((accepted, content.epoch))
}

/// Note the refusal in this answer as far as it can be believed, and return it.
fn refused(
    answer: &Answer,
    license_request: &LicenseRequest<'_>,
    known_key: Option<&PublicKey>,
    is_for_more: bool,
    clock: &dyn Clock,
) -> Content<Accepted> {
    let LicenseRequest { store, shown, .. } = license_request;
    let refusal = answer.refusal(known_key);
    // The proof was right when it left: somebody on the way has changed it, and may do so again.
    if answer.is_unproven() && refusal.code == ErrorCode::DEVICE_NOT_MATCH {
        return Content::without_epoch(Err(answer.untrusted(&refusal.message)));
    }
    // Only the server that has granted is believed: any host can refuse.
    let is_believed = known_key.is_some_and(|key| answer.verify(key).is_ok());
    if known_key.is_none() {
        let LicenseRequest { state, device, .. } = license_request;
        let keys = GrantStore::all(state).into_iter().filter_map(|store| store.server_key(device));
        let known = keys.into_iter().find(|key| answer.verify(key).is_ok());
        *license_request.refused_by.lock() = known;
    }
    let epoch = if is_believed { answer.refusing_epoch() } else { String::new() };
    if is_believed {
        answer.tell_time(clock);
    }
    // A revoked item is revoked for everybody, whatever the request was.
    let ends_all = !is_for_more || refusal.code == ErrorCode::REVOKED;
    let ends = is_believed && refusal.code.action() == DeviceAction::EndsGrant && ends_all;
    // An answer about a license that another process has replaced meanwhile is not about the new
    // one.
    let is_overtaken = store.held() != *shown;
    if !is_overtaken && refusal.code.action() != DeviceAction::EndsForProgram {
        store.note_refusal(clock.unix_seconds(), &refusal, ends, answer.numbers());
    }
    Content { value: Err(refusal), epoch }
}

pub(super) fn device_facts(uuid: &str) -> DeviceFacts {
    DeviceFacts {
        uuid: uuid.to_owned(),
        friendly_name: String::new(),
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
