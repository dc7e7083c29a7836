// The counts of one page: totals that only grow, stored before they are shown as counted.
//
// Each page writes a segment of its own, so that no two pages ever add to one total. What comes
// while a transaction runs is stored together by the next one.

import { SeatmeterError } from "./errors.js";
import { slotOf } from "./grant.js";
import { randomId } from "./wire.js";

const IMAGES_MS = 1000;

export class Counter {
  /**
   * `heal` returns the rows without which the totals mean nothing, to be stored where they are
   * missing.
   */
  constructor(store, clock, heal) {
    Object.assign(this, { store, clock, heal });
    this.grant = null;
    this.waiting = [];
    this.images = 0;
    this.imageSlot = 0;
    this.timer = null;
    this.running = null;
    // What was spent, should the storage be cleared under this page.
    this.spent = new Map();
    this.begin(null);
  }

  /** Count under this grant from now on; each license has segments of its own. */
  use(grant) {
    const changes = !this.grant || !grant || this.grant.local.license_id !== grant.local.license_id;
    if (changes) this.takeImages();
    this.grant = grant;
    if (changes) this.begin(grant);
  }

  /** Begin another segment: what was counted ahead of the time stays by itself. */
  begin(grant = this.grant) {
    this.segment = grant && {
      id: randomId(),
      uuid: grant.local.device_uuid,
      keyId: grant.keyId,
      license: grant.local.license_id,
      item: grant.item.item_id,
      envelope: grant.envelope,
    };
    this.totals = new Map();
    this.lastSlot = 0;
  }

  /** Note one image or frame. It costs no transaction of its own. */
  image(ms) {
    const slot = Math.floor(ms / 180000);
    if (slot !== this.imageSlot) {
      this.takeImages();
      this.imageSlot = slot;
    }
    this.images++;
    if (!this.timer) this.timer = setTimeout(() => this.flushImages(), IMAGES_MS);
  }

  takeImages() {
    if (!this.images || !this.segment) return;
    const work = [["image", 0, this.images]];
    this.images = 0;
    // Nobody waits for these: they only tell that the device is at work.
    this.waiting.push({ segment: this.segment, totals: this.totals, slot: this.imageSlot, work });
  }

  async flushImages() {
    clearTimeout(this.timer);
    this.timer = null;
    this.takeImages();
    await this.flush();
  }

  /** Count this work; the promise is fulfilled once it is stored. */
  add(work, ms) {
    return new Promise((resolve, reject) => {
      const slot = Math.floor(ms / 180000);
      this.waiting.push({
        segment: this.segment,
        totals: this.totals,
        slot,
        work,
        resolve,
        reject,
      });
      this.flush();
    });
  }

  /** Return a promise that is fulfilled once nothing waits any more. */
  flush() {
    if (!this.running && this.waiting.length) {
      this.running = this.drain().finally(() => (this.running = null));
    }
    return this.running || Promise.resolve();
  }

  async drain() {
    while (this.waiting.length) {
      // Counts that are asked for in one task are stored together.
      await null;
      this.takeImages();
      const batch = this.waiting.splice(0);
      try {
        await this.put(batch);
      } catch (error) {
        batch.forEach(({ reject }) => reject && reject(error));
      }
    }
  }

  async put(batch) {
    const { strict } = this.grant ? this.grant.item : {};
    const changed = new Map();
    const kept = await this.store.write(async (on) => {
      const kept = [];
      for (const entry of batch) {
        if (strict && entry.resolve && !(await this.spend(on, entry))) continue;
        kept.push(entry);
        for (const [kind, what, n] of entry.work) {
          const { segment, slot, totals } = entry;
          const key = [segment.id, slot, kind, what].join();
          const total = totals.get(key)?.total || 0;
          const row = changed.get(key) || {
            segment: segment.id,
            slot,
            kind,
            what,
            total,
            of: entry,
          };
          row.total += n;
          changed.set(key, row);
        }
      }
      await this.putRows(on, changed);
      return kept;
    });
    for (const [key, row] of changed) {
      const { of, ...total } = row;
      of.totals.set(key, total);
      this.lastSlot = Math.max(this.lastSlot, row.slot);
    }
    for (const entry of batch) {
      if (!entry.resolve) continue;
      if (kept.includes(entry)) entry.resolve();
      else entry.reject(new SeatmeterError(-20120, "the allowance of this device is used up"));
    }
  }

  async putRows(on, changed) {
    const healed = new Set();
    // The highest time that was seen. A page that has heard a server later knows better.
    const known = await on.values.get("clock");
    if (!(known?.heardAt > this.clock.heardAt)) await on.values.put(this.clock.stored(), "clock");
    for (const row of changed.values()) {
      const { segment, totals } = row.of;
      if (!healed.has(segment.id) && !(await on.segments.get(segment.id))) {
        // It is the first count of the segment, or somebody has cleared the storage.
        await this.heal(on);
        await on.segments.put(segment);
        // They may have been sent: they keep their slots, or they would count in two.
        for (const total of totals.values()) {
          await on.totals.put({ ...total, as: total.slot, unsent: 1 });
        }
      }
      healed.add(segment.id);
      const { of, ...total } = row;
      const stored = await on.totals.get([row.segment, row.slot, row.kind, row.what]);
      if (stored) Object.assign(total, { as: stored.as, under: stored.under });
      await on.totals.put({ ...total, unsent: 1 });
    }
  }

  // A count is spent before it is counted, in one transaction for all tabs.
  async spend(on, { segment, work }) {
    const asked = new Map();
    for (const [kind, what, n] of work) {
      if (kind === "image") continue;
      const module = kind === "page" ? what : 0;
      asked.set(module, (asked.get(module) || 0) + n);
    }
    const rows = [];
    for (const [module, n] of asked) {
      const { uuid, item } = segment;
      const row = (await on.spent.get([uuid, item, module])) || { uuid, item, module, spent: 0 };
      const allowance = (this.grant.local.allowances || []).find((a) => (a.module || 0) === module);
      const known = this.spent.get([uuid, item, module].join()) || 0;
      row.spent = Math.max(row.spent, known, allowance ? allowance.used : 0) + n;
      if (!allowance || row.spent > allowance.allowed) return false;
      rows.push(row);
    }
    for (const row of rows) {
      await on.spent.put(row);
      this.spent.set([row.uuid, row.item, row.module].join(), row.spent);
    }
    return true;
  }

  /** Return whether something was counted ahead of the time. */
  isAhead() {
    return this.lastSlot > slotOf(this.clock.seconds());
  }
}
