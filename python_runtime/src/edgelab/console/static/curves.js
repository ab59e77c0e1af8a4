// @ts-check
/** Asks for the curves of the devices that are on the screen, again and again, one device after the other. */

/** @typedef {import("./devices.js").Devices} Devices */

const POINTS = 180;
const PAUSE = 3000;
/** Samples may be this far apart in a short range without the line being broken. */
const LEAST_GAP = 15000;

export class Curves {
  /** @param {Devices} devices @param {HTMLSelectElement} range */
  constructor(devices, range) {
    this.devices = devices;
    this.range = range;
    this.used = false;
    this.busy = false;
    this.timer = 0;
    range.addEventListener("change", () => this.round());
  }

  /** Whether there is a database that answers. @param {boolean} used */
  use(used) {
    if (used === this.used) return;
    this.used = used;
    if (used) this.round();
  }

  /** One round, and the next one after a pause. */
  async round() {
    clearTimeout(this.timer);
    if (this.busy || !this.used) return;
    this.busy = true;
    const seconds = this.range.value;
    if (!document.hidden) for (const card of this.devices.visible()) await this.ask(card, Number(seconds));
    this.busy = false;
    this.timer = setTimeout(() => this.round(), seconds === this.range.value ? PAUSE : 0);
  }

  /** @param {ReturnType<Devices["visible"]>[0]} card @param {number} seconds */
  async ask(card, seconds) {
    try {
      const query = new URLSearchParams({ device: card.key, seconds: `${seconds}` });
      const answer = await fetch(`api/series?${query}`, { signal: AbortSignal.timeout(10000) });
      if (!answer.ok) return;
      const { curves, to } = await answer.json();
      const gap = Math.max(LEAST_GAP, (3 * seconds * 1000) / POINTS);
      card.draw(curves, { from: to - seconds * 1000, to, gap });
    } catch {
      // The console or the database is away: the feed tells so, and the next round asks again.
    }
  }
}
