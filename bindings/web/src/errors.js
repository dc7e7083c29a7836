// Errors: the numbers of the C API, with a sentence that says what to do.

const NAMES = {
  "-10038": "PARAMETER_VALUE_INVALID",
  "-20000": "NO_LICENSE",
  "-20002": "LICENSE_BUFFER_FAILED",
  "-20003": "LICENSE_SYNC_FAILED",
  "-20004": "DEVICE_NOT_MATCH",
  "-20009": "LICENSE_INIT_SEQUENCE_FAILED",
  "-20012": "LICENSE_CACHE_USED",
  "-20100": "STANDBY_NOT_READY",
  "-20101": "HANDSHAKE_CODE_UNKNOWN",
  "-20102": "SESSION_PASSWORD_WRONG",
  "-20103": "DOMAIN_MISMATCH",
  "-20104": "NO_ITEM_FITS",
  "-20106": "PRODUCT_MISMATCH",
  "-20107": "VERSION_MISMATCH",
  "-20108": "DEPLOYMENT_TYPE_MISMATCH",
  "-20109": "EDITION_MISMATCH",
  "-20111": "EXPIRED",
  "-20112": "NOT_YET_IN_EFFECT",
  "-20113": "REVOKED",
  "-20114": "VALIDATION_FIELD_MISMATCH",
  "-20115": "CHARGE_WAY_MISMATCH",
  "-20120": "USED_UP",
  "-20121": "ORGANIZATION_UNKNOWN",
  "-20122": "HANDSHAKE_CODE_OF_OTHER_ORGANIZATION",
  "-20123": "NO_HANDSHAKE_CODE",
  "-20124": "REQUIRED_ITEM_MISSING",
  "-20130": "QUOTA_EXCEEDED",
  "-20151": "DEVICE_CLONED",
  "-20200": "FAILED_TO_REACH_SERVER",
};

/** An error of a license: `code` is the number of the C API, `numbers` what a refusal tells. */
export class SeatmeterError extends Error {
  constructor(code, message, numbers) {
    super(message);
    this.code = code;
    this.numbers = numbers;
  }

  get name() {
    return "SeatmeterError " + (NAMES[this.code] || this.code);
  }
}

export const fail = (code, message, numbers) => {
  throw new SeatmeterError(code, message, numbers);
};

/** Return an error for what the browser threw. */
export const localFailure = (error) =>
  error instanceof SeatmeterError
    ? error
    : new SeatmeterError(
        -20002,
        `the browser's storage of this website (IndexedDB) failed: ${error && error.message}. ` +
          "Allow this website to store data, and check the free space of the disk",
      );

// What a device does after a refusal, as in the library.
export const ENDS_GRANT = [-20113, -20120, -20130];
export const ENDS_FOR_PROGRAM = [-20102, -20103, -20114];
export const TAKES_FRESH_UUID = [-20004, -20151];
export const ASKS_OTHER = [-20003, -20100, -20200];
