// What the tests in a real browser start from: the real server, pages on many origins, and a
// witness.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { listening } from "../../../../e2e/listening.mjs";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const { SEATMETERD: binary, SEATMETER_WEB: built, CHROMIUM: chromiumPath } = process.env;
const { chromium } = createRequire(join(built, "tools/package.json"))("playwright-core");

export const CODE = "WEB-CODE";
export const DAY = 86400;
export const SLOT = 180;
const PATIENCE_MS = 120000;

export const until = async (what, check) => {
  const begun = Date.now();
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() - begun > PATIENCE_MS) throw new Error(`it did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const yesterday = () => Math.floor(Date.now() / 1000) - DAY;

/** A license item for browsers; without its own times, it is valid from yesterday for a year. */
export const item = (charge_way, more = {}) => ({
  item_id: charge_way,
  charge_way,
  quota: charge_way === "domain" || charge_way === "page" ? undefined : 1000,
  deployment_types: ["browser"],
  products: 0xffff,
  starts_at: yesterday(),
  expires_at: yesterday() + 365 * DAY,
  ...more,
});

const opened = {};
const running = [];

/** Open the pages and the browser that all tests of a file use. */
export const begin = async () => {
  opened.pages = await servePages();
  opened.browser = await launch();
  return opened;
};

/** Close them, and stop all servers that were started. */
export const end = async () => {
  await opened.browser?.close();
  opened.pages?.stop();
  for (const server of running) await server.stop();
};

/** The real server, with a license that a vendor has signed and an operator has imported. */
export class Server {
  static async start(items, { websites = [], issuedAt = yesterday() } = {}) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), "seatmeter-web-"));
    running.push(server);
    server.data = join(server.folder, "data");
    server.ahead = join(server.folder, "ahead");
    server.issuedAt = issuedAt;
    server.items = [items].flat();
    server.aheadBy = 0;
    writeFileSync(server.ahead, "0");
    server.clock = join(server.folder, "clock.so");
    const source = join(root, "tests/c/shifted_clock.c");
    execFileSync("cc", ["-std=gnu11", "-shared", "-fPIC", "-o", server.clock, source]);
    server.operate("init");
    server.key = join(server.folder, "vendor.key");
    const shown = execFileSync(binary, ["vendor", "keygen", "--key", server.key], {
      encoding: "utf8",
    });
    server.rootKey = shown.match(/[0-9a-f]{64}/)[0];
    server.issue("--handshake-code", CODE);
    if (websites.length) server.restrict(websites);
    await server.serve("127.0.0.1:0");
    return server;
  }

  operate(...words) {
    const stdio = ["ignore", "pipe", "pipe"];
    return execFileSync(binary, [...words, "--data", this.data], { encoding: "utf8", stdio });
  }

  issue(...options) {
    const draft = join(this.folder, "draft.json");
    const file = {
      version: 1,
      file_id: "file",
      organization_id: "acme",
      organization_name: "Acme",
      server_key: this.operate("key", "show").trim(),
      issued_at: this.issuedAt++,
      items: this.items,
    };
    writeFileSync(draft, JSON.stringify(file));
    const signed = execFileSync(binary, ["license-file", "sign", draft, "--key", this.key]);
    const path = join(this.folder, "file.json");
    writeFileSync(path, signed);
    this.operate("license-file", "import", path, ...options);
  }

  restrict(websites) {
    const options = websites.flatMap((website) => ["--website-domain", website]);
    this.operate("handshake", "access", CODE, ...options);
  }

  async serve(address) {
    const env = { PATH: process.env.PATH, LD_PRELOAD: this.clock, SHIFTED_CLOCK: this.ahead };
    const words = ["serve", "--data", this.data, "--listen", address, "--log", "error"];
    this.process = spawn(binary, words, { env, stdio: ["ignore", "pipe", "inherit"] });
    this.url = await listening(this.process);
  }

  async kill() {
    if (this.process?.exitCode !== null || this.process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await gone;
  }

  async startAgain() {
    await this.serve(new URL(this.url).host);
  }

  /** Keep a backup of the data as they are now. */
  backUp() {
    this.operate("backup", join(this.folder, "backup"));
  }

  /** Restore the backup: what was recorded since is lost. */
  async putBack() {
    await this.kill();
    rmSync(this.data, { recursive: true });
    this.operate("restore", join(this.folder, "backup"));
    await this.startAgain();
  }

  /** Set its clock so many seconds ahead of the true time. */
  setAhead(seconds) {
    writeFileSync(this.ahead + ".next", String(seconds));
    renameSync(this.ahead + ".next", this.ahead);
  }

  /** Set its clock, which was ahead, right, as an operator does who accepts that it goes back. */
  async setRight() {
    await this.kill();
    this.setAhead(0);
    this.operate("clock", "accept");
    await this.startAgain();
  }

  /** What is billed, by a reader of the server's data that knows nothing of pages. */
  usage() {
    return JSON.parse(this.operate("usage", "export", "--format", "json"));
  }

  billed(kind = "scan", where = () => true) {
    const rows = this.usage().filter((row) => row.kind === kind && where(row));
    return rows.reduce((sum, { total }) => sum + total, 0);
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>page</title>
<script type="module">
  import { Seatmeter } from "/seatmeter.js";
  globalThis.Seatmeter = Seatmeter;
</script>`;
const WORKER = `import { Seatmeter } from "/seatmeter.js";
onmessage = async ({ data: { options, barcodes } }) => {
  const license = await Seatmeter.init(options);
  const counted = await license.countFrame(barcodes);
  await license.close();
  postMessage({ counted, uuid: license.status.deviceUuid });
};`;

/** A web server that serves the same page under every name. */
export const servePages = async () => {
  const file = (name) => readFileSync(join(root, "tests/certificates", name));
  const module = readFileSync(join(built, "seatmeter.js"));
  const server = createServer(
    { cert: file("server.pem"), key: file("server.key") },
    (request, response) => {
      const [type, content] =
        request.url === "/seatmeter.js"
          ? ["text/javascript", module]
          : request.url === "/worker.js"
            ? ["text/javascript", WORKER]
            : ["text/html", PAGE];
      response.writeHead(200, { "content-type": type }).end(content);
    },
  );
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    origin: (host) => `https://${host}:${port}`,
    stop: () => (server.close(), server.closeAllConnections()),
  };
};

