//! Error numbers of reading that no licence server knows: those of the DBR API, with our own sentences.

use std::ffi::CStr;

use seatmeter_protocol::error_code::ErrorCode;

macro_rules! reading_errors {
    ($($name:ident = $number:literal, $message:literal;)*) => {
        $(#[doc = concat!("`", stringify!($number), "`")]
        pub const $name: ErrorCode = ErrorCode($number);)*

        /// Each number with its sentence.
        const MESSAGES: &[(ErrorCode, &CStr)] = &[$(($name, $message),)*];
    };
}

reading_errors! {
    LICENSE_INVALID = -10003, c"The licence cannot be used. Call DBR_InitLicenseFromDLS; its message says more.";
    LICENSE_EXPIRED = -10004, c"The licence has expired. Ask your vendor to renew it.";
    BPP_NOT_SUPPORTED = -10007, c"A bitmap with this number of bits a pixel is not read; 1, 4, 8, 16, 24 and 32 are.";
    INDEX_INVALID = -10008, c"There is nothing with this index.";
    BARCODE_FORMAT_INVALID = -10009, c"None of the chosen barcode formats can be read by this library. Choose another one as well.";
    CUSTOM_REGION_INVALID = -10010, c"The region is empty, or lies outside of the picture.";
    MAX_BARCODE_NUMBER_INVALID = -10011, c"The number of expected barcodes must not be negative.";
    TIFF_READ_FAILED = -10013, c"The TIFF file is damaged, or uses a part of TIFF that this library does not read.";
    QR_LICENSE_INVALID = -10016, c"The licence does not cover QR codes.";
    ONE_D_LICENSE_INVALID = -10017, c"The licence does not cover linear barcodes.";
    DIB_BUFFER_INVALID = -10018, c"The bitmap's header says what cannot be.";
    PDF417_LICENSE_INVALID = -10019, c"The licence does not cover PDF417.";
    DATAMATRIX_LICENSE_INVALID = -10020, c"The licence does not cover Data Matrix.";
    PDF_READ_FAILED = -10021, c"The PDF file cannot be read.";
    PDF_DLL_MISSING = -10022, c"PDF files are not read. Turn the pages into pictures, for example by pdftoppm -r 300 -png, and decode those.";
    PAGE_NUMBER_INVALID = -10023, c"The file has no page with this number.";
    CUSTOM_SIZE_INVALID = -10024, c"The size is not a possible one.";
    CUSTOM_MODULESIZE_INVALID = -10025, c"The size of a module is not a possible one.";
    RECOGNITION_TIMEOUT = -10026, c"The time was over before all of the picture was searched. What was found by then is there.";
    JSON_PARSE_FAILED = -10030, c"The settings are no JSON text; the message says where it ends to be one.";
    JSON_TYPE_INVALID = -10031, c"A value in the settings has another type than it must have; the message names it.";
    JSON_KEY_INVALID = -10032, c"The settings have no ImageParameter, or a key that cannot be there; the message names it.";
    JSON_VALUE_INVALID = -10033, c"A value in the settings is out of its range; the message names it.";
    JSON_NAME_KEY_MISSING = -10034, c"A part of the settings has no Name.";
    JSON_NAME_VALUE_DUPLICATED = -10035, c"Two parts of the settings have the same Name.";
    TEMPLATE_NAME_INVALID = -10036, c"There is no template with this name. Use an empty name for the current settings.";
    JSON_NAME_REFERENCE_INVALID = -10037, c"The settings name a part that is not there; the message says which.";
    DOMAIN_NOT_MATCHED = -10039, c"The licence is not for this website.";
    RESERVEDINFO_NOT_MATCHED = -10040, c"The licence is not for this application.";
    AZTEC_LICENSE_INVALID = -10041, c"The licence does not cover Aztec.";
    LICENSE_DLL_MISSING = -10042, c"A part of the licensing library is missing. Install it again.";
    LICENSEKEY_NOT_MATCHED = -10043, c"The licence key and the licence do not belong together.";
    REQUESTED_FAILED = -10044, c"The license server cannot be reached.";
    LICENSE_INIT_FAILED = -10045, c"Getting the licence failed.";
    PATCHCODE_LICENSE_INVALID = -10046, c"The licence does not cover patch codes.";
    POSTALCODE_LICENSE_INVALID = -10047, c"The licence does not cover postal codes.";
    DPM_LICENSE_INVALID = -10048, c"The licence does not cover codes that are marked directly on parts.";
    FRAME_DECODING_THREAD_EXISTS = -10049, c"Frames are being decoded already. Call DBR_StopFrameDecoding first.";
    STOP_DECODING_THREAD_FAILED = -10050, c"No frames are being decoded, so that there is nothing to stop.";
    SET_MODE_ARGUMENT_ERROR = -10051, c"There is no such list of modes, or no mode at this index.";
    LICENSE_CONTENT_INVALID = -10052, c"The content is no licence.";
    LICENSE_KEY_INVALID = -10053, c"The licence key has a form that no key has.";
    LICENSE_DEVICE_RUNS_OUT = -10054, c"The licence has no room for another device.";
    GET_MODE_ARGUMENT_ERROR = -10055, c"There is no such list of modes or no mode at this index, the argument was not set, or the buffer is too short.";
    INTERMEDIATE_RESULTS_MISSING = -10056, c"This library has no intermediate results to give. Set intermediateResultTypes to 0.";
    MAXICODE_LICENSE_INVALID = -10057, c"The licence does not cover MaxiCode.";
    GS1_DATABAR_LICENSE_INVALID = -10058, c"The licence does not cover GS1 DataBar.";
    GS1_COMPOSITE_LICENSE_INVALID = -10059, c"The licence does not cover GS1 Composite.";
    PANORAMA_LICENSE_INVALID = -10060, c"The licence does not cover panoramas.";
    DOTCODE_LICENSE_INVALID = -10061, c"The licence does not cover DotCode.";
    PHARMACODE_LICENSE_INVALID = -10062, c"The licence does not cover Pharmacode.";
}

/// What a number of this table means.
pub fn reading_message(code: ErrorCode) -> Option<&'static CStr> {
    MESSAGES.iter().find(|(known, _)| *known == code).map(|(_, message)| *message)
}

/// An error of this table with its own sentence.
pub fn explained(code: ErrorCode) -> crate::error::Error {
    let message = reading_message(code).and_then(|message| message.to_str().ok()).unwrap_or("");
    crate::error::Error::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_stands_twice_nor_in_both_tables() {
        for (i, (code, message)) in MESSAGES.iter().enumerate() {
            assert!(MESSAGES[..i].iter().all(|(other, _)| other != code), "{code}");
            assert!(code.entry().is_none(), "{code} is in the table of the protocol too");
            assert!(message.to_str().unwrap().ends_with('.'));
        }
    }
}
