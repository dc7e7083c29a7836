// A grant: the server's answer, believed only as far as the vendor's root key vouches for it.

import { fail } from "./errors.js";
import { open } from "./wire.js";

export const SLOT_SECONDS = 180;
export const DAY_SECONDS = 86400;
const GRACE_SECONDS = 7 * DAY_SECONDS;
const RENEWAL_SECONDS = 60;

export const PAGE_MODULES = { CORE: 1, WEBCAM: 2, PDFR: 3, OCR: 4 };
const PAGE_FIELDS = ["core", "webcam", "pdfr", "ocr"];
const CHARGE_WAYS = [
  "client_device",
  "barcode_scan",
  "concurrent_device",
  "domain",
  "active_device",
  "page",
];
// A restriction that this version does not know could not be kept, so the item is passed by.
const ITEM_FIELDS =
  "item_id charge_way quota deployment_types products starts_at expires_at offline_days " +
  "window_days page_quotas domains overuse_budget overuse_growth_per_day strict modules versions " +
  "edition requires trial";

export const slotOf = (seconds) => Math.floor(seconds / SLOT_SECONDS);

/** Return N plus `percent` of it, rounded half up. */
export const limitOf = (quota, percent) => quota + Math.floor((percent * quota + 50) / 100);

const requireKnown = (item) => {
  const known = ITEM_FIELDS.split(" ");
  const unknown =
    Object.keys(item).find((name) => !known.includes(name)) ||
    (!CHARGE_WAYS.includes(item.charge_way) && item.charge_way);
  if (unknown) {
    fail(-20003, `item "${item.item_id}" has ${unknown}: install a newer seatmeter.js`);
  }
};

const quotaOf = (item, module) => {
  if (item.charge_way === "barcode_scan") return module === 0 ? item.quota : 0;
  return (item.charge_way === "page" && (item.page_quotas || {})[PAGE_FIELDS[module - 1]]) || 0;
};

// A license may narrow its item, and never widen it.
const requireWithin = (local, item) => {
  const days = item.offline_days === undefined ? 30 : item.offline_days;
  const offline = days ? days * DAY_SECONDS : SLOT_SECONDS;
  const tooMuch = (local.allowances || []).some(({ module = 0, allowed, used }) => {
    return allowed > Math.max(limitOf(quotaOf(item, module), 5), used);
  });
  if (
    local.charge_way !== item.charge_way ||
    local.seats > (item.quota || 0) ||
    local.issued_at < item.starts_at ||
    local.item_expires_at > item.expires_at ||
    local.valid_until > item.expires_at + GRACE_SECONDS ||
    local.valid_until - local.issued_at > offline ||
    tooMuch
  ) {
    fail(-20003, `the license grants more than its item "${item.item_id}"`);
  }
};

// NaN where a page names no version: that is in no range.
const compareVersions = (a, b) => {
  const [x, y] = [a, b].map((text) => String(text).split(".").map(Number));
  // Numbers that are missing count as 0: 9 is before 9.1.
  while (x.length < y.length) x.push(0);
  const n = x.findIndex((part, n) => n < y.length && part !== y[n]);
  return n < 0 ? 0 : x[n] - y[n];
};

// What the browser can tell without the list of public suffixes, which the server has.
const isNear = (host, domain) => {
  const end = (name) => name.replace(/\.$/, "").split(".").slice(-2).join(".");
  const listed = domain
    .toLowerCase()
    .replace(/^\*\./, "")
    .replace(/^\[|\]$/g, "");
  return /[^\x00-\x7f]/.test(listed) || host === listed || end(host) === end(listed);
};

const requireCovered = (item, wanted) => {
  const { from, to } = item.versions || {};
  const version = wanted.productVersion;
  const lacks = (name) => item.modules && item.modules.length && !item.modules.includes(name);
  const host = wanted.host.replace(/^\[|\]$/g, "");
  const gap = [
    ["deploymentType", !item.deployment_types.includes("browser")],
    ["products", wanted.products & ~item.products],
    ["modules", wanted.modules.some(lacks)],
    [
      "productVersion",
      (from && !(compareVersions(version, from) >= 0)) ||
        (to && !(compareVersions(version, to) <= 0)),
    ],
    ["productEdition", item.edition && item.edition !== wanted.productEdition],
    [
      "website",
      item.charge_way === "domain" && !item.domains.some((domain) => isNear(host, domain)),
    ],
  ].find(([, isGap]) => isGap);
  if (gap) fail(-20003, `item "${item.item_id}" is for another ${gap[0]}`);
};

/** Check every signature and every limit of an answer, and return the grant. */
export const verifyGrant = async (answer, rootKey, device, wanted) => {
  const file = await open(answer.license_file, "license file", rootKey);
  const local = await open(answer.local_license, "local license", file.server_key);
  if (file.version !== 1 || local.version !== 1) {
    fail(-20003, "the license has a newer format: install a newer seatmeter.js");
  }
  if (local.device_uuid !== device.uuid || local.device_key !== device.publicKey) {
    fail(-20004, "the license belongs to another device");
  }
  const item = file.items.find(({ item_id }) => item_id === local.item_id);
  if (!item) fail(-20003, `the vendor did not issue item "${local.item_id}"`);
  requireKnown(item);
  requireWithin(local, item);
  requireCovered(item, wanted);
  return { local, item, serverKey: file.server_key, keyId: answer.local_license.key_id, file };
};

/** Return why no work is allowed under a grant at this instant, as code and sentence. */
export const endedAt = ({ local, item }, now) => {
  if (now >= item.expires_at + GRACE_SECONDS) {
    return [-20111, "the license has expired, with its grace: ask your vendor to renew it"];
  }
  if (now >= local.valid_until) {
    return [-20003, "the license was not renewed in time: let this page reach the license server"];
  }
  return null;
};

/** Return when a grant is to be renewed, spread by its random id. */
export const renewalDueAt = ({ license_id, issued_at, valid_until }) => {
  const share = (parseInt(String(license_id).slice(0, 4), 16) || 0) / 65536;
  const life = Math.max(0, valid_until - issued_at);
  if (life <= 2 * SLOT_SECONDS) {
    return valid_until - RENEWAL_SECONDS + Math.floor((share * RENEWAL_SECONDS) / 2);
  }
  const due = Math.min(Math.floor(life / 8), 6 * 3600);
  return issued_at + due - Math.floor((due * share) / 4);
};
