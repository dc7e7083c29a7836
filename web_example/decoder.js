// A decoder: the browser's own, or else zxing-wasm, which comes from the same server.

const own = globalThis.BarcodeDetector && new BarcodeDetector();
let other;

const pixelsOf = (source) => {
  const width = source.videoWidth || source.width;
  const height = source.videoHeight || source.height;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return context.getImageData(0, 0, width, height);
};

/** Return the barcodes of a picture or of a video's frame, as { format, text }. */
export const readBarcodes = async (source) => {
  if (own) {
    const found = await own.detect(source);
    return found.map(({ format, rawValue }) => ({ format, text: rawValue }));
  }
  other ??= await import("./zxing.js");
  other.prepareZXingModule({ overrides: { locateFile: () => "zxing_reader.wasm" } });
  const found = await other.readBarcodes(pixelsOf(source), {
    tryHarder: true,
    maxNumberOfSymbols: 32,
  });
  return found
    .filter(({ isValid }) => isValid)
    .map(({ format, text, bytes }) => ({ format, text, bytes }));
};
