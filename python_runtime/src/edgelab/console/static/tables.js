// @ts-check
/** Nodes and pods as tables; on a narrow screen each row becomes a card, and stays a row for a screen reader. */
import { arrange, make, since } from "./dom.js";

/** @typedef {import("./feed.js").Row} Row */
/** @typedef {{title: string, head?: boolean, cell: (row: Row) => (Node | string)[]}} Column */

/**
 * A word with a colour, and a dot beside it.
 * @param {string} word
 * @param {"good" | "busy" | "bad" | "calm"} mood
 * @returns {HTMLElement}
 */
export function badge(word, mood) {
  return make("span", { class: `badge ${mood}` }, word);
}

/**
 * Lines below one another.
 * @param {string[]} texts
 * @returns {Node[]}
 */
const lines = (texts) => texts.map((text) => make("span", { class: "line" }, text));

/** @param {Row} row @returns {"good" | "busy" | "bad" | "calm"} */
export function podMood(row) {
  if (row.state === "Running") return row.ready[0] === row.ready[1] ? "good" : "busy";
  if (row.state === "Succeeded" || row.state === "Completed") return "calm";
  return ["Pending", "ContainerCreating", "Terminating"].includes(row.state) ? "busy" : "bad";
}

/** @param {Row} row @returns {Node[]} */
function nodeState(row) {
  const word = row.ready === true ? "Ready" : row.ready === false ? "Not ready" : "Unknown";
  const parts = [badge(word, row.ready === true ? "good" : "bad")];
  if (!row.schedulable) parts.push(badge("cordoned", "busy"));
  if (row.ready !== true) parts.push(make("span", { class: "line quiet" }, row.reason));
  return parts;
}

/** @type {Column[]} */
export const NODES = [
  { title: "Name", head: true, cell: (row) => [row.name, ...lines(row.roles)] },
  { title: "State", cell: nodeState },
  { title: "Last sign of life", cell: (row) => [since(row.lease)] },
  { title: "Version", cell: (row) => lines([row.version, row.runtime].filter(Boolean)) },
  { title: "System", cell: (row) => [row.system] },
  { title: "Addresses", cell: (row) => lines(row.addresses) },
  { title: "Age", cell: (row) => [since(row.created, "")] },
];

/** @param {(row: Row) => void} open @returns {Column[]} */
export const pods = (open) => [
  { title: "Name", head: true, cell: (row) => [row.name, ...lines([row.namespace])] },
  { title: "State", cell: (row) => [badge(row.state, podMood(row))] },
  { title: "Ready", cell: (row) => [row.ready.join(" of ")] },
  { title: "Node", cell: (row) => [row.node || "–"] },
  { title: "Restarts", cell: (row) => [`${row.restarts}`] },
  { title: "Images", cell: (row) => lines(row.images) },
  { title: "Age", cell: (row) => [since(row.created, "")] },
  { title: "Log", cell: (row) => [logButton(row, open)] },
];

/** @param {Row} row @param {(row: Row) => void} open @returns {HTMLElement} */
function logButton(row, open) {
  const button = make("button", { type: "button", "aria-label": `Log of ${row.name}` }, "Log");
  button.addEventListener("click", () => open(row));
  return button;
}

export class Table {
  /** @param {HTMLElement} place @param {string} label @param {Column[]} columns @param {string} none */
  constructor(place, label, columns, none) {
    this.place = place;
    this.columns = columns;
    this.none = make("p", { class: "empty" }, none);
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    // The roles are the elements' own; a browser forgets them once CSS lays the table out otherwise.
    const heads = columns.map(({ title }) => make("th", { scope: "col", role: "columnheader" }, title));
    this.body = make("tbody", { role: "rowgroup" });
    this.table = make(
      "table", { role: "table", "aria-label": label },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)), this.body,
    );
  }

  /** @param {string} key @param {Row | null} row */
  put(key, row) {
    if (!row) {
      this.rows.delete(key);
      return;
    }
    const line = this.rows.get(key) ?? make("tr", { role: "row", "data-key": key });
    this.rows.set(key, line);
    line.replaceChildren(
      ...this.columns.map(({ title, head, cell }) =>
        make(head ? "th" : "td", head ? { scope: "row", role: "rowheader" } : { role: "cell", "data-label": title },
          make("div", {}, ...cell(row)))),
    );
  }

  /** Show what was put. */
  show() {
    const shown = this.rows.size ? this.table : this.none;
    if (this.place.firstElementChild !== shown) this.place.replaceChildren(shown);
    arrange(this.body, [...this.rows.keys()].sort(), (key) => /** @type {HTMLElement} */ (this.rows.get(key)));
  }
}
