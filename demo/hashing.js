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
 * @param {object} run
 * @param {readonly string[]} run.files
 * @param {Fleet} run.fleet
 * @param {string} run.endpoint
 * @param {Tally} run.tally
 * @param {number} run.limit milliseconds after which no file is begun
 * @param {Promise<never>} run.stop
 * @throws what `stop` is rejected with
 */
export async function hashAndKill({ files, fleet, endpoint, tally, limit, stop }) {
  const client = new MajordomoClient({ lanes: LANES, retries: 20, drainTimeout: 0 });
  client.connect(endpoint);
  client.on('retry', () => tally.retries++);
  const hasher = new Hasher(client, tally);
  const giveUp = AbortSignal.timeout(limit);
  try {
    const hashed = hashInPasses(files, hasher, () => tally.goalReached, giveUp);
    const killed = killUntilGoal(fleet, tally, hasher.outstanding, giveUp);
    await Promise.race([hashed, killed.then(() => hashed), stop]);
  } finally {
    await client.close();
  }
}

/**
 * @param {readonly string[]} files
 * @param {Hasher} hasher
 * @param {() => boolean} isEnough asked after each pass
 * @param {AbortSignal} giveUp
 */
async function hashInPasses(files, hasher, isEnough, giveUp) {
  // Few files go several times at once, so that there is something to hold.
  const copies = Math.ceil(LANES / files.length);
  const pass = Array.from({ length: copies }, () => files).flat();
  do {
    const queue = pass.values();
    await Promise.all(Array.from({ length: LANES }, () => hasher.hashAll(queue, giveUp)));
  } while (!isEnough() && !giveUp.aborted);
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

  /**
   * @param {Iterable<string>} queue shared with others
   * @param {AbortSignal} giveUp
   */
  async hashAll(queue, giveUp) {
    for (const path of queue) {
      if (giveUp.aborted) return;
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
    const attemptTimeout = 1500 + bytes.byteLength / 50_000;
    const timeout = 8000 + 3 * attemptTimeout;
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
