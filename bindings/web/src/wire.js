// The wire, to the byte: digests, signatures, proofs (docs/wire.md). Everything is WebCrypto.

import { fail } from "./errors.js";

const TEXT = new TextEncoder();
const BATCH_SIZE_MAX = 1024;
const HEX = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));

export const bytesOf = (text) => TEXT.encode(text);

export const toHex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => HEX[byte]).join("");

/** Return the bytes of lower-case hexadecimal digits; null where the text is something else. */
export const fromHex = (text, length) => {
  if (typeof text !== "string" || text.length !== 2 * length || /[^0-9a-f]/.test(text)) return null;
  return Uint8Array.from({ length }, (_, n) => parseInt(text.substr(2 * n, 2), 16));
};

export const randomId = () => toHex(crypto.getRandomValues(new Uint8Array(16)));

export const concat = (...parts) => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

export const digestHex = async (text) => toHex(await sha256(bytesOf(text)));

export const keyIdOf = async (keyHex) => {
  const key = fromHex(keyHex, 32);
  return key && toHex(await sha256(key)).slice(0, 16);
};

const withContext = (context, bytes) => concat(bytesOf(`seatmeter/1 ${context}\n`), bytes);

const ed25519 = async (keyHex, signatureHex, message) => {
  const key = fromHex(keyHex, 32);
  const signature = fromHex(signatureHex, 64);
  if (!key || !signature) return false;
  const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, message);
};

/** Return whether the key has signed a batch with this text of this kind at its place. */
export const isInBatch = async (keyHex, context, bytes, written) => {
  const [signature, indexText, sizeText, ...path] = String(written).split(".");
  let index = Number(indexText);
  const size = Number(sizeText);
  const isNumber = (text, number) => String(number) === text && Number.isInteger(number);
  if (!isNumber(indexText, index) || !isNumber(sizeText, size)) return false;
  if (index < 0 || index >= size || size > BATCH_SIZE_MAX) return false;
  let hash = await sha256(concat([0], withContext(context, bytes)));
  // Index and size demand how long the path is: a text has one place, and one written form.
  for (let last = size - 1; last > 0; index >>= 1, last >>= 1) {
    if (index % 2 === 0 && index >= last) continue;
    const sibling = fromHex(path.shift(), 32);
    if (!sibling) return false;
    hash = await sha256(index % 2 ? concat([1], sibling, hash) : concat([1], hash, sibling));
  }
  if (path.length) return false;
  const root = bytesOf(`${size}\n${toHex(hash)}`);
  return ed25519(keyHex, signature, withContext("batch", root));
};

/** Check a document's envelope, and return the document. Vendors sign alone, servers in batches. */
export const open = async (envelope, context, keyHex) => {
  const { payload, key_id, signature } = envelope || {};
  if (typeof payload !== "string") fail(-20003, `the ${context} is missing`);
  if (key_id !== (await keyIdOf(keyHex))) {
    fail(-20003, `the ${context} is signed by another key, ${key_id}`);
  }
  const bytes = bytesOf(payload);
  const isRight = await (context === "local license"
    ? isInBatch(keyHex, context, bytes, signature)
    : ed25519(keyHex, signature, withContext(context, bytes)));
  if (!isRight) fail(-20003, `the signature of the ${context} is wrong`);
  return JSON.parse(payload);
};

/** Return whether the server with this key has given this answer to this request. */
export const isAnswer = async (keyHex, request, answer) => {
  const { status, time, keyId, body, signature } = answer;
  const facts = `${request.digest}\n${request.nonce}\n${status}\n${time}\n${keyId}\n`;
  return (
    keyId === (await keyIdOf(keyHex)) &&
    isInBatch(keyHex, "answer", bytesOf(facts + body), signature)
  );
};

const facts = (context, path, nonce, digest) =>
  withContext(context, bytesOf(`POST\n${path}\n${nonce}\n${digest}\n`));

/** Return the signature of a request by the key of the device. */
export const signRequest = async (privateKey, path, nonce, digest) =>
  toHex(await crypto.subtle.sign("Ed25519", privateKey, facts("request", path, nonce, digest)));

/** Return the HMAC of a report under the report key. */
export const tagReport = async (hmacKey, path, nonce, digest) =>
  toHex(await crypto.subtle.sign("HMAC", hmacKey, facts("report", path, nonce, digest)));

/** Begin an agreement on a report key: the public half, and what derives the key. */
export const beginAgreement = async () => {
  const pair = await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
  const share = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return {
    share: toHex(share),
    async finish(serverHex, uuid) {
      const server = fromHex(serverHex, 32);
      if (!server) fail(-20003, "key_share is malformed");
      const other = await crypto.subtle.importKey("raw", server, "X25519", false, []);
      const agreed = await crypto.subtle.deriveBits(
        { name: "X25519", public: other },
        pair.privateKey,
        256,
      );
      return deriveReportKey(agreed, share, server, uuid);
    },
  };
};

/** Return the id of a report key, and the key, which no script can read. */
export const deriveReportKey = async (agreed, deviceShare, serverShare, uuid) => {
  const secret = await crypto.subtle.importKey("raw", agreed, "HKDF", false, ["deriveBits"]);
  const parameters = {
    name: "HKDF",
    hash: "SHA-256",
    salt: concat(deviceShare, serverShare),
    info: bytesOf(`seatmeter/1 report key\n${uuid}`),
  };
  const bytes = new Uint8Array(await crypto.subtle.deriveBits(parameters, secret, 320));
  return { id: toHex(bytes.slice(0, 8)), key: await importHmac(bytes.slice(8)) };
};

export const importHmac = (bytes) =>
  crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);

/**
 * Make the identity of a device: a key that no script can read, and the UUID that follows from it.
 */
export const makeDevice = async () => {
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const uuid = toHex((await sha256(publicKey)).slice(0, 16));
  return { uuid, publicKey: toHex(publicKey), privateKey: pair.privateKey };
};
