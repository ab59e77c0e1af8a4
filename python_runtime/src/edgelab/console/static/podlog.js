// @ts-check
/** A dialog with the last lines of a pod's log, asked for again while it is open. */
import { byId, make, setText } from "./dom.js";

/** @typedef {import("./feed.js").Row} Row */

const PAUSE = 2000;

export class PodLog {
  constructor() {
    this.dialog = /** @type {HTMLDialogElement} */ (byId("log"));
    this.title = byId("log-title");
    this.choice = /** @type {HTMLSelectElement} */ (byId("log-container"));
    this.text = byId("log-text");
    this.told = byId("log-told");
    this.pod = "";
    this.timer = 0;
    this.choice.addEventListener("change", () => this.round());
    byId("log-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => clearTimeout(this.timer));
  }

  /** Open it for a pod. @param {Row} row */
  open(row) {
    this.pod = `${row.namespace}/${row.name}`;
    setText(this.title, this.pod);
    this.choice.replaceChildren(...row.containers.map((/** @type {string} */ name) => make("option", {}, name)));
    this.choice.hidden = row.containers.length < 2;
    setText(this.text, "");
    setText(this.told, "");
    this.dialog.showModal();
    this.round();
  }

  async round() {
    clearTimeout(this.timer);
    const asked = `${this.pod} ${this.choice.value}`;
    const query = new URLSearchParams({ pod: this.pod, container: this.choice.value });
    try {
      const answer = await fetch(`api/log?${query}`, { signal: AbortSignal.timeout(15000) });
      const { log, error } = await answer.json();
      if (asked === `${this.pod} ${this.choice.value}`) this.show(log ?? "", error ?? "");
    } catch {
      setText(this.told, "The console does not answer; it is asked again.");
    }
    if (this.dialog.open) this.timer = setTimeout(() => this.round(), PAUSE);
  }

  /** What was read stays when there is an error; the end stays in sight for who was there. @param {string} log @param {string} error */
  show(log, error) {
    setText(this.told, error || (log ? "" : "The log is empty."));
    if (error) return;
    const { scrollTop, clientHeight, scrollHeight } = this.text;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 8;
    setText(this.text, log);
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
  }
}
