// The core in Firefox: a license, counts, reports, and a start without the network.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import { countFrame, init, item, Server, servePages, sync } from "./support.mjs";

const { SEATMETER_WEB: built, FIREFOX: executablePath } = process.env;
const puppeteer = createRequire(join(built, "tools/package.json"))("puppeteer-core");

test("Firefox is a device that counts, reports and starts without the network", async (t) => {
  const pages = await servePages();
  t.after(() => pages.stop());
  const server = await Server.start([item("barcode_scan")]);
  t.after(() => server.stop());
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    acceptInsecureCerts: true,
  });
  t.after(() => browser.close());
  const open = async () => {
    const page = await browser.newPage();
    await page.goto(pages.origin("localhost"));
    await page.waitForFunction(() => globalThis.Seatmeter);
    return page;
  };
  const page = await open();
  const { code, deviceUuid } = await init(page, server);
  assert.equal(code, 0);
  assert.equal(await countFrame(page, "a", "b", "a"), 2);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  const key = await page.evaluate(async () => {
    const open = indexedDB.open("seatmeter");
    const database = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
    const all = database.transaction("devices").objectStore("devices").getAll();
    const rows = await new Promise((resolve) => (all.onsuccess = () => resolve(all.result)));
    return rows.map(({ privateKey }) => privateKey.extractable);
  });
  assert.deepEqual(key, [false]);
  await server.kill();
  const next = await open();
  assert.equal((await init(next, server)).deviceUuid, deviceUuid);
  assert.equal(await countFrame(next, "offline"), 1);
  await server.startAgain();
  assert.equal(await sync(next), 0);
  assert.equal(server.billed(), 3);
});
