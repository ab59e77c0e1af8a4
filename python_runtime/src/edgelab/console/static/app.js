// @ts-check
/** The page: what the server tells, put where it belongs. */
import { Curves } from "./curves.js";
import { Devices, deviceMood } from "./devices.js";
import { byId, make, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { age } from "./format.js";
import { PodLog } from "./podlog.js";
import { NODES, Table, podMood, pods } from "./tables.js";

/** @typedef {import("./feed.js").Kind} Kind */
/** @typedef {import("./feed.js").Row} Row */
/** @typedef {import("./feed.js").Health} Health */

const STALE = 60000;
const LINK = { wait: "Connecting", live: "Live", lost: "No connection" };

/** @type {Record<Kind, Map<string, Row>>} */
const known = { nodes: new Map(), pods: new Map(), devices: new Map() };
const devices = new Devices(byId("devices"), "There are no devices. A Device object makes one.");
const log = new PodLog();
const views = {
  nodes: new Table(byId("nodes"), "Nodes", NODES, "No node has joined yet."),
  pods: new Table(byId("pods"), "Pods", pods((row) => log.open(row)), "There are no pods."),
  devices,
};
const curves = new Curves(devices, /** @type {HTMLSelectElement} */ (byId("range")));
/** How far the server's clock is ahead of the browser's: ages are the server's. */
let ahead = 0;
/** @type {Health | null} */
let health = null;
/** @type {keyof typeof LINK} */
let link = "wait";

/** @param {Kind} kind @param {string} key @param {Row | null} row */
function put(kind, key, row) {
  if (row) known[kind].set(key, row);
  else known[kind].delete(key);
  views[kind].put(key, row);
}

/** @param {Kind[]} kinds */
function show(kinds) {
  for (const kind of kinds) views[kind].show();
  totals();
  tick();
}

function totals() {
  const count = (/** @type {Kind} */ kind, /** @type {(row: Row) => boolean} */ good) =>
    [[...known[kind].values()].filter(good).length, known[kind].size];
  const told = /** @type {[string, number[]][]} */ ([
    ["nodes ready", count("nodes", (row) => row.ready === true)],
    ["devices online", count("devices", (row) => deviceMood(row.state) === "good")],
    ["pods well", count("pods", (row) => ["good", "calm"].includes(podMood(row)))],
  ]);
  byId("totals").replaceChildren(
    ...told.map(([what, [good, all]]) =>
      make("li", { class: good === all ? "all" : "some" }, make("b", {}, `${good}`), ` of ${all} ${what}`)),
  );
}

/** Ages go on without the server. */
function tick() {
  const now = Date.now() + ahead;
  for (const element of document.querySelectorAll("time[data-at]")) {
    const { at, suffix } = /** @type {HTMLElement} */ (element).dataset;
    const passed = now - Number(at);
    setText(element, `${age(passed)} ${suffix ?? ""}`.trim());
    element.classList.toggle("stale", suffix === "ago" && passed > STALE);
  }
}

function troubles() {
  /** @type {string[]} */
  const told = [];
  if (link === "lost") told.push("The console does not answer. What is shown is what it said last; it is asked again.");
  const reasons = Map.groupBy(health?.cluster ?? [], ({ why }) => why);
  for (const [why, parts] of reasons) {
    told.push(`Not followed now: ${parts.map(({ what }) => what).join(", ")} (${why}). Shown is what was known last.`);
  }
  if (health?.series.why) told.push(`The time-series database does not answer (${health.series.why}). Curves stand still.`);
  const place = byId("troubles");
  if (place.dataset.told !== told.join("\n")) {
    place.dataset.told = told.join("\n");
    place.replaceChildren(...told.map((text) => make("p", {}, text)));
  }
  document.title = `${told.length ? "⚠ " : ""}edgelab console`;
  const state = link === "live" && told.length ? "part" : link;
  byId("link").dataset.state = state;
  setText(byId("link"), state === "part" ? "Live, in part" : LINK[link]);
  byId("range-label").hidden = !health?.series.used;
}

const feed = new Feed("api/events", {
  board(rows) {
    for (const kind of /** @type {Kind[]} */ (Object.keys(known))) {
      for (const key of [...known[kind].keys()]) if (!(key in rows[kind])) put(kind, key, null);
      for (const [key, row] of Object.entries(rows[kind])) put(kind, key, row);
    }
    show(/** @type {Kind[]} */ (Object.keys(known)));
  },
  rows(changes) {
    for (const [kind, key, row] of changes) put(kind, key, row);
    show([...new Set(changes.map(([kind]) => kind))]);
  },
  health(now) {
    health = now;
    ahead = now.time - Date.now();
    troubles();
    curves.use(now.series.used && !now.series.why);
  },
  time(milliseconds) {
    ahead = milliseconds - Date.now();
  },
  link(state) {
    link = state;
    troubles();
  },
});

/** The system's theme, light, dark, and around again. */
function themes() {
  const button = byId("theme");
  const order = ["system", "light", "dark"];
  const shown = () => document.documentElement.dataset.theme ?? "system";
  setText(button, `Theme: ${shown()}`);
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(shown()) + 1) % order.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    setText(button, `Theme: ${next}`);
    try {
      localStorage.setItem("theme", next ?? "");
    } catch {
      // The choice lasts as long as the page.
    }
  });
}

themes();
setInterval(tick, 1000);
feed.start();