const ARGUMENTS = [
  "--no-sandbox",
  "--host-resolver-rules=MAP *.example 127.0.0.1,MAP *.github.io 127.0.0.1,MAP *.com 127.0.0.1",
];
const LAUNCH = { executablePath: chromiumPath, args: ARGUMENTS };

export const launch = () => chromium.launch(LAUNCH);

/** A profile that outlives its browser. */
export const launchProfile = (folder) =>
  chromium.launchPersistentContext(folder, { ...LAUNCH, ignoreHTTPSErrors: true });

// The page's clocks, which a test moves.
const CLOCKS = `(() => {
  const wall = Date.now.bind(Date), monotonic = performance.now.bind(performance);
  let both = 0, wallOnly = 0, stopped = null;
  const real = () => stopped ?? [wall(), monotonic()];
  Date.now = () => real()[0] + both + wallOnly;
  performance.now = () => real()[1] + both;
  // From now on, only a test moves them.
  globalThis.stopClocks = () => (stopped = [wall(), monotonic()]);
  // No request spans such a step: its answer would tell the time before it.
  const open = new Set();
  let held = Promise.resolve(), release = () => {};
  const watch = (work) => {
    open.add(work);
    const end = () => open.delete(work);
    work.then(end, end);
    return work;
  };
  const fetched = globalThis.fetch;
  globalThis.fetch = async (...request) => {
    await held;
    const answer = fetched(...request);
    watch(answer.then((got) => got.clone().arrayBuffer()));
    return answer;
  };
  const verify = crypto.subtle.verify.bind(crypto.subtle);
  crypto.subtle.verify = (...signed) => watch(verify(...signed));
  const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
  const isIdle = async () => (await pause(), open.size === 0);
  globalThis.releaseRequests = () => release();
  globalThis.holdRequests = async () => {
    held = new Promise((resolve) => (release = resolve));
    while (!((await isIdle()) && (await isIdle())));
  };
  globalThis.copies = [];
  globalThis.openStored = () => {
    const asked = indexedDB.open("seatmeter");
    return new Promise((resolve) => (asked.onsuccess = () => resolve(asked.result)));
  };
  globalThis.pass = (seconds) => (both += seconds * 1000);
  globalThis.setWallClock = (seconds) => (wallOnly += seconds * 1000);
})();`;

