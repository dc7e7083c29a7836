//! A grant whose signatures are good and whose documents are anything: the checks behind the
//! signatures. The input is two JSON documents, a license file and a local license, with a zero
//! byte between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::device::Device;
use seatmeter::license::Grant;
use seatmeter_fuzz::{SERVER, VENDOR};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::AuthorizationAnswer;
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::Signed;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let Ok(mut file) = serde_json::from_slice::<LicenseFile>(next()) else { return };
    let Ok(mut local) = serde_json::from_slice::<LocalLicense>(next()) else { return };
    let device = Device::with_new_key(local.device_uuid.clone()).expect("there are random numbers");
    local.device_key = device.key().expect("it was just made").public().clone();
    file.server_key = SERVER.public().clone();
    let answer = AuthorizationAnswer {
        license_file: Signed::seal(&file, &VENDOR).expect("it is JSON"),
        local_license: Signed::seal(&local, &SERVER).expect("it is JSON"),
        root_key: VENDOR.public().clone(),
        key_share: Agreement::begin().expect("there are random numbers").share().clone(),
        epoch: String::new(),
        meters: Vec::new(),
        any_program: false,
        receipt: String::new(),
    };
    if let Ok(grant) = Grant::verify(&answer, VENDOR.public(), &device) {
        for now in [0, 1, grant.local.valid_until, u64::MAX] {
            let _ = grant.validity(now);
        }
    }
});
