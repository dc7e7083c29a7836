//! Asking for a local licence.

use std::sync::Arc;

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::message::{
    AUTHORIZATIONS_PATH, AuthorizationAnswer, AuthorizationRequest, DeviceFacts,
};
use seatmeter_protocol::signature::PublicKey;

use super::exchange::Servers;
use crate::clock::Deadline;
use crate::device::Device;
use crate::error::Result;
use crate::license::{Grant, GrantStore};
use crate::parameters::Parameters;

/// Asks for a licence, checks it, and stores it. `known_key` is that of the server that granted last, if
/// one did: then refusals are believed only from its holder.
///
/// # Errors
/// The server's refusal, -20200 when none can be reached, -20003 when the answer is not to be trusted.
pub fn authorize(
    servers: &Servers<'_>,
    parameters: &Parameters,
    device: &Device,
    store: &GrantStore,
    known_key: Option<&PublicKey>,
    deadline: Deadline,
) -> Result<Arc<Grant>> {
    let request = AuthorizationRequest {
        protocol: PROTOCOL_VERSION,
        handshake_code: parameters.handshake_code.clone(),
        organization_id: parameters.organization_id.clone(),
        session_password: parameters.session_password.clone(),
        device: device_facts(device),
        deployment_type: parameters.deployment_type,
        charge_way: parameters.charge_way,
        products: parameters.products,
        seats: parameters.seats,
        buffer_days: parameters.buffer_days,
    };
    servers.ask(AUTHORIZATIONS_PATH, &request, deadline, |answer| {
        if !answer.is_success() {
            return Err(answer.refusal(known_key));
        }
        let content: AuthorizationAnswer = answer.read()?;
        // The file names the server's key; `accept` then proves that the file is the vendor's.
        let file: LicenseFile = content.license_file.peek().map_err(|e| answer.untrusted(&e.to_string()))?;
        answer.verify(&file.server_key)?;
        store.accept(&content, &device.uuid)
    })
}

pub(super) fn device_facts(device: &Device) -> DeviceFacts {
    DeviceFacts {
        uuid: device.uuid.clone(),
        friendly_name: String::new(),
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
