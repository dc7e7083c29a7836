// Checks that errors use the words of this module; prints the number of checked messages.
'use strict';

const assert = require('node:assert');
const seatmeter = require('seatmeter');
const { init } = require('./demo.js');

const OF_C = /\b(SM_\w+|DBR_\w+|InitLicense\w*|GetIdle\w*|maxConcurrentInstanceCount|\w+ServerURL|organizationID|UUIDGen\w*)\b/;

async function main() {
  const wrong = [
    {},
    { handshakeCode: 'DEMO-4-SEATS', seats: 0 },
    { handshakeCode: 'DEMO-4-SEATS', seats: 5 },
    { handshakeCode: 'DEMO-4-SEATS', deploymentType: 9 },
    { handshakeCode: 'DEMO-4-SEATS', chargeWay: 99 },
    { handshakeCode: 'DEMO-4-SEATS', server: 'ftp://x' },
  ];
  const messages = [];
  const hear = (error) => messages.push(error.message) > 0;
  for (const options of wrong) {
    await assert.rejects(seatmeter.initialize(options), hear);
  }
  assert.throws(() => new seatmeter.Reader(), hear);
  const names = (call, value, least, most) => {
    assert.throws(call, { code: -10038, message: `${value}; it must be from ${least} to ${most}` });
    assert.throws(call, hear);
  };
  const long = 'x'.repeat(513);
  names(() => seatmeter.setValidationField(9, 'x'), 'field is 9', 0, 1);
  names(() => seatmeter.setValidationField(0, long), 'the length of value in bytes is 513', 0, 512);
  names(() => seatmeter.setDeviceFriendlyName(long), 'the length of name in bytes is 513', 0, 512);
  names(() => seatmeter.setStateDirectory(''), 'the length of path in bytes is 0', 1, 4095);
  names(() => seatmeter.setCaFile(''), 'the length of path in bytes is 0', 1, 4095);
  names(() => seatmeter.countPages(7), 'module is 7', 1, 4);
  await init();
  names(() => seatmeter.countPages(1, 2 ** 32), 'n is 4294967296', 0, 4294967295);
  const reader = new seatmeter.Reader();
  names(() => reader.countScans(4, 2 ** 32), 'n is 4294967296', 0, 4294967295);
  names(() => reader.setDuplicateForgetTime(-1), 'ms is -1', 0, 600000);
  reader.close();
  assert.throws(() => seatmeter.setDeviceFriendlyName('late'), hear);
  for (let code = -20300; code <= -9999; code++) messages.push(new seatmeter.SeatmeterError(code, '').message);
  for (const message of messages) assert.doesNotMatch(message, OF_C);
  await seatmeter.shutdown(20000);
  console.log(messages.length);
}

main();
