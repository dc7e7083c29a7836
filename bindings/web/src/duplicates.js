// Which barcodes of a frame count: each different one once within the forget time.

import { fail } from "./errors.js";

export const FORGET_MS_MAX = 600000;
// A page that sees more different barcodes within the forget time may count some again too early.
const REMEMBERED_MAX = 40000;

// The names that decoders give, with the numbers of the C API. Case and separators do not matter.
const SYMBOLOGIES = {
  code39: 0x1,
  code128: 0x2,
  code93: 0x4,
  codabar: 0x8,
  itf: 0x10,
  ean13: 0x20,
  ean8: 0x40,
  upca: 0x80,
  upce: 0x100,
  industrial25: 0x200,
  code39extended: 0x400,
  databar: 0x800,
  databaromni: 0x800,
  gs1databaromnidirectional: 0x800,
  gs1databartruncated: 0x1000,
  gs1databarstacked: 0x2000,
  gs1databarstackedomnidirectional: 0x4000,
  databarexpanded: 0x8000,
  gs1databarexpanded: 0x8000,
  gs1databarexpandedstacked: 0x10000,
  databarlimited: 0x20000,
  gs1databarlimited: 0x20000,
  patchcode: 0x40000,
  micropdf417: 0x80000,
  msicode: 0x100000,
  pdf417: 0x2000000,
  qrcode: 0x4000000,
  datamatrix: 0x8000000,
  aztec: 0x10000000,
  maxicode: 0x20000000,
  microqr: 0x40000000,
  microqrcode: 0x40000000,
  gs1composite: 0x80000000,
};
const numbers = new Map();

const symbologyOf = (format) => {
  if (typeof format === "number") return format >>> 0;
  let number = numbers.get(format);
  if (number === undefined) {
    number = SYMBOLOGIES[String(format).toLowerCase().replace(/[^a-z0-9]/g, "").replace(/^bf/, "")] || 0;
    if (numbers.size < 1000) numbers.set(format, number);
  }
  return number;
};

const latin1 = (bytes) => {
  let text = "";
  for (let n = 0; n < bytes.length; n++) text += String.fromCharCode(bytes[n]);
  return text;
};

// Two contents are one where their bytes are: a text counts as its UTF-8.
const contentOf = (barcode) => {
  const bytes = barcode.bytes || barcode.barcodeBytes;
  if (bytes && bytes.length !== undefined) return latin1(bytes);
  const text = barcode.rawValue ?? barcode.text ?? barcode.barcodeText;
  if (typeof text !== "string") {
    fail(-10038, "a barcode has neither bytes nor a text: give { format, text } or { format, bytes }");
  }
  return /[^\x00-\x7f]/.test(text) ? latin1(new TextEncoder().encode(text)) : text;
};

/** Return symbology and key of a barcode, of whatever decoder. */
export const barcodeOf = (barcode) => {
  if (!barcode || typeof barcode !== "object") fail(-10038, `${barcode} is not a barcode`);
  const format = barcode.format ?? barcode.barcodeFormat ?? barcode.barcodeFormatString ?? 0;
  const symbology = symbologyOf(format);
  return { symbology, key: symbology + ":" + contentOf(barcode) };
};

/** Remembers what a reader has counted, by when it was counted. */
export class DuplicateFilter {
  constructor() {
    // In the order of their times, so that what is forgotten stands first.
    this.countedAt = new Map();
  }

  /** Return whether a barcode counts now, and remember it if it does. */
  counts(key, now, forgetMs) {
    if (forgetMs === 0) return true;
    const at = this.countedAt.get(key);
    if (at !== undefined) {
      if (now - at < forgetMs) return false;
      this.countedAt.delete(key);
    }
    this.forget(now, forgetMs);
    this.countedAt.set(key, now);
    return true;
  }

  forget(now, forgetMs) {
    for (const [key, at] of this.countedAt) {
      if (now - at < forgetMs && this.countedAt.size < REMEMBERED_MAX) break;
      this.countedAt.delete(key);
    }
  }

  /** Forget a barcode whose count could not be kept. */
  takeBack(key) {
    this.countedAt.delete(key);
  }
}
