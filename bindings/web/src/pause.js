// How long a device waits before it asks a server again that gave no answer or was busy.

const FIRST_MS = 2000;
const LAST_MS = 60000;
const SPREAD_MS = 2000;
// What a server asks for is believed up to here.
const ASKED_MS_MAX = 300000;

export const jitter = (ms) => Math.random() * ms;

/** Return the pause in ms after so many failures in a row; the server asked for so many seconds. */
export const pauseAfter = (failures, asked = 0) => {
  const own = Math.min(FIRST_MS * 2 ** (failures - 1), LAST_MS);
  const askedMs = Math.min(asked * 1000 || 0, ASKED_MS_MAX);
  return Math.max(own, askedMs) + jitter(Math.max(askedMs, SPREAD_MS));
};
