// Everything but decoding works with a library that was built without the decoder.
'use strict';

const assert = require('node:assert');
const koffi = require('koffi');

const { load } = koffi;
koffi.load = (path) => {
  const shared = load(path);
  return { func: (signature) => shared.func(signature.replace('DBR_', 'no_such_function_')) };
};

const seatmeter = require('seatmeter');

assert.match(seatmeter.version(), /^\d+\.\d+/);
assert.equal(seatmeter.idleCount(), -1);
assert.rejects(seatmeter.decodeFile('one.png'), /without its decoder/);
