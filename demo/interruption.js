// @ts-check
/** How a demo is told to end before it is done. */
import { constants } from 'node:os';

/** Ctrl-C and the like. */
export class Interruption extends Error {
  /** @param {number} signal its number */
  constructor(signal) {
    super('interrupted');
    this.exitCode = 128 + signal;
  }
}

/** @returns {Promise<never>} rejects with an Interruption at the first signal; a second one ends at once */
export function interruption() {
  return new Promise((_, reject) => {
    for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
      process.once(name, () => reject(new Interruption(constants.signals[name])));
    }
  });
}
