// Errors use the words of this module; prints how many messages were looked at.
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
  await init();
  assert.throws(() => seatmeter.setDeviceFriendlyName('late'), hear);
  for (let code = -20300; code <= -9999; code++) messages.push(new seatmeter.SeatmeterError(code, '').message);
  for (const message of messages) assert.doesNotMatch(message, OF_C);
  await seatmeter.shutdown(20000);
  console.log(messages.length);
}

main();
