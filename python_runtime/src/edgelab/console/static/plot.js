// @ts-check
/** One curve as SVG, with a cursor that the pointer and the arrow keys move. */
import { make, setText } from "./dom.js";
import { clock, number } from "./format.js";

/** @typedef {[number, number]} Point Milliseconds since 1970, and the value. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
const MARGIN = 6;

/**
 * What the values lie between, with a little room; a constant gets some, too.
 * @param {Point[]} points
 * @returns {{low: number, high: number}}
 */
export function bounds(points) {
  let [low, high] = [Infinity, -Infinity];
  for (const [, value] of points) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const room = low === high ? Math.abs(low) * 0.05 || 1 : 0;
  return { low: low - room, high: high + room };
}

/**
 * The `d` of a path through the points. Where samples are missing for longer than `gap` the line is broken.
 * @param {Point[]} points
 * @param {{from: number, to: number, gap: number}} frame Milliseconds.
 * @returns {string}
 */
export function path(points, { from, to, gap }) {
  const { low, high } = bounds(points);
  const across = WIDTH / (to - from);
  const up = (HEIGHT - 2 * MARGIN) / (high - low);
  let before = -Infinity;
  let text = "";
  for (const [at, value] of points) {
    const x = ((at - from) * across).toFixed(1);
    const y = (HEIGHT - MARGIN - (value - low) * up).toFixed(1);
    text += `${at - before > gap ? `M${x} ${y}h0` : ""}L${x} ${y}`;
    before = at;
  }
  return text;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @returns {SVGElement}
 */
function shape(tag, attributes) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export class Plot {
  /** @param {string} name What the curve is of. */
  constructor(name) {
    this.unit = "";
    /** @type {Point[]} */
    this.points = [];
    this.frame = { from: 0, to: 1, gap: 0 };
    this.chosen = -1;
    this.line = shape("path", { class: "line" });
    this.cursor = shape("line", { class: "cursor", y1: "0", y2: `${HEIGHT}`, visibility: "hidden" });
    this.svg = shape("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", tabindex: "0",
      role: "slider", "aria-label": `${name}, moment on the curve`,
    });
    this.svg.append(
      ...[0, 0.5, 1].map((part) => {
        const y = `${MARGIN + part * (HEIGHT - 2 * MARGIN)}`;
        return shape("line", { class: "grid", x1: "0", x2: `${WIDTH}`, y1: y, y2: y });
      }),
      this.line, this.cursor,
    );
    this.high = make("span", { class: "high" });
    this.low = make("span", { class: "low" });
    this.told = make("figcaption");
    this.element = make("figure", { class: "plot" }, this.svg, this.high, this.low, this.told);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.choose(-1));
    this.svg.addEventListener("blur", () => this.choose(-1));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  /**
   * Draw.
   * @param {Point[]} points In order of time.
   * @param {{from: number, to: number, gap: number}} frame
   * @param {string} unit
   */
  draw(points, frame, unit) {
    const moment = this.points[this.chosen]?.[0];
    Object.assign(this, { points, frame, unit });
    this.line.setAttribute("d", path(points, frame));
    const { low, high } = bounds(points);
    setText(this.high, number(high, high - low));
    setText(this.low, number(low, high - low));
    this.svg.setAttribute("aria-valuemin", `${frame.from}`);
    this.svg.setAttribute("aria-valuemax", `${frame.to}`);
    this.choose(moment === undefined ? -1 : points.findIndex(([at]) => at >= moment));
  }

  /**
   * Put the cursor on a point; -1 takes it away, and the words are those of the whole curve again.
   * @param {number} index
   */
  choose(index) {
    this.chosen = index;
    const point = this.points[index];
    this.cursor.setAttribute("visibility", point ? "visible" : "hidden");
    const { low, high } = bounds(this.points);
    const value = (/** @type {number} */ of) => `${number(of, high - low)}${this.unit && ` ${this.unit}`}`;
    if (point) {
      const x = `${((point[0] - this.frame.from) / (this.frame.to - this.frame.from)) * WIDTH}`;
      this.cursor.setAttribute("x1", x);
      this.cursor.setAttribute("x2", x);
      setText(this.told, `${clock(point[0])}: ${value(point[1])}`);
    } else {
      setText(this.told, `${clock(this.frame.from)} to ${clock(this.frame.to)}`);
    }
    const last = this.points.at(-1);
    this.svg.setAttribute("aria-valuenow", `${(point ?? last)?.[0] ?? this.frame.to}`);
    const summary = last ? `from ${value(low)} to ${value(high)}, last ${value(last[1])}` : "no samples";
    this.svg.setAttribute("aria-valuetext", point ? (this.told.textContent ?? "") : summary);
  }

  /** @param {PointerEvent} event */
  point(event) {
    const box = this.svg.getBoundingClientRect();
    const at = this.frame.from + ((event.clientX - box.left) / box.width) * (this.frame.to - this.frame.from);
    let best = -1;
    this.points.forEach(([moment], index) => {
      if (best < 0 || Math.abs(moment - at) < Math.abs((this.points[best]?.[0] ?? 0) - at)) best = index;
    });
    this.choose(best);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const last = this.points.length - 1;
    const now = this.chosen < 0 ? last : this.chosen;
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: now - 1, ArrowRight: now + 1, ArrowDown: now - 1, ArrowUp: now + 1,
      PageDown: now - 10, PageUp: now + 10, Home: 0, End: last, Escape: -1,
    };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.choose(event.key === "Escape" ? -1 : Math.min(last, Math.max(0, place)));
  }
}
