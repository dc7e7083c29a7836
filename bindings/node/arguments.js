// Checks arguments before they go to C: koffi takes a number for an address, and cuts a value that is too long for its
// type.
'use strict';

const INT_MIN = -(2 ** 31);
const INT_MAX = 2 ** 31 - 1;

// The longest time that the library waits for anything.
const WAIT_MS_MAX = 600000;

function text(name, value) {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`);
  if (value.includes('\0')) throw new TypeError(`${name} must not contain "\\0": C would read it to there`);
  return value;
}

function integer(name, value, min = INT_MIN, max = INT_MAX) {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (!Number.isInteger(number)) throw new TypeError(`${name} must be an integer`);
  if (number < min || number > max) throw new RangeError(`${name} must be from ${min} to ${max}`);
  return number;
}

// A time outside the range of the library's waits counts as the nearest one inside it.
function milliseconds(name, value) {
  if (typeof value !== 'number' || Number.isNaN(value)) throw new TypeError(`${name} must be a number`);
  return Math.ceil(Math.min(Math.max(value, 0), WAIT_MS_MAX));
}

// The content of a barcode, as bytes.
function content(value) {
  if (typeof value === 'string') return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError('bytes must be a Buffer, another view of an ArrayBuffer, or a string');
}

module.exports = { content, integer, milliseconds, text };
