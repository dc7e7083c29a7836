// Errors: the numbers of the C API, with a sentence that says what to do.

/** An error of a license: `code` is the number of the C API, `numbers` what a refusal tells. */
export class SeatmeterError extends Error {
  constructor(code, message, numbers) {
    super(message);
    this.code = code;
    this.numbers = numbers;
  }

  get name() {
    return "SeatmeterError";
  }
}

export const fail = (code, message, numbers) => {
  throw new SeatmeterError(code, message, numbers);
};

/** Return an error for what the browser threw. */
export const localFailure = (error) =>
  !(error instanceof DOMException)
    ? error
    : new SeatmeterError(
        -20002,
        `IndexedDB failed (${error.message}): allow this website to store data`,
      );

// What a device does after a refusal, as in the library: the license ends, the device takes another
// identity, or the other server is asked.
export const ENDS = [-20102, -20103, -20113, -20114, -20120, -20130];
export const TAKES_FRESH_UUID = [-20004, -20151];
export const ASKS_OTHER = [-20003, -20100, -20200];
