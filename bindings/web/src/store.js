// What a device keeps: one IndexedDB database for each origin, which all of its tabs and workers
// share.
//
// | store | key | content |
// |---|---|---|
// | `values` | name | the UUID in use, the clock, the root key of a first answer |
// | `devices` | uuid | the key of each identity that this profile has had |
// | `servers` | uuid, key id | the history with a server: license, receipt, epoch, report key |
// | `licenses` | name | a grant, and what the server has said since, for one set of credentials |
// | `segments` | id | under which license a page counts |
// | `totals` | segment, slot, kind, what | what a page has counted, see below |
// | `spent` | uuid, item, module | what was counted under a strict item |
//
// A row of `totals` has `total`, which only grows and is written by the page that counts; `unsent`,
// while it is not acknowledged; since it was sent first, the slot `as` which it is reported; and,
// if its slot was ahead of the time then, the segment `under` which it is reported.

import { localFailure } from "./errors.js";

const VERSION = 1;
const KEYS = {
  values: undefined,
  devices: "uuid",
  servers: ["uuid", "keyId"],
  licenses: "name",
  segments: "id",
  totals: ["segment", "slot", "kind", "what"],
  spent: ["uuid", "item", "module"],
};
const STORES = Object.keys(KEYS);

const request = (asked) =>
  new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });

const upgrade = (database) => {
  for (const [name, keyPath] of Object.entries(KEYS)) {
    const store = database.createObjectStore(name, { keyPath });
    if (name === "totals") store.createIndex("unsent", "unsent");
  }
};

export class Store {
  constructor(name) {
    this.name = name;
    this.opening = null;
  }

  open() {
    if (!this.opening) {
      this.opening = new Promise((resolve, reject) => {
        const asked = indexedDB.open(this.name, VERSION);
        asked.onupgradeneeded = () => upgrade(asked.result);
        asked.onerror = () => reject(asked.error);
        asked.onsuccess = () => {
          const database = asked.result;
          const gone = () => (this.opening = null);
          // The browser has closed it: somebody has cleared the storage of this website.
          database.onclose = gone;
          database.onversionchange = () => (database.close(), gone());
          resolve(database);
        };
      });
      this.opening.catch(() => (this.opening = null));
    }
    return this.opening;
  }

  /** Run `work` in one transaction, and return what it returns once everything is stored. */
  async run(mode, work) {
    for (let tries = 0; ; tries++) {
      let transaction;
      try {
        const database = await this.open();
        transaction = database.transaction(STORES, mode);
      } catch (error) {
        this.opening = null;
        // Once more, because the connection may have ended with a cleared storage.
        if (tries) throw localFailure(error);
        continue;
      }
      return this.finish(transaction, work);
    }
  }

  async finish(transaction, work) {
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error || new Error("aborted"));
    });
    done.catch(() => {});
    const on = {};
    for (const name of STORES) on[name] = bound(transaction.objectStore(name));
    try {
      const result = await work(on);
      await done;
      return result;
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // It has ended already.
      }
      throw localFailure(error);
    }
  }

  read(work) {
    return this.run("readonly", work);
  }

  write(work) {
    return this.run("readwrite", work);
  }

  get(store, key) {
    return this.read((on) => on[store].get(key));
  }

  async close() {
    (await this.opening)?.close();
  }
}

const bound = (store) => ({
  get: (key) => request(store.get(key)),
  getAll: () => request(store.getAll()),
  put: (value, key) => request(key === undefined ? store.put(value) : store.put(value, key)),
  delete: (key) => request(store.delete(key)),
  unsent: (count) => request(store.index("unsent").getAll(1, count)),
});
