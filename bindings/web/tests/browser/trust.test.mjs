// Whom a page believes: copies of a profile, answers that were changed, standbys, and odd pages.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as web from "./support.mjs";
import {
  copyStorage,
  countFrame,
  DAY,
  idle,
  init,
  item,
  openPage,
  profile,
  putStorageBack,
  Server,
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

test("a copied profile takes an identity of its own, and nothing of its usage is lost", async () => {
  const server = await start(item("barcode_scan"));
  const folder = mkdtempSync(join(tmpdir(), "seatmeter-profile-"));
  const [one, other] = [join(folder, "one"), join(folder, "other")];
  let context = await web.launchProfile(one);
  let page = await openPage(context, shop());
  const { deviceUuid } = await init(page, server);
  // What it counts now is still to be reported when the profile is copied.
  await context.route("**/v1/**", (route) => route.abort());
  assert.equal(await countFrame(page, "copied"), 1);
  await context.close();
  cpSync(one, other, { recursive: true });
  context = await web.launchProfile(one);
  page = await openPage(context, shop());
  await init(page, server);
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  assert.equal(await page.evaluate(() => license.status.deviceUuid), deviceUuid);
  await context.close();
  context = await web.launchProfile(other);
  page = await openPage(context, shop());
  await init(page, server);
  assert.equal(await countFrame(page, "in the copy"), 1);
  assert.equal(await sync(page), 0);
  const fresh = await page.evaluate(() => license.status.deviceUuid);
  assert.notEqual(fresh, deviceUuid);
  assert.equal(await countFrame(page, "as another device"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 3, "the copied count is one, the others are two");
  assert.equal(server.billed("scan", (row) => row.device_uuid === fresh) >= 1, true);
  await context.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a copy is noticed by its first report, whatever other servers it knows", async () => {
  const [server, other] = [await start(item("barcode_scan")), await start(item("barcode_scan"))];
  const context = await profile(browser);
  assert.equal((await init(await openPage(context, shop()), other)).code, 0);
  const page = await openPage(context, shop());
  const { deviceUuid, code, message } = await init(page, server);
  assert.equal(code, 0, message);
  await idle(page);
  // One copy gets a license and does not show it; another one shows those that it gets.
  const earlier = await copyStorage(page);
  assert.equal(await sync(page), 0);
  const later = await copyStorage(page);
  await putStorageBack(page, earlier);
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), 0);
  await putStorageBack(page, later);
  assert.equal(await countFrame(page, "a"), 1);
  // Nobody asks for a license: the answer to the report says that it is of another history.
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await until("it is reported", () => server.billed() === 1);
  await idle(page);
  assert.notEqual(await page.evaluate(() => license.status.deviceUuid), deviceUuid);
});

test("an answer that was changed on its way is not believed, and stops nothing", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  for (const change of [
    (answer) => ({ ...answer, body: answer.body.replace("within", "used_up") }),
    (answer) => ({
      ...answer,
      status: 403,
      body: '{"code":-20113,"detail":"revoked","status":403}',
    }),
    (answer) => ({ ...answer, headers: { ...answer.headers, "seatmeter-time": "1" } }),
    (answer) => ({ ...answer, headers: { ...answer.headers, "seatmeter-signature": "00.0.1" } }),
    (answer) => ({ ...answer, headers: {}, body: "<html>sign in</html>" }),
  ]) {
    await context.route("**/v1/authorizations", async (route) => {
      const response = await route.fetch();
      const answer = {
        status: response.status(),
        headers: response.headers(),
        body: await response.text(),
      };
      await route.fulfill(change(answer));
    });
    assert.ok([-20003, -20200].includes(await sync(page)), String(change));
    await context.unroute("**/v1/authorizations");
    assert.equal(await countFrame(page, String(change)), 1, "it counts on");
  }
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 5);
});

test("an answer to an earlier request is not believed", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const page = await openPage(context, shop());
  await init(page, server);
  let earlier;
  await context.route("**/v1/authorizations", async (route) => {
    const response = await route.fetch();
    earlier ??= {
      status: response.status(),
      headers: response.headers(),
      body: await response.text(),
    };
    await route.fulfill(earlier);
  });
  assert.equal(await sync(page), 0);
  assert.equal(await sync(page), -20003);
});

test("another vendor's server is not believed", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  const refused = await init(page, server, { rootKey: "1".repeat(64) });
  assert.equal(refused.code, -20003);
});

