// Plays a program of bindings/scenario.txt: reads commands from standard input, and answers each with a line.
'use strict';

const readline = require('node:readline');
const seatmeter = require('seatmeter');

const readers = [];
const lines = [];

function barcodes(n) {
  return Array.from({ length: Number(n) }, (_, i) => ({ format: 4, bytes: Buffer.from(`code${i}`) }));
}

function roots() {
  const now = seatmeter.status();
  const whose = now.rootKeyIsOfFirstAnswer ? 'of the first answer' : 'of the vendor';
  return `${now.rootKeysBuiltIn} built in, ${whose}, ${now.rootKeyIds.length} digits`;
}

function status() {
  const now = seatmeter.status();
  return `${now.state} ${now.seatsGranted} ${now.seatsHeld} ${now.seatsIdle}`;
}

// Counts four times with a closed reader.
function stale() {
  const reader = readers.pop();
  reader.close();
  const heard = [1, 2, 3, 4].map(() => {
    try {
      return reader.countImage([]);
    } catch (error) {
      return error.message;
    }
  });
  return `${heard.filter((message) => message === 'the reader is closed').length} closed`;
}

function init(server, handshakeCode, seats) {
  return seatmeter.initialize({
    server,
    handshakeCode,
    seats: Number(seats),
    deploymentType: seatmeter.DeploymentType.SERVER,
    chargeWay: seatmeter.ChargeWay.CONCURRENT_INSTANCE,
  });
}

function nul(server) {
  const refused = (error) => {
    if (error instanceof TypeError) return 'no text';
    throw error;
  };
  return init(server, 'DEMO-4-SEATS\0-AND-MORE', 4).catch(refused);
}

function holders() {
  const all = seatmeter.holders();
  return `${all.length} processes ${all.reduce((sum, { seats }) => sum + seats, 0)} seats`;
}

// Tries to make a second owner of a seat.
function noCopy() {
  const reader = readers.at(-1);
  for (const copy of [structuredClone(reader), { ...reader }, Object.create(reader)]) {
    try {
      seatmeter.Reader.prototype.countImage.call(copy, []);
      return 'a copy';
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  return 'no copy';
}

// Lines come through the event loop.
async function heard() {
  for (let i = 0; i < 1000 && !lines.some((line) => line.includes('licensed')); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return lines.some((line) => line.includes('licensed')) ? 'yes' : JSON.stringify(lines);
}

const commands = {
  version: () => seatmeter.version(),
  log: () => seatmeter.setLog((level, line) => void lines.push(line)),
  heard,
  friendly: (name) => seatmeter.setDeviceFriendlyName(name),
  field: (value) => seatmeter.setValidationField(seatmeter.ValidationField.WEBSITE_DOMAIN, value),
  ca: (path) => seatmeter.setCaFile(path),
  uuid: () => `${Buffer.from(seatmeter.deviceUuid(), 'hex').length * 2} digits`,
  holders,
  copy: noCopy,
  forget: (ms) => readers.at(-1).setDuplicateForgetTime(Number(ms)),
  scans: (n) => readers.at(-1).countScans(4, Number(n)),
  init,
  nul,
  idle: () => seatmeter.idleCount(),
  create: () => void readers.push(new seatmeter.Reader()),
  within: async (ms) => void readers.push(await seatmeter.Reader.within(Number(ms))),
  destroy: () => readers.pop().close(),
  stale,
  image: (n) => readers.at(-1).countImage(barcodes(n)),
  frame: (n) => readers.at(-1).countFrame(barcodes(n)),
  pages: (n) => seatmeter.countPages(seatmeter.PageModule.CORE, Number(n)),
  decode: async (path) => (await seatmeter.decodeFile(path)).length,
  bytes: async (path) => {
    const [{ format, bytes }] = await seatmeter.decodeFile(path);
    return `${format} ${bytes.toString('hex')}`;
  },
  roots,
  status,
  sync: () => seatmeter.sync(20000),
  shutdown: () => seatmeter.shutdown(20000),
};

function kindOf(error) {
  if (error instanceof seatmeter.NoLicenseError) return 'unlicensed';
  if (error instanceof seatmeter.AllSeatsTakenError) return 'taken';
  if (error instanceof seatmeter.RefusedError) return 'refused';
  return error instanceof seatmeter.ServerUnreachableError ? 'unreachable' : 'other';
}

async function answer(line) {
  const [command, ...values] = line.split(' ');
  try {
    const value = await commands[command](...values);
    return value === undefined ? 'ok' : String(value);
  } catch (error) {
    if (!(error instanceof seatmeter.SeatmeterError)) throw error;
    const found = error.results.length ? ` with ${error.results.length} results` : '';
    return `error ${error.code} ${kindOf(error)}${found}`;
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${await answer(line)}\n`);
  }
})();
