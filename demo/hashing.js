// @ts-check
/**
 * The demo's work: the files go through the broker in passes, and meanwhile the kills.
 *
 * @typedef {import('./fleet.js').Fleet} Fleet
 * @typedef {import('./tally.js').Tally} Tally
 */
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoClient, RequestError } from 'unsinkable';
import { ReadError, Reader } from './files.js';
import { sha256 } from './sha256.js';
import { GOAL } from './tally.js';

/** Requests in flight. */
const LANES = 32;

/** Milliseconds between two kills. */
const KILL_INTERVAL = 500;

/**
 * Hashes all files, again and again, until the kills are done and a pass is complete.
 * @param {readonly string[]} files
 * @param {Fleet} fleet
 * @param {string} endpoint
 * @param {Tally} tally
 * @param {number} limit milliseconds after which it stops anyway
 * @throws if a process of the fleet ends by itself
 */
export async function hashAndKill(files, fleet, endpoint, tally, limit) {
  const client = new MajordomoClient({ lanes: LANES, retries: 20, drainTimeout: 0 });
  client.connect(endpoint);
  client.on('retry', () => tally.retries++);
  const hasher = new Hasher(client, tally);
  const giveUp = AbortSignal.timeout(limit);
  const queue = inPasses(files, () => tally.goalReached, giveUp);
  try {
    const hashed = Promise.all(Array.from({ length: LANES }, () => hasher.hashAll(queue)));
    const killed = killUntilGoal(fleet, tally, hasher.outstanding, giveUp);
    await Promise.race([hashed, killed.then(() => hashed), fleet.failed]);
  } finally {
    queue.return();
    await client.close();
  }
}

/**
 * Passes follow each other without a gap, so that there is always something in flight.
 * @param {readonly string[]} files
 * @param {() => boolean} isLast whether the pass that ends was the last one
 * @param {AbortSignal} giveUp
 * @returns {Generator<string, void>}
 */
function* inPasses(files, isLast, giveUp) {
  do {
    for (const file of files) {
      if (giveUp.aborted) return;
      yield file;
    }
  } while (!isLast());
}

class Hasher {
  /** Requests sent and not yet answered. @type {Set<object>} */
  outstanding = new Set();
  #client;
  #tally;
  #reader = new Reader();

  /**
   * @param {MajordomoClient} client
   * @param {Tally} tally
   */
  constructor(client, tally) {
    this.#client = client;
    this.#tally = tally;
  }

  /** @param {Iterable<string>} queue shared with others */
  async hashAll(queue) {
    for (const path of queue) {
      try {
        await this.#reader.read(path, (bytes) => this.#hash(path, bytes));
      } catch (error) {
        if (error instanceof ReadError) this.#tally.skip(path, error);
        else if (error instanceof RequestError) this.#tally.lose(path, error);
        else throw error;
      }
      this.#tally.settled++;
    }
  }

  /**
   * @param {string} path
   * @param {Uint8Array} bytes
   */
  async #hash(path, bytes) {
    const expected = await sha256(bytes);
    // A killed broker tells nobody: the try has to time out. Large files take their time honestly.
    const attemptTimeout = 1500 + bytes.byteLength / 20_000;
    const timeout = 8 * attemptTimeout;
    const request = this.#client.request('sha256', bytes, { attemptTimeout, timeout });
    this.outstanding.add(request);
    try {
      const reply = await request;
      if (Buffer.compare(reply.bytes(), expected) === 0) this.#tally.right(bytes.byteLength);
      else this.#tally.mismatch(path);
    } finally {
      this.outstanding.delete(request);
    }
  }
}

/**
 * Kills a worker every now and then, and the broker in between.
 * @param {Fleet} fleet
 * @param {Tally} tally
 * @param {ReadonlySet<object>} outstanding
 * @param {AbortSignal} giveUp
 */
async function killUntilGoal(fleet, tally, outstanding, giveUp) {
  while (!tally.goalReached && !giveUp.aborted) {
    await delay(KILL_INTERVAL);
    const brokersDue = (GOAL.brokers + 1) * (tally.workersKilled / GOAL.workers) - 1;
    const broker = tally.brokersKilled < Math.min(GOAL.brokers, brokersDue);
    const held = broker ? await fleet.killBroker(outstanding) : await fleet.killWorker();
    if (held === 0) tally.idleKilled++;
    else if (broker) tally.killBroker(held);
    else tally.killWorker(held);
  }
}
