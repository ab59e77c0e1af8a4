// @ts-check
/** The server's events: the whole board first, then what changes; connected again by itself, for ever. */

/** @typedef {Record<string, any>} Row */
/** @typedef {{what: string, why: string}} Trouble */
/** @typedef {{cluster: Trouble[], series: {used: boolean, why: string}, time: number}} Health */
/** @typedef {"nodes" | "pods" | "devices"} Kind */
/**
 * @typedef {object} Listener
 * @property {(rows: Record<Kind, Record<string, Row>>) => void} board
 * @property {(changes: [Kind, string, Row | null][]) => void} rows
 * @property {(health: Health) => void} health
 * @property {(milliseconds: number) => void} time What time it is at the server.
 * @property {(state: "wait" | "live" | "lost") => void} link
 */

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15000;
/** The server says something every ten seconds; after so long without a word the link is taken for dead. */
const SILENCE = 30000;

export class Feed {
  /** @param {string} url @param {Listener} listener */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    /** @type {EventSource | null} */
    this.source = null;
    this.delay = FIRST_DELAY;
    this.timer = 0;
    this.watchdog = 0;
  }

  /** Connect; a hidden page gives its connection back and asks for everything when it is seen again. */
  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", () => this.open());
    this.open();
  }

  open() {
    if (this.source || document.hidden) return;
    clearTimeout(this.timer);
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("board", (event) => {
      const { rows, health } = this.read(event);
      this.listener.link("live");
      this.listener.health(health);
      this.listener.board(rows);
      this.delay = FIRST_DELAY;
    });
    source.addEventListener("change", (event) => {
      const { rows, health } = this.read(event);
      if (health) this.listener.health(health);
      if (rows) this.listener.rows(rows);
    });
    source.addEventListener("time", (event) => this.listener.time(this.read(event)));
    source.addEventListener("error", () => this.again());
    this.watch();
  }

  /** @param {Event} event */
  read(event) {
    this.watch();
    return JSON.parse(/** @type {MessageEvent} */ (event).data);
  }

  watch() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.again(), SILENCE);
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    this.source?.close();
    this.source = null;
  }

  /** Jitter keeps the pages of a server that restarts from coming back in the same instant. */
  again() {
    this.close();
    this.listener.link("lost");
    this.timer = setTimeout(() => this.open(), this.delay * (0.5 + Math.random() / 2));
    this.delay = Math.min(LONGEST_DELAY, this.delay * 2);
  }
}
