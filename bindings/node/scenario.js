// Plays a program of bindings/scenario.txt: commands on standard input, an answer a line.
'use strict';

const readline = require('node:readline');
const seatmeter = require('seatmeter');

const readers = [];

function barcodes(n) {
  return Array.from({ length: Number(n) }, (_, i) => ({ format: 4, bytes: Buffer.from(`code${i}`) }));
}

function status() {
  const now = seatmeter.status();
  return `${now.state} ${now.seatsGranted} ${now.seatsHeld} ${now.seatsIdle}`;
}

// Four times: counting with a reader that is closed.
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

const commands = {
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
    return `error ${error.code} ${kindOf(error)}`;
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${await answer(line)}\n`);
  }
})();
