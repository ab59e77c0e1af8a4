// @ts-check
/** The few things that are done to the document. Text is always set as text, never as markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The element of an id, which the page has.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Set a text only where it differs: a screen reader hears of changes, and a selection stays.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A time that `tick` keeps telling as an age.
 * @param {number} milliseconds 0 for never.
 * @param {string} [suffix]
 * @returns {HTMLElement}
 */
export function since(milliseconds, suffix = "ago") {
  if (!milliseconds) return make("span", { class: "none" }, "–");
  const moment = new Date(milliseconds);
  return make("time", {
    datetime: moment.toISOString(), title: moment.toLocaleString(), "data-at": `${milliseconds}`, "data-suffix": suffix,
  });
}

/**
 * Keep one child of `parent` for each key, in the order of the keys; children that stay are not touched.
 * @param {Element} parent
 * @param {string[]} keys In the order wanted.
 * @param {(key: string) => Element} child Makes or gives the child of a key.
 */
export function arrange(parent, keys, child) {
  const wanted = keys.map(child);
  const kept = new Set(wanted);
  for (const element of [...parent.children]) if (!kept.has(element)) element.remove();
  wanted.forEach((element, place) => {
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
}
