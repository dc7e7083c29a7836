// For tests in JavaScript that run the real server.

import { createInterface } from "node:readline";

/** Wait until a `seatmeterd serve` says where it listens, and return the URL. */
export async function listening(process) {
  for await (const line of createInterface(process.stdout)) {
    const found = line.match(/listening on (\S+)/);
    if (found) return found[1];
  }
  throw new Error("the server did not start");
}