test("a page that knows an issue of a license file takes nothing from an earlier one", async () => {
  const server = await start(item("barcode_scan"));
  server.backUp();
  server.issue();
  const page = await openPage(await profile(browser), shop());
  assert.equal((await init(page, server)).code, 0);
  await idle(page);
  await server.putBack();
  assert.equal(await sync(page), -20003);
  assert.equal(await countFrame(page, "a"), 1, "it counts on");
  server.issue();
  assert.equal(await sync(page), 0);
});

test("license files of two vendors are two files, also if they have one id", async () => {
  const server = await start(item("barcode_scan"));
  const other = await start(item("barcode_scan"), { issuedAt: server.issuedAt - 60 });
  const context = await profile(browser);
  for (const vendor of [server, other]) {
    const { code, message } = await init(await openPage(context, shop()), vendor);
    assert.equal(code, 0, message);
  }
});

test("a vendor's clock may be ahead of the server's", async () => {
  const now = Math.floor(Date.now() / 1000);
  const server = await start(item("barcode_scan"), { issuedAt: now + DAY / 2 });
  const { code, message } = await init(await openPage(await profile(browser), shop()), server);
  assert.equal(code, 0, message);
});

test("the standby is asked where the main server does not answer", async () => {
  const [main, standby] = [await start(item("barcode_scan")), await start(item("barcode_scan"))];
  await main.kill();
  const page = await openPage(await profile(browser), shop());
  const { rootKey } = standby;
  const status = await init(page, main, { rootKey, standbyServer: standby.url });
  assert.equal(status.code, 0, status.message);
  assert.equal(await countFrame(page, "a"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(standby.billed(), 1);
  await main.startAgain();
});

test("a page that was licensed at the URL of the standby shows that at the URL of the main server", async () => {
  const server = await start(item("barcode_scan"));
  const main = server.url;
  await server.kill();
  await server.serve("127.0.0.1:0");
  const page = await openPage(await profile(browser), shop());
  const { deviceUuid } = await init(page, { ...server, url: main }, { standbyServer: server.url });
  assert.equal(await countFrame(page, "a"), 1);
  assert.equal(await sync(page), 0);
  await server.kill();
  await server.serve(new URL(main).host);
  assert.equal(await sync(page), 0);
  assert.equal(await countFrame(page, "b"), 1);
  assert.equal(await sync(page), 0);
  assert.equal(server.billed(), 2);
  assert.equal(await page.evaluate(() => license.status.deviceUuid), deviceUuid);
});

test("a page in a sandbox has no origin, and is told so", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  await page.evaluate(() => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.srcdoc = "<p>sandboxed";
    document.body.append(frame);
    return new Promise((resolve) => (frame.onload = resolve));
  });
  const frame = page.frames().at(-1);
  const module = `${shop()}/seatmeter.js`;
  const outcome = await frame.evaluate(
    async ([module, server, handshakeCode]) => {
      const { Seatmeter } = await import(module).catch(() => ({}));
      if (!Seatmeter) return "the module cannot be loaded";
      return Seatmeter.init({ server, handshakeCode }).then(
        () => "licensed",
        ({ code }) => code,
      );
    },
    [module, server.url, web.CODE],
  );
  assert.ok(["the module cannot be loaded", -20002, -20009].includes(outcome), outcome);
});

test("a page without storage is told so", async () => {
  const server = await start(item("barcode_scan"));
  const page = await openPage(await profile(browser), shop());
  await page.evaluate(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("denied", "SecurityError");
    };
  });
  const refused = await init(page, server);
  assert.equal(refused.code, -20002);
  assert.match(refused.message, /IndexedDB/);
});

test("no key of a device can be read by a script, and no content of a barcode is sent or stored", async () => {
  const server = await start(item("barcode_scan"));
  const context = await profile(browser);
  const sent = [];
  context.on("request", (request) => sent.push(request.url(), request.postData() ?? ""));
  const page = await openPage(context, shop());
  await init(page, server);
  assert.equal(await countFrame(page, "a-secret-content"), 1);
  assert.equal(await sync(page), 0);
  const stored = await page.evaluate(async () => {
    const open = indexedDB.open("seatmeter");
    const database = await new Promise((resolve) => (open.onsuccess = () => resolve(open.result)));
    const rows = [];
    for (const name of database.objectStoreNames) {
      const all = database.transaction(name).objectStore(name).getAll();
      rows.push(...(await new Promise((resolve) => (all.onsuccess = () => resolve(all.result)))));
    }
    const keys = rows.flatMap((row) => [row.privateKey, row.reportKey?.key]).filter(Boolean);
    return { text: JSON.stringify(rows), extractable: keys.map((key) => key.extractable) };
  });
  assert.deepEqual(stored.extractable, [false, false]);
  for (const text of [stored.text, ...sent]) assert.ok(!text.includes("a-secret-content"));
});
