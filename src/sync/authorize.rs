//! Asking for a local license.

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, DeviceFacts, ValidationFacts,
};
use seatmeter_protocol::signature::{PublicKey, Signed};
use seatmeter_protocol::version::Version;

use super::exchange::Servers;
use crate::built_in;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{self, Accepted, Credentials, GrantStore};
use crate::parameters::Parameters;

/// What is asked for a license.
pub struct Asking<'a> {
    /// Who the device is.
    pub device: &'a Device,
    /// Where the license is kept.
    pub store: &'a GrantStore,
    /// What the program presents.
    pub credentials: &'a Credentials,
    /// The license that is shown.
    pub shown: Option<Signed>,
    /// What a strict item has to allow at least.
    pub needed: u64,
}

/// Asks for a license, checks it, and stores it. `known_key` is that of the server that granted
/// last, if one did: then refusals are believed only from its holder.
///
/// # Errors
/// The server's refusal, -20200 when none can be reached, -20003 when the answer is not to be
/// trusted.
pub fn authorize(
    servers: &Servers<'_>,
    parameters: &Parameters,
    asking: &Asking<'_>,
    known_key: Option<&PublicKey>,
    deadline: Deadline,
) -> Result<Accepted> {
    let settings = &parameters.settings;
    let &Asking { device, store, credentials, ref shown, needed } = asking;
    let held = store.load(device)?;
    // Who asks for more than he has, and does not get it, keeps what he has.
    let is_for_more = held
        .as_ref()
        .is_some_and(|grant| grant.local.seats > 0 && grant.local.seats < parameters.seats);
    let request = AuthorizationRequest {
        protocol: PROTOCOL_VERSION,
        handshake_code: parameters.handshake_code.clone(),
        organization_id: parameters.organization_id.clone(),
        session_password: parameters.session_password.clone(),
        device: DeviceFacts {
            friendly_name: settings.friendly_name.clone(),
            ..device_facts(device)
        },
        deployment_type: parameters.deployment_type,
        charge_way: parameters.charge_way,
        products: parameters.products,
        seats: parameters.seats,
        buffer_days: parameters.buffer_days,
        modules: parameters.modules.clone(),
        product_version: product_version()?,
        product_edition: built_in::PRODUCT_EDITION.map(str::to_owned),
        validation: ValidationFacts {
            website_domain: settings.website_domain.clone(),
            application_id: settings.application_id.clone(),
            process_name: parameters.program.clone(),
        },
        held_license: shown.clone(),
        // Programs that share a grant go on with one history.
        scope: parameters.grant_name(),
        needed,
    };
    servers.ask(AUTHORIZATIONS_PATH, &request, deadline, |answer| {
        if !answer.is_success() {
            let refusal = answer.refusal(known_key);
            // Only from the server that has granted: anybody can say no.
            let is_believed = known_key.is_some_and(|key| answer.verify(key).is_ok());
            if is_believed {
                answer.tell_time(servers.clock);
                *servers.epoch.lock() = answer.refusing_epoch();
            }
            // An item that is revoked is so for everybody, whatever he has asked for.
            let ends_all = !is_for_more || refusal.code == ErrorCode::REVOKED;
            let ends = is_believed && refusal.code.action() == DeviceAction::EndsGrant && ends_all;
            // A word about a license that another process has replaced meanwhile is not about the
            // new one.
            let is_overtaken = store.held() != *shown;
            if !is_overtaken && refusal.code.action() != DeviceAction::EndsForProgram {
                store.note_refusal(servers.clock.unix_seconds(), &refusal, ends, answer.numbers());
            }
            return Err(refusal);
        }
        let content: AuthorizationAnswer = answer.read()?;
        // The file names the server's key; `accept` then proves that the file is the vendor's.
        let file: LicenseFile =
            content.license_file.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
        answer.verify(&file.server_key)?;
        let local: LocalLicense =
            content.local_license.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
        license::serves(&local, &file, parameters.deployment_type)
            .map_err(|why| answer.untrusted(&why))?;
        if known_key != Some(&file.server_key) {
            store.verify(&content, device)?;
        }
        // Before the grant is stored: it is stamped by this time, and the disk may not take it.
        answer.tell_time(servers.clock);
        let stamp = servers.clock.stamp();
        let accepted = store.accept(&content, device, shown.as_ref(), credentials, &stamp)?;
        *servers.epoch.lock() = content.epoch;
        Ok(accepted)
    })
}

/// The version of the product, when its vendor has built one in (`SEATMETER_PRODUCT_VERSION`).
fn product_version() -> Result<Option<Version>> {
    built_in::PRODUCT_VERSION.map(str::parse).transpose().map_err(|why: String| {
        let message =
            format!("this library was built with a wrong SEATMETER_PRODUCT_VERSION: {why}");
        Error::new(ErrorCode::LICENSE_SYNC_FAILED, message)
    })
}

pub(super) fn device_facts(device: &Device) -> DeviceFacts {
    DeviceFacts {
        uuid: device.uuid.clone(),
        friendly_name: String::new(),
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
