// Seats, scans, pages and devices, counted without loss: the seatmeter library from Node.
//
// A function that may wait for the network, a seat or a picture returns a Promise, and runs beside the event loop. The
// others return at once.
'use strict';

const { content, integer, milliseconds, text } = require('./arguments.js');
const library = require('./library.js');
const { inJavaScript } = require('./words.js');

const DeploymentType = Object.freeze({ SERVER: 1, DESKTOP: 2, EMBEDDED: 6, OEM: 7, MOBILE: 9 });

const ChargeWay = Object.freeze({
  AUTO: 0,
  CLIENT_DEVICE: 1,
  BARCODE_SCAN: 2,
  CONCURRENT_DEVICE: 3,
  DOMAIN: 6,
  ACTIVE_DEVICE: 8,
  SERVER: 9,
  CONCURRENT_INSTANCE: 10,
  PAGE: 20,
});

// Facts about the application that a handshake code may ask for.
const ValidationField = Object.freeze({ WEBSITE_DOMAIN: 0, APPLICATION_ID: 1 });

// The importance of a line of the log.
const LogLevel = Object.freeze({ ERROR: 1, WARNING: 2, INFO: 3 });

const PageModule = Object.freeze({ CORE: 1, WEBCAM: 2, PDFR: 3, OCR: 4 });

// An error of the library: `code` is its number, and the message says what to do. `results` are the
// barcodes that decodeFile() found before it failed. They are counted. With an error of the license
// their text is masked with `*`, and they are not counted. For an error of any other function the
// list is empty.
class SeatmeterError extends Error {
  constructor(code, message, results = []) {
    super(inJavaScript(message || library.errorString(code)));
    this.name = this.constructor.name;
    this.code = code;
    this.results = results;
  }
}

// There is no license (yet).
class NoLicenseError extends SeatmeterError {}

// All seats of this device are in use, or the request was for more than the device has.
class AllSeatsTakenError extends SeatmeterError {}

// The license server has refused, or the license is used up or has expired.
class RefusedError extends SeatmeterError {}

// No license server can be reached, and this device has no license that is good without one.
class ServerUnreachableError extends SeatmeterError {}

const ALL_SEATS_TAKEN = -20008;
const VALUE_INVALID = -10038;

// Ranges of the header, for the messages about values that the library refuses.
const BARCODES_MAX = 1048576;
const COUNT_MAX = 2 ** 32 - 1;
const FORGET_MS_MAX = 600000;
const PATH_BYTES_MAX = 4095;
const SETTING_BYTES_MAX = 512;

function kindOf(code) {
  if (code === -20000) return NoLicenseError;
  if (code === ALL_SEATS_TAKEN) return AllSeatsTakenError;
  if (code === -20200) return ServerUnreachableError;
  return code <= -20100 && code > -20200 ? RefusedError : SeatmeterError;
}

function check(code, message, results) {
  if (code === 0) return;
  const Kind = kindOf(code);
  throw new Kind(code, message && textOf(message), results);
}

// Throws an error that names the value and its range, if the library has refused it for its range.
function checkRange(code, name, value, least, most) {
  if (code !== VALUE_INVALID || (value >= least && value <= most)) return;
  throw new SeatmeterError(code, `${name} is ${value}; it must be from ${least} to ${most}`);
}

// Likewise for the length of a text.
function checkLength(code, name, value, least, most) {
  checkRange(code, `the length of ${name} in bytes`, Buffer.byteLength(value), least, most);
}

function textOf(bytes) {
  return Buffer.from(bytes).toString('utf8').split('\0', 1)[0];
}

