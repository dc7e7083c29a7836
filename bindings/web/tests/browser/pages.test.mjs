// Pages in a real browser: devices, counts and refusals, as the rules say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import * as web from "./support.mjs";
import {
  countFrame,
  init,
  item,
  openPage,
  pass,
  profile,
  Server,
  SLOT,
  sync,
  until,
} from "./support.mjs";

let browser;
let pages;

before(async () => {
  ({ pages, browser } = await web.begin());
});
after(web.end);

const start = Server.start;
const shop = () => pages.origin("shop.example");

test("a page gets a license, counts each barcode once in the forget time, and the server bills it", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  const status = await init(page, server);
  assert.equal(status.code, 0, status.message);
  assert.equal(status.chargeWay, "barcode_scan");
  await page.evaluate(() => stopClocks());
  assert.equal(await countFrame(page, "a", "b", "a"), 2);
  assert.equal(await countFrame(page, "a"), 0);
  await pass(page, 2.9);
  assert.equal(await countFrame(page, "a"), 0);
  await pass(page, 0.2);
  assert.equal(await countFrame(page, "a"), 1);
  assert.equal(
    await page.evaluate(() =>
      license.countImage([
        { format: 1, text: "a" },
        { format: 1, text: "a" },
      ]),
    ),
    1,
  );
  assert.equal(await page.evaluate(() => license.countImage([{ format: 1, text: "a" }])), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 5);
  assert.equal(server.billed("image"), 6);
  assert.equal(
    server.billed("scan", ({ what }) => what === 0x4000000),
    3,
  );
});

test("ten tabs and a worker are one device, whose counts are summed, and one of them talks at a time", async () => {
  const server = await start(item("client_device", { quota: 1 }));
  const context = await profile(browser);
  let requests = 0;
  let most = 0;
  let asked = 0;
  context.on("request", (request) => {
    if (request.method() !== "POST") return;
    if (request.url().endsWith("authorizations")) asked++;
    most = Math.max(most, ++requests);
  });
  for (const end of ["requestfinished", "requestfailed"]) {
    context.on(end, (request) => request.method() === "POST" && requests--);
  }
  const tabs = await Promise.all(Array.from({ length: 10 }, () => openPage(context, shop())));
  const statuses = await Promise.all(tabs.map((tab) => init(tab, server)));
  assert.equal(new Set(statuses.map(({ deviceUuid }) => deviceUuid)).size, 1);
  assert.deepEqual(
    statuses.map(({ code }) => code),
    Array(10).fill(0),
  );
  assert.ok(asked <= 3, `${asked} authorizations for ten tabs that begin together`);
  await Promise.all(tabs.map((tab, n) => countFrame(tab, "same", `own ${n}`)));
  const options = { server: server.url, handshakeCode: web.CODE, rootKey: server.rootKey };
  const inWorker = await tabs[0].evaluate(
    (options) =>
      new Promise((resolve) => {
        const worker = new Worker("/worker.js", { type: "module" });
        worker.onmessage = ({ data }) => resolve(data);
        worker.postMessage({ options, barcodes: [{ format: 1, text: "in a worker" }] });
      }),
    options,
  );
  assert.deepEqual(inWorker, { counted: 1, uuid: statuses[0].deviceUuid });
  await Promise.all(tabs.map(sync));
  assert.equal(server.billed(), 21);
  assert.equal(most, 1, "more than one request was in flight");
});

test("another profile and another origin are other devices, and the same ones come back", async () => {
  const server = await start(item("client_device", { quota: 2 }));
  const one = await profile(browser);
  const other = await profile(browser);
  const first = await init(await openPage(one, shop()), server);
  assert.equal((await init(await openPage(one, shop()), server)).deviceUuid, first.deviceUuid);
  const second = await init(await openPage(one, pages.origin("till.example")), server);
  assert.equal(second.code, 0);
  assert.notEqual(second.deviceUuid, first.deviceUuid);
  const third = await init(await openPage(other, shop()), server);
  assert.equal(third.code, -20120, "two devices have the two seats");
  const again = await init(await openPage(one, shop()), server);
  assert.equal(again.code, 0, "a device that holds a seat goes on");
});

