// The real server for the tests in a browser: with a license of each option, and a year of use or none.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { listening } from "../../../e2e/listening.mjs";

const { SEATMETERD: binary } = process.env;
const DAY = 86400;
const now = () => Math.floor(Date.now() / 1000);

export const PASSWORD = "correct horse battery";

const item = (item_id, charge_way, more = {}) => ({
  item_id,
  charge_way,
  quota: 100,
  deployment_types: ["server", "desktop", "browser"],
  products: 0xffff,
  starts_at: now() - 340 * DAY,
  expires_at: now() + 120 * DAY,
  ...more,
});

export const ITEMS = [
  item("scans", "barcode_scan", { quota: 120000 }),
  item("pages", "page", { quota: 0, page_quotas: { core: 20000, ocr: 9000 } }),
  item("tills", "client_device", { quota: 9000 }),
  item("floor", "concurrent_device", { quota: 20 }),
  item("instances", "concurrent_instance", { quota: 10, deployment_types: ["server"] }),
  item("shop", "domain", { quota: 0, domains: ["example.com"], expires_at: now() + 20 * DAY }),
];

/** A server of its own, with users of each role. */
export class Server {
  static async start({ items = ITEMS, fill = null, options = [], env = {} } = {}) {
    const server = new Server();
    server.options = options;
    server.env = { ...process.env, ...env };
    server.folder = mkdtempSync(join(tmpdir(), "seatmeter-dashboard-"));
    server.data = join(server.folder, "data");
    server.items = items;
    server.run("init");
    server.vendor = join(server.folder, "vendor.key");
    execFileSync(binary, ["vendor", "keygen", "--key", server.vendor]);
    if (items.length) {
      const file = join(server.folder, "file.json");
      writeFileSync(file, server.issue(items));
      server.run("license-file", "import", file, "--handshake-code", "CODE");
    }
    for (const role of ["viewer", "operator", "admin"]) {
      const words = ["user", "create", role, "--role", role, "--data", server.data];
      execFileSync(binary, words, { input: PASSWORD + "\n", stdio: ["pipe", "pipe", "pipe"] });
    }
    if (fill) fill(join(server.data, "seatmeter.db"));
    await server.serve();
    return server;
  }

  run(...words) {
    return execFileSync(binary, [...words, "--data", this.data], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  /** The faults of the data, as the command line finds them. */
  check() {
    try {
      this.run("check");
      return [];
    } catch ({ stdout }) {
      const lines = stdout.split("\n").filter((line) => line.startsWith("BROKEN"));
      return lines.map((line) => line.slice("BROKEN".length).trim());
    }
  }

  /** Answer a question by the command line, as JSON. */
  ask(...words) {
    return JSON.parse(this.run(...words, "--json"));
  }

  /** Return a list of the command line that is always JSON. */
  list(what) {
    return JSON.parse(this.run(what, "list"));
  }

  /** A signed license file with these items. */
  issue(items, issued_at = now() - DAY) {
    const draft = join(this.folder, "draft.json");
    const file = {
      version: 1,
      file_id: "file",
      organization_id: "acme",
      organization_name: "Acme",
      server_key: this.run("key", "show").trim(),
      issued_at,
      items,
    };
    writeFileSync(draft, JSON.stringify(file));
    return execFileSync(binary, ["license-file", "sign", draft, "--key", this.vendor], { encoding: "utf8" });
  }

  async serve() {
    const words = ["serve", "--data", this.data, "--listen", "127.0.0.1:0", "--log", "error"];
    const { env } = this;
    this.process = spawn(binary, [...words, ...this.options], { env, stdio: ["ignore", "pipe", "inherit"] });
    this.url = await listening(this.process);
  }

  async stop() {
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGTERM");
    await gone;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
