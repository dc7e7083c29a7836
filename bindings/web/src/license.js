// A license of one page: what it may do, what it counts, and when it talks to the server.

import { Counter } from "./counter.js";
import { barcodeOf, DuplicateFilter, FORGET_MS_MAX } from "./duplicates.js";
import { fail, SeatmeterError } from "./errors.js";
import { endedAt, PAGE_MODULES, SLOT_SECONDS } from "./grant.js";
import { numberOf, readOptions } from "./options.js";
import { jitter, pauseAfter } from "./pause.js";
import { Session } from "./session.js";

const FORGET_MS = 3000;
const NOTHING = Promise.resolve(0);
const JITTER_MS = 30000;
const COUNT_MAX = 10000000;
const CHECK_MS = 1000;

export class License extends EventTarget {
  #session;
  #counter;
  #filter = new DuplicateFilter();
  #forgetMs;
  #checkedUntil = 0;
  #stopped = null;
  #hasLeapt = false;
  #isClosed = false;
  #isOffline = false;
  #isInGrace = false;
  #timer = null;
  #failures = 0;
  #unlisten = [];

  /** @internal */
  constructor(session) {
    super();
    this.#session = session;
    this.#counter = new Counter(session.store, session.clock, (on) => session.heal(on));
    session.onChange = () => this.#adopt();
  }

  /** @internal */
  static async begin(given) {
    const session = await Session.open(readOptions(given));
    const license = new License(session);
    try {
      license.duplicateForgetTime = given.duplicateForgetTime ?? FORGET_MS;
      await session.loadStored();
      const isStored = session.grant && !session.stops() && !endedAt(session.grant, session.now());
      license.#adopt();
      // A license that is stored serves at once, and is refreshed beside the page's work.
      if (!isStored) await session.first();
    } catch (error) {
      session.close();
      throw error;
    }
    license.#adopt();
    license.#listen();
    license.#round(true);
    return license;
  }

  /** Milliseconds after which a barcode of a frame counts again; 0: each frame by itself. */
  get duplicateForgetTime() {
    return this.#forgetMs;
  }

  set duplicateForgetTime(ms) {
    this.#forgetMs = numberOf("duplicateForgetTime", ms, 0, FORGET_MS_MAX);
  }

