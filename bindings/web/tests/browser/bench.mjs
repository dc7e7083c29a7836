// The speed of the module in a real browser: "make bench-web".

import { brotliCompressSync, gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import * as web from "./support.mjs";
import { init, item, openPage, profile, Server } from "./support.mjs";

const pages = await web.servePages();
const browser = await web.launch();
const server = await Server.start([item("barcode_scan", { quota: 10000000 })]);
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const share = (values, part) => values.sort((a, b) => a - b)[Math.floor(values.length * part)];

const context = await profile(browser);
const origin = pages.origin("shop.example");
const page = await openPage(context, origin);
await init(page, server);

const measured = await page.evaluate(async () => {
  const frame = [{ format: "qr_code", rawValue: "https://example.org/ticket/4711" }];
  license.duplicateForgetTime = 600000;
  await license.countFrame(frame);
  const rounds = [];
  for (let round = 0; round < 50; round++) {
    const begun = performance.now();
    for (let n = 0; n < 10000; n++) license.countFrame(frame);
    rounds.push(((performance.now() - begun) * 1000) / 10000);
  }
  // Each piece of work on the main thread, as the browser sees it, while fresh barcodes are
  // counted.
  const pieces = [];
  const fresh = [];
  for (let n = 0; n < 300; n++) {
    const begun = performance.now();
    const counting = license.countFrame([{ format: "qr_code", rawValue: `fresh ${n}` }]);
    pieces.push(performance.now() - begun);
    await counting;
    fresh.push(performance.now() - begun);
  }
  return { rounds, pieces, fresh };
});
await page.evaluate(() => license.close());

const begins = [];
for (let n = 0; n < 20; n++) {
  const next = await openPage(context, origin);
  begins.push(
    await next.evaluate(
      async ([server, handshakeCode, rootKey]) => {
        const begun = performance.now();
        globalThis.license = await Seatmeter.init({ server, handshakeCode, rootKey });
        return performance.now() - begun;
      },
      [server.url, web.CODE, server.rootKey],
    ),
  );
  await next.close();
}

const module = readFileSync(join(process.env.SEATMETER_WEB, "seatmeter.js"));
console.log(
  `module                              ${module.length} bytes, ${brotliCompressSync(module).length} by Brotli, ${gzipSync(module, { level: 9 }).length} by gzip`,
);
console.log(`countFrame, repeated barcode        ${median(measured.rounds).toFixed(2)} µs`);
console.log(
  `countFrame, fresh, main thread      ${median(measured.pieces).toFixed(3)} ms, ${share(measured.pieces, 0.99).toFixed(3)} ms of 99 %`,
);
console.log(`countFrame, fresh, until stored     ${median(measured.fresh).toFixed(2)} ms`);
console.log(`init from the stored license        ${median(begins).toFixed(1)} ms`);
await browser.close();
pages.stop();
await server.stop();
