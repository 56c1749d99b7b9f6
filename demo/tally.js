// @ts-check
/** What the demo counts, and the verdict over it. */

import { messageOf } from './files.js';

/** How many kills make a run complete. A kill counts only while the process held a request. */
export const GOAL = { workers: 10, brokers: 2 };

export class Tally {
  /** Files of one pass. */
  files;
  /** Files done with over all passes, however they ended. */
  settled = 0;
  hashed = 0;
  bytes = 0;
  retries = 0;
  /** Kills that hit a process holding requests, those requests, and the kills that hit an idle one. */
  workersKilled = 0;
  heldByWorkers = 0;
  brokersKilled = 0;
  heldByBrokers = 0;
  idleKilled = 0;
  wrong = 0;
  lost = 0;
  /** What ended the run early. @type {string | undefined} */
  failure;
  /** The first of the wrong and lost ones, in words. @type {string[]} */
  mistakes = [];
  /** Reasons by path. @type {Map<string, string>} */
  unreadable = new Map();

  #startedAt = performance.now();

  /** @param {number} files */
  constructor(files) {
    this.files = files;
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  get goalReached() {
    return this.workersKilled >= GOAL.workers && this.brokersKilled >= GOAL.brokers;
  }

  /** @param {number} bytes */
  right(bytes) {
    this.hashed++;
    this.bytes += bytes;
  }

  /** @param {number} held requests */
  killWorker(held) {
    this.workersKilled++;
    this.heldByWorkers += held;
  }

  /** @param {number} held requests */
  killBroker(held) {
    this.brokersKilled++;
    this.heldByBrokers += held;
  }

  /** @param {string} path */
  mismatch(path) {
    this.wrong++;
    this.#remember(`wrong hash: ${path}`);
  }

  /**
   * @param {string} path
   * @param {Error} error
   */
  lose(path, error) {
    this.lost++;
    this.#remember(`lost: ${path}: ${error.message}`);
  }

  /**
   * @param {string} path
   * @param {unknown} error
   */
  skip(path, error) {
    this.unreadable.set(path, messageOf(error));
  }

  /** Why the run failed, in words; empty if it did not. */
  get failures() {
    const { failure, wrong, lost, workersKilled, brokersKilled } = this;
    const failures = failure === undefined ? [] : [failure];
    if (lost > 0) failures.push(`${lost} requests were lost`);
    if (wrong > 0) failures.push(`${wrong} hashes were wrong`);
    if (!this.goalReached) {
      failures.push(
        `only ${workersKilled} of ${GOAL.workers} workers and ${brokersKilled} of ${GOAL.brokers} brokers were killed while holding requests`,
      );
    }
    if (this.settled < this.files) failures.push('not every file was hashed: allow more --seconds');
    return failures;
  }

  /** @param {string} mistake */
  #remember(mistake) {
    if (this.mistakes.length < 5) this.mistakes.push(mistake);
  }
}
