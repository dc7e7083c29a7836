//! What a page asks for, and what stops it, by the rules of `bindings/web/src/requests.js`.

use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    AuthorizationRequest, DeviceFacts, MeterState, Metered, ValidationFacts,
};
use seatmeter_protocol::request_auth::KeyShare;
use seatmeter_protocol::signature::Signed;

use super::Options;
use super::errors::Failure;
use super::store::{Device, Notice, ServerRow};

/// The facts that a profile knows of a server before it asks.
pub(super) struct Known {
    pub(super) server: Option<ServerRow>,
    pub(super) held: Option<Signed>,
    pub(super) first: String,
}

pub(super) fn device_facts(device: &Device) -> DeviceFacts {
    DeviceFacts {
        uuid: device.uuid.clone(),
        friendly_name: String::new(),
        library_version: "0.1.0".into(),
    }
}

/// Return the request for an authorization. The server takes the website from the header that the
/// browser sets.
pub(super) fn authorization_of(
    options: &Options,
    device: &Device,
    known: &Known,
    share: &KeyShare,
    needed: u64,
) -> AuthorizationRequest {
    let newest = known.server.as_ref().map(|server| &server.newest);
    AuthorizationRequest {
        protocol: 1,
        handshake_code: options.handshake_code.clone(),
        organization_id: String::new(),
        session_password: String::new(),
        device: device_facts(device),
        deployment_type: DeploymentType::Browser,
        charge_way: Some(options.charge_way),
        products: 0xffff,
        seats: 1,
        buffer_days: 7,
        modules: Vec::new(),
        product_version: None,
        product_edition: None,
        validation: ValidationFacts::default(),
        held_license: known.held.clone(),
        newest_license: newest.filter(|newest| known.held.as_ref() != Some(newest)).cloned(),
        device_key: device.key.public().clone(),
        key_share: share.clone(),
        first_contact: known.first.clone(),
        needed,
        lost: Vec::new(),
        receipt: known.server.as_ref().map(|server| server.receipt.clone()).unwrap_or_default(),
        challenge: None,
    }
}

/// Return why the server lets this device count nothing, or no pages of this module.
pub(super) fn stopped_by(notice: &Notice, module: u32) -> Option<Failure> {
    if let Some(refusal) = &notice.refusal {
        return Some(refusal.clone());
    }
    let is_meant = |of: Metered, metered: u32| match module {
        0 => of == Metered::Scans,
        _ => of == Metered::Pages && metered == module,
    };
    let mut meters = notice.meters.iter();
    meters
        .any(|meter| meter.state == MeterState::UsedUp && is_meant(meter.of, meter.module))
        .then(|| Failure::new(ErrorCode::USED_UP, "the license is used up"))
}
