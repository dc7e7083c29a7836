// The rules that need no browser: duplicates, time, grants and options.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { DeviceClock } from "../src/clock.js";
import { barcodeOf, DuplicateFilter } from "../src/duplicates.js";
import { endedAt, limitOf, renewalDueAt, slotOf, verifyGrant } from "../src/grant.js";
import { readOptions } from "../src/options.js";
import { pauseAfter } from "../src/pause.js";

const source = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("every name of a symbology has the number of the C API, however a decoder writes it", () => {
  const table = source("protocol/src/symbology.rs");
  const rows = [...table.matchAll(/\("([A-Z0-9_]+)", (0x[0-9a-f_]+)\)/gi)];
  assert.ok(rows.length > 25);
  for (const [, name, number] of rows) {
    const expected = Number(number.replaceAll("_", ""));
    for (const format of [name, name.toLowerCase(), `BF_${name}`, name.replaceAll("_", "-")]) {
      assert.equal(barcodeOf({ format, text: "x" }).symbology, expected, format);
    }
  }
  for (const [format, number] of [
    ["QRCode", 0x4000000],
    ["EAN-13", 0x20],
    ["upc_a", 0x80],
    ["DataMatrix", 0x8000000],
  ]) {
    assert.equal(barcodeOf({ format, rawValue: "x" }).symbology, number);
  }
  assert.equal(barcodeOf({ format: "of the future", text: "x" }).symbology, 0);
  assert.equal(barcodeOf({ format: 0x80000000, text: "x" }).symbology, 0x80000000);
});

test("a key is symbology and bytes, whether a decoder gives a text or bytes", () => {
  const key = (barcode) => barcodeOf(barcode).key;
  assert.equal(
    key({ format: "qr_code", rawValue: "A" }),
    key({ format: "QRCode", bytes: Uint8Array.of(65) }),
  );
  assert.equal(
    key({ format: 1, text: "é" }),
    key({ format: 1, bytes: new TextEncoder().encode("é") }),
  );
  assert.notEqual(key({ format: 1, text: "A" }), key({ format: 2, text: "A" }));
  assert.notEqual(key({ format: 1, text: "12" }), key({ format: 11, text: "2" }));
  assert.equal(
    key({ format: 1, text: "" }),
    key({ format: 1, bytes: new Uint8Array() }),
    "an empty one is one, too",
  );
  for (const wrong of [null, 7, "A", {}, { format: 1 }, { text: 7 }]) {
    assert.throws(() => barcodeOf(wrong), { code: -10038 }, JSON.stringify(wrong));
  }
});

test("a barcode counts again when the forget time has passed since it was counted, not since it was seen", () => {
  const filter = new DuplicateFilter();
  const counted = [0, 1000, 2999, 3000, 5999, 6000].filter((now) => filter.counts("a", now, 3000));
  assert.deepEqual(counted, [0, 3000, 6000]);
  assert.equal(filter.counts("b", 6001, 3000), true);
  filter.takeBack("b");
  assert.equal(filter.counts("b", 6002, 3000), true, "its count could not be kept");
  assert.equal(filter.counts("a", 6003, 0), true, "0 switches the memory off");
});

test("a naive model of the forget time agrees, whatever comes in whatever order", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const filter = new DuplicateFilter();
  const model = new Map();
  let now = 0;
  for (let n = 0; n < 20000; n++) {
    now += random(300);
    const key = "k" + random(40);
    const at = model.get(key);
    const expected = at === undefined || now - at >= 3000;
    if (expected) model.set(key, now);
    assert.equal(filter.counts(key, now, 3000), expected, `step ${n}`);
  }
  assert.ok(filter.countedAt.size <= 40);
});

test("the memory of duplicates is bounded", () => {
  const filter = new DuplicateFilter();
  for (let n = 0; n < 100000; n++) filter.counts("k" + n, n, 600000);
  assert.ok(filter.countedAt.size <= 40000);
});

const clockAt = (stored, wall = 1e12) => {
  const time = { wall, monotonic: 5000 };
  const clock = new DeviceClock(
    stored,
    () => time.wall,
    () => time.monotonic,
  );
  const pass = (ms) => ((time.wall += ms), (time.monotonic += ms));
  return { clock, time, pass };
};

test("a server's time sets the clock forward or back, and the time since is measured", () => {
  const { clock, pass } = clockAt();
  pass(1000);
  assert.equal(clock.ms(), 1e12 + 1000);
  clock.hear(500);
  pass(2000);
  assert.equal(clock.ms(), 502000);
  clock.hear(2e9);
  assert.equal(clock.seconds(), 2e9);
});

