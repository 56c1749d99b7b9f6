/** What the role programs share: their settings, what they tell the test, and their history. */
import { appendFileSync } from 'node:fs';

/**
 * The settings of this process: the JSON of its one argument.
 * @template Settings
 * @returns {Settings}
 */
export function settings() {
  return JSON.parse(process.argv[2] ?? '{}');
}

/**
 * Tells the test what happened, as one line of JSON.
 * @param {object} message
 */
export function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/**
 * What writes entries to this process's own file: each one is there before the process goes on, and
 * survives its SIGKILL.
 * @param {string} path
 * @returns {(entry: import('../../../src/testing/history.ts').HistoryEntry) => void}
 */
export function recorder(path) {
  return (entry) => appendFileSync(path, `${JSON.stringify(entry)}\n`);
}
