// A page that reads barcodes and counts them. It is served by "make run-web".

import { Seatmeter } from "./seatmeter.js";
import { readBarcodes } from "./decoder.js";

const at = (id) => document.getElementById(id);
const say = (text, state = "") => {
  at("license").textContent = text;
  at("license").dataset.state = state;
};
const settings = new URLSearchParams(location.search);
let license;
let counted = 0;

const show = (barcodes, fresh) => {
  counted += fresh;
  at("counted").textContent = counted;
  at("outcome").textContent = `${barcodes.length} barcodes seen, ${fresh} counted`;
  if (!barcodes.length) return;
  at("found").replaceChildren(
    ...barcodes.map(({ format, text }) => {
      const line = document.createElement("li");
      line.textContent = `${format}: ${text}`;
      return line;
    }),
  );
};

const refused = (error) => say(`Refused: ${error.message} (${error.code})`, "refused");

// A still picture: each different barcode of it counts. It shows them once they are counted.
const readPicture = async (blob) => {
  const barcodes = await readBarcodes(await createImageBitmap(blob));
  show(barcodes, await license.countImage(barcodes));
};

// A video: a barcode counts again only after the forget time.
const readCamera = async () => {
  const video = at("video");
  const facingMode = "environment";
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode } });
  video.hidden = false;
  await video.play();
  while (video.srcObject) {
    await new Promise(requestAnimationFrame);
    const barcodes = await readBarcodes(video);
    show(barcodes, await license.countFrame(barcodes));
  }
};

const stopCamera = () => {
  const video = at("video");
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  video.hidden = true;
};

const begin = async () => {
  license = await Seatmeter.init({
    server: settings.get("server") ?? location.origin,
    handshakeCode: settings.get("code") ?? "WEB-DEMO",
    rootKey: settings.get("root") ?? undefined,
  });
  const tell = () => {
    const { chargeWay, validUntil, isOffline, isInGrace } = license.status;
    const until = validUntil.toISOString().slice(0, 10);
    const how = isOffline
      ? "offline, with the stored license"
      : isInGrace
        ? "in grace"
        : "licensed";
    say(
      `This page is ${how}: ${chargeWay}, until ${until}`,
      isOffline ? "offline" : isInGrace ? "grace" : "",
    );
  };
  for (const event of ["renewed", "grace", "offline"]) license.addEventListener(event, tell);
  license.addEventListener("refused", ({ detail }) => refused(detail));
  tell();
};

const on = (id, event, work) => at(id).addEventListener(event, () => work().catch(refused));
on("demo", "click", async () => {
  stopCamera();
  await readPicture(await (await fetch("demo.png")).blob());
});
on("file", "change", async () => {
  stopCamera();
  const [file] = at("file").files;
  if (file) await readPicture(file);
});
on("camera", "click", async () => (at("video").hidden ? readCamera() : stopCamera()));
begin().catch(refused);
