// The accounting law in a real browser, with a witness outside: what is confirmed is billed, once.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as web from "./support.mjs";
import {
  clearStorage,
  copyStorage,
  countFrame,
  idle,
  init,
  item,
  openPage,
  pass,
  passForBoth,
  profile,
  putStorageBack,
  Server,
  SLOT,
  stopTimers,
  sync,
  until,
} from "./support.mjs";

let pages;
let browser;
let server;

before(async () => {
  ({ pages, browser } = await web.begin());
  server = await Server.start([item("barcode_scan", { quota: 10000000 })]);
});
after(web.end);

const shop = () => pages.origin("shop.example");

const away = (page) => page.route("**/v1/**", (route) => route.abort());

/** Let a page of this profile count twice for a server, and be closed before it can report. */
const leaveTwo = async (context, server) => {
  const page = await openPage(context, shop());
  assert.equal((await init(page, server)).code, 0);
  await away(page);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await page.close();
};

/** Tell the witness what a page performs and what was confirmed to it. */
const witness = async (context) => {
  const seen = { performed: 0, confirmed: 0 };
  await context.exposeBinding("performing", (_, n) => (seen.performed += n));
  await context.exposeBinding("confirmed", (_, n) => (seen.confirmed += n));
  return seen;
};

/** Let a page count until it ends. */
const countOn = (page, name) =>
  page.evaluate((name) => {
    globalThis.counting = (async () => {
      for (let n = 0; ; n++) {
        await performing(2);
        const one = license.countFrame([{ format: 1, text: `${name} ${n}` }]);
        const other = license.countImage([{ format: 2, text: `${n}` }]);
        await confirmed((await one) + (await other));
      }
    })();
  }, name);

const settle = async (context, before, seen, origin = shop()) => {
  const page = await openPage(context, origin);
  assert.equal((await init(page, server)).code, 0);
  assert.equal(await sync(page), 0);
  const billed = server.billed() - before;
  assert.ok(billed >= seen.confirmed, `${billed} are billed, and ${seen.confirmed} were confirmed`);
  assert.ok(billed <= seen.performed, `${billed} are billed, and ${seen.performed} were performed`);
  await sync(page);
  assert.equal(server.billed() - before, billed, "what is sent again counts once");
  return page;
};

test("a page that is closed in mid-count loses nothing confirmed and doubles nothing", async () => {
  const context = await profile(browser);
  const before = server.billed();
  const seen = await witness(context);
  for (let n = 1; n <= 4; n++) {
    const page = await openPage(context, shop());
    await init(page, server);
    await countOn(page, `page ${n}`);
    const goal = seen.confirmed + 20;
    await until("it counts", () => seen.confirmed >= goal);
    await (n % 2 ? page.close() : page.goto("about:blank"));
  }
  await settle(context, before, seen);
});

test("a killed renderer loses nothing confirmed and doubles nothing", async () => {
  const context = await profile(browser);
  const before = server.billed();
  const seen = await witness(context);
  for (let n = 1; n <= 3; n++) {
    const page = await openPage(context, shop());
    await init(page, server);
    await countOn(page, `page ${n}`);
    const goal = seen.confirmed + 20;
    await until("it counts", () => seen.confirmed >= goal);
    const crashed = new Promise((resolve) => page.once("crash", resolve));
    const session = await context.newCDPSession(page);
    session.send("Page.crash").catch(() => {});
    await crashed;
  }
  await settle(context, before, seen);
});

