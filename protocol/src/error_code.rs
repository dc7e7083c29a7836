//! Every error number that the library or the server can answer with, in one table.
//!
//! The numbers are those that programs of this kind of API already test for. Numbers about reading
//! pictures are included although no license server uses them, because SM_GetErrorString and
//! DBR_GetErrorString answer from this table. A person sees these sentences when nothing more exact
//! is known, so they say what to do. They stand alone: a function that returns only a number gives
//! no detail.

/// An error number, negative; 0 is success.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// Return the row of the table, if the number is a known one.
    #[must_use]
    pub fn entry(self) -> Option<&'static ErrorEntry> {
        ERRORS.iter().find(|entry| entry.code == self)
    }

    /// Return what a device does when a license server answers with this number. For an unknown
    /// number it reports the error, and keeps its grant.
    #[must_use]
    pub fn action(self) -> DeviceAction {
        self.entry().map_or(DeviceAction::PassesBy, |entry| entry.action)
    }

    /// Return the HTTP statuses with which the operations of a license server answer with this
    /// number: first that of a refusal by the license rules. There is none if they never do.
    #[must_use]
    pub fn statuses(self) -> &'static [u16] {
        match self {
            Self::UNKNOWN => &[500],
            Self::LICENSE_SYNC_FAILED => &[400, 408, 413, 415],
            Self::DEVICE_NOT_MATCH => &[403, 401],
            Self::STANDBY_NOT_READY => &[503, 429],
            Self::HANDSHAKE_CODE_UNKNOWN => &[404],
            Self::PROTOCOL_MISMATCH => &[400],
            Self::INSTANCE_COUNT_OVER_LIMIT => &[403],
            Self(-20199..=-20100) => &[403],
            _ => &[],
        }
    }

    /// Return whether a license server can refuse a report with this number. What it refuses of a
    /// report by the license rules are segments, in an answer with status 200.
    #[must_use]
    pub fn refuses_reports(self) -> bool {
        [
            Self::UNKNOWN,
            Self::LICENSE_SYNC_FAILED,
            Self::DEVICE_NOT_MATCH,
            Self::STANDBY_NOT_READY,
            Self::PROTOCOL_MISMATCH,
        ]
        .contains(&self)
    }

    /// Return the name, or "UNKNOWN_CODE".
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

/// A row of the table of errors.
#[derive(Debug)]
pub struct ErrorEntry {
    /// The number.
    pub code: ErrorCode,
    /// The name, without prefix.
    pub name: &'static str,
    /// Meaning and remedy, NUL-terminated so that it can be handed to C unchanged.
    pub message: &'static std::ffi::CStr,
    /// The action of a device when a license server answers with this number.
    pub action: DeviceAction,
}

/// The action of a device after an error of a license server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceAction {
    /// Report the error to the caller. The grant that the device has stays as it is.
    PassesBy,
    /// Ask the other server: no server of the license has decided.
    AsksOther,
    /// End the grant for every program of the device.
    EndsGrant,
    /// End the grant for the program whose request was refused.
    EndsForProgram,
    /// Take a fresh client UUID, and ask again.
    TakesFreshUuid,
}

macro_rules! action {
    () => {
        DeviceAction::PassesBy
    };
    ($action:ident) => {
        DeviceAction::$action
    };
}

macro_rules! errors {
    ($($name:ident = $number:literal, $message:literal $(=> $action:ident)?;)*) => {
        impl ErrorCode {
            $(#[doc = concat!("`", stringify!($number), "`")]
            pub const $name: Self = Self($number);)*
        }

        /// Every known error.
        pub static ERRORS: &[ErrorEntry] = &[
            $(ErrorEntry {
                code: ErrorCode($number),
                name: stringify!($name),
                message: $message,
                action: action!($($action)?),
            },)*
        ];
    };
}