test("a wall clock that is set back stretches nothing, now and at the next start", () => {
  const { clock, time, pass } = clockAt();
  clock.hear(1e9);
  pass(60000);
  time.wall -= 50 * 86400000;
  pass(1000);
  assert.equal(clock.ms(), 1e12 + 61000);
  assert.equal(clock.hasLeapt(), true);
  const next = clockAt(clock.stored(), time.wall).clock;
  assert.equal(next.ms(), 1e12 + 61000, "it continues from the highest time that was seen");
});

test("a wall clock that was ahead at the last contact does no harm at the next start", () => {
  const { clock, time } = clockAt({}, 1e12 + 90 * 86400000);
  clock.hear(1e9);
  time.wall += 3600000;
  const next = clockAt(clock.stored(), time.wall).clock;
  assert.equal(next.ms(), 1e12 + 3600000);
  // Somebody has set it right meanwhile.
  assert.equal(clockAt(clock.stored(), 1e12 + 7200000).clock.ms(), 1e12 + 7200000);
});

test("sleep counts as time that has passed", () => {
  const { clock, time } = clockAt();
  clock.hear(1e9);
  time.wall += 8 * 3600000;
  assert.equal(clock.ms(), 1e12 + 8 * 3600000);
  assert.equal(clock.hasLeapt(), true);
});

test("slots, graces and renewals are those of the rules", () => {
  assert.deepEqual([0, 179, 180].map(slotOf), [0, 0, 1]);
  for (let quota = 0; quota < 500; quota++) {
    assert.equal(limitOf(quota, 5), quota + Math.round(quota / 20));
  }
  const due = renewalDueAt({
    license_id: "0".repeat(32),
    issued_at: 1000,
    valid_until: 1000 + 8 * 86400,
  });
  assert.equal(due, 1000 + 6 * 3600);
  const bySlot = renewalDueAt({ license_id: "f".repeat(32), issued_at: 0, valid_until: 360 });
  assert.ok(bySlot >= 300 && bySlot <= 330);
  const grant = { local: { valid_until: 100 }, item: { expires_at: 50 } };
  assert.equal(endedAt(grant, 99), null);
  assert.equal(endedAt(grant, 100)[0], -20003);
  assert.equal(endedAt({ ...grant, local: { valid_until: 1e9 } }, 50 + 7 * 86400)[0], -20111);
});

// Documents signed here, as a vendor and a server would.
const made = async () => {
  const { toHex, keyIdOf, sha256, bytesOf, concat } = await import("../src/wire.js");
  const pair = async () => {
    const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    return { ...keys, hex: toHex(await crypto.subtle.exportKey("raw", keys.publicKey)) };
  };
  const sign = async (keys, text) =>
    toHex(await crypto.subtle.sign("Ed25519", keys.privateKey, text));
  const [vendor, server, device] = [await pair(), await pair(), await pair()];
  const seal = async (keys, context, document) => {
    const payload = JSON.stringify(document);
    const bytes = bytesOf(`seatmeter/1 ${context}\n${payload}`);
    if (context === "license file") {
      return { payload, key_id: await keyIdOf(keys.hex), signature: await sign(keys, bytes) };
    }
    const root = toHex(await sha256(concat([0], bytes)));
    const signature = (await sign(keys, bytesOf(`seatmeter/1 batch\n1\n${root}`))) + ".0.1";
    return { payload, key_id: await keyIdOf(keys.hex), signature };
  };
  const item = {
    item_id: "scans",
    charge_way: "barcode_scan",
    quota: 100,
    deployment_types: ["browser"],
    products: 0xffff,
    starts_at: 1000,
    expires_at: 1000 + 365 * 86400,
  };
  const local = {
    version: 1,
    license_id: "1".repeat(32),
    serial: 1,
    item_id: "scans",
    handshake_code: "CODE",
    device_uuid: "2".repeat(32),
    charge_way: "barcode_scan",
    seats: 0,
    issued_at: 2000,
    valid_until: 2000 + 7 * 86400,
    item_expires_at: item.expires_at,
    device_key: device.hex,
  };
  const wanted = { products: 0xffff, modules: [], host: "shop.company.com" };
  return async (itemChange = {}, localChange = {}, wantedChange = {}, root = vendor) => {
    const file = {
      version: 1,
      file_id: "f",
      server_key: server.hex,
      issued_at: 1,
      items: [{ ...item, ...itemChange }],
    };
    const answer = {
      license_file: await seal(vendor, "license file", file),
      local_license: await seal(server, "local license", { ...local, ...localChange }),
    };
    const asked = { uuid: local.device_uuid, publicKey: device.hex };
    return verifyGrant(answer, root.hex, asked, { ...wanted, ...wantedChange });
  };
};

