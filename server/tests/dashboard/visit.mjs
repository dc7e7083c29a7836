// A real browser, somebody who has logged in with it, and what is looked at on every page.

import { createRequire } from "node:module";
import { get } from "node:http";
import { join } from "node:path";
import { PASSWORD } from "./server.mjs";

const { CHROMIUM, DASHBOARD_TOOLS } = process.env;
const tools = createRequire(join(DASHBOARD_TOOLS, "package.json"));
const { chromium } = tools("playwright-core");
const axe = tools("axe-core").source;

let browser;
export const launch = async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
};
export const close = () => browser?.close();

/** A page of somebody who has logged in; what goes wrong in it is kept. */
export const login = async (on, name, options = {}) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.troubles = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.troubles.push(message.text());
  });
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("dialog", (dialog) => {
    page.troubles.push("a dialog: " + dialog.message());
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(on.url)) page.troubles.push("from elsewhere: " + request.url());
  });
  await page.goto(on.url + "/dashboard");
  await page.fill("input[name=name]", name);
  await page.fill("input[name=password]", PASSWORD);
  await page.click("main button");
  await page.waitForURL(on.url + "/dashboard");
  return page;
};

export const digits = (text) => Number(text.replace(/[^\d]/g, ""));

export const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

export const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`);
};

/** An answer as it comes: fetch would decompress it. */
export const raw = async (url, headers) => {
  return new Promise((resolve, reject) => {
    get(url, { headers }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({ bytes, length: bytes.length });
      });
    }).on("error", reject);
  });
};
