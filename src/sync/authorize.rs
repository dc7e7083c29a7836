//! Asking for a local licence.

use std::sync::Arc;

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, DeviceFacts, TEXT_BYTES_MAX,
    ValidationFacts,
};
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::version::Version;

use super::exchange::Servers;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::license::{self, ENDING, Grant, GrantStore};
use crate::parameters::Parameters;

/// Asks for a licence, checks it, and stores it. `known_key` is that of the server that granted last, if
/// one did: then refusals are believed only from its holder. `needed` is what a strict item has to allow at least.
///
/// # Errors
/// The server's refusal, -20200 when none can be reached, -20003 when the answer is not to be trusted.
pub fn authorize(
    servers: &Servers<'_>,
    parameters: &Parameters,
    device: &Device,
    store: &GrantStore,
    known_key: Option<&PublicKey>,
    needed: u64,
    deadline: Deadline,
) -> Result<Arc<Grant>> {
    let settings = &parameters.settings;
    let held = store.load(device)?;
    // Who asks for more than he has, and does not get it, keeps what he has.
    let is_for_more =
        held.as_ref().is_some_and(|grant| grant.local.seats > 0 && grant.local.seats < parameters.seats);
    let request = AuthorizationRequest {
        protocol: PROTOCOL_VERSION,
        handshake_code: parameters.handshake_code.clone(),
        organization_id: parameters.organization_id.clone(),
        session_password: parameters.session_password.clone(),
        device: DeviceFacts { friendly_name: settings.friendly_name.clone(), ..device_facts(device) },
        deployment_type: parameters.deployment_type,
        charge_way: parameters.charge_way,
        products: parameters.products,
        seats: parameters.seats,
        buffer_days: parameters.buffer_days,
        modules: parameters.modules.clone(),
        product_version: product_version()?,
        product_edition: option_env!("SEATMETER_PRODUCT_EDITION").map(str::to_owned),
        validation: ValidationFacts {
            website_domain: settings.website_domain.clone(),
            application_id: settings.application_id.clone(),
            process_name: process_name(),
        },
        held_license: store.held(),
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
                servers.clock.hear(answer.server_time());
                *servers.epoch.lock() = answer.refusing_epoch();
            }
            let ends = is_believed && ENDING.contains(&refusal.code) && !is_for_more;
            store.note_refusal(servers.clock.unix_seconds(), &refusal, ends, answer.numbers());
            return Err(refusal);
        }
        let content: AuthorizationAnswer = answer.read()?;
        // The file names the server's key; `accept` then proves that the file is the vendor's.
        let file: LicenseFile = content.license_file.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
        answer.verify(&file.server_key)?;
        let local: LocalLicense =
            content.local_license.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
        license::serves(&local, &file, parameters.deployment_type).map_err(|why| answer.untrusted(&why))?;
        let grant = store.accept(&content, device)?;
        servers.clock.hear(answer.server_time());
        *servers.epoch.lock() = content.epoch;
        Ok(grant)
    })
}

/// The version of the product, when its vendor has built one in (`SEATMETER_PRODUCT_VERSION`).
fn product_version() -> Result<Option<Version>> {
    option_env!("SEATMETER_PRODUCT_VERSION").map(str::parse).transpose().map_err(|why: String| {
        let message = format!("this library was built with a wrong SEATMETER_PRODUCT_VERSION: {why}");
        Error::new(ErrorCode::LICENSE_SYNC_FAILED, message)
    })
}

/// The name of this process's executable file. The system says it: a caller could say anything.
fn process_name() -> String {
    let path = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Linux's own bound on a name is 255 bytes; replaced bytes may make it longer.
    while name.len() > TEXT_BYTES_MAX {
        name.pop();
    }
    name
}

pub(super) fn device_facts(device: &Device) -> DeviceFacts {
    DeviceFacts {
        uuid: device.uuid.clone(),
        friendly_name: String::new(),
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