test("a killed browser loses nothing confirmed, and its profile is the same device", async () => {
  const folder = mkdtempSync(join(tmpdir(), "seatmeter-profile-"));
  const before = server.billed();
  let context = await web.launchProfile(folder);
  let seen = await witness(context);
  const page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  await countOn(page, "page");
  await until("it counts", () => seen.confirmed >= 30);
  const session = await context.browser().newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const { id } = processInfo.find(({ type }) => type === "browser");
  const gone = new Promise((resolve) => context.once("close", resolve));
  process.kill(id, "SIGKILL");
  await gone;
  context = await web.launchProfile(folder);
  const next = await settle(context, before, seen);
  assert.equal(await next.evaluate(() => license.status.deviceUuid), deviceUuid);
  await context.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a server that dies between booking and answering gets the same totals again", async () => {
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  const before = server.billed();
  assert.equal(await countFrame(page, "a", "b", "c"), 3);
  // The answers are lost on their way.
  await context.route("**/v1/usage", async (route) => {
    await route.fetch({ ignoreHTTPSErrors: true }).catch(() => {});
    await route.abort();
  });
  assert.equal(await sync(page), -20200);
  assert.equal(server.billed() - before, 3, "they are booked, and the page does not know");
  await context.unroute("**/v1/usage");
  assert.equal(await countFrame(page, "d"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed() - before, 4);
});

test("a page that is hidden reports at once", async () => {
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  const before = server.billed();
  assert.equal(await countFrame(page, "hidden"), 1);
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await until("it is billed", () => server.billed() - before === 1);
});

test("a server whose data was put back gets all totals again", async () => {
  const server = await Server.start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  server.backUp();
  assert.equal(await countFrame(page, "a", "b"), 2);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  await server.putBack();
  await until("the server accepts the device again", async () => (await sync(page)) === 0);
  await sync(page);
  assert.equal(server.billed(), 2);
});

test("what was counted for one server is reported to it while another one grants", async () => {
  const other = await Server.start(item("barcode_scan"));
  const context = await profile(browser);
  const before = server.billed();
  await leaveTwo(context, server);
  const next = await openPage(context, shop());
  assert.equal((await init(next, other)).code, 0);
  assert.equal(await countFrame(next, "c"), 1);
  assert.equal(await sync(next), 0);
  assert.equal(server.billed() - before, 2);
  assert.equal(other.billed(), 1);
});

test("what was counted for one server is reported to it while another one refuses", async () => {
  const other = await Server.start(item("barcode_scan"));
  const context = await profile(browser);
  const before = server.billed();
  await leaveTwo(context, server);
  const next = await openPage(context, shop());
  assert.equal((await init(next, other, { handshakeCode: "UNKNOWN" })).code, -20101);
  assert.equal(server.billed() - before, 2);
});

test("counts for a server that is away hold up nothing, and are reported later", async () => {
  const other = await Server.start(item("barcode_scan"));
  const context = await profile(browser);
  const before = server.billed();
  await leaveTwo(context, other);
  await other.kill();
  const next = await openPage(context, shop());
  assert.equal((await init(next, server)).code, 0);
  assert.equal(await countFrame(next, "c"), 1);
  assert.equal(await sync(next), 0);
  assert.equal(server.billed() - before, 1);
  await other.startAgain();
  assert.equal(await sync(next), 0);
  assert.equal(other.billed(), 2);
});

test("a page whose storage was cleared counts for the identity of its license", async () => {
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await stopTimers(page);
  const { deviceUuid } = await init(page, server);
  await idle(page);
  await clearStorage(page);
  // Another license: the page hears nothing of it, and keeps its own.
  const next = await openPage(context, shop());
  const other = await init(next, server, { applicationID: "other" });
  assert.notEqual(other.deviceUuid, deviceUuid);
  await idle(page);
  await away(page);
  assert.equal(await sync(page), -20200);
  assert.equal(await page.evaluate(() => license.status.deviceUuid), other.deviceUuid);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await page.unroute("**/v1/**");
  assert.equal(await sync(page), 0);
  assert.equal(
    server.billed("scan", (row) => row.device_uuid === deviceUuid),
    2,
  );
});

test("what waits when a page takes another identity counts for the one before", async () => {
  const context = await profile(browser);
  const page = await openPage(context, shop());
  // Images wait for a timer: here, until the page is told to report.
  await stopTimers(page);
  const { deviceUuid } = await init(page, server);
  await idle(page);
  await clearStorage(page);
  assert.equal(await countFrame(page), 0);
  const next = await openPage(context, shop());
  const other = await init(next, server);
  assert.notEqual(other.deviceUuid, deviceUuid);
  await until("the page has the license, too", () =>
    page.evaluate((uuid) => license.status.deviceUuid === uuid, other.deviceUuid),
  );
  assert.equal(await sync(page), 0);
  assert.equal(
    server.billed("image", (row) => row.device_uuid === deviceUuid),
    1,
  );
});

test("what the standby has licensed is billed by the main server to a page without a license", async () => {
  const server = await Server.start(item("barcode_scan"));
  const main = { ...server, url: server.url };
  await server.kill();
  await server.serve("127.0.0.1:0");
  const standbyServer = server.url;
  const context = await profile(browser);
  const page = await openPage(context, shop());
  assert.equal((await init(page, main, { standbyServer })).code, 0);
  await idle(page);
  await away(page);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await page.close();
  await server.kill();
  await server.serve(new URL(main.url).host);
  const next = await openPage(context, shop());
  const { code } = await init(next, main, { standbyServer, handshakeCode: "another" });
  assert.ok(code < 0, String(code));
  assert.equal(server.billed(), 2);
});

test("what a copy has counted is billed although it gets no license of its own", async () => {
  const server = await Server.start(item("client_device", { quota: 1 }));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  await idle(page);
  // With its storage as it was two licenses ago, it is a copy.
  const earlier = await copyStorage(page);
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  await putStorageBack(page, earlier);
  assert.equal(await sync(page), -20120);
  await away(page);
  // It counts under the license that it has, and later than any server was heard.
  await pass(page, SLOT);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await page.close();
  // No server has said anything to the next page of the new identity that it could believe.
  const next = await openPage(context, shop());
  assert.equal((await init(next, server)).code, -20120);
  assert.equal(
    server.billed("scan", (row) => row.device_uuid === deviceUuid),
    2,
  );
});

test("a server whose data was put back gets what a page counted as another device", async () => {
  const server = await Server.start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  await idle(page);
  server.backUp();
  assert.equal(await countFrame(page, "a", "b"), 2);
  assert.equal(await sync(page), 0);
  // With its storage as it was two licenses ago, it is a copy.
  const earlier = await copyStorage(page);
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  await putStorageBack(page, earlier);
  assert.equal(await sync(page), 0);
  assert.notEqual(await page.evaluate(() => license.status.deviceUuid), deviceUuid);
  assert.equal(await countFrame(page, "c"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 3);
  await server.putBack();
  await until("the server accepts the device again", async () => (await sync(page)) === 0);
  await sync(page);
  assert.equal(server.billed(), 3);
  assert.equal(
    server.billed("scan", (row) => row.device_uuid === deviceUuid),
    2,
  );
});

test("eight hours in slots, with the server away for half of them, are billed slot by slot", async (t) => {
  const server = await Server.start([item("barcode_scan")]);
  t.after(() => server.stop());
  const context = await profile(browser);
  const page = await openPage(context, pages.origin("long.example"));
  assert.equal((await init(page, server)).code, 0);
  const expected = new Map();
  await page.evaluate(() => stopClocks());
  // The page's clock stands and the server's goes on: in the middle of a slot, both are in one.
  const now = await page.evaluate(() => Date.now() / 1000);
  await passForBoth(page, server, Math.floor((SLOT * 3) / 2 - (now % SLOT)));
  for (let n = 0; n < 160; n++) {
    const slot = await page.evaluate((slot) => Math.floor(Date.now() / 1000 / slot), SLOT);
    const texts = Array.from({ length: (n % 3) + 1 }, (_, k) => `${n} ${k}`);
    assert.equal(await countFrame(page, ...texts), texts.length, `slot ${n}`);
    expected.set(slot, (expected.get(slot) || 0) + texts.length);
    await passForBoth(page, server, SLOT);
    if (n === 40) await server.kill();
    if (n === 120) await server.startAgain();
    if (n % 20 === 19 && (n < 40 || n >= 120)) assert.equal(await sync(page), 0, `slot ${n}`);
  }
  assert.equal(await sync(page), 0);
  const sum = [...expected.values()].reduce((a, b) => a + b, 0);
  assert.equal(server.billed(), sum);
  const billed = new Map();
  for (const { kind, slot, total } of server.usage()) {
    if (kind === "scan") billed.set(slot, (billed.get(slot) || 0) + total);
  }
  assert.deepEqual([...billed].sort(), [...expected].sort());
});
