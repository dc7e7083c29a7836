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
const TIMEOUT_MS = 10000;

const wrong = (name, value, must) => fail(-10038, `${name} is ${JSON.stringify(value)}: ${must}`);

const textOf = (options, name) => {
  const value = options[name] ?? "";
  if (typeof value !== "string" || value.length > 512) wrong(name, value, "it must be a text of at most 512 bytes");
  if (value !== value.trim()) wrong(name, value, "it begins or ends with a space: remove it");
  return value;
};

const numberOf = (options, name, least, most, otherwise) => {
  const value = options[name] ?? otherwise;
  if (!Number.isInteger(value) || value < least || value > most) {
    wrong(name, value, `it must be a whole number from ${least} to ${most}`);
  }
  return value;
};

const serverOf = (value) => {
  let url;
  try {
    url = new URL(value);
  } catch {
    wrong("server", value, "it must be the URL of a license server, https://HOST:PORT");
  }
  if (!/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search || url.hash || url.username) {
    wrong("server", value, "it must be a URL without a path, https://HOST:PORT");
  }
  // Browsers call these hosts trustworthy, and let pages over TLS reach them without.
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\]|.*\.localhost)$/.test(url.hostname);
  if (globalThis.isSecureContext && location.protocol === "https:" && url.protocol === "http:" && !isLocal) {
    wrong("server", value, "a page over https cannot reach a server over http (mixed content): give the server a certificate, and use https://");
  }
  return url.origin;
};

const chargeWayOf = (value) => {
  if (value === undefined || value === null || value === "" || value === "auto") return undefined;
  if (Object.values(CHARGE_WAYS).includes(value)) return value;
  if (!(value in CHARGE_WAYS)) {
    wrong("chargeWay", value, `it must be one of ${Object.values(CHARGE_WAYS).filter(Boolean).join(", ")}, or a number of DM_ChargeWay that is for browsers`);
  }
  return CHARGE_WAYS[value];
};

const requireBrowser = () => {
  if (globalThis.isSecureContext === false) {
    fail(-20009, `${location.origin} is not a secure context: serve the page over https, or from localhost`);
  }
  if (!globalThis.crypto?.subtle || !globalThis.indexedDB) {
    fail(-20009, "this browser has no WebCrypto or IndexedDB here: use a current browser, and allow this website to store data");
  }
};

/** Check the options of a page, and return them in one form. */
export const readOptions = (given) => {
  if (!given || typeof given !== "object") wrong("options", given, "give an object");
  requireBrowser();
  const listed = [given.server ?? given.licenseServer ?? [], given.standbyServer ?? []].flat();
  if (!listed.length) wrong("server", given.server, "give the URL of the license server, https://HOST:PORT");
  const rootKey = given.rootKey ?? "";
  if (rootKey !== "" && !fromHex(rootKey, 32)) wrong("rootKey", rootKey, "it must be 64 hexadecimal digits in lower case");
  const modules = given.modules ?? [];
  if (!Array.isArray(modules)) wrong("modules", modules, "it must be a list of names");
  const options = {
    servers: listed.map(serverOf),
    handshakeCode: textOf(given, "handshakeCode"),
    organizationID: textOf(given, "organizationID"),
    sessionPassword: textOf(given, "sessionPassword"),
    applicationID: textOf(given, "applicationID"),
    deviceFriendlyName: textOf(given, "deviceFriendlyName"),
    productVersion: textOf(given, "productVersion") || undefined,
    productEdition: textOf(given, "productEdition") || undefined,
    rootKey,
    modules: modules.map(String),
    chargeWay: chargeWayOf(given.chargeWay),
    products: numberOf(given, "products", 1, 0xffff, 0xffff),
    maxBufferDays: numberOf(given, "maxBufferDays", 7, 3650, 7),
    timeout: numberOf(given, "timeout", 1, 600000, TIMEOUT_MS),
    duplicateForgetTime: given.duplicateForgetTime,
    host: globalThis.location ? location.hostname : "",
  };
  if (!options.handshakeCode && !options.organizationID) {
    fail(-20123, "neither handshakeCode nor organizationID is set: set one of them");
  }
  return options;
};

/** Return the name of a license in the storage: a digest of everything that it was granted for. */
export const nameOf = (options) => {
  const { handshakeCode, organizationID, sessionPassword, applicationID, chargeWay } = options;
  const { products, modules, productVersion, productEdition, rootKey } = options;
  const what = [handshakeCode, organizationID, sessionPassword, applicationID, chargeWay, products];
  return digestHex(JSON.stringify([...what, modules, productVersion, productEdition, rootKey]));
};