test("a private window is another device each time, and what it has reported stays billed", async () => {
  const server = await start(item("barcode_scan"));
  const uuids = new Set();
  for (let n = 1; n <= 3; n++) {
    const window = await profile(browser);
    const page = await openPage(window, shop());
    uuids.add((await init(page, server)).deviceUuid);
    assert.equal(await countFrame(page, "a", "b"), 2);
    assert.equal(await sync(page), 0);
    await window.close();
    assert.equal(server.billed(), 2 * n);
  }
  assert.equal(uuids.size, 3);
});

test("hosts under a licensed domain are served, and other tenants of a multi-tenant suffix are not", async () => {
  const server = await start(item("domain", { domains: ["company.com", "a.github.io"] }));
  for (const [host, code] of [
    ["company.com", 0],
    ["shop.company.com", 0],
    ["a.github.io", 0],
    ["www.a.github.io", 0],
    ["b.github.io", -20103],
    ["mycompany.com", -20103],
    ["company.com.example", -20103],
  ]) {
    const page = await openPage(await profile(browser), pages.origin(host));
    assert.equal((await init(page, server)).code, code, host);
    await page.context().close();
  }
});

test("a foreign site gets nothing, and its developer reads why in the console", async () => {
  const server = await start(item("barcode_scan"), { websites: ["company.com"] });
  const page = await openPage(await profile(browser), pages.origin("evil.example"));
  const refused = await init(page, server);
  assert.equal(refused.code, -20103);
  assert.match(refused.message, /https:\/\/evil\.example.* is not licensed on this server/);
  assert.ok(
    page.lines.some((line) => line.includes("is not licensed on this server")),
    page.lines.join("\n"),
  );
  assert.equal(server.usage().length, 0);
});

test("a server over http is refused on a page over https before anything is sent", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  const refused = await init(page, { ...server, url: "http://license.example:48080" });
  assert.equal(refused.code, -10038);
  assert.match(refused.message, /mixed content/);
});

test("a stored license serves at once without the network, and tells that it is offline", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  await init(await openPage(context, shop()), server);
  await server.kill();
  const page = await openPage(context, shop());
  assert.equal((await init(page, server)).code, 0);
  assert.equal(await countFrame(page, "a"), 1);
  await until("the page is offline", () => page.evaluate(() => license.status.isOffline));
  assert.equal(await page.evaluate(() => license.status.code), -20012);
  assert.ok((await page.evaluate(() => events)).some(({ type }) => type === "offline"));
  await pass(page, 60);
  assert.equal(await countFrame(page, "a"), 1, "it counts on");
  assert.equal(await sync(page), -20200);
  await server.startAgain();
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  assert.equal(await page.evaluate(() => license.status.code), 0);
});

test("a page without a stored license and without a server gets -20200 within its time", async () => {
  const server = await start(item("barcode_scan"));
  await server.kill();
  const page = await openPage(await profile(browser), shop());
  const refused = await init(page, server, { timeout: 3000 });
  assert.equal(refused.code, -20200);
  assert.match(refused.message, /cannot be reached|no answer within/);
  await server.startAgain();
});

