// The public names.

import { SeatmeterError } from "./errors.js";
import { License } from "./license.js";

export const Seatmeter = {
  /** Return the license of this page. It waits for the network only where none is stored. */
  async init(options) {
    try {
      return await License.begin(options);
    } catch (error) {
      if (error instanceof SeatmeterError)
        console.error(`seatmeter: ${error.message} (${error.code})`);
      throw error;
    }
  },
};

export { License, SeatmeterError };
export default Seatmeter;
