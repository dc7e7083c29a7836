// Reports: what is not acknowledged yet, sent as totals, until the server has it.

import { slotOf } from "./grant.js";
import { post, refusal, USAGE } from "./server.js";
import { fail } from "./errors.js";
import { randomId } from "./wire.js";

const ROWS_MAX = 4000;
const SEGMENTS_MAX = 200;
const ROUNDS_MAX = 64;
const KEPT_SECONDS = 31 * 86400;

/**
 * Return what is to be sent to the server with this key: device, server, and segments with rows.
 */
const collect = (store, keyId, lastSlot, isDated) =>
  store.write(async (on) => {
    const groups = new Map();
    const dated = new Map();
    for (const row of await on.totals.unsent()) {
      const segment = await on.segments.get(row.segment);
      if (!segment || segment.keyId !== keyId) continue;
      const group = groups.get(segment.uuid) || { segments: new Map(), rows: 0 };
      groups.set(segment.uuid, group);
      if (!row.as) {
        row.as = Math.min(row.slot, lastSlot);
        if (row.as < row.slot) {
          // Work cannot be later than now: the clock was ahead. It waits until the server has told
          // the time, for which a report without it asks, and is then dated.
          if (!isDated) continue;
          const of = row.segment + row.slot;
          if (!dated.has(of)) dated.set(of, randomId());
          row.under = dated.get(of);
        }
        // What was sent once keeps its slot, so that it never counts in two.
        await on.totals.put(row);
      }
      if (group.rows >= ROWS_MAX || group.segments.size >= SEGMENTS_MAX) continue;
      group.rows++;
      const id = row.under || segment.id;
      const rows = group.segments.get(id) || { segment: { ...segment, id }, rows: [] };
      rows.rows.push(row);
      group.segments.set(id, rows);
    }
    const found = [];
    for (const [uuid, group] of groups) {
      const device = await on.devices.get(uuid);
      const server = (await on.servers.get([uuid, keyId])) || { uuid, keyId };
      if (device) found.push({ device, server, segments: [...group.segments.values()] });
    }
    return found;
  });

const acknowledge = (store, rows) =>
  store.write(async (on) => {
    for (const sent of rows) {
      const row = await on.totals.get([sent.segment, sent.slot, sent.kind, sent.what]);
      if (!row || row.total !== sent.total) continue;
      delete row.unsent;
      await on.totals.put(row);
    }
  });

/**
 * Note receipt and epoch of an answer. Under another epoch, the server may have lost what it had,
 * also of the other identities of this profile.
 */
export const noteServer = (store, uuid, keyId, { epoch, receipt }) =>
  store.write(async (on) => {
    let isNew;
    for (const server of await on.servers.getAll()) {
      if (server.keyId !== keyId) continue;
      if (epoch && server.epoch !== epoch) {
        isNew = true;
        server.epoch = epoch;
      }
      if (receipt && server.uuid === uuid) server.receipt = receipt;
      await on.servers.put(server);
    }
    if (!isNew) return;
    for (const row of await on.totals.getAll()) {
      const segment = await on.segments.get(row.segment);
      if (segment?.keyId === keyId) await on.totals.put({ ...row, unsent: 1 });
    }
  });

/** Delete what was acknowledged a month ago. */
export const tidy = (store, now) =>
  store.write(async (on) => {
    const kept = new Set();
    const oldest = slotOf(now - KEPT_SECONDS);
    for (const { unsent, segment, slot, kind, what } of await on.totals.getAll()) {
      if (unsent || slot >= oldest) kept.add(segment);
      else await on.totals.delete([segment, slot, kind, what]);
    }
    for (const { id } of await on.segments.getAll())
      if (!kept.has(id)) await on.segments.delete(id);
  });

/** Return the content of a report. */
export const bodyOf = ({ device, server, segments }, version) => ({
  protocol: 1,
  device: { uuid: device.uuid, friendly_name: "", library_version: version },
  newest_license: server.newest,
  receipt: server.receipt || undefined,
  segments: segments.map(({ segment, rows }) => ({
    segment_id: segment.id,
    license_id: segment.license,
    local_license: segment.envelope,
    totals: rows.map(({ as, kind, what, total }) => ({
      slot: as,
      kind,
      what,
      total,
    })),
  })),
});

/**
 * Report everything that is not acknowledged to the servers with this key. `hear` gets each answer
 * that is believed. Return `{ isDiverged, standings }`.
 */
export const report = async (
  store,
  { keyId, keyHex, urls, version, lastSlot, isDated, ms, keepalive, hear },
) => {
  const outcome = { standings: [] };
  const signs = new Set();
  let before = "";
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await collect(store, keyId, lastSlot(), isDated());
    // What was refused stays, and is not sent again before the next slot.
    const now = JSON.stringify(found.map(({ segments }) => segments));
    if (!found.length || now === before) break;
    before = now;
    for (const group of found) {
      const { uuid } = group.device;
      const answer = await toAny(
        urls,
        (url) => {
          const { reportKey } = group.server;
          const proof = {
            keyId,
            device: group.device,
            reportKey: signs.has(uuid) ? null : reportKey,
          };
          const content = bodyOf(group, version);
          return post(url, USAGE, content, proof, { keyHex, ms, keepalive });
        },
        signs,
        group,
      ).catch((error) => {
        // A refused identity must not hold back the others.
        if (error.code === -20200) throw error;
        outcome.failure = error;
      });
      if (!answer) continue;
      await hear(answer, uuid);
      const { body } = answer;
      const recorded = group.segments.filter(({ segment }) => body.recorded?.includes(segment.id));
      // First, so that nothing is acknowledged by an epoch of which this page knows nothing.
      await noteServer(store, uuid, keyId, body);
      await acknowledge(
        store,
        recorded.flatMap(({ rows }) => rows),
      );
      outcome.isDiverged ||= body.is_diverged;
      outcome.standings.push(...(body.standings || []));
    }
  }
  return outcome;
};

const toAny = async (urls, ask, signs, { device, server }) => {
  let last;
  for (const url of urls) {
    try {
      let answer = await ask(url);
      // The server does not know the report key any more: the device's own key proves who it is.
      if (answer.body.code === -20004 && server.reportKey && !signs.has(device.uuid)) {
        signs.add(device.uuid);
        answer = await ask(url);
      }
      if (answer.ok && answer.isBelieved) return answer;
      last = answer.ok ? null : refusal(answer, url);
    } catch (error) {
      last = error;
    }
  }
  if (last) throw last;
  return fail(-20003, "no server of this license has answered");
};