test("work is offline for as long as the license says, and no longer", async () => {
  const server = await start(item("barcode_scan", { offline_days: 1 }));
  const page = await openPage(await profile(browser), shop());
  await init(page, server);
  await server.kill();
  await pass(page, 86400 - 120);
  assert.equal(await countFrame(page, "a"), 1);
  await pass(page, 240);
  assert.equal(await countFrame(page, "b"), -20003);
  await server.startAgain();
  // The page's clock is ahead of the server's now, as if it had been set forward: contact heals it.
  assert.equal(await sync(page), 0);
  assert.equal(await countFrame(page, "b"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
});

test("work before and after a slot's edge is billed in its own slot, however late it is reported", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  await init(page, server);
  const inSlot = await page.evaluate((slot) => (Date.now() / 1000) % slot, SLOT);
  await server.kill();
  // Ten seconds before the edge, then ten after it.
  let ahead = SLOT - inSlot - 10;
  if (ahead < 0) ahead += SLOT;
  await pass(page, ahead);
  const early = await page.evaluate((slot) => Math.floor(Date.now() / 1000 / slot), SLOT);
  assert.equal(await countFrame(page, "a"), 1);
  await pass(page, 20);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await pass(page, 3 * SLOT);
  server.setAhead(ahead + 20 + 3 * SLOT);
  await server.startAgain();
  assert.equal(await sync(page), 0);
  assert.equal(
    server.billed("scan", ({ slot }) => slot === early),
    1,
  );
  assert.equal(
    server.billed("scan", ({ slot }) => slot === early + 1),
    2,
  );
  assert.equal(server.billed(), 3);
});

test("a clock that is set wrong costs nothing and stretches nothing while the server answers", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  const now = Math.floor(Date.now() / 1000 / SLOT);
  await page.evaluate(() => setWallClock(-3 * 365 * 86400));
  await init(page, server);
  await countFrame(page, "a");
  await page.evaluate(() => setWallClock(6 * 365 * 86400));
  await countFrame(page, "b");
  await until("the page has healed", async () => {
    await sync(page);
    return (await countFrame(page, `c${Math.random()}`)) === 1;
  });
  const status = await page.evaluate(() => license.status);
  assert.equal(status.code, 0, status.message);
  await sync(page);
  const slots = server.usage().map(({ slot }) => slot);
  assert.ok(
    slots.every((slot) => slot >= now && slot <= now + 2),
    `${slots} beside ${now}`,
  );
});

test("a storage that is cleared under an open page loses nothing that the page has confirmed", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  assert.equal(await countFrame(page, "a", "b"), 2);
  await web.clearStorage(page);
  assert.equal(await countFrame(page, "c"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 3);
  assert.equal(await page.evaluate(() => license.status.deviceUuid), deviceUuid);
  const next = await openPage(context, shop());
  assert.equal((await init(next, server)).deviceUuid, deviceUuid);
});

test("a storage that is cleared while no page is open makes another device", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  await page.evaluate(() => license.close());
  await web.clearStorage(page);
  const next = await init(await openPage(context, shop()), server);
  assert.equal(next.code, 0, next.message);
  assert.notEqual(next.deviceUuid, deviceUuid);
});

test("a used-up item refuses every tab, and one that starts later, and more quota serves again", async () => {
  const server = await start(item("barcode_scan", { quota: 10 }));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  assert.equal(await countFrame(page, ..."abcdefghijk"), 11);
  assert.equal(await sync(page), -20120);
  assert.equal(await countFrame(page, "l"), -20120);
  assert.ok(
    (await page.evaluate(() => events)).some(
      ({ type, code }) => type === "refused" && code === -20120,
    ),
  );
  const next = await openPage(context, shop());
  assert.equal((await init(next, server)).code, -20120);
  server.items[0].quota = 100;
  server.issue();
  assert.equal(await sync(page), 0);
  assert.equal(await countFrame(page, "l"), 1);
});

test("strict: tabs never count more than is allowed together", async () => {
  const server = await start(item("barcode_scan", { quota: 40, strict: true }));
  const context = await profile(browser);
  const tabs = await Promise.all(Array.from({ length: 4 }, () => openPage(context, shop())));
  for (const tab of tabs) assert.equal((await init(tab, server)).code, 0);
  const counted = await Promise.all(
    tabs.map((tab, t) =>
      tab.evaluate(async (t) => {
        let counted = 0;
        for (let n = 0; n < 15; n++) {
          counted += await license.countImage([{ format: 1, text: `${t} ${n}` }]).catch(() => 0);
        }
        return counted;
      }, t),
    ),
  );
  await Promise.all(tabs.map(sync));
  const performed = counted.reduce((sum, n) => sum + n, 0);
  assert.equal(performed, 42, "quota and grace, and all of it can be used");
  assert.equal(server.billed(), 42);
});

test("a revoked item ends with -20113 at the next contact, also for a page that starts offline", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  server.operate("item", "revoke", "barcode_scan", "--yes");
  assert.equal(await sync(page), -20113);
  assert.equal(await countFrame(page, "a"), -20113);
  await server.kill();
  const next = await openPage(context, shop());
  assert.ok([-20113, -20200].includes((await init(next, server)).code));
});

