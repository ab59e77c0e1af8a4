// @ts-check
/** Numbers and times as people read them. */

/**
 * The coarsest unit that still says something: `42 s`, `7 min`, `3 h`, `12 d`.
 * @param {number} milliseconds
 * @returns {string}
 */
export function age(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/**
 * A value of a curve's scale, with as many digits as its range needs.
 * @param {number} value
 * @param {number} range Difference of the greatest and the least value beside it.
 * @returns {string}
 */
export function number(value, range) {
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(2);
  const digits = range > 0 ? Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(range)))) : 2;
  const text = value.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

const UNITS = new Map([["celsius", "°C"], ["fahrenheit", "°F"], ["kelvin", "K"], ["percent", "%"]]);

/**
 * The sign of a unit where there is a common one.
 * @param {string} unit
 * @returns {string}
 */
export function sign(unit) {
  return UNITS.get(unit.toLowerCase()) ?? unit;
}

/**
 * The name under which the twinexporter writes a property: other characters become underscores.
 * @param {string} property
 * @returns {string}
 */
export function seriesName(property) {
  return property.replace(/[^A-Za-z0-9_]/gu, "_") || "value";
}

/**
 * Time of day, with seconds; the date too where it is not today.
 * @param {number} milliseconds
 * @returns {string}
 */
export function clock(milliseconds) {
  const moment = new Date(milliseconds);
  const today = moment.toDateString() === new Date().toDateString();
  return today ? moment.toLocaleTimeString() : moment.toLocaleString();
}
