// One request to a license server, and what is believed of its answer.

import { ASKS_OTHER, SeatmeterError } from "./errors.js";
import { digestHex, isAnswer, randomId, signRequest, tagReport } from "./wire.js";

export const AUTHORIZATIONS = "/v1/authorizations";
export const USAGE = "/v1/usage";
const ANSWER_CHARS_MAX = 1 << 20;
// A browser holds back a request of a page that ends if its body is longer.
const KEEPALIVE_CHARS_MAX = 60000;

const readAnswer = async (response) => {
  const header = (name) => response.headers.get("seatmeter-" + name) || "";
  const body = await response.text();
  if (body.length > ANSWER_CHARS_MAX) throw new Error("the answer is too long");
  const [time, keyId, signature] = ["time", "key-id", "signature"].map(header);
  const retryAfter = Number(response.headers.get("retry-after"));
  return { status: response.status, time: Number(time), keyId, signature, retryAfter, body };
};

const send = async (url, options) => {
  const always = {
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
    referrerPolicy: "no-referrer",
  };
  return readAnswer(await fetch(url, { ...always, ...options }));
};

const unreachable = (url, error, ms) => {
  const why =
    error.name === "TimeoutError"
      ? `gave no answer within ${Math.round(ms / 1000)} s`
      : "cannot be reached: see the browser's console";
  return new SeatmeterError(-20200, `the license server ${url} ${why}`);
};

// A browser tells nothing about a request that CORS has stopped, so the page asks for the reason.
const whyNot = async (url, signal) => {
  const nonce = randomId();
  try {
    const answer = await send(`${url}/v1/origin?nonce=${nonce}`, { signal });
    if (answer.status !== 403) return null;
    return { answer, request: { nonce, digest: await digestHex("") } };
  } catch {
    return null;
  }
};

const parsed = (body) => {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
};

/**
 * Post a request. Return `{ ok, body, time, isBelieved }`; `isBelieved` says whether the server
 * with
 * `keyHex` has signed the answer, and `check` is that of an answer whose key is not known yet.
 */
export const post = async (url, path, content, proof, { keyHex, ms, keepalive }) => {
  const text = JSON.stringify(content);
  const request = { nonce: randomId(), digest: await digestHex(text) };
  const headers = { "content-type": "application/json", "seatmeter-nonce": request.nonce };
  if (proof.keyId) headers["seatmeter-key-id"] = proof.keyId;
  if (proof.reportKey) {
    headers["seatmeter-report-key-id"] = proof.reportKey.id;
    headers["seatmeter-report-tag"] = await tagReport(
      proof.reportKey.key,
      path,
      request.nonce,
      request.digest,
    );
  } else {
    const { privateKey } = proof.device;
    headers["seatmeter-device-signature"] = await signRequest(
      privateKey,
      path,
      request.nonce,
      request.digest,
    );
  }
  const signal = AbortSignal.timeout(Math.max(1, Math.round(ms)));
  const options = { method: "POST", headers, body: text, signal };
  if (keepalive && text.length < KEEPALIVE_CHARS_MAX) options.keepalive = true;
  const begunAt = Date.now();
  let exchange;
  try {
    exchange = { request, answer: await send(url + path, options) };
  } catch (error) {
    exchange = error.name === "TimeoutError" ? null : await whyNot(url, signal);
    if (!exchange) throw unreachable(url, error, ms);
  }
  // An answer that has waited for a page that slept tells the time of before.
  if (Date.now() - begunAt > ms) throw unreachable(url, { name: "TimeoutError" }, ms);
  const { answer } = exchange;
  const check = (key) => isAnswer(key, exchange.request, answer);
  const body = parsed(answer.body);
  if (body === null || !Number.isInteger(answer.time) || !answer.signature) {
    const what = `the answer of ${url} (status ${answer.status}) is not a license server's`;
    throw new SeatmeterError(-20200, `${what}: check the URL, or sign in to this network`);
  }
  const isBelieved = Boolean(keyHex) && (await check(keyHex));
  // An answer that is not signed by the server that this device knows counts as silence.
  if (keyHex && !isBelieved && answer.keyId === proof.keyId) {
    throw new SeatmeterError(-20003, `the answer of ${url} was changed on its way`);
  }
  return {
    ok: answer.status === 200,
    body,
    time: answer.time,
    keyId: answer.keyId,
    retryAfter: answer.retryAfter,
    isBelieved,
    check,
  };
};

/** Return a refusal as an error. */
export const refusal = ({ body, isBelieved, retryAfter }, url) => {
  const code = Number.isInteger(body.code) ? body.code : -20003;
  const error = new SeatmeterError(
    code,
    `${body.detail || "the request was refused"} (${url})`,
    body.numbers,
  );
  error.isBelieved = isBelieved;
  if (isBelieved) error.retryAfter = retryAfter;
  error.challenge = body.challenge;
  error.epoch = body.epoch || "";
  return error;
};

export const asksOther = (error) => ASKS_OTHER.includes(error.code);
