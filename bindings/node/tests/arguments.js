// A wrong argument is an error of the language, never a crash, and a right one is counted completely.
// Prints how many scans were counted.
'use strict';

const assert = require('node:assert');
const seatmeter = require('seatmeter');
const { init } = require('./demo.js');

async function main() {
  const wrong = [
    [{ handshakeCode: 12345 }, TypeError, /handshakeCode/],
    [{ organizationId: 200001 }, TypeError, /organizationId/],
    [{ server: Buffer.from('http://127.0.0.1:1') }, TypeError, /server/],
    [{ handshakeCode: 'DEMO-4-SEATS\0' }, TypeError, /handshakeCode/],
    [{ seats: '4' }, TypeError, /seats/],
    [{ seats: 1.5 }, TypeError, /seats/],
    [{ seats: 2 ** 32 + 4 }, RangeError, /seats/],
    [{ maxBufferDays: -(2 ** 31) - 1 }, RangeError, /maxBufferDays/],
    [{ handshakeCode: 'DEMO-4-SEATS', seat: 4 }, TypeError, /seat is no option/],
  ];
  for (const [options, name, message] of wrong) {
    await assert.rejects(seatmeter.initialize(options), { name: name.name, message });
  }
  assert.throws(() => seatmeter.setStateDirectory(5), TypeError);
  await assert.rejects(seatmeter.decodeFile(5), TypeError);
  await assert.rejects(seatmeter.decodeFile('one\0other'), TypeError);
  await assert.rejects(seatmeter.Reader.within(NaN), TypeError);
  await assert.rejects(seatmeter.sync('soon'), TypeError);
  assert.throws(() => seatmeter.countPages(1, -1), RangeError);

  await init();
  let counted = 0;
  const reader = await seatmeter.Reader.within(Infinity);
  const different = (...contents) => {
    const n = reader.countImage(contents.map((bytes) => ({ format: 4, bytes })));
    counted += n;
    return n;
  };
  // They differ only beyond the number of bytes that equals their number of UTF-16 units, or elements.
  assert.equal(different('ää1', 'ää2'), 2);
  assert.equal(different(Uint16Array.of(1, 2), Uint16Array.of(1, 3), new DataView(new ArrayBuffer(3))), 3);
  // A part of a buffer is that part, and a text is its UTF-8.
  assert.equal(different(Buffer.from('ä'), 'ä', Buffer.from('xä').subarray(1), Buffer.alloc(0), ''), 2);
  for (const bytes of [5, null, undefined, ['a'], { length: 1000 }]) {
    assert.throws(() => reader.countImage([{ format: 4, bytes }]), TypeError);
  }
  assert.throws(() => reader.countImage([{ format: 2 ** 31, bytes: 'a' }]), RangeError);
  reader.close();
  await seatmeter.sync(Infinity);
  await seatmeter.shutdown(20000);
  console.log(counted);
}

main();
