// What a device says and is told: its request for an authorization, and the server's notices.

import { SeatmeterError } from "./errors.js";

export const VERSION = "0.1.0";

/** Return the content of a request for an authorization. */
export const authorizationOf = (options, device, { server, held, first }, share, needed) => ({
  protocol: 1,
  handshake_code: options.handshakeCode,
  organization_id: options.organizationID,
  session_password: options.sessionPassword,
  device: {
    uuid: device.uuid,
    friendly_name: options.deviceFriendlyName,
    library_version: VERSION,
  },
  deployment_type: "browser",
  charge_way: options.chargeWay,
  products: options.products,
  seats: 1,
  buffer_days: options.maxBufferDays,
  modules: options.modules,
  product_version: options.productVersion || undefined,
  product_edition: options.productEdition || undefined,
  // The server takes the website from the header that the browser sets.
  validation: { website_domain: "", application_id: options.applicationID, process_name: "" },
  held_license: held || undefined,
  newest_license: server.newest?.payload === held?.payload ? undefined : server.newest,
  device_key: device.publicKey,
  key_share: share,
  first_contact: first,
  needed: needed || undefined,
  receipt: server.receipt || undefined,
});

/** Return why the server lets this device count nothing, or no pages of this module. */
export const stoppedBy = ({ refusal, meters = [] }, module) => {
  if (refusal) return new SeatmeterError(refusal.code, refusal.message, refusal.numbers);
  const meter = meters.find(
    (meter) =>
      meter.state === "used_up" &&
      (module ? meter.of === "pages" && meter.module === module : meter.of === "scans"),
  );
  if (!meter) return null;
  const { used, quota, grace } = meter;
  return new SeatmeterError(
    -20120,
    `the license is used up: ${used} of ${quota}, grace ${grace}. Ask your vendor for more`,
    { used, quota, grace },
  );
};
