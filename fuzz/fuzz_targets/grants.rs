//! A grant whose signatures are good and whose documents are anything: the checks behind the signatures.
//! The input is two JSON documents, a licence file and a local licence, with a zero byte between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::device::Device;
use seatmeter::license::Grant;
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::AuthorizationAnswer;
use seatmeter_protocol::signature::{Signed, SigningKey};

fn key(digit: &str) -> SigningKey {
    SigningKey::from_seed(&digit.repeat(64)).expect("64 digits are a seed")
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let Ok(mut file) = serde_json::from_slice::<LicenseFile>(next()) else { return };
    let Ok(local) = serde_json::from_slice::<LocalLicense>(next()) else { return };
    let (vendor, server) = (key("1"), key("2"));
    file.server_key = server.public().clone();
    let answer = AuthorizationAnswer {
        license_file: Signed::seal(&file, &vendor).expect("it is JSON"),
        local_license: Signed::seal(&local, &server).expect("it is JSON"),
        root_key: vendor.public().clone(),
        epoch: String::new(),
        meters: Vec::new(),
    };
    let device = Device::with_uuid("00112233445566778899aabbccddeeff");
    if let Ok(grant) = Grant::verify(&answer, vendor.public(), &device) {
        for now in [0, 1, grant.local.valid_until, u64::MAX] {
            let _ = grant.validity(now);
        }
    }
});
