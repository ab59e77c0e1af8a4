// @ts-check
/** A card for each device: its twins as they are, and a curve of each that is a number. */
import { arrange, make, setText, since } from "./dom.js";
import { seriesName, sign } from "./format.js";
import { Plot } from "./plot.js";
import { badge } from "./tables.js";

/** @typedef {import("./feed.js").Row} Row */
/** @typedef {import("./plot.js").Point} Point */

/** @param {string} state @returns {"good" | "bad" | "calm"} */
export function deviceMood(state) {
  if (["online", "ok"].includes(state.toLowerCase())) return "good";
  return ["", "unknown"].includes(state.toLowerCase()) ? "calm" : "bad";
}

/** One property. */
class Twin {
  /** @param {string} name @param {string} device */
  constructor(name, device) {
    this.plot = new Plot(`${name} of ${device}`);
    this.unit = "";
    this.value = make("output", { class: "value" });
    this.sign = make("span", { class: "unit" });
    this.when = make("span", { class: "when" });
    this.desired = make("span", { class: "desired" });
    this.element = make(
      "div", { class: "twin", "data-property": name },
      make("dt", {}, name),
      make("dd", {}, make("span", { class: "now" }, this.value, this.sign), this.desired, this.when),
    );
  }

  /** @param {Row} twin */
  put(twin) {
    this.unit = sign(twin.unit);
    setText(this.value, twin.reported || "–");
    setText(this.sign, twin.reported ? this.unit : "");
    this.value.classList.toggle("wordy", twin.reported.length > 12);
    const wish = twin.desired ? `desired ${twin.desired}${this.unit && ` ${this.unit}`}` : "";
    setText(this.desired, wish);
    this.desired.classList.toggle("differs", twin.desired !== twin.reported);
    this.when.replaceChildren(twin.at ? since(twin.at) : "never reported");
  }

  /** @param {Point[]} points @param {{from: number, to: number, gap: number}} frame */
  draw(points, frame) {
    if (points.length) this.plot.draw(points, frame, this.unit);
    if (points.length && !this.plot.element.isConnected) this.element.append(this.plot.element);
    if (!points.length) this.plot.element.remove();
  }
}

/** One device. */
class Card {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    /** @type {Map<string, Twin>} */
    this.twins = new Map();
    this.state = make("span");
    this.about = make("p", { class: "quiet" });
    this.list = make("dl");
    this.element = make(
      "article", { class: "card", "data-key": key, "aria-label": `Device ${key}` },
      make("header", {}, make("h3", {}, key.slice(key.indexOf("/") + 1)), this.state), this.about, this.list,
    );
  }

  /** @param {Row} row */
  put(row) {
    const mood = deviceMood(row.state);
    if (this.state.textContent !== (row.state || "state unknown") || !this.state.firstChild) {
      this.state.replaceChildren(badge(row.state || "state unknown", mood));
    }
    const parts = [row.namespace, row.node && `on ${row.node}`, row.model && `model ${row.model}`, row.protocol];
    setText(this.about, parts.filter(Boolean).join(" · "));
    for (const twin of row.twins) {
      const known = this.twins.get(twin.name) ?? new Twin(twin.name, row.name);
      this.twins.set(twin.name, known);
      known.put(twin);
    }
    const names = row.twins.map((/** @type {Row} */ twin) => twin.name);
    for (const name of this.twins.keys()) if (!names.includes(name)) this.twins.delete(name);
    arrange(this.list, names, (name) => /** @type {Twin} */ (this.twins.get(name)).element);
  }

  /** @param {Record<string, Point[]>} curves @param {{from: number, to: number, gap: number}} frame */
  draw(curves, frame) {
    for (const [name, twin] of this.twins) twin.draw(curves[seriesName(name)] ?? [], frame);
  }
}

export class Devices {
  /** @param {HTMLElement} place @param {string} none */
  constructor(place, none) {
    this.place = place;
    this.none = make("p", { class: "empty" }, none);
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Set<Element>} */
    this.seen = new Set();
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.seen.add(target);
        else this.seen.delete(target);
      }
    }, { rootMargin: "200px" });
  }

  /** @param {string} key @param {Row | null} row */
  put(key, row) {
    const known = this.cards.get(key);
    if (!row) {
      if (known) this.observer.unobserve(known.element);
      if (known) this.seen.delete(known.element);
      this.cards.delete(key);
      return;
    }
    const card = known ?? new Card(key);
    this.cards.set(key, card);
    if (!known) this.observer.observe(card.element);
    card.put(row);
  }

  /** Show what was put. */
  show() {
    const keys = [...this.cards.keys()].sort();
    if (keys.length) arrange(this.place, keys, (key) => /** @type {Card} */ (this.cards.get(key)).element);
    else this.place.replaceChildren(this.none);
  }

  /** Cards on the screen or near it: only their curves are asked for. @returns {Card[]} */
  visible() {
    return [...this.cards.values()].filter((card) => this.seen.has(card.element));
  }
}
