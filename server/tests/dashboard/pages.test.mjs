// Every screen of the dashboard in a real browser: with a year of use and 10 000 devices, and empty.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ITEMS, Server } from "./server.mjs";
import { close, digits, launch, login, overflow, raw, violations } from "./visit.mjs";

const { DASHBOARD_FILL, DASHBOARD_SHOTS } = process.env;

const SCRIPT = "<script>alert(1)</script>";
const SCREENS = [
  "",
  ...ITEMS.map(({ item_id }) => `/items/${item_id}`),
  "/items/floor?date=DATE&slot=SLOT",
  "/devices",
  "/devices/" + encodeURIComponent(SCRIPT),
  "/items/shop?host=www.example.com",
  "/refusals",
  "/alerts",
  "/alerts?past=2&events=2",
  "/usage?by=device&by=what&time=month&peaks=1",
  "/codes",
  "/licenses",
  "/plan?option=per-concurrent-device&quota=15&item=floor",
  "/audit",
  "/access",
  "/server",
];
const WIDTHS = [360, 1024, 1800];
const COMPRESSED_BYTES_MAX = 60 * 1024;

// A day on which the year of use has work.
const workday = () => {
  let day = Math.floor(Date.now() / 86400000) - 1;
  while ((day + 3) % 7 >= 5) day--;
  return day;
};
const addressed = (path) =>
  path
    .replace("DATE", new Date(workday() * 86400000).toISOString().slice(0, 10))
    .replace("SLOT", workday() * 480 + 220);

let server;
before(async () => {
  await launch();
  server = await Server.start({ fill: (database) => execFileSync(DASHBOARD_FILL, [database]) });
});
after(async () => {
  await close();
  await server?.stop();
});

const look = async (on, name, screens, label) => {
  const page = await login(on, name);
  for (const path of screens.map(addressed)) {
    const answer = await page.goto(on.url + "/dashboard" + path);
    assert.equal(answer.status(), 200, path);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      assert.ok((await overflow(page)) <= 0, `${label} ${path} overflows at ${width} px`);
      if (DASHBOARD_SHOTS) {
        const file = `${label}-${path.replace(/\W+/g, "-") || "overview"}-${width}.png`;
        mkdirSync(DASHBOARD_SHOTS, { recursive: true });
        writeFileSync(join(DASHBOARD_SHOTS, file), await page.screenshot());
      }
    }
    assert.deepEqual(await violations(page), [], `${label} ${path}`);
    assert.deepEqual(page.troubles, [], `${label} ${path}`);
  }
  await page.context().close();
};

test("every screen with a year of use is whole, fits, and can be used by everybody", async () => {
  await look(server, "admin", SCREENS, "year");
});

