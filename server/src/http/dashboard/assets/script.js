// What makes pages better with JavaScript. Every page works without it.
"use strict";
document.documentElement.classList.add("js");
const settings = document.currentScript?.dataset ?? document.querySelector("script[data-uplot]").dataset;

// Local time on hover: the page itself has UTC.
const showLocalTimes = (part) => {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  }
};

// A part is not replaced while somebody uses it, or while nobody sees it.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target;
  const selected = document.getSelection();
  const isUsed = part.contains(document.activeElement) || (selected && !selected.isCollapsed && part.contains(selected.anchorNode));
  if (document.hidden || isUsed) event.preventDefault();
});
// The session has ended: the whole page goes to the login, not a part of it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/dashboard/login")) {
    event.preventDefault();
    location.reload();
  }
});
document.addEventListener("htmx:afterSettle", () => showLocalTimes(document));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = settings.copied;
  } catch {
    document.getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
  }
});

// Items of a code are put in order by drag as well as by buttons; "save" keeps the order.
for (const form of document.querySelectorAll("form[data-sortable]")) {
  let dragged = null;
  const list = form.querySelector("ol");
  for (const row of list.children) row.draggable = true;
  list.addEventListener("dragstart", (event) => {
    dragged = event.target.closest("li");
    dragged?.classList.add("dragged");
  });
  list.addEventListener("dragover", (event) => {
    const over = event.target.closest("li");
    if (!dragged || !over || over === dragged) return;
    event.preventDefault();
    const { top, height } = over.getBoundingClientRect();
    over[event.clientY < top + height / 2 ? "before" : "after"](dragged);
  });
  list.addEventListener("dragend", () => {
    dragged?.classList.remove("dragged");
    dragged = null;
    form.elements.own_order.checked = true;
  });
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let plotting = null;
const loadPlotting = () =>
  (plotting ??= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: settings.uplotStyle });
    const script = Object.assign(document.createElement("script"), { src: settings.uplot, onload: resolve, onerror: reject });
    document.head.append(style, script);
  }));

// A chart that can be zoomed, from the same answer as the table: drag to zoom, double-click to go back.
const plot = async (figure) => {
  const [answer] = await Promise.all([fetch(figure.dataset.zoom), loadPlotting()]);
  const found = await answer.json();
  const isDay = figure.dataset.kind === "day";
  const rows = isDay ? found.slots : found.days;
  const isMetered = !isDay && rows.every(({ peak }) => peak === 0);
  const times = rows.map((row) => (isDay ? row.begins_at : Date.parse(row.date) / 1000));
  const values = rows.map((row) => (isDay ? row.count : isMetered ? row.total : row.peak));
  const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
  const series = [{}, { label: found.unit, stroke: color("--accent"), fill: color("--accent-soft"), width: 1.5, paths: uPlot.paths.stepped({ align: 1 }) }];
  const data = [times, values];
  if (found.quota != null && !isMetered) {
    series.push({ label: "N", stroke: color("--bad"), dash: [6, 4], width: 1.5, points: { show: false } });
    data.push(times.map(() => found.quota));
  }
  const options = { width: figure.clientWidth, height: 260, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"), axes: [axis, { ...axis, size: 60 }], series };
  figure.replaceChildren();
  const chart = new uPlot(options, data, figure);
  new ResizeObserver(() => chart.setSize({ width: figure.clientWidth, height: 260 })).observe(figure);
  // A click leads to the devices of a slot, or to the slots of a day.
  chart.over.addEventListener("click", () => {
    const { idx } = chart.cursor;
    if (idx == null || chart.select.width > 0) return;
    location.search = isDay ? `?date=${found.date}&slot=${rows[idx].slot}` : `?date=${rows[idx].date}`;
  });
};
for (const figure of document.querySelectorAll("figure[data-zoom]")) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: settings.zoom });
  button.addEventListener("click", () => plot(figure));
  figure.append(button);
}

showLocalTimes(document);
