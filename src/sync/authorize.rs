//! The request for a local license.

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, DeviceFacts, NEEDED_MAX,
    ValidationFacts,
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

/// The content of a request for a license.
pub struct Asking<'a> {
    /// The device that sends the request.
    pub device: &'a Device,
    /// The store of the license.
    pub store: &'a GrantStore,
    /// The credentials that the program presents.
    pub credentials: &'a Credentials,
    /// The license that is shown to the server.
    pub shown: Option<Signed>,
    /// The amount that a strict item must allow at least.
    pub needed: u64,
}

/// Request a license, check it, and store it. `known_key` is the key of the server that gave the
/// last grant, if there was one. Refusals are then believed only from its holder.
///
/// # Errors
/// Returns the server's refusal, -20200 if no server can be reached, or -20003 if the answer cannot
/// be trusted.
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
    // A device that requests more than it has and is refused keeps what it has.
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
        // Programs that share a grant continue with one history.
        scope: parameters.grant_name(),
        // A device that needs more at once gets this much, and asks again.
        needed: needed.min(NEEDED_MAX),
    };
    servers.ask(AUTHORIZATIONS_PATH, &request, deadline, |answer| {
        if !answer.is_success() {
            let refusal = answer.refusal(known_key);
            // Only the server that has granted is believed: any host can refuse.
            let is_believed = known_key.is_some_and(|key| answer.verify(key).is_ok());
            if is_believed {
                answer.tell_time(servers.clock);
                *servers.epoch.lock() = answer.refusing_epoch();
            }
            // A revoked item is revoked for everybody, whatever the request was.
            let ends_all = !is_for_more || refusal.code == ErrorCode::REVOKED;
            let ends = is_believed && refusal.code.action() == DeviceAction::EndsGrant && ends_all;
            // An answer about a license that another process has replaced meanwhile is not about
            // the new one.
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
        // The time is set before the grant is stored: the grant is stamped by this time, and the
        // disk may refuse it.
        answer.tell_time(servers.clock);
        let stamp = servers.clock.stamp();
        let accepted = store.accept(&content, device, shown.as_ref(), credentials, &stamp)?;
        *servers.epoch.lock() = content.epoch;
        Ok(accepted)
    })
}

/// Return the version of the product, if its vendor has built one in (`SEATMETER_PRODUCT_VERSION`).
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
