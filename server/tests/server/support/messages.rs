//! Messages as a device sends them, to be changed by the tests.

use super::*;

pub(crate) fn device(uuid: &str) -> DeviceFacts {
    DeviceFacts {
        uuid: uuid.into(),
        friendly_name: "till 7".into(),
        library_version: "0.1.0".into(),
    }
}

pub(crate) fn request(uuid: &str, seats: u32) -> AuthorizationRequest {
    AuthorizationRequest {
        protocol: 1,
        handshake_code: CODE.into(),
        organization_id: String::new(),
        session_password: String::new(),
        device: device(uuid),
        deployment_type: DeploymentType::Server,
        charge_way: None,
        products: 0xffff,
        seats,
        buffer_days: 7,
        modules: Vec::new(),
        product_version: None,
        product_edition: None,
        validation: ValidationFacts::default(),
        held_license: None,
        newest_license: None,
        device_key: device_key(uuid).public().clone(),
        key_share: key_share(),
        first_contact: uuid.to_owned(),
        needed: 0,
        lost: Vec::new(),
        receipt: String::new(),
        challenge: None,
    }
}

/// Return the current slot, for servers that run by the clock of this machine.
pub(crate) fn slot_now() -> u32 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    seatmeter_protocol::slot::slot_of(now.as_secs())
}

pub(crate) fn scans(slot: u32, what: u32, total: u64) -> UsageTotal {
    UsageTotal { slot, kind: UsageKind::Scan, what, total }
}

pub(crate) fn segment(
    segment_id: &str,
    license_id: &str,
    totals: Vec<UsageTotal>,
) -> SegmentReport {
    SegmentReport {
        segment_id: segment_id.into(),
        license_id: license_id.into(),
        local_license: None,
        totals,
    }
}

pub(crate) fn report(uuid: &str, segments: Vec<SegmentReport>) -> UsageReport {
    UsageReport {
        receipt: String::new(),
        protocol: 1,
        device: device(uuid),
        newest_license: None,
        segments,
        ended: Vec::new(),
    }
}
