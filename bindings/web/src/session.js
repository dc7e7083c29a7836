// The part of a device in one page: its identity, its license, and whose turn it is to talk.

import { DeviceClock } from "./clock.js";
import { ENDS, fail, SeatmeterError, TAKES_FRESH_UUID } from "./errors.js";
import { DAY_SECONDS, endedAt, renewalDueAt, slotOf, verifyGrant } from "./grant.js";
import { bodyOf, noteServer, report, tidy } from "./reports.js";
import { authorizationOf, stoppedBy, VERSION } from "./requests.js";
import { asksOther, AUTHORIZATIONS, post, refusal } from "./server.js";
import { Store } from "./store.js";
import { nameOf } from "./options.js";
import { beginAgreement, makeDevice, randomId } from "./wire.js";

const DATABASE = "seatmeter";
const ROUND_MS = 20000;
const AHEAD_SECONDS = 60;

// Web Locks give the turn to one page at a time, and take it from one that has died.
const turn = (ms, work) =>
  navigator.locks.request("seatmeter", { signal: AbortSignal.timeout(ms) }, work).catch((error) => {
    if (error.name !== "TimeoutError") throw error;
    fail(-20200, `another page has been talking to the license server for ${ms} ms`);
  });

export class Session {
  grant = null;
  notice = {};
  lastError = null;
  #options;
  #begunAt = Date.now();
  #name;
  #server;
  #row;
  #root;
  #channel;
  #release;
  #used;
  #had = [];
  #isDiverged;
  #wasRenewed;
  #tidied;
  static async open(options) {
    const session = new Session();
    session.#options = options;
    session.store = new Store(DATABASE);
    const stored = await session.store.get("values", "clock");
    session.clock = new DeviceClock(stored);
    await session.#loadDevice();
    session.#name = await nameOf(options);
    session.#channel = new BroadcastChannel("seatmeter");
    session.#channel.onmessage = ({ data }) => session.#hearTab(data);
    session.#holdUse();
    return session;
  }

  now() {
    return this.clock.seconds();
  }

