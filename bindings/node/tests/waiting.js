// Reads files while more readers wait for seats than Node has threads for both. Prints the number of counted scans.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs/promises');
const seatmeter = require('seatmeter');
const { init } = require('./demo.js');

async function main() {
  await init();
  const holders = Array.from({ length: 4 }, () => new seatmeter.Reader());
  let counted = 0;
  const waiting = Array.from({ length: 8 }, async () => {
    const reader = await seatmeter.Reader.within(60000);
    counted += reader.countImage([{ format: 4, bytes: 'waited' }]);
    reader.close();
  });
  // Without a thread of its own this would end after all waiting readers, and they wait for the next line.
  await fs.stat(__filename);
  assert.equal(counted, 0);
  holders.forEach((reader) => reader.close());
  await Promise.all(waiting);

  const again = Array.from({ length: 4 }, () => new seatmeter.Reader());
  await assert.rejects(seatmeter.Reader.within(-1), seatmeter.AllSeatsTakenError);
  await assert.rejects(seatmeter.Reader.within(450), seatmeter.AllSeatsTakenError);
  again.forEach((reader) => reader.close());
  assert.equal(seatmeter.idleCount(), 4);
  await seatmeter.shutdown(20000);
  console.log(counted);
}

main();
