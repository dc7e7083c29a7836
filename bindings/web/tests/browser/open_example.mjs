// Open the page of web_example as a person would, and print what it shows: open_example.mjs TOOLS
// PAGE

import { createRequire } from "node:module";
import { resolve } from "node:path";

const [tools, url] = process.argv.slice(2);
const { chromium } = createRequire(resolve(tools, "package.json"))("playwright-core");
const options = { executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] };
const browser = await chromium.launch(options);
try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const reported = page.waitForResponse(
    (response) => response.url().endsWith("/v1/usage") && response.ok(),
  );
  reported.catch(() => {});
  await page.goto(url);
  await page.locator("#license").filter({ hasText: "licensed" }).waitFor();
  console.log(await page.locator("#license").textContent());
  await page.getByRole("button", { name: "Demo picture" }).click();
  await page.locator("#counted").filter({ hasNotText: /^0$/ }).waitFor();
  for (const line of await page.locator("#found li").allTextContents()) console.log(line);
  console.log(await page.locator("#outcome").textContent());
  // A page that is left reports what it has counted; what it could not report, the next one does.
  await page.goto("about:blank");
  await page.goto(url);
  await page.locator("#license").filter({ hasText: "licensed" }).waitFor();
  await Promise.race([reported, page.waitForTimeout(10000)]);
  if (errors.length) throw new Error(errors.join("\n"));
} finally {
  await browser.close();
}
