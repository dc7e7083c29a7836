//! The license and device of counts in tests.

use super::Attribution;

/// Return this license and device, for a server that is not named.
pub(crate) fn attribution(license_id: &str, device_uuid: &str) -> Attribution {
    Attribution {
        license_id: license_id.to_owned(),
        device_uuid: device_uuid.to_owned(),
        server: None,
    }
}
