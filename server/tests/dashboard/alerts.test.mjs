// The alerts screen in a real browser: its numbers, what is done about alerts, and how they are told.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { ITEMS, Server } from "./server.mjs";
import { close, digits, launch, login, violations } from "./visit.mjs";

before(launch);
after(close);

/** A receiver of webhooks, which keeps what it gets. */
const receive = async () => {
  const got = [];
  const receiver = createServer(async (request, answer) => {
    const chunks = await request.toArray();
    got.push({ id: request.headers["webhook-id"], ...JSON.parse(Buffer.concat(chunks)) });
    answer.writeHead(204).end();
    receiver.emit("got");
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const until = async (holds) => {
    while (!holds(got)) await once(receiver, "got");
    return got;
  };
  return { receiver, until, url: `http://127.0.0.1:${receiver.address().port}` };
};

/** A server with an item that ends soon, whose alerts go to the receiver. */
const start = (url) =>
  Server.start({
    items: ITEMS.filter(({ item_id }) => item_id === "shop"),
    options: ["--webhook-url", url + "/with-a-secret", "--webhook-network", "127.0.0.0/8"],
    env: { SEATMETERD_WEBHOOK_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" },
  });

test("what is done about alerts is done as by the command line, and arrives", async () => {
  const { receiver, until, url } = await receive();
  const server = await start(url);
  try {
    await until((got) => got.some(({ type }) => type === "alert.fired"));
    const page = await login(server, "operator");
    const list = () => server.ask("alert", "list").alerts;
    const open = server.ask("alert", "list", "--firing").alerts;
    assert.ok(open.some(({ kind, subject }) => kind === "expiry" && subject === "shop"));
    assert.equal(digits(await page.textContent("#open-alerts")), open.length);
    await page.getByRole("link", { name: "All alerts" }).click();
    assert.equal(digits(await page.textContent("#open-count")), open.length);
    const details = await page.locator("#open td.sentence").allTextContents();
    assert.deepEqual(details, open.map(({ detail }) => detail));
    const channels = await page.textContent("#channels");
    assert.ok(channels.includes(url) && !channels.includes("secret"), channels);

    const row = page.locator("#open tbody tr", { hasText: "shop" }).first();
    const known = () => list().find(({ kind, subject }) => kind === "expiry" && subject === "shop");
    await row.locator("input[type=date]").fill("2099-12-31");
    await row.getByRole("button", { name: "Mute" }).click();
    assert.equal(known().muted_until, Date.parse("2099-12-31") / 1000);
    assert.match(await row.locator(".state").textContent(), /muted until 2099-12-31/);
    await page.goto(server.url + "/dashboard");
    assert.equal(await page.locator("#alerts").count(), 0, "a muted alert is known already");
    await page.goto(server.url + "/dashboard/alerts");
    await row.getByRole("button", { name: "Tell of it again" }).click();
    assert.equal(known().muted_until, null);
    const before = known().alert_id;
    await row.getByRole("button", { name: "Re-arm" }).click();
    assert.ok(list().every(({ alert_id }) => alert_id !== before));
    const audit = server.ask("audit", "list").slice(0, 3);
    assert.deepEqual(
      audit.map(({ actor, action, subject }) => [actor, action, subject]),
      ["re-arm alert", "mute alert", "mute alert"].map((action) => ["user: operator", action, before]),
    );

    await page.getByRole("button", { name: "Send a test alert" }).click();
    const [{ id }] = (await until((got) => got.some(({ type }) => type === "alert.test"))).slice(-1);
    const told = page.locator("#events tbody tr", { hasText: "told" });
    const reload = () => page.goto(server.url + "/dashboard/alerts");
    // The receiver has answered before the server notes how it went.
    while (server.ask("alert", "events").events.some(({ deliveries }) => deliveries.some(({ state }) => state !== "done"))) {
      await reload();
    }
    await reload();
    const events = server.ask("alert", "events").events;
    assert.equal(await told.count(), events.length);
    assert.equal(await page.locator("#events tbody tr").count(), events.length);
    const tried = page.locator("#events tbody tr", { hasText: "Test" });
    await tried.getByRole("button", { name: "Tell again" }).click();
    const again = await until((got) => got.filter((one) => one.id === id).length === 2);
    assert.equal(again.at(-1).type, "alert.test", "with the same id");
    await page.fill("#rules input[name=item_id]", "shop");
    await page.fill("#rules input[name=percents]", "90,50");
    await page.locator("#rules button").click();
    assert.deepEqual(server.ask("alert", "list").item_percents, [{ item_id: "shop", percents: [50, 90] }]);
    assert.match(await page.textContent("#rules"), /shop\s*50,90 %/);
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(page.troubles, []);
    await page.context().close();
  } finally {
    await server.stop();
    receiver.close();
  }
});

test("a viewer sees alerts and no action, and alerts work without JavaScript", async () => {
  const server = await Server.start({ items: [] });
  try {
    const page = await login(server, "viewer");
    await page.goto(server.url + "/dashboard/alerts");
    assert.match(await page.textContent("#channels"), /Alerts are told nowhere/);
    assert.equal(await page.locator("main form").count(), 0);
    await page.context().close();
    const plain = await login(server, "operator", { javaScriptEnabled: false });
    await plain.goto(server.url + "/dashboard/alerts");
    await plain.getByRole("button", { name: "Send a test alert" }).click();
    assert.match(await plain.textContent("[role=status]"), /A test alert was written/);
    assert.match(await plain.textContent("#events tbody tr"), /told nowhere/);
    assert.equal(server.ask("alert", "events").events[0].event, "test");
    await plain.context().close();
  } finally {
    await server.stop();
  }
});