test("every screen in the dark and in German is whole", async () => {
  const page = await login(server, "operator", { colorScheme: "dark", locale: "de" });
  assert.equal(await page.getAttribute("html", "lang"), "de");
  for (const path of SCREENS.map(addressed)) {
    await page.goto(server.url + "/dashboard" + path);
    await page.setViewportSize({ width: 360, height: 800 });
    assert.ok((await overflow(page)) <= 0, path);
    assert.deepEqual(await violations(page), [], path);
  }
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("every screen without a license says what to do", async () => {
  const empty = await Server.start({ items: [] });
  try {
    const screens = SCREENS.filter((path) => !path.startsWith("/items/") && !path.startsWith("/devices/"));
    await look(empty, "admin", screens.map((path) => path.replace("&item=floor", "")), "empty");
    const page = await login(empty, "admin");
    assert.equal(await page.textContent("#key"), empty.run("key", "show").trim());
    await page.context().close();
  } finally {
    await empty.stop();
  }
});

test("pages work without JavaScript, and are small", async () => {
  const page = await login(server, "operator", { javaScriptEnabled: false });
  const [{ value }] = await page.context().cookies(server.url);
  for (const path of SCREENS.map(addressed)) {
    const answer = await page.goto(server.url + "/dashboard" + path);
    assert.equal(answer.status(), 200, path);
    const headers = { cookie: `seatmeter_session=${value}`, "accept-encoding": "gzip" };
    const { bytes, length } = await raw(server.url + "/dashboard" + path, headers);
    assert.ok(length <= COMPRESSED_BYTES_MAX, `${path} has ${length} bytes`);
    assert.ok(gunzipSync(bytes).includes("</html>"), path);
  }
  await page.goto(server.url + "/dashboard/items/floor?date=" + addressed("DATE"));
  assert.ok(await page.locator("#day svg path.within").count());
  await page.context().close();
});

test("the first screen is small, and it is said how soon it can be used", async (t) => {
  const page = await login(server, "viewer");
  const { bytes, painted, interactive, loaded } = await page.evaluate(() => {
    const [page] = performance.getEntriesByType("navigation");
    const all = [page, ...performance.getEntriesByType("resource")];
    return {
      bytes: all.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
      painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
      interactive: page.domInteractive,
      loaded: page.domContentLoadedEventEnd,
    };
  });
  t.diagnostic(`the first screen: ${bytes} bytes; ms: painted ${painted}, read ${interactive}, usable ${loaded}`);
  assert.ok(bytes > 10000 && bytes <= COMPRESSED_BYTES_MAX, `style, scripts and page have ${bytes} bytes`);
  await page.context().close();
});

test("the numbers are those of the command line", async () => {
  const page = await login(server, "viewer");
  const status = server.ask("status");
  for (const item of status.items) {
    const card = page.locator(".card", { has: page.getByRole("link", { name: item.item_id, exact: true }) });
    const shown = await card.locator(".meter-text b").allTextContents();
    assert.deepEqual(shown.map(digits), item.meters.map(({ used }) => used), item.item_id);
  }
  await page.goto(`${server.url}/dashboard/items/floor?date=${addressed("DATE")}`);
  const day = server.ask("day", "floor", addressed("DATE"));
  const facts = await page.locator("#day .facts dd").allTextContents();
  assert.deepEqual([parseInt(facts[0], 10), digits(facts[1]), digits(facts[2])], [day.peak, day.total, day.excess]);
  await page.locator("#day summary").click();
  assert.equal(await page.locator("#day details tbody tr").count(), day.slots.filter(({ count }) => count).length);
  const since = new Date(Date.now() - 30 * 86400000).toISOString().slice(0, 10);
  await page.goto(server.url + "/dashboard/refusals");
  const refusals = server.ask("refusals", "--since", since);
  assert.equal(digits(await page.textContent(".big b")), refusals.refused);
  await page.locator("#hours summary").click();
  const hours = (await page.locator("#hours tbody td.n").allTextContents()).map(digits);
  assert.deepEqual(hours, refusals.by_hour.map(({ refused }) => refused).reverse());
  assert.ok(await page.locator("#hours svg path.within").count());
  await page.goto(server.url + "/dashboard/alerts");
  const { alerts } = server.ask("alert", "list");
  const open = alerts.filter(({ recovered_at }) => recovered_at == null);
  assert.equal(digits(await page.textContent("#open-count")), open.length);
  assert.equal(digits(await page.textContent("#past h2 span")), alerts.length - open.length);
  assert.deepEqual(await page.locator("#past td.sentence").allTextContents(),
    alerts.filter(({ recovered_at }) => recovered_at != null).slice(0, 50).map(({ detail }) => detail));
  const { events } = server.ask("alert", "events");
  const times = (await page.locator("#events time").evaluateAll((all) => all.map(({ dateTime }) => dateTime))).map((at) => Date.parse(at) / 1000);
  assert.deepEqual(times, events.slice(0, 50).map(({ at }) => at));
  await page.goto(server.url + "/dashboard/items/shop");
  await page.fill("input[name=host]", "https://www.example.com/x");
  await page.locator("#host button").click();
  const [decided] = server.ask("domains", "list", "--item", "shop", "--host", "www.example.com").explained.items;
  assert.equal(decided.is_allowed, true);
  assert.equal(await page.textContent("#host .state"), "may use the item");
  assert.equal(await page.textContent("#host .told"), decided.detail);
  await page.goto(server.url + "/dashboard/usage?by=item&by=kind&from=2000-01-01");
  const usage = server.ask("usage", "sum", "--by", "item,kind", "--from", "2000-01-01");
  const total = await page.locator("tbody tr td.n").first().textContent();
  assert.equal(digits(total), usage.rows[0].total);
  const csv = await page.request.get(new URL(await page.locator("a[download]").getAttribute("href"), server.url).href);
  assert.equal((await csv.text()).split("\r\n")[1], `${usage.rows[0].item_id},scan,${usage.rows[0].total}`);
  await page.context().close();
});

test("every action does what the command line does, and is in the audit log", async () => {
  const page = await login(server, "admin");
  const last = () => server.ask("audit", "list")[0];
  const told = async (action, subject) => {
    assert.equal(await page.getByRole("status").count(), 1);
    const { actor, ...line } = last();
    assert.deepEqual([actor, line.action, line.subject], ["user: admin", action, subject]);
  };
  const name = "\u202eRTL <b>bold</b> \u{1f600}";
  await page.goto(server.url + "/dashboard/devices?name=till+4181");
  await page.locator("tbody td.code a").click();
  const uuid = new URL(page.url()).pathname.split("/").pop();
  await page.fill("form[action$=rename] input[name=name]", name);
  await page.click("form[action$=rename] button");
  await told(last().action, uuid);
  assert.equal(await page.textContent("h1"), name.replace("\u202e", "\\u202e"), "what turns text around is seen");
  assert.equal(await page.inputValue("form[action$=rename] input[name=name]"), name);
  await page.getByRole("button", { name: "Release" }).first().click();
  await told(last().action, last().subject);
  assert.ok(server.ask("explain", uuid).devices[0].licenses.every(({ is_running }) => !is_running));

  await page.goto(server.url + "/dashboard/codes");
  await page.fill("form[action$=new] input[name=code]", "SECOND");
  await page.click("form[action$=new] button");
  await page.selectOption("select[name=add]", "floor");
  await page.getByRole("button", { name: "Save" }).first().click();
  await page.selectOption("select[name=add]", "scans");
  await page.getByRole("button", { name: "Save" }).first().click();
  await page.getByRole("button", { name: "Move up scans" }).click();
  const code = () => server.list("handshake").find((row) => row.handshake_code === "SECOND");
  assert.deepEqual([code().item_ids, code().own_order], [["scans", "floor"], true]);
  await page.locator("ol.sortable li", { hasText: "floor" }).dragTo(page.locator("ol.sortable li", { hasText: "scans" }), { targetPosition: { x: 5, y: 2 } });
  await page.getByRole("button", { name: "Save" }).first().click();
  assert.deepEqual(code().item_ids, ["floor", "scans"], "put in order by drag");
  await page.getByText("Who may use it").click();
  await page.fill("input[name=password]", "sesame");
  await page.fill("textarea[name=website_domains]", "example.com\nexample.org");
  await page.getByRole("button", { name: "Save" }).last().click();
  assert.deepEqual([code().has_password, code().validation.website_domains], [true, ["example.com", "example.org"]]);
  await page.getByText("Who may use it").click();
  await page.getByRole("button", { name: "Save" }).last().click();
  assert.match(await page.textContent("main"), /write it again/, "a password is not lost by a change of fields");
  assert.equal(code().has_password, true);
  await page.goto(server.url + "/dashboard/codes?code=SECOND");
  await page.getByText("Delete this code").first().click();
  await page.getByRole("button", { name: "Delete this code" }).click();
  assert.equal(code(), undefined);

  await page.goto(server.url + "/dashboard/access");
  await page.getByText("New token").click();
  await page.fill("form[action$=tokens] input[name=name]", "press");
  await page.getByRole("button", { name: "Make" }).last().click();
  const token = await page.textContent("#token");
  const items = await fetch(server.url + "/admin/v1/items", { headers: { authorization: "Bearer " + token } });
  assert.equal(items.status, 200);
  await page.goto(server.url + "/dashboard/access");
  await page.getByRole("button", { name: "Revoke press" }).click();
  const refused = await fetch(server.url + "/admin/v1/items", { headers: { authorization: "Bearer " + token } });
  assert.equal(refused.status, 401);

  await page.goto(server.url + "/dashboard/audit");
  await page.getByRole("button", { name: "Check the whole log" }).click();
  assert.match(await page.getByRole("status").textContent(), /The log is whole/);
  await page.goto(server.url + "/dashboard/server");
  await page.getByRole("button", { name: "Back up now" }).click();
  // A backup that takes long shows how far it is, until it is made.
  await page.getByText("The backup is made.").first().waitFor();
  assert.equal(last().action, "make backup");
  assert.ok(server.ask("status").server.backup_at > 0);
  await page.getByRole("button", { name: "Check the data now" }).click();
  await page.locator("#live .run").nth(1).waitFor();
  await page.locator("#live .run progress").waitFor({ state: "detached" });
  const checked = await page.locator("#live .run").nth(1).textContent();
  const faults = server.check();
  for (const fault of faults.length ? faults : ["The data is whole"]) assert.ok(checked.includes(fault), fault);
  assert.deepEqual(page.troubles.filter((line) => !line.includes("400")), []);
  await page.context().close();
});

test("a mistaken import is seen and stopped before it changes anything", async () => {
  const page = await login(server, "admin");
  const mistaken = ITEMS.map((item) => (item.item_id === "tills" ? { ...item, quota: 90 } : item));
  const file = server.issue(mistaken.filter(({ item_id }) => item_id !== "pages"), Math.floor(Date.now() / 1000));
  const before = server.list("item");
  await page.goto(server.url + "/dashboard/licenses");
  await page.setInputFiles("input[type=file]", { name: "file.json", mimeType: "application/json", buffer: Buffer.from(file) });
  await page.getByRole("button", { name: "What would change" }).click();
  const tills = page.locator(".card", { has: page.getByRole("heading", { name: "tills", exact: true }) });
  assert.equal(await tills.locator("del").textContent(), "9000");
  assert.equal(await tills.locator("ins").textContent(), "90");
  assert.match(await page.locator(".notice.bad").textContent(), /"tills" has \d+ seats in use, and a quota of 90/);
  const pages = page.locator(".card", { has: page.getByRole("heading", { name: "pages", exact: true }) });
  assert.match(await pages.textContent(), /not in the file any more/);
  assert.deepEqual(await violations(page), []);
  await page.getByRole("link", { name: "Cancel" }).click();
  assert.deepEqual(server.list("item"), before);

  const good = server.issue([...ITEMS, { ...ITEMS[0], item_id: "more" }], Math.floor(Date.now() / 1000));
  await page.fill("textarea[name=text]", good);
  await page.getByRole("button", { name: "What would change" }).click();
  await page.getByRole("button", { name: "Import now" }).click();
  await page.locator("main").waitFor();
  assert.ok(server.list("item").some(({ item_id }) => item_id === "more"));
  await page.context().close();
});

test("an operator's five questions are answered within three clicks", async () => {
  const page = await login(server, "viewer");
  let clicks = 0;
  const click = async (locator) => (clicks++, locator.click());
  const begin = async () => ((clicks = 0), page.goto(server.url + "/dashboard"));
  const link = (name) => page.getByRole("link", { name, exact: true }).first();
  // What is used up, and when; when will the budget run out: without a click.
  await begin();
  assert.match(await page.textContent("main"), /Runs out on \d{4}-\d\d-\d\d/);
  // Who holds the seats now.
  await click(link("tills"));
  assert.match(await page.textContent("main"), /Who holds the seats now/);
  assert.ok(await page.locator("tbody tr").count());
  // What was last Monday.
  await begin();
  await click(link("floor"));
  await click(page.locator("a[rel=prev]"));
  assert.match(await page.textContent("#day h2"), /Day \d{4}-\d\d-\d\d/);
  // Why was this device refused.
  await begin();
  await click(link("Refusals"));
  await click(page.locator("td.code a", { hasText: /^[0-9a-f]{32}$/ }).first());
  assert.match(await page.textContent("main"), /What it would be told now|Refusals/);
  assert.ok(clicks <= 3);
  await page.context().close();
});

test("a part is refreshed without losing the focus, and the keyboard reaches everything", async () => {
  const page = await login(server, "viewer");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.locator(".card h3 a").first().focus();
  const marked = await page.evaluate(() => {
    document.querySelector("#live").dataset.old = "yes";
    document.querySelector("#live").dispatchEvent(new Event("refresh"));
    globalThis.htmx.trigger("#live", "every");
    return globalThis.htmx.ajax("GET", "/dashboard", { source: "#live", target: "#live", select: "#live", swap: "outerHTML" }).then(() => "sent", () => "kept");
  });
  assert.ok(marked);
  assert.equal(await page.evaluate(() => document.querySelector("#live").dataset.old), "yes", "somebody uses the part");
  await page.evaluate(() => document.activeElement.blur());
  await page.evaluate(() => globalThis.htmx.ajax("GET", "/dashboard", { source: "#live", target: "#live", select: "#live", swap: "outerHTML" }));
  await page.waitForFunction(() => document.querySelector("#live").dataset.old === undefined);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("a chart can be zoomed, and leads to the devices of a slot", async () => {
  const page = await login(server, "viewer");
  await page.goto(`${server.url}/dashboard/items/floor?date=${addressed("DATE")}`);
  await page.locator("#day").getByRole("button", { name: "Zoom" }).click();
  await page.locator("#day .uplot canvas").waitFor();
  const box = await page.locator("#day .u-over").boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForURL(/slot=\d+/);
  assert.match(await page.textContent("#day"), /Devices in the slot at/);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});
