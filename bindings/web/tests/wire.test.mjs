// The wire vectors of protocol/tests/vectors, in JavaScript.

import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as wire from "../src/wire.js";

const folder = new URL("../../../protocol/tests/vectors/", import.meta.url);
const vector = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, folder)));

/** Import a secret key from its seed, as PKCS #8. */
const privateKey = (seedHex) => {
  const der = Buffer.concat([
    Buffer.from("302e020100300506032b657004220420", "hex"),
    Buffer.from(seedHex, "hex"),
  ]);
  assert.ok(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return crypto.subtle.importKey("pkcs8", der, "Ed25519", false, ["sign"]);
};

test("the signed documents of the vectors open, and with a changed byte they do not", async () => {
  const { keys, license_file, local_license } = vector("documents");
  const file = await wire.open(license_file, "license file", keys.vendor_public);
  assert.equal(file.file_id, "file-1");
  assert.equal(file.organization_name, "Acme & Söhne");
  const local = await wire.open(local_license, "local license", keys.server_public);
  assert.equal(local.serial, 7);
  const changed = { ...license_file, payload: license_file.payload.replace("file-1", "file-2") };
  await assert.rejects(wire.open(changed, "license file", keys.vendor_public), { code: -20003 });
  await assert.rejects(wire.open(license_file, "license file", keys.server_public), {
    code: -20003,
  });
  await assert.rejects(wire.open(license_file, "local license", keys.vendor_public), {
    code: -20003,
  });
  await assert.rejects(wire.open(undefined, "license file", keys.vendor_public), { code: -20003 });
});

test("the answer of the vectors is believed for its request, status, time and body alone", async () => {
  const v = vector("answer");
  assert.equal(await wire.digestHex(v.request_body), v.request_digest);
  assert.equal(await wire.keyIdOf(v.keys.server_public), v.keys.server_key_id);
  const request = { digest: v.request_digest, nonce: v.nonce };
  const answer = {
    status: v.status,
    time: v.server_time,
    keyId: v.keys.server_key_id,
    body: v.answer_body,
    signature: v.signature,
  };
  const isAnswer = (r, a) =>
    wire.isAnswer(v.keys.server_public, { ...request, ...r }, { ...answer, ...a });
  assert.equal(await isAnswer({}, {}), true);
  for (const [r, a] of [
    [{ nonce: "0".repeat(32) }, {}],
    [{ digest: "0".repeat(64) }, {}],
    [{}, { status: 403 }],
    [{}, { time: v.server_time + 1 }],
    [{}, { body: v.answer_body + " " }],
    [{}, { keyId: "0".repeat(16) }],
    [{}, { signature: "" }],
  ]) {
    assert.equal(await isAnswer(r, a), false, JSON.stringify([r, a]));
  }
});

test("the batches of the vectors are believed, and what is not of a batch is refused", async () => {
  const v = vector("batches");
  const answer = (nonce, body, signature) =>
    wire.isAnswer(
      v.server_public,
      { digest: v.request_digest, nonce },
      { status: v.status, time: v.server_time, keyId: v.server_key_id, body, signature },
    );
  for (const { size, answers } of v.batches) {
    assert.equal(answers.length, size);
    for (const { nonce, body, signature } of answers) {
      assert.equal(await answer(nonce, body, signature), true, `${size}: ${nonce}`);
    }
  }
  const { nonce, body, signatures } = v.refused;
  assert.ok(signatures.length > 10);
  for (const { why, signature } of signatures) {
    assert.equal(await answer(nonce, body, signature), false, why);
  }
});

test("the proofs of the vectors come out of the keys of the vectors", async () => {
  const v = vector("proofs");
  const key = await privateKey(v.device_seed);
  assert.equal(await wire.digestHex(v.body), v.body_digest);
  const { path, signature } = v.authorization;
  assert.equal(await wire.signRequest(key, path, v.nonce, v.body_digest), signature);
  const hmac = await wire.importHmac(wire.fromHex(v.report_key.slice(16), 32));
  assert.equal(await wire.tagReport(hmac, v.report.path, v.nonce, v.body_digest), v.report.tag);
});

test("both sides of an agreement derive one report key, and each agreement another", async () => {
  const [device, server, uuid] = [
    await wire.beginAgreement(),
    await wire.beginAgreement(),
    "44".repeat(16),
  ];
  const ours = await device.finish(server.share, uuid);
  assert.match(ours.id, /^[0-9a-f]{16}$/);
  assert.equal(ours.key.extractable, false, "no script can read the report key");
  const other = await device.finish((await wire.beginAgreement()).share, uuid);
  assert.notEqual(ours.id, other.id);
  await assert.rejects(device.finish("no hex", uuid), { code: -20003 });
  await assert.rejects(device.finish("0".repeat(64), uuid), "a share that gives no secret");
});

test("a device is a key that no script can read, and its UUID follows from the key", async () => {
  const [one, other] = [await wire.makeDevice(), await wire.makeDevice()];
  assert.notEqual(one.uuid, other.uuid);
  assert.match(one.uuid, /^[0-9a-f]{32}$/);
  const digest = await wire.sha256(wire.fromHex(one.publicKey, 32));
  assert.equal(one.uuid, wire.toHex(digest).slice(0, 32));
  await assert.rejects(crypto.subtle.exportKey("pkcs8", one.privateKey));
});
