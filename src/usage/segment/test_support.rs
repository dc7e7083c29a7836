//! The license and device of counts in tests.

use seatmeter_protocol::signature::SigningKey;

use super::Attribution;

/// Return this license and device, for the server whose key is made of ones.
pub(crate) fn attribution(license_id: &str, device_uuid: &str) -> Attribution {
    let key = SigningKey::from_seed(&hex::encode([1; 32])).unwrap();
    Attribution {
        license_id: license_id.to_owned(),
        device_uuid: device_uuid.to_owned(),
        server: key.public().clone(),
    }
}