test("what was counted before an item was revoked is billed, although the next page gets no license", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  await context.route("**/v1/usage", (route) => route.abort());
  assert.equal(await countFrame(page, "a", "b"), 2);
  await page.close();
  await context.unroute("**/v1/usage");
  server.operate("item", "revoke", "barcode_scan", "--yes");
  const next = await openPage(context, shop());
  await pass(next, 31 * 86400);
  assert.equal((await init(next, server)).code, -20113);
  assert.equal(server.billed(), 2);
});

test("pages are counted by module, and a used-up module refuses that module alone", async () => {
  const server = await start(item("page", { page_quotas: { ocr: 10, core: 100 } }));
  const page = await openPage(await profile(browser), shop());
  await init(page, server);
  const count = (module, n) =>
    page.evaluate(
      ([module, n]) => license.countPages(module, n).catch((error) => error.code),
      [module, n],
    );
  assert.equal(await count("OCR", 11), 11);
  assert.equal(await count(1, 3), 3);
  assert.equal(await count("LASER", 1), -10038);
  assert.equal(await count("OCR", -1), -10038);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed("page"), 14);
  assert.equal(await count(4, 1), -20120);
  assert.equal(await count("core", 1), 1);
});

test("the grace after expiry is told, and never silent", async () => {
  const now = Math.floor(Date.now() / 1000);
  const server = await start(item("barcode_scan", { expires_at: now - 60 }));
  const page = await openPage(await profile(browser), shop());
  const status = await init(page, server);
  assert.equal(status.code, 0, status.message);
  assert.equal(await page.evaluate(() => license.status.isInGrace), true);
});

test("a page that another page follows under another password is not served by its license", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  assert.equal((await init(page, server, { applicationID: "a" })).code, 0);
  await server.kill();
  const next = await openPage(context, shop());
  const refused = await init(next, server, { applicationID: "b", timeout: 3000 });
  assert.equal(refused.code, -20200, "its server is asked first");
});

test("a clock that is set back while the server is away does not stretch a license", async () => {
  const server = await start(item("barcode_scan", { offline_days: 1 }));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  await server.kill();
  await pass(page, 86400 - 120);
  assert.equal(await countFrame(page, "a"), 1);
  await page.close();
  // The next page has the true time again, as if the clock had been set back by a day.
  const next = await openPage(context, shop());
  assert.equal((await init(next, server)).code, 0);
  await pass(next, 240);
  assert.equal(await countFrame(next, "b"), -20003);
  await server.startAgain();
});

test("a page that begins offline reports as soon as the server is back", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  await init(await openPage(context, shop()), server);
  await server.kill();
  const page = await openPage(context, shop());
  await init(page, server);
  assert.equal(await countFrame(page, "a"), 1);
  await server.startAgain();
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await until("it is billed", () => server.billed() === 1);
});

test("strict: a page that is closed gives back what it does not need", async () => {
  const server = await start(item("barcode_scan", { quota: 40, strict: true }));
  const one = await openPage(await profile(browser), shop());
  await init(one, server);
  assert.equal(await countFrame(one, "a"), 1);
  await one.evaluate(() => license.close());
  const other = await openPage(await profile(browser), shop());
  await init(other, server);
  const counted = await other.evaluate(async () => {
    let counted = 0;
    for (let n = 0; n < 50; n++)
      counted += await license.countImage([{ format: 1, text: `${n}` }]).catch(() => 0);
    return counted;
  });
  assert.equal(counted, 41, "42 with the grace, and one is used");
});

test("a concurrent-device item that is overused admits by the slot, and tells who holds the seats", async () => {
  const server = await start(item("concurrent_device", { quota: 1, overuse_budget: 0 }));
  const open = async () => openPage(await profile(browser), shop());
  const [one, other] = [await open(), await open()];
  assert.equal((await init(one, server)).code, 0);
  assert.equal((await init(other, server)).code, 0);
  await countFrame(one, "a");
  await countFrame(other, "a");
  await sync(one);
  await sync(other);
  server.setAhead(2 * SLOT);
  await pass(one, 2 * SLOT);
  await pass(other, 2 * SLOT);
  const outcomes = [await sync(one), await sync(other)];
  assert.ok(
    outcomes.includes(-20130) || outcomes.includes(-20120) || outcomes.includes(-20008),
    String(outcomes),
  );
});
