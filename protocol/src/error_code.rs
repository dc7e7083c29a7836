//! Every error number that the library or the server can answer with, in one table.
//!
//! The numbers are those that programs of this kind of API already test for. The sentences are what a
//! person sees when nothing more exact is known, and say what to do.

/// An error number, negative; 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// The row of the table, if the number is a known one.
    #[must_use]
    pub fn entry(self) -> Option<&'static ErrorEntry> {
        ERRORS.iter().find(|entry| entry.code == self)
    }

    /// The name, or "UNKNOWN_CODE".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().map_or("UNKNOWN_CODE", |entry| entry.name)
    }
}

impl std::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One row of the table of errors.
#[derive(Debug)]
pub struct ErrorEntry {
    /// The number.
    pub code: ErrorCode,
    /// The name, without prefix.
    pub name: &'static str,
    /// What it means and what to do, NUL-terminated so that it can be handed to C as it stands.
    pub message: &'static std::ffi::CStr,
}

macro_rules! errors {
    ($($name:ident = $number:literal, $message:literal;)*) => {
        impl ErrorCode {
            $(#[doc = concat!("`", stringify!($number), "`")]
            pub const $name: Self = Self($number);)*
        }

        /// Every known error.
        pub static ERRORS: &[ErrorEntry] = &[
            $(ErrorEntry { code: ErrorCode($number), name: stringify!($name), message: $message },)*
        ];
    };
}

errors! {
    OK = 0, c"Success.";
    UNKNOWN = -10000, c"An internal error; the detail message says more. Please report it.";
    NO_MEMORY = -10001, c"Not enough memory for this image or result.";
    NULL_POINTER = -10002, c"A required pointer is NULL.";
    FILE_NOT_FOUND = -10005, c"The file does not exist, or may not be read. Check path and permissions.";
    FILETYPE_NOT_SUPPORTED = -10006, c"The file is not in an image format that this library reads.";
    IMAGE_READ_FAILED = -10012, c"The image is damaged, empty or too large to be read.";
    PARAMETER_VALUE_INVALID = -10038, c"A parameter is outside its range; the detail message names it.";
    NO_LICENSE = -20000, c"There is no licence yet. Call InitLicenseFromDLS first.";
    HANDSHAKE_CODE_INVALID = -20001, c"The handshake code has characters or a length that no code has. Check it for typing errors.";
    LICENSE_BUFFER_FAILED = -20002, c"The state directory cannot be read or written. Check its path, permissions and free space.";
    LICENSE_SYNC_FAILED = -20003, c"The license server's answer cannot be used or trusted; the detail message says why.";
    DEVICE_NOT_MATCH = -20004, c"The stored licence belongs to another device. Connect to the license server to get one for this device.";
    BIND_DEVICE_FAILED = -20005, c"The license server could not register this device.";
    LICENSE_INTERFACE_CONFLICT = -20006, c"Two ways of licensing are used in one process. Use InitLicenseFromDLS alone.";
    LICENSE_CLIENT_DLL_MISSING = -20007, c"A part of the licensing library is missing. Install it again.";
    INSTANCE_COUNT_OVER_LIMIT = -20008, c"All seats of this licence are in use, or more seats are asked for than it has. Destroy a reader, or ask for fewer seats.";
    LICENSE_INIT_SEQUENCE_FAILED = -20009, c"This function must be called in another order; the detail message says which.";
    TRIAL_LICENSE = -20010, c"This is a trial licence.";
    LICENSE_CACHE_USED = -20012, c"The license server cannot be reached; the licence stored on this device is in use.";
    STANDBY_NOT_READY = -20100, c"This license server is a standby while its main server is up, or is not ready. Use the main server.";
    HANDSHAKE_CODE_UNKNOWN = -20101, c"The license server has no such handshake code. Check the code and the server's address.";
    SESSION_PASSWORD_WRONG = -20102, c"The session password is missing or wrong.";
    DOMAIN_MISMATCH = -20103, c"This handshake code is not valid for this website.";
    NO_ITEM_FITS = -20104, c"The handshake code has no licence item that fits this request.";
    PRODUCT_MISMATCH = -20106, c"The licence does not cover this product.";
    VERSION_MISMATCH = -20107, c"The licence does not cover this version.";
    DEPLOYMENT_TYPE_MISMATCH = -20108, c"The licence does not cover this deployment type.";
    EDITION_MISMATCH = -20109, c"The licence does not cover this edition.";
    EXPIRED = -20111, c"The licence has expired. Ask your vendor to renew it.";
    NOT_YET_IN_EFFECT = -20112, c"The licence is not in effect yet.";
    REVOKED = -20113, c"The licence has been revoked. Ask your vendor.";
    VALIDATION_FIELD_MISMATCH = -20114, c"This application is not one that the handshake code was made for.";
    CHARGE_WAY_MISMATCH = -20115, c"The handshake code has no licence item with this charge way.";
    USED_UP = -20120, c"The licence is used up, with its grace.";
    ORGANIZATION_UNKNOWN = -20121, c"The organization is unknown, or has no default handshake code.";
    HANDSHAKE_CODE_OF_OTHER_ORGANIZATION = -20122, c"The handshake code belongs to another organization.";
    NO_HANDSHAKE_CODE = -20123, c"Neither handshakeCode nor organizationID is set. Set one of them.";
    REQUIRED_ITEM_MISSING = -20124, c"A licence item that this one depends on is missing.";
    QUOTA_EXCEEDED = -20130, c"The licence has no room for another authorisation now.";
    DEVICE_CLONED = -20151, c"Another installation uses this device's identity. A new one will be made.";
    FAILED_TO_REACH_SERVER = -20200, c"The license server cannot be reached; the detail message names the stage that failed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_every_name_stands_once() {
        for (i, a) in ERRORS.iter().enumerate() {
            for b in &ERRORS[i + 1..] {
                assert_ne!(a.code, b.code);
                assert_ne!(a.name, b.name);
            }
        }
    }

    #[test]
    fn every_message_is_a_sentence() {
        for entry in ERRORS {
            let text = entry.message.to_str().unwrap();
            assert!(text.ends_with('.') && text.len() > 7, "{text}");
        }
    }

    #[test]
    fn an_unknown_number_has_no_entry() {
        assert!(ErrorCode(-1).entry().is_none());
        assert_eq!(ErrorCode(-1).name(), "UNKNOWN_CODE");
    }
}