// Calls a function of the library in another thread.
function beside(call, ...values) {
  return new Promise((resolve, reject) => {
    call.async(...values, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function setStateDirectory(path) {
  const code = library.setStateDirectory(text('path', path));
  checkLength(code, 'path', path, 1, PATH_BYTES_MAX);
  check(code);
}

// Tells the server a fact about this application, before initialize(). An empty text removes it.
function setValidationField(field, value) {
  const code = library.setValidationField(integer('field', field), text('value', value));
  checkRange(code, 'field', field, ValidationField.WEBSITE_DOMAIN, ValidationField.APPLICATION_ID);
  checkLength(code, 'value', value, 0, SETTING_BYTES_MAX);
  check(code);
}

// Gives this device a name by which people know it on the server, before initialize().
function setDeviceFriendlyName(name) {
  const code = library.setDeviceFriendlyName(text('name', name));
  checkLength(code, 'name', name, 0, SETTING_BYTES_MAX);
  check(code);
}

// Trusts the certificates in this PEM file, besides the system's, before the first initialize().
function setCaFile(path) {
  const code = library.setCaFile(text('path', path));
  checkLength(code, 'path', path, 1, PATH_BYTES_MAX);
  check(code);
}

// The client UUID by which the server knows this device: 32 hexadecimal digits.
function deviceUuid() {
  const out = Buffer.alloc(33);
  check(library.getDeviceUuid(out, out.length));
  return textOf(out);
}

// The callback of the log, as C has it.
let logCallback = null;

// Sets a function that gets the lines of the log: hear(level, line) is called in the event loop, some time after the
// line was logged. null removes it. A log does not keep the process alive.
function setLog(hear) {
  if (hear !== null && typeof hear !== 'function') throw new TypeError('hear must be a function or null');
  const { koffi } = library;
  const call = (_user, level, line) => hear(level, line);
  const next = hear && koffi.register(call, koffi.pointer(library.LogCallback));
  const code = library.setLogCallback(next, null);
  const unused = code === 0 ? logCallback : next;
  if (code === 0) logCallback = next;
  if (unused) koffi.unregister(unused);
  check(code);
}

// Gets this process licensed. Without a stored license it waits for the server, 10 s at most.
async function initialize(options = {}) {
  const parameters = {};
  check(library.initParameters(parameters));
  // The fields of the C API, and the options from which they come.
  const fields = {
    mainServer: [text, 'server'],
    standbyServer: [text, 'standbyServer'],
    handshakeCode: [text, 'handshakeCode'],
    sessionPassword: [text, 'sessionPassword'],
    organizationId: [text, 'organizationId'],
    deploymentType: [integer, 'deploymentType'],
    chargeWay: [integer, 'chargeWay'],
    seats: [integer, 'seats'],
    maxBufferDays: [integer, 'maxBufferDays'],
  };
  const known = Object.values(fields).map(([, option]) => option);
  const strange = Object.keys(options).find((option) => !known.includes(option));
  if (strange) throw new TypeError(`${strange} is no option: there are ${known.join(', ')}`);
  for (const [field, [checked, option]] of Object.entries(fields)) {
    const value = options[option];
    if (value !== undefined && value !== null) parameters[field] = checked(option, value);
  }
  const message = Buffer.alloc(library.TEXT_BYTES);
  check(await beside(library.initialize, parameters, message, message.length), message);
}

// Free seats of this device; -1 when the license has to be refreshed; 2 ** 31 - 1 without a limit.
function idleCount() {
  return library.idleCount();
}

// The state of this process's license; seatmeter.h explains each field.
function status() {
  const now = { size: library.koffi.sizeof(library.Status), lastError: [], server: [], rootKeyIds: [] };
  check(library.status(now));
  for (const name of ['lastError', 'server', 'rootKeyIds']) {
    if (typeof now[name] !== 'string') now[name] = textOf(now[name]);
  }
  now.lastError = inJavaScript(now.lastError);
  now.rootKeyIsOfFirstAnswer = now.rootKeyIsOfFirstAnswer !== 0;
  return now;
}

// The processes that hold seats of this device, those of other programs among them: { seats, pid, since, name }.
function holders() {
  const { koffi } = library;
  const size = koffi.sizeof(library.Holder);
  // Another process may take its first seat between two calls. Mostly the first call has room for all.
  for (let capacity = 64; ; ) {
    const raw = Buffer.alloc(capacity * size);
    const count = [0];
    check(library.listHolders(raw, capacity, count));
    const found = Number(count[0]);
    if (found <= capacity) {
      const all = found ? koffi.decode(raw, koffi.array(library.Holder, found)) : [];
      return all.map(({ seats, pid, since, name }) => ({
        seats,
        pid,
        since: Number(since),
        name: typeof name === 'string' ? name : textOf(name),
      }));
    }
    capacity = found * 2;
  }
}

// Reports and renews now.
async function sync(timeoutMs = 5000) {
  const message = Buffer.alloc(library.TEXT_BYTES);
  check(await beside(library.sync, milliseconds('timeoutMs', timeoutMs), message, message.length), message);
}

// Reports the rest, and gives everything back. The next program reports what cannot be reported now.
async function shutdown(timeoutMs = 5000) {
  check(await beside(library.shutdown, milliseconds('timeoutMs', timeoutMs)));
}

function countPages(module, n = 1) {
  const code = library.countPages(integer('module', module), integer('n', n, 0, Number.MAX_SAFE_INTEGER));
  checkRange(code, 'module', module, PageModule.CORE, PageModule.OCR);
  checkRange(code, 'n', n, 0, COUNT_MAX);
  check(code);
}

// Readers that were lost without close().
const lost = new FinalizationRegistry((handle) => library.destroyReader(handle));

// A wait for a seat occupies one of the few threads that files and name lookups need, too. After this number of
// milliseconds it lets others have their turn.
const SLICE_MS = 200;

// Marks a handle that Reader.within passes to the constructor.
const TAKEN = Symbol('a reader of the C API');

// Holds a seat until close().
class Reader {
  #handle;

  constructor(taken) {
    const out = taken === undefined ? [null] : taken[TAKEN];
    if (taken === undefined) {
      const message = Buffer.alloc(library.TEXT_BYTES);
      check(library.createReader(out, message, message.length), message);
    }
    this.#handle = out[0];
    lost.register(this, this.#handle, this);
  }

  // Makes a reader that waits for a seat, at most this number of milliseconds, up to ten minutes.
  static async within(ms) {
    const end = performance.now() + milliseconds('ms', ms);
    for (;;) {
      const left = Math.ceil(Math.max(end - performance.now(), 0));
      const out = [null];
      const message = Buffer.alloc(library.TEXT_BYTES);
      const slice = Math.min(left, SLICE_MS);
      const code = await beside(library.createReaderWithin, out, slice, message, message.length);
      if (code !== ALL_SEATS_TAKEN || left <= SLICE_MS) {
        check(code, message);
        return new Reader({ [TAKEN]: out });
      }
    }
  }

  // Gives the seat back. A second call does nothing.
  close() {
    if (this.#handle === null) return;
    lost.unregister(this);
    library.destroyReader(this.#handle);
    this.#handle = null;
  }

  // Counts the barcodes, { format, bytes }, of one still image; returns the number of different ones.
  countImage(barcodes) {
    return this.#count(library.countImage, barcodes);
  }

  // Counts the barcodes of one frame of a video; returns how many were counted now.
  countFrame(barcodes) {
    return this.#count(library.countFrame, barcodes);
  }

  // Counts n scans of one symbology, which the caller has made unique.
  countScans(format, n) {
    const scans = integer('n', n, 0, Number.MAX_SAFE_INTEGER);
    const code = library.countScans(this.#open(), integer('format', format), scans);
    checkRange(code, 'n', n, 0, COUNT_MAX);
    check(code);
  }

  // Sets for how long a counted barcode of a frame sequence does not count again: 0 to 600000 milliseconds.
  setDuplicateForgetTime(ms) {
    const code = library.setDuplicateForgetTime(this.#open(), integer('ms', ms));
    checkRange(code, 'ms', ms, 0, FORGET_MS_MAX);
    check(code);
  }

  #open() {
    if (this.#handle === null) throw new Error('the reader is closed');
    return this.#handle;
  }

  #count(call, barcodes) {
    const handle = this.#open();
    const raw = Array.from(barcodes, ({ format, bytes }) => {
      const whole = content(bytes);
      return { format: integer('format', format), bytes: whole, length: whole.length };
    });
    const counted = [0];
    const code = call(handle, raw, raw.length, counted);
    checkRange(code, 'the number of barcodes', raw.length, 0, BARCODES_MAX);
    check(code);
    return Number(counted[0]);
  }
}

if (Symbol.dispose) Reader.prototype[Symbol.dispose] = Reader.prototype.close;

// Reads the barcodes of a picture, { format, text, bytes }, and counts them. Holds a seat meanwhile. A file
// may give barcodes and an error, for example a PNG that is cut in its middle: the error has them as
// its `results`.
async function decodeFile(path) {
  const { koffi } = library;
  const file = text('path', path);
  const instance = library.createInstance();
  const results = [null];
  try {
    const code = await beside(library.decodeFile, instance, file, '');
    // Read the results also after an error: barcodes that were found before it are counted.
    check(library.allTextResults(instance, results));
    const array = koffi.decode(results[0], library.TextResults);
    const pointers = array.count ? koffi.decode(array.results, koffi.array('void *', array.count)) : [];
    const found = pointers.map((pointer) => {
      const one = koffi.decode(pointer, library.TextResult);
      // Copy the bytes: the library frees its own.
      const bytes = Buffer.from(one.length ? koffi.decode(one.bytes, koffi.array('uint8_t', one.length)) : []);
      // One of the two names is empty.
      return { format: one.formatName || one.formatName2, text: one.text, bytes };
    });
    check(code, undefined, found);
    return found;
  } finally {
    library.freeTextResults(results);
    library.destroyInstance(instance);
  }
}

module.exports = {
  AllSeatsTakenError,
  ChargeWay,
  DeploymentType,
  LogLevel,
  NoLicenseError,
  PageModule,
  Reader,
  RefusedError,
  SeatmeterError,
  ServerUnreachableError,
  ValidationField,
  countPages,
  decodeFile,
  deviceUuid,
  holders,
  idleCount,
  initialize,
  setCaFile,
  setDeviceFriendlyName,
  setLog,
  setStateDirectory,
  setValidationField,
  shutdown,
  status,
  sync,
  version: () => library.version(),
};
