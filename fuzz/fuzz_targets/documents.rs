//! Documents that vendor and server sign, and their envelopes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_fuzz::VENDOR;
use seatmeter_protocol::item_check::check_file;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::signature::Signed;
use seatmeter_server::licensing::require_sound;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What was read and is written is read again as the same.
fn reread<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).expect("it came from JSON");
    let again: T = serde_json::from_slice(&written).expect("it was written by us");
    assert_eq!(serde_json::to_vec(&again).expect("it came from JSON"), written);
    Some(read)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(file) = reread::<LicenseFile>(bytes) {
        // Whatever is sound in itself must be sound for the server, or be told why not.
        let is_checked = check_file(&file).is_ok();
        assert!(is_checked || require_sound(&file).is_err());
    }
    reread::<LicenseItem>(bytes);
    reread::<LocalLicense>(bytes);
    if let Some(signed) = reread::<Signed>(bytes) {
        let _ = signed.peek::<LicenseFile>();
        let _ = signed.open::<LicenseFile>(VENDOR.public());
    }
});
