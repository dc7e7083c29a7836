// The time of pages in a real browser: of servers whose clock was ahead, of other pages, of stored
// licenses, and of answers that come late.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import * as web from "./support.mjs";
import {
  clearStorage,
  countFrame,
  DAY,
  idle,
  init,
  item,
  openPage,
  pass,
  profile,
  Server,
  SLOT,
  stopTimers,
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
const slotOf = (page) => page.evaluate((slot) => Math.floor(Date.now() / 1000 / slot), SLOT);

test("a count that was sent while the server's clock was ahead stays in that slot", async () => {
  const server = await start(item("barcode_scan"));
  server.setAhead(DAY);
  const page = await openPage(await profile(browser), shop());
  const before = await slotOf(page);
  assert.equal((await init(page, server)).code, 0);
  assert.equal(await countFrame(page, "a", "b"), 2);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  await server.setRight();
  assert.equal(await sync(page), 0);
  // Under another epoch, the page sends it again, and knows the time now.
  await server.kill();
  server.operate("new-epoch");
  await server.startAgain();
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  const slots = server.usage().filter(({ kind }) => kind === "scan");
  assert.equal(server.billed(), 2, JSON.stringify(slots));
  assert.ok(slots.every(({ slot }) => slot >= before + DAY / SLOT));
});

test("what was sent keeps its slot when the storage is cleared, and counts once", async () => {
  const server = await start(item("barcode_scan"));
  server.setAhead(DAY);
  const page = await openPage(await profile(browser), shop());
  assert.equal((await init(page, server)).code, 0);
  assert.equal(await countFrame(page, "a", "b"), 2);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  await clearStorage(page);
  await server.setRight();
  // While an answer is on its way, the page does not know yet that its time is wrong. It counts, and
  // stores again what it has counted before.
  await page.evaluate(() => {
    const own = globalThis.fetch;
    globalThis.fetch = async (...request) => {
      const answer = await own(...request);
      globalThis.fetch = own;
      await license.countFrame([{ format: "qr_code", rawValue: "c" }]);
      return answer;
    };
  });
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 3, JSON.stringify(server.usage()));
});

test("a license of a server whose clock was ahead is renewed when that is right", async () => {
  const server = await start(item("barcode_scan"));
  server.setAhead(DAY);
  const page = await openPage(await profile(browser), shop());
  const ahead = await init(page, server);
  await idle(page);
  await server.setRight();
  assert.equal(await countFrame(page, "a"), 1);
  // Nobody asks for a license: the page reports, and the answer tells the time.
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await until("it is reported", () => server.billed() === 1);
  await idle(page);
  const { validUntil } = await page.evaluate(() => license.status);
  const earlier = (ahead.validUntil - validUntil) / 1000;
  assert.ok(earlier > DAY / 2, `it ends ${earlier} s earlier than before`);
  assert.ok((await page.evaluate(() => events)).some(({ type }) => type === "renewed"));
});

test("the time that another page hears ends a refusal at once", async () => {
  const server = await start(item("barcode_scan", { offline_days: 1 }));
  const other = await start(item("client_device"));
  const context = await profile(browser);
  const [page, teller] = [await openPage(context, shop()), await openPage(context, shop())];
  // What it does later would hide what it does at once.
  await stopTimers(page);
  assert.equal((await init(page, server)).code, 0);
  assert.equal((await init(teller, other)).code, 0);
  await idle(page);
  await page.route("**/v1/**", (route) => route.abort());
  for (const tab of [page, teller]) await pass(tab, 2 * DAY);
  assert.equal(await countFrame(page, "a"), -20003);
  await idle(page);
  assert.equal(await countFrame(page, "a"), -20003);
  await page.evaluate(() => {
    const channel = new BroadcastChannel("seatmeter");
    globalThis.told = new Promise((resolve) => {
      channel.onmessage = ({ data }) => data.time && resolve();
    });
  });
  assert.equal(await sync(teller), 0);
  await page.evaluate(() => told);
  assert.equal(await countFrame(page, "a"), 1);
});

test("a page that begins without a server counts no earlier than its license", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  const before = await slotOf(page);
  assert.equal((await init(page, server)).code, 0);
  await idle(page);
  await server.kill();
  await clearStorage(page);
  // It stores its license again, and no time.
  assert.equal(await sync(page), -20200);
  const next = await openPage(context, shop());
  await next.evaluate((seconds) => setWallClock(seconds), -30 * DAY);
  assert.equal((await init(next, server)).code, 0);
  assert.equal(await countFrame(next, "a"), 1);
  await server.startAgain();
  assert.equal(await sync(next), 0);
  const slots = server.usage().filter(({ kind }) => kind === "scan");
  assert.equal(server.billed(), 1, JSON.stringify(slots));
  assert.ok(slots.every(({ slot }) => slot >= before), JSON.stringify(slots));
});

test("an answer that a page has slept over does not set its clock back", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  const before = await slotOf(page);
  assert.equal((await init(page, server)).code, 0);
  await idle(page);
  assert.equal(await countFrame(page, "a"), 1);
  let wake;
  const slept = new Promise((resolve) => (wake = resolve));
  const sleep = async (route) => {
    const response = await route.fetch();
    // Only the wall clock goes on in sleep.
    await page.evaluate((seconds) => setWallClock(seconds), 3 * SLOT);
    server.setAhead(3 * SLOT);
    await route.fulfill({ response });
    wake();
  };
  await page.route("**/v1/usage", sleep, { times: 1 });
  // The page reports, and asks for nothing more that would tell the time.
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await slept;
  await idle(page);
  assert.equal(await countFrame(page, "b"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  assert.equal(
    server.billed("scan", ({ slot }) => slot >= before + 2),
    1,
  );
});