errors! {
    OK = 0, c"Success.";
    UNKNOWN = -10000, c"An internal error in the library. Please report it, with the library's version and its log (SEATMETER_LOG).";
    NO_MEMORY = -10001, c"Not enough memory for this image or result.";
    NULL_POINTER = -10002, c"A required pointer is NULL.";
    LICENSE_INVALID = -10003, c"The license cannot be used. Get this process licensed again: the call then says what is wrong with the license.";
    LICENSE_EXPIRED = -10004, c"The license has expired. Ask your vendor to renew it.";
    FILE_NOT_FOUND = -10005, c"The file does not exist, or may not be read. Check path and permissions.";
    FILETYPE_NOT_SUPPORTED = -10006, c"The file is not in an image format that this library reads.";
    BPP_NOT_SUPPORTED = -10007, c"Bitmaps with this number of bits a pixel are not supported. Use 1, 4, 8, 16, 24 or 32.";
    INDEX_INVALID = -10008, c"No entry has this index.";
    BARCODE_FORMAT_INVALID = -10009, c"None of the chosen barcode formats can be read by this library. Choose another one as well.";
    CUSTOM_REGION_INVALID = -10010, c"The region is empty, or lies outside of the picture.";
    MAX_BARCODE_NUMBER_INVALID = -10011, c"The number of expected barcodes must not be negative.";
    IMAGE_READ_FAILED = -10012, c"The image is damaged, empty or too large to be read.";
    TIFF_READ_FAILED = -10013, c"The TIFF file is damaged, or uses a part of TIFF that this library does not read.";
    QR_LICENSE_INVALID = -10016, c"The license does not cover QR codes.";
    ONE_D_LICENSE_INVALID = -10017, c"The license does not cover linear barcodes.";
    DIB_BUFFER_INVALID = -10018, c"The bitmap's header has invalid values.";
    PDF417_LICENSE_INVALID = -10019, c"The license does not cover PDF417.";
    DATAMATRIX_LICENSE_INVALID = -10020, c"The license does not cover Data Matrix.";
    PDF_READ_FAILED = -10021, c"The PDF file cannot be read.";
    PDF_DLL_MISSING = -10022, c"PDF files are not read. Turn the pages into pictures with 'pdftoppm -r 300 -gray -png FILE.pdf PAGE', and decode these.";
    PAGE_NUMBER_INVALID = -10023, c"The file has no page with this number.";
    CUSTOM_SIZE_INVALID = -10024, c"The size is out of its range.";
    CUSTOM_MODULESIZE_INVALID = -10025, c"The size of a module is out of its range.";
    RECOGNITION_TIMEOUT = -10026, c"The time was over before the whole picture was searched. The results found until then are returned.";
    JSON_PARSE_FAILED = -10030, c"The settings are not valid JSON. Check commas, quotation marks and brackets.";
    JSON_TYPE_INVALID = -10031, c"A value in the settings has the wrong JSON type, such as a text in the place of a number.";
    JSON_KEY_INVALID = -10032, c"The settings have no ImageParameter, or a key that is not allowed where it stands.";
    JSON_VALUE_INVALID = -10033, c"A value in the settings is out of its range.";
    JSON_NAME_KEY_MISSING = -10034, c"A part of the settings has no Name.";
    JSON_NAME_VALUE_DUPLICATED = -10035, c"Two parts of the settings have the same Name.";
    TEMPLATE_NAME_INVALID = -10036, c"There is no template with this name. Use an empty name for the current settings.";
    JSON_NAME_REFERENCE_INVALID = -10037, c"The settings refer to a part by a name that no part has.";
    PARAMETER_VALUE_INVALID = -10038, c"A parameter is outside its range. The header has the range of each parameter.";
    DOMAIN_NOT_MATCHED = -10039, c"The license is not for this website.";
    RESERVEDINFO_NOT_MATCHED = -10040, c"The license is not for this application.";
    AZTEC_LICENSE_INVALID = -10041, c"The license does not cover Aztec.";
    LICENSE_DLL_MISSING = -10042, c"A part of the licensing library is missing. Install it again.";
    LICENSEKEY_NOT_MATCHED = -10043, c"The license key and the license do not belong together.";
    REQUESTED_FAILED = -10044, c"The license server cannot be reached.";
    LICENSE_INIT_FAILED = -10045, c"Getting the license failed.";
    PATCHCODE_LICENSE_INVALID = -10046, c"The license does not cover patch codes.";
    POSTALCODE_LICENSE_INVALID = -10047, c"The license does not cover postal codes.";
    DPM_LICENSE_INVALID = -10048, c"The license does not cover codes that are marked directly on parts.";
    FRAME_DECODING_THREAD_EXISTS = -10049, c"Frames are being decoded already. Stop the decoding first.";
    STOP_DECODING_THREAD_FAILED = -10050, c"No frames are being decoded, so there is nothing to stop.";
    SET_MODE_ARGUMENT_ERROR = -10051, c"There is no such list of modes, or no mode at this index.";
    LICENSE_CONTENT_INVALID = -10052, c"The content is not a license.";
    LICENSE_KEY_INVALID = -10053, c"The license key does not have the form of a key. Check that it was copied completely.";
    LICENSE_DEVICE_RUNS_OUT = -10054, c"The license has no capacity for another device.";
    GET_MODE_ARGUMENT_ERROR = -10055, c"There is no such list of modes or no mode at this index, the argument was not set, or the buffer is too short.";
    INTERMEDIATE_RESULTS_MISSING = -10056, c"This library has no intermediate results. Do not request any.";
    MAXICODE_LICENSE_INVALID = -10057, c"The license does not cover MaxiCode.";
    GS1_DATABAR_LICENSE_INVALID = -10058, c"The license does not cover GS1 DataBar.";
    GS1_COMPOSITE_LICENSE_INVALID = -10059, c"The license does not cover GS1 Composite.";
    PANORAMA_LICENSE_INVALID = -10060, c"The license does not cover panoramas.";
    DOTCODE_LICENSE_INVALID = -10061, c"The license does not cover DotCode.";
    PHARMACODE_LICENSE_INVALID = -10062, c"The license does not cover Pharmacode.";
    IMAGE_ORIENTATION_INVALID = -10063, c"The orientation of the image is not 0, 90, 180 or 270. Set ImageData.orientation to one of these.";
    NO_LICENSE = -20000, c"There is no license yet. Call InitLicenseFromDLS first, and check what it returns.";
    HANDSHAKE_CODE_INVALID = -20001, c"The handshake code has invalid characters or an invalid length. Copy it again from the operator of the license server.";
    LICENSE_BUFFER_FAILED = -20002, c"The state directory cannot be read or written. Check its path, permissions and free space.";
    LICENSE_SYNC_FAILED = -20003, c"The license server's answer cannot be used or trusted, or the license was not renewed in time. Check the server's URL and the network, then call InitLicenseFromDLS again." => AsksOther;
    DEVICE_NOT_MATCH = -20004, c"The license belongs to another device, or another device has this one's UUID. Call InitLicenseFromDLS again while the license server can be reached: this device then gets a license or a UUID of its own." => TakesFreshUuid;
    BIND_DEVICE_FAILED = -20005, c"The license server could not register this device. Try again, and ask the operator of the server to check its log.";
    LICENSE_INTERFACE_CONFLICT = -20006, c"Two ways of licensing are used in one process. Use only InitLicenseFromDLS.";
    LICENSE_CLIENT_DLL_MISSING = -20007, c"A part of the licensing library is missing. Install it again.";
    INSTANCE_COUNT_OVER_LIMIT = -20008, c"All seats of this license are in use, or more are requested than it has. Destroy a reader, wait for a seat, or request another number of seats.";
    LICENSE_INIT_SEQUENCE_FAILED = -20009, c"The function was called at the wrong time. Make settings before InitLicenseFromDLS, and do not replace a log callback from within it.";
    TRIAL_LICENSE = -20010, c"This is a trial license. Nothing is wrong; ask your vendor for a full one.";
    LICENSE_CACHE_USED = -20012, c"The license server cannot be reached, and the license stored on this device is in use. The program continues to work; let it reach the server before the license ends.";
    STANDBY_NOT_READY = -20100, c"This license server is a standby while its main server is up, or is not ready. Ask again, and set mainServerURL to the main server." => AsksOther;
    HANDSHAKE_CODE_UNKNOWN = -20101, c"The license server has no such handshake code. Check the code and the server's address.";
    SESSION_PASSWORD_WRONG = -20102, c"The session password is missing or wrong. Set sessionPassword to the password of the handshake code." => EndsForProgram;
    DOMAIN_MISMATCH = -20103, c"The handshake code is not valid for this website. Set the website domain with SM_SetValidationField, or ask for a code that lists it." => EndsForProgram;
    NO_ITEM_FITS = -20104, c"The handshake code has no license item that fits this request. Compare the program's request with the items of the code.";
    PRODUCT_MISMATCH = -20106, c"The license does not cover this product. Ask your vendor for one that does.";
    VERSION_MISMATCH = -20107, c"The license does not cover this version of the product. Ask your vendor for one that does, or use an older version.";
    DEPLOYMENT_TYPE_MISMATCH = -20108, c"The license is not valid for this deploymentType. Set deploymentType to one that the license lists.";
    EDITION_MISMATCH = -20109, c"The license does not cover this edition of the product. Ask your vendor for one that does.";
    EXPIRED = -20111, c"The license has expired. Ask your vendor to renew it.";
    NOT_YET_IN_EFFECT = -20112, c"The license is not in effect yet. Wait for its start, or check the clock of the license server.";
    REVOKED = -20113, c"The license has been revoked. Ask your vendor." => EndsGrant;
    VALIDATION_FIELD_MISMATCH = -20114, c"The handshake code was made for another application. Set the required fields with SM_SetValidationField, or ask for a code for this application." => EndsForProgram;
    CHARGE_WAY_MISMATCH = -20115, c"The handshake code has no license item with this charge way. Set chargeWay to 0 to let the server choose.";
    USED_UP = -20120, c"The license is used up, with its grace. Ask your vendor for more." => EndsGrant;
    ORGANIZATION_UNKNOWN = -20121, c"The organization is unknown, or has no default handshake code. Check organizationID, or set handshakeCode.";
    HANDSHAKE_CODE_OF_OTHER_ORGANIZATION = -20122, c"The handshake code belongs to another organization. Leave organizationID empty, or set the one of the code.";
    NO_HANDSHAKE_CODE = -20123, c"Neither handshakeCode nor organizationID is set. Set one of them.";
    REQUIRED_ITEM_MISSING = -20124, c"A license item that this one depends on is missing. Ask the operator of the license server to import it.";
    QUOTA_EXCEEDED = -20130, c"The license has no capacity for another authorization now. Try again when a device has given its seats back, or ask your vendor for more." => EndsGrant;
    PROTOCOL_MISMATCH = -20140, c"The license server does not speak the protocol version of this library. Update the older of the two." => AsksOther;
    DEVICE_CLONED = -20151, c"Another installation uses this device's identity. Call InitLicenseFromDLS again: this installation then gets an identity of its own." => TakesFreshUuid;
    FAILED_TO_REACH_SERVER = -20200, c"The license server cannot be reached. Check its URL, the network and the proxy, or run seatmeterd doctor." => AsksOther;
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
            // A caller who has only the number gets no other message.
            assert!(!text.contains("detail") && !text.contains("the message"), "{text}");
        }
    }

    #[test]
    fn an_unknown_number_has_no_entry() {
        assert!(ErrorCode(-1).entry().is_none());
        assert_eq!(ErrorCode(-1).name(), "UNKNOWN_CODE");
    }
}