  /** Read the identity of this profile on this origin, or make it. */
  async #loadDevice() {
    const read = async (on) => {
      const uuid = await on.values.get("device");
      return uuid && on.devices.get(uuid);
    };
    this.device = await this.store.read(read);
    if (!this.device) await this.#putDevice(await makeDevice(), read);
  }

  async #putDevice(made, read) {
    await this.store.write(async (on) => {
      // Another page may have made one meanwhile.
      this.device = await read(on);
      if (this.device) return;
      this.device = made;
      await on.devices.put(made);
      await on.values.put(made.uuid, "device");
    });
  }

  /** Store again what a cleared storage has lost, so that this page's counts can be reported. */
  async heal(on) {
    if (!(await on.values.get("device"))) await on.values.put(this.device.uuid, "device");
    // What waits may be of an identity before this one.
    for (const [store, row, key] of [
      ...[...this.#had, this.device].map((device) => ["devices", device, device.uuid]),
      ["servers", this.#server, [this.#server?.uuid, this.#server?.keyId]],
      ["licenses", this.#row, this.#name],
    ]) {
      if (row && !(await on[store].get(key))) await on[store].put(row);
    }
  }

  async loadStored() {
    const { row, root } = await this.store.read(async (on) => ({
      row: await on.licenses.get(this.#name),
      root: await on.values.get("root"),
    }));
    this.#root = this.#options.rootKey || root || null;
    if (!row || row.uuid !== this.device.uuid || !this.#root) return;
    try {
      await this.#use(row);
    } catch (error) {
      // It may be of another vendor, or damaged: the server is asked.
      if (!(error instanceof SeatmeterError)) throw error;
    }
  }

  /** Use a stored license, with what the server has said since. */
  async #use(row) {
    if (!this.#row || row.answer.local_license.payload !== this.#row.answer.local_license.payload) {
      const grant = await verifyGrant(row.answer, this.#root, this.device, this.#options);
      this.grant = { ...grant, envelope: row.answer.local_license };
      if (row.uuid !== this.#row?.uuid) this.#had.push(this.device);
    }
    // Where no server has told the time, it is not before that of the license.
    const { clock } = this;
    if (!clock.isHeard) clock.anchor(Math.max(clock.ms(), this.grant.local.issued_at * 1000));
    this.#row = row;
    this.notice = row.notice;
    this.#server = await this.store.get("servers", [row.uuid, this.grant.keyId]);
  }

  /** Return why the server lets this device count nothing, or no pages of this module. */
  stops(module = 0) {
    return stoppedBy(this.notice, module);
  }

  renewalDueAt() {
    return this.grant ? renewalDueAt(this.grant.local) : 0;
  }

  takeRenewed() {
    const was = this.#wasRenewed;
    this.#wasRenewed = false;
    return was;
  }

  /** Get a license for a page that has none, within the time that the caller grants. */
  async first() {
    const ms = this.#options.timeout;
    await turn(ms, async () => {
      // Another page may have got it meanwhile.
      await this.#reload();
      if (this.grant && !this.stops() && !endedAt(this.grant, this.now())) return;
      await this.#ask({ ms }).catch(async (error) => {
        // What was counted before is owed all the same.
        if (error.code !== -20200) await this.#report({ ms }).catch(() => {});
        throw error;
      });
    });
    const stopped = this.stops();
    if (stopped) throw stopped;
  }

  /** Report, and renew if that is due, when it is this page's turn. */
  round({ isAskedFor = false, isFirst = false, keepalive = false, needed = 0 } = {}) {
    return turn(ROUND_MS, async () => {
      await this.#reload();
      const ms = ROUND_MS;
      // Another page may have asked since this one began.
      const isFresh = isFirst && this.#row?.askedAt >= this.#begunAt;
      // The server decides about a renewal by what it knows, so that it gets the counts first.
      let failure = null;
      const report = () => this.#report({ ms, keepalive }).catch((error) => (failure ??= error));
      if (!isFresh || !this.clock.isHeard) await report();
      const isDue =
        this.now() >= this.renewalDueAt() ||
        // The clock of the server was ahead when it granted.
        this.now() < this.grant.local.issued_at - AHEAD_SECONDS ||
        this.stops() ||
        this.#isDiverged ||
        !this.clock.isHeard ||
        failure;
      // Where no server answers, none grants. Where another one answers, it must be asked.
      const isSilent = failure?.code === -20200;
      if (!keepalive && !isSilent && ((isAskedFor && !isFresh) || needed || isDue)) {
        const isAsked = await this.#ask({ ms, needed }).then(
          () => true,
          (error) => void (failure = error),
        );
        if (isAsked) failure = null;
      }
      if (this.clock.isHeard && !isSilent) await report();
      if (!this.#tidied) {
        this.#tidied = true;
        await tidy(this.store, this.now());
      }
      if (failure) throw failure;
      this.lastError = null;
    }).catch((error) => {
      this.lastError = error;
      throw error;
    });
  }

  async #reload() {
    const { row, device } = await this.store.read(async (on) => {
      const uuid = await on.values.get("device");
      return {
        row: await on.licenses.get(this.#name),
        device: uuid && (await on.devices.get(uuid)),
      };
    });
    if (!device) return this.store.write((on) => this.heal(on));
    this.device = device;
    if (row && row.uuid === device.uuid && this.#root) await this.#use(row);
  }

  /** Report to the server of the license, and to others for which this profile has counted. */
  async #report({ ms, keepalive }) {
    const { keyId, serverKey: key } = this.grant || {};
    const { servers } = this.#options;
    if (key) await this.#reportTo({ keyId, key, urls: servers }, ms, keepalive);
    for (const server of await this.store.read((on) => on.servers.getAll())) {
      if (server.keyId === keyId) continue;
      // A page without a license may know another URL of that server.
      const urls = server.urls.concat(key ? [] : servers);
      // Nobody waits for a server that has granted nothing here, and none holds back this one.
      await this.#reportTo({ ...server, urls }, ms / 4, keepalive).catch(() => {});
    }
  }

  async #reportTo({ keyId, key, urls }, ms, keepalive) {
    const outcome = await report(this.store, {
      keyId,
      keyHex: key,
      urls,
      version: VERSION,
      lastSlot: () => slotOf(this.clock.isHeard ? this.now() : this.clock.heardAt),
      isDated: () => this.clock.isHeard,
      ms,
      keepalive,
      hear: (answer) => this.#hear(answer.time),
    });
    if (keyId === this.grant?.keyId) this.#isDiverged = outcome.isDiverged;
    for (const { item_id, meters } of outcome.standings) await this.#noteMeters(item_id, meters);
    if (outcome.failure) throw outcome.failure;
  }

  async #hear(time) {
    this.clock.hear(time);
    await this.store.write((on) => on.values.put(this.clock.stored(), "clock"));
    this.#channel.postMessage({ time, at: Date.now() });
  }

  #hearTab({ time, at, name }) {
    if (time) {
      this.clock.hear(time + Math.max(0, Math.round((Date.now() - at) / 1000)));
      this.onChange?.();
    }
    if (name === this.#name) this.#reload().then(this.onChange, () => {});
  }

  async #noteMeters(itemId, meters) {
    await this.#changeRows(
      (row) => row.item === itemId && (row.notice = { ...row.notice, meters }),
    );
  }

  async #changeRows(change) {
    const names = [];
    await this.store.write(async (on) => {
      for (const row of await on.licenses.getAll()) {
        if (!change(row)) continue;
        await on.licenses.put(row);
        names.push(row.name);
      }
    });
    if (names.includes(this.#name)) {
      const row = await this.store.get("licenses", this.#name);
      if (row && row.uuid === this.device.uuid) await this.#use(row);
      this.onChange();
    }
    for (const name of names) this.#channel.postMessage({ name });
  }

  /** Ask for an authorization, from the first server that decides. */
  async #ask({ ms, needed = 0 }) {
    const ends = performance.now() + ms;
    for (let identities = 0; ; identities++) {
      try {
        return await this.#askAny({ ends, needed });
      } catch (error) {
        const isOver = TAKES_FRESH_UUID.includes(error.code) && error.isBelieved !== undefined;
        if (!isOver || identities || !(error.isBelieved || !this.grant)) {
          await this.#noteRefusal(error);
          throw error;
        }
        await this.#takeFreshIdentity();
      }
    }
  }

  async #askAny({ ends, needed }) {
    let last;
    const { servers } = this.#options;
    for (const [n, url] of servers.entries()) {
      // Each server gets its part of the time that is left.
      const ms = (ends - performance.now()) / (servers.length - n);
      try {
        return await this.#askOne(url, { ms, needed });
      } catch (error) {
        if (!asksOther(error)) throw error;
        last = last && error.code === -20200 ? last : error;
      }
    }
    throw last;
  }

  async #askOne(url, { ms, needed }) {
    const { uuid } = this.device;
    const known = await this.store.write(async (on) => {
      const row = await on.licenses.get(this.#name);
      const isOf = (server) => server.uuid === uuid && server.urls.includes(url);
      const isKnown = (await on.servers.getAll()).find(isOf);
      // Another URL may lead to the server of the license: a standby with the same data.
      const server = isKnown || (row && (await on.servers.get([uuid, row.keyId])));
      let first = await on.values.get("first of " + uuid);
      if (!first) await on.values.put((first = randomId()), "first of " + uuid);
      const isHeld = row && server && row.uuid === uuid && row.keyId === server.keyId;
      return {
        server: server || {},
        held: isHeld && row.answer.local_license,
        first: isKnown ? undefined : first,
      };
    });
    const agreement = await beginAgreement();
    const content = authorizationOf(this.#options, this.device, known, agreement.share, needed);
    const proof = { keyId: known.server.keyId, device: this.device };
    const limits = { keyHex: known.server.key, ms };
    let answer = await post(url, AUTHORIZATIONS, content, proof, limits);
    if (!answer.ok && answer.body.challenge) {
      answer = await post(
        url,
        AUTHORIZATIONS,
        { ...content, challenge: answer.body.challenge },
        proof,
        limits,
      );
    }
    if (!answer.ok) {
      if (answer.isBelieved) {
        await this.#hear(answer.time);
        await noteServer(this.store, uuid, known.server.keyId, answer.body);
      }
      throw refusal(answer, url);
    }
    const { server } = known;
    await this.#accept(url, server.keyId === answer.keyId ? server.urls : [], answer, agreement);
  }

  async #accept(url, urls, { body, time, keyId, check }, agreement) {
    const root = this.#root || body.root_key;
    const grant = await verifyGrant(body, root, this.device, this.#options);
    if (keyId !== grant.keyId || !(await check(grant.serverKey))) {
      fail(-20003, `${url} is not the server that the vendor named`);
    }
    // Two vendors may give two files one id.
    const issue = "issue of " + root + grant.file.file_id;
    await this.#requireNoOlderFile(issue, grant.file.issued_at, time);
    const { id, key } = await agreement.finish(body.key_share, this.device.uuid);
    const { uuid } = this.device;
    await this.#hear(time);
    await noteServer(this.store, uuid, keyId, body);
    const server = {
      uuid,
      keyId,
      key: grant.serverKey,
      urls: [url, ...urls.filter((known) => known !== url)],
      newest: body.local_license,
      receipt: body.receipt,
      epoch: body.epoch,
      reportKey: { id, key },
    };
    const row = {
      name: this.#name,
      uuid,
      keyId,
      item: grant.item.item_id,
      answer: { license_file: body.license_file, local_license: body.local_license },
      notice: { meters: body.meters || [] },
      askedAt: Date.now(),
    };
    await this.store.write(async (on) => {
      await on.devices.put(this.device);
      await on.servers.put(server);
      await on.licenses.put(row);
      for (const other of await on.servers.getAll()) {
        // The server at this URL has another key now, or another data directory.
        if (other.keyId === keyId || !other.urls.includes(url)) continue;
        await on.servers.put({ ...other, urls: other.urls.filter((known) => known !== url) });
      }
      await on.values.put(grant.file.issued_at, issue);
      if (!this.#options.rootKey && !this.#root) await on.values.put(root, "root");
    });
    this.#root = root;
    await this.#use(row);
    this.#wasRenewed = true;
    this.#channel.postMessage({ name: this.#name });
    this.onChange();
  }

  // A server that was given an older file is not believed, nor one whose clock is far before it. A
  // vendor's clock may be a little ahead.
  async #requireNoOlderFile(issue, issuedAt, time) {
    if ((await this.store.get("values", issue)) > issuedAt) {
      fail(-20003, "the license file of the server is older than before: import the newest");
    }
    if (time + DAY_SECONDS < issuedAt) {
      fail(-20003, "the server's time is before the issue of its license file: set its clock");
    }
  }

  async #noteRefusal({ code, message, numbers, isBelieved }) {
    if (!isBelieved || !this.#row || !ENDS.includes(code)) return;
    const { item } = this.#row;
    const isMeant = (row) => row.name === this.#name || (code === -20113 && row.item === item);
    const refusal = { code, message, numbers };
    await this.#changeRows((row) => isMeant(row) && (row.notice = { ...row.notice, refusal }));
  }

  /** Take another identity: the counts so far stay with the one under which they were made. */
  async #takeFreshIdentity() {
    const left = this.device.uuid;
    const made = await makeDevice();
    await this.store.write(async (on) => {
      const uuid = await on.values.get("device");
      // Another page may have done it.
      this.device = uuid && uuid !== left ? await on.devices.get(uuid) : made;
      if (this.device !== made) return;
      await on.devices.put(made);
      await on.values.put(made.uuid, "device");
    });
  }

  #holdUse() {
    const held = new Promise((resolve) => (this.#release = resolve));
    this.#used = navigator.locks.request(
      "seatmeter use " + this.#name,
      { mode: "shared" },
      () => held,
    );
  }

  /** Send the last report. The last page gives back what the device holds only while it works. */
  async end() {
    await turn(ROUND_MS, () => this.#report({ ms: ROUND_MS }));
    const isOverused = (this.notice.meters || []).some(({ state }) => state === "overused");
    if (!this.grant || !(this.grant.item.strict || isOverused) || this.stops()) return;
    this.#release();
    await this.#used;
    await navigator.locks.request(
      "seatmeter use " + this.#name,
      { ifAvailable: true },
      async (alone) => {
        if (alone) await turn(ROUND_MS, () => this.#giveBack());
      },
    );
  }

  async #giveBack() {
    const { license_id, serial } = this.grant.local;
    // It leaves the storage first: no page may begin with what was given back.
    const isWhole = await this.store.write(async (on) => {
      if ((await on.totals.unsent(1)).length) return false;
      await on.licenses.delete(this.#name);
      return true;
    });
    if (!isWhole) return;
    const shown = { device: this.device, server: this.#server, segments: [] };
    const content = { ...bodyOf(shown, VERSION), ended: [{ license_id, serial }] };
    const proof = { keyId: this.grant.keyId, device: this.device };
    const limits = { keyHex: this.grant.serverKey, ms: ROUND_MS };
    for (const url of this.#options.servers) {
      const answer = await post(url, "/v1/usage", content, proof, limits).catch(() => null);
      if (answer && answer.ok && answer.isBelieved) return;
    }
  }

  close() {
    this.#release();
    this.#channel.close();
    this.onChange = () => {};
    this.store.close().catch(() => {});
  }
}