  /** Count a frame of a video; return how many barcodes count, once they are stored. */
  countFrame(barcodes) {
    try {
      const ms = this.#require(0);
      const now = performance.now();
      let fresh = null;
      for (const barcode of barcodes) {
        const { symbology, key } = barcodeOf(barcode);
        if (!this.#filter.counts(key, now, this.#forgetMs)) continue;
        (fresh ??= new Map()).set(key, symbology);
      }
      this.#counter.image(ms);
      return fresh ? this.#scans(fresh, ms, true) : NOTHING;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Count a still picture; return how many different barcodes it has, once they are stored. */
  countImage(barcodes) {
    try {
      const ms = this.#require(0);
      const found = new Map();
      for (const barcode of barcodes) {
        const { symbology, key } = barcodeOf(barcode);
        found.set(key, symbology);
      }
      this.#counter.image(ms);
      return found.size ? this.#scans(found, ms, false) : NOTHING;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Count `n` pages of a module (1 to 4, or "CORE", "WEBCAM", "PDFR", "OCR"). */
  async countPages(module, n = 1) {
    const number = typeof module === "string" ? PAGE_MODULES[module.toUpperCase()] : module;
    if (!Object.values(PAGE_MODULES).includes(number)) {
      fail(-10038, `module is ${module}: it must be 1 to 4, or ${Object.keys(PAGE_MODULES)}`);
    }
    numberOf("n", n, 0, COUNT_MAX);
    const ms = this.#require(number);
    if (n) await this.#count([["page", number, n]], ms);
    return n;
  }

  /** What the license is, and how it stands. */
  get status() {
    const { grant, notice, device } = this.#session;
    const stopped = this.#whyStopped(0);
    const code = stopped ? stopped.code : this.#isOffline ? -20012 : grant.item.trial ? -20010 : 0;
    return {
      code,
      message: stopped ? stopped.message : this.#isOffline ? this.#session.lastError.message : "",
      deviceUuid: device.uuid,
      handshakeCode: grant.local.handshake_code,
      chargeWay: grant.item.charge_way,
      itemId: grant.item.item_id,
      validUntil: new Date(grant.local.valid_until * 1000),
      expiresAt: new Date(grant.item.expires_at * 1000),
      isOffline: this.#isOffline,
      isInGrace: this.#isInGrace,
      meters: structuredClone(notice.meters || []),
    };
  }

  /** Report and renew now. */
  async sync() {
    this.#requireOpen();
    await this.#counter.flushImages();
    await this.#session.round({ isAskedFor: true });
    this.#noteContact(null);
  }

  /** Store and report what was counted, and end this page's part. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const unlisten of this.#unlisten) unlisten();
    try {
      await this.#counter.flushImages();
      await this.#session.end();
    } catch (error) {
      // What is stored is reported when the next page begins.
      if (error.code !== -20200) throw error;
    } finally {
      this.#session.close();
    }
  }

  #requireOpen() {
    if (this.#isClosed) fail(-20009, "the license was closed: call init again");
  }

  // Return the time in milliseconds. What depends on time is looked at once a second.
  #require(module) {
    this.#requireOpen();
    const ms = this.#session.clock.ms();
    if (ms >= this.#checkedUntil) this.#check(ms);
    if (this.#stopped) throw this.#stopped;
    const stopped = module && this.#whyStopped(module);
    if (stopped) throw stopped;
    return ms;
  }

  #check(ms) {
    const hasLeapt = this.#session.clock.hasLeapt();
    const isNew = this.#look() || (hasLeapt && !this.#hasLeapt);
    this.#checkedUntil = ms + CHECK_MS;
    this.#hasLeapt = hasLeapt;
    // The server knows the time, and may renew what has ended.
    if (isNew) this.#round();
  }

  /** Look whether work is allowed; return whether it has just ended. */
  #look() {
    const was = this.#stopped;
    this.#stopped = this.#whyStopped(0);
    const isNew = this.#stopped && this.#stopped.code !== was?.code;
    if (isNew) this.#tell("refused", { code: this.#stopped.code, message: this.#stopped.message });
    return isNew;
  }

  #whyStopped(module) {
    const stops = this.#session.stops(module);
    if (stops) return stops;
    const ended = endedAt(this.#session.grant, this.#session.now());
    return ended && new SeatmeterError(...ended);
  }

  async #scans(found, ms, isFrame) {
    const bySymbology = new Map();
    for (const symbology of found.values()) {
      bySymbology.set(symbology, (bySymbology.get(symbology) || 0) + 1);
    }
    try {
      await this.#count(
        [...bySymbology].map(([what, n]) => ["scan", what, n]),
        ms,
      );
    } catch (error) {
      if (isFrame) for (const key of found.keys()) this.#filter.takeBack(key);
      throw error;
    }
    return found.size;
  }

  async #count(work, ms) {
    try {
      await this.#counter.add(work, ms);
    } catch (error) {
      if (error.code !== -20120 || !this.#session.grant.item.strict) throw error;
      // The server may allow more: it knows what other devices have not used.
      const needed = work.reduce((sum, [, , n]) => sum + n, 0);
      await this.#session.round({ needed }).catch(() => {});
      this.#adopt();
      const stopped = this.#whyStopped(0);
      if (stopped) throw stopped;
      await this.#counter.add(work, ms);
    }
  }

  #adopt() {
    const { grant, notice } = this.#session;
    if (!grant) return;
    this.#counter.use(grant);
    if (this.#counter.isAhead()) this.#counter.begin();
    this.#checkedUntil = 0;
    this.#look();
    const metered = (notice.meters || []).filter(({ state }) => state === "in_grace");
    const isExpired = this.#session.now() >= grant.item.expires_at;
    const isInGrace = !this.#stopped && (isExpired || metered.length > 0);
    if (isInGrace && !this.#isInGrace) {
      this.#tell("grace", {
        isExpired,
        endsAt: new Date((grant.item.expires_at + 604800) * 1000),
        meters: metered,
      });
    }
    this.#isInGrace = isInGrace;
    if (this.#session.takeRenewed()) {
      this.#tell("renewed", { validUntil: new Date(grant.local.valid_until * 1000) });
    }
  }

  #tell(type, detail) {
    queueMicrotask(() => this.dispatchEvent(new CustomEvent(type, { detail })));
  }

  #noteContact(error) {
    const isOffline = Boolean(error) && error.code === -20200;
    if (isOffline && !this.#isOffline) this.#tell("offline", { message: error.message });
    this.#isOffline = isOffline;
    this.#adopt();
  }

  async #round(isAskedFor = false, keepalive = false) {
    if (this.#isClosed) return;
    let error = null;
    try {
      await this.#counter.flushImages();
      await this.#session.round({ isAskedFor, keepalive, isFirst: isAskedFor });
      this.#failures = 0;
    } catch (failure) {
      error = failure;
      const isPassing = [-20200, -20100, -20003, -20002].includes(failure.code);
      this.#failures = isPassing ? Math.min(this.#failures + 1, 6) : 0;
      if (failure.code === undefined) throw failure;
    } finally {
      if (!this.#isClosed) {
        this.#noteContact(error);
        this.#schedule(this.#failures, error?.retryAfter);
      }
    }
  }

  // The next slot, spread over its first half minute; a renewal if that is earlier; a retry sooner.
  #schedule(failures, retryAfter) {
    clearTimeout(this.#timer);
    const ms = this.#session.clock.ms();
    const slotMs = SLOT_SECONDS * 1000;
    let wait = slotMs - (ms % slotMs) + jitter(JITTER_MS);
    const due = this.#session.renewalDueAt() * 1000 - ms;
    if (due > 0) wait = Math.min(wait, due);
    if (failures) wait = pauseAfter(failures, retryAfter);
    this.#timer = setTimeout(() => this.#round(), wait);
  }

  #listen() {
    const on = (target, type, handler) => {
      if (!target || !target.addEventListener) return;
      target.addEventListener(type, handler);
      this.#unlisten.push(() => target.removeEventListener(type, handler));
    };
    const { document } = globalThis;
    on(document, "visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#round(false, true);
    });
    if (document) on(globalThis, "pagehide", () => this.#round(false, true));
    on(globalThis, "online", () => this.#round());
  }
}
