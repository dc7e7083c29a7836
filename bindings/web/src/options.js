// What a page asks for, checked before anything is done.

import { fail } from "./errors.js";
import { digestHex, fromHex } from "./wire.js";

const CHARGE_WAYS = {
  0: undefined,
  1: "client_device",
  2: "barcode_scan",
  3: "concurrent_device",
  6: "domain",
  8: "active_device",
  20: "page",
};
const TEXTS =
  "handshakeCode organizationID sessionPassword applicationID rootKey productVersion productEdition";
const NUMBERS = {
  products: [1, 0xffff, 0xffff],
  maxBufferDays: [7, 3650, 7],
  timeout: [1, 600000, 10000],
};

const wrong = (name, value, must) => fail(-10038, `${name} is ${JSON.stringify(value)}: ${must}`);

export const numberOf = (name, value, least, most) =>
  Number.isInteger(value) && value >= least && value <= most
    ? value
    : wrong(name, value, `it must be a whole number from ${least} to ${most}`);

const textOf = (name, value = "") =>
  typeof value === "string" && value.length <= 512 && value === value.trim()
    ? value
    : wrong(name, value, "it must be a text without spaces around it, at most 512 long");

const serverOf = (value) => {
  const url = URL.canParse(value) ? new URL(value) : {};
  if (!/^https?:$/.test(url.protocol) || url.href !== url.origin + "/") {
    wrong("server", value, "it must be a URL without a path, https://HOST:PORT");
  }
  // Browsers call these hosts trustworthy, and let pages over TLS reach them without.
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\]|.*\.localhost)$/.test(url.hostname);
  if (!isLocal && url.protocol === "http:" && globalThis.location?.protocol === "https:") {
    wrong("server", value, "a page over https needs a server over https (mixed content)");
  }
  return url.origin;
};

const chargeWayOf = (value) => {
  if (value === undefined || value === "auto" || Object.values(CHARGE_WAYS).includes(value)) {
    return value === "auto" ? undefined : value;
  }
  const names = Object.values(CHARGE_WAYS).join(" ");
  return value in CHARGE_WAYS
    ? CHARGE_WAYS[value]
    : wrong("chargeWay", value, `it must be one of${names}`);
};

/** Check the options of a page, and return them in one form. */
export const readOptions = (given = {}) => {
  if (globalThis.isSecureContext === false || !globalThis.crypto?.subtle || !globalThis.indexedDB) {
    fail(-20009, "this page has no WebCrypto or IndexedDB: serve it over https or from localhost");
  }
  const options = {
    servers: [given.server ?? given.licenseServer, given.standbyServer ?? []].flat().map(serverOf),
    chargeWay: chargeWayOf(given.chargeWay),
    modules: [given.modules ?? []].flat().map(String),
    deviceFriendlyName: textOf("deviceFriendlyName", given.deviceFriendlyName),
    host: globalThis.location ? location.hostname : "",
  };
  for (const name of TEXTS.split(" ")) options[name] = textOf(name, given[name]);
  for (const [name, [least, most, otherwise]] of Object.entries(NUMBERS)) {
    options[name] = numberOf(name, given[name] ?? otherwise, least, most);
  }
  const { handshakeCode, organizationID, rootKey } = options;
  if (rootKey && !fromHex(rootKey, 32))
    wrong("rootKey", rootKey, "it must be 64 hexadecimal digits in lower case");
  if (!handshakeCode && !organizationID) fail(-20123, "set handshakeCode or organizationID");
  return options;
};

/** Return the name of a license in the storage: a digest of everything that it was granted for. */
export const nameOf = (options) => {
  const asked = [options.chargeWay, options.modules, options.products];
  return digestHex(JSON.stringify([...asked, ...TEXTS.split(" ").map((name) => options[name])]));
};