test("a grant may narrow its item and never widen it", async () => {
  const verify = await made();
  assert.equal((await verify()).item.item_id, "scans");
  for (const wide of [
    { charge_way: "domain" },
    { seats: 101 },
    { issued_at: 999 },
    { item_expires_at: 1001 + 365 * 86400 },
    { valid_until: 2001 + 30 * 86400 },
    { allowances: [{ allowed: 106, used: 0 }] },
    { allowances: [{ module: 4, allowed: 1, used: 0 }] },
    { item_id: "other" },
    { version: 2 },
  ]) {
    await assert.rejects(verify({}, wide), { code: -20003 }, JSON.stringify(wide));
  }
  await verify({}, { allowances: [{ allowed: 105, used: 0 }] });
  await verify({}, { allowances: [{ allowed: 200, used: 200 }] });
  await assert.rejects(verify({}, { device_uuid: "3".repeat(32) }), { code: -20004 });
  await assert.rejects(verify({}, { device_key: "3".repeat(64) }), { code: -20004 });
});

test("an item for something else serves no page, and one of a later version is passed by", async () => {
  const verify = await made();
  for (const [item, wanted] of [
    [{ deployment_types: ["desktop"] }, {}],
    [{ products: 1 }, {}],
    [{ modules: ["A"] }, { modules: ["B"] }],
    [{ versions: { from: "2" } }, { productVersion: "1.9" }],
    [{ versions: { from: "9.1" } }, { productVersion: "9" }],
    [{ versions: { to: "9" } }, { productVersion: "10" }],
    [{ versions: { to: "9" } }, {}],
    [{ edition: "pro" }, {}],
    [{ of_the_future: 1 }, {}],
    [{ charge_way: "concurrent_instance" }, {}],
  ]) {
    await assert.rejects(
      verify(item, {}, wanted),
      { code: -20003 },
      JSON.stringify([item, wanted]),
    );
  }
  await verify({ versions: { to: "9" } }, {}, { productVersion: "9.6" });
  await verify({ versions: { from: "9.0" } }, {}, { productVersion: "9" });
  const site = { charge_way: "domain", quota: undefined, domains: ["*.company.com"] };
  await verify(site, { charge_way: "domain" });
  await assert.rejects(verify(site, { charge_way: "domain" }, { host: "evil.example" }), {
    code: -20003,
  });
});

test("another vendor's license file is not believed", async () => {
  const verify = await made();
  const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const raw = Buffer.from(await crypto.subtle.exportKey("raw", keys.publicKey)).toString("hex");
  await assert.rejects(verify({}, {}, {}, { hex: raw }), { code: -20003 });
});

test("options are checked before anything is done, and the message names the value", () => {
  globalThis.indexedDB ??= {};
  const good = { server: "https://license.example:48080", handshakeCode: "CODE" };
  assert.deepEqual(readOptions(good).servers, ["https://license.example:48080"]);
  assert.deepEqual(
    readOptions({ licenseServer: good.server, organizationID: "acme" }).organizationID,
    "acme",
  );
  assert.equal(readOptions({ ...good, chargeWay: 2 }).chargeWay, "barcode_scan");
  assert.equal(readOptions({ ...good, chargeWay: "auto" }).chargeWay, undefined);
  const refused = [
    [{ server: undefined }, -10038, "server"],
    [{ server: "license.example" }, -10038, "license.example"],
    [{ server: "https://license.example/path" }, -10038, "without a path"],
    [{ server: "ftp://license.example" }, -10038, "ftp:"],
    [{ handshakeCode: "CODE " }, -10038, "without spaces around it"],
    [{ handshakeCode: 7 }, -10038, "handshakeCode is 7"],
    [{ handshakeCode: "" }, -20123, "handshakeCode"],
    [{ rootKey: "abc" }, -10038, "64 hexadecimal digits"],
    [{ chargeWay: 9 }, -10038, "chargeWay is 9"],
    [{ products: 0 }, -10038, "products is 0"],
    [{ maxBufferDays: 6 }, -10038, "from 7"],
  ];
  for (const [change, code, part] of refused) {
    assert.throws(
      () => readOptions({ ...good, ...change }),
      (error) => error.code === code && error.message.includes(part),
      JSON.stringify(change),
    );
  }
});

test("a page that a busy server puts off comes back after that time, spread, and never later than the longest", () => {
  for (const [failures, asked, from, spread] of [
    [1, undefined, 2000, 2000],
    [1, NaN, 2000, 2000],
    [3, 0, 8000, 2000],
    [9, undefined, 60000, 2000],
    [1, 30, 30000, 30000],
    [6, 30, 60000, 30000],
    [1, 86400, 300000, 300000],
  ]) {
    const pauses = Array.from({ length: 200 }, () => pauseAfter(failures, asked));
    const [least, most] = [Math.min(...pauses), Math.max(...pauses)];
    assert.ok(least >= from && most <= from + spread, `${failures} ${asked}: ${least} to ${most}`);
    assert.ok(most - least > spread / 2, "they do not come together");
  }
});
