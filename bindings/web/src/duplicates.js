// Which barcodes of a frame count: each different one once within the forget time.

import { fail } from "./errors.js";

export const FORGET_MS_MAX = 600000;
// A page that sees more different barcodes within the forget time may count some again too early.
const REMEMBERED_MAX = 40000;

// The names that decoders give, in the order of the bits of the C API; "-" where a bit has none.
// Case
// and separators do not matter.
const BITS = (
  "code39 code128 code93 codabar itf ean13 ean8 upca upce industrial25 code39extended " +
  "databaromnidirectional databartruncated databarstacked databarstackedomnidirectional " +
  "databarexpanded databarexpandedstacked databarlimited patchcode micropdf417 msicode - - - - " +
  "pdf417 qrcode datamatrix aztec maxicode microqr composite"
).split(" ");
const OTHER_NAMES = { databar: 0x800, databaromni: 0x800, microqrcode: 0x40000000 };
const numbers = new Map();

const symbologyOf = (format) => {
  if (typeof format === "number") return format >>> 0;
  let number = numbers.get(format);
  if (number === undefined) {
    const name = String(format)
      .toLowerCase()
      .replace(/[^a-z0-9]/g, "")
      .replace(/^(bf)?(gs1)?/, "");
    const bit = BITS.indexOf(name);
    number = bit < 0 ? OTHER_NAMES[name] || 0 : (1 << bit) >>> 0;
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
    fail(-10038, "a barcode needs a text or bytes");
  }
  return /[^\x00-\x7f]/.test(text) ? latin1(new TextEncoder().encode(text)) : text;
};

/** Return symbology and key of a barcode, of whatever decoder. */
export const barcodeOf = (barcode) => {
  if (!barcode || typeof barcode !== "object") fail(-10038, `${barcode} is no barcode`);
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
