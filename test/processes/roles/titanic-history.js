/** What the programs around a Titanic write down: see `src/testing/titanic-history.ts`. */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';

/** Milliseconds of the clock that all processes of a machine share. */
export function now() {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/**
 * What writes entries to this process's own file: each one is there before the process goes on.
 * @param {string} path
 * @returns {(entry: import('../../../src/testing/titanic-history.ts').TitanicHistoryEntry) => void}
 */
export function historian(path) {
  return (entry) => appendFileSync(path, `${JSON.stringify(entry)}\n`);
}

/**
 * A short name of a content.
 * @param {string | Uint8Array} content
 */
export function digestOf(content) {
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}