/** A profile: tabs in it share what a profile shares. */
export const profile = async (browser) => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(PATIENCE_MS);
  await context.addInitScript(CLOCKS);
  return context;
};

export const openPage = async (context, url) => {
  const page = await context.newPage();
  page.lines = [];
  page.on("console", (message) => page.lines.push(message.text()));
  await page.goto(url);
  await page.waitForFunction(() => globalThis.Seatmeter);
  return page;
};

/** Begin a license in a page, as `license`; return its status, or the error. */
export const init = (page, server, more = {}) =>
  page.evaluate(
    async (options) => {
      try {
        globalThis.events = [];
        globalThis.license = await Seatmeter.init(options);
        for (const type of ["refused", "grace", "offline", "renewed"]) {
          license.addEventListener(type, ({ detail }) => events.push({ type, ...detail }));
        }
        return license.status;
      } catch (error) {
        return { code: error.code, message: error.message, name: error.name };
      }
    },
    { server: server.url, handshakeCode: CODE, rootKey: server.rootKey, ...more },
  );

/** Count texts as QR codes of one frame; return how many count, or the error's number. */
export const countFrame = (page, ...texts) =>
  page.evaluate(async (texts) => {
    try {
      return await license.countFrame(texts.map((rawValue) => ({ format: "qr_code", rawValue })));
    } catch (error) {
      return error.code;
    }
  }, texts);

export const sync = (page) =>
  page.evaluate(async () => {
    try {
      await license.sync();
      return 0;
    } catch (error) {
      return error.code ?? String(error);
    }
  });

/** Let a page do nothing later by itself: only what a test tells it, and what it hears. */
export const stopTimers = (page) => page.evaluate(() => (globalThis.setTimeout = () => 0));

/** Wait until no page of the profile is talking to a server, and none has asked for its turn. */
export const idle = (page) => page.evaluate(() => navigator.locks.request("seatmeter", () => {}));

/** Clear what the pages of an origin have stored, as a user does who deletes the website's data. */
export const clearStorage = async (page) => {
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(page.url());
  await session.send("Storage.clearDataForOrigin", { origin, storageTypes: "all" });
};

/** Copy all that the pages of an origin have stored, and return the name of the copy. */
export const copyStorage = (page) =>
  page.evaluate(async () => {
    const read = (asked) =>
      new Promise((resolve) => (asked.onsuccess = () => resolve(asked.result)));
    const database = await openStored();
    const names = [...database.objectStoreNames];
    const whole = database.transaction(names);
    const stores = names.map((name) => whole.objectStore(name));
    const copy = await Promise.all(
      stores.map(async (store) => {
        const [keys, rows] = await Promise.all([read(store.getAllKeys()), read(store.getAll())]);
        return { name: store.name, rows, keys: store.keyPath === null && keys };
      }),
    );
    database.close();
    // No script can read the keys in it, so that it stays in the page.
    return copies.push(copy) - 1;
  });

/** Put a copy back, as a profile that was copied, or that was restored from a backup. */
export const putStorageBack = (page, copy) =>
  page.evaluate(async (copy) => {
    const database = await openStored();
    const whole = database.transaction(database.objectStoreNames, "readwrite");
    for (const { name, rows, keys } of copies[copy]) {
      const store = whole.objectStore(name);
      store.clear();
      rows.forEach((row, n) => store.put(row, ...(keys ? [keys[n]] : [])));
    }
    await new Promise((resolve) => (whole.oncomplete = resolve));
    database.close();
  }, copy);

/** Let time pass for a page and its server alike. */
export const passForBoth = async (page, server, seconds) => {
  await page.evaluate(() => holdRequests());
  await pass(page, seconds);
  server.setAhead((server.aheadBy += seconds));
  await page.evaluate(() => releaseRequests());
};

export const pass = (page, seconds) =>
  page.evaluate((seconds) => globalThis.pass(seconds), seconds);
