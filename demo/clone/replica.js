// @ts-check
/**
 * One replica of this demo: a client that writes its share of the updates under a path of its own, over links
 * that can be cut.
 *
 * @typedef {import('./tally.js').Tally} Tally
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CloneClient } from 'unsinkable';
import { ChaosProxy } from 'unsinkable/testing';

/** Keys that each of them writes. */
const KEYS = 500;
/** Updates that each has under way. */
const LANES = 50;
/** Of so many updates one deletes its key. */
const DELETES = 10;
/** Milliseconds that one update may take, over whatever is killed. */
const TIMEOUT = 60_000;

export class Replica {
  #index;
  #tally;
  #proxies;
  #client;
  /** When it was not sure any more that it had all; undefined while it is. @type {number | undefined} */
  #lostAt;
  #hasLoaded = false;
  #next = 0;
  /** The newest of its updates that were acknowledged. */
  newest = 0;

  /**
   * @param {number} index
   * @param {readonly string[]} endpoints of the servers
   * @param {Tally} tally
   */
  static async open(index, endpoints, tally) {
    const proxies = await Promise.all(
      endpoints.map((endpoint) => ChaosProxy.open({ port: Number(endpoint.split(':').at(-1)) })),
    );
    return new Replica(index, proxies, tally);
  }

  /**
   * @param {number} index
   * @param {readonly ChaosProxy[]} proxies
   * @param {Tally} tally
   */
  constructor(index, proxies, tally) {
    this.#index = index;
    this.#proxies = proxies;
    this.#tally = tally;
    this.#client = new CloneClient({ codec: 'text', timeout: TIMEOUT, drainTimeout: 0 });
    this.#client.on('unsynchronised', () => this.#find());
    this.#client.on('snapshotLoaded', () => (this.#hasLoaded = true));
    this.#client.on('synchronised', () => this.#repair());
    this.#client.connect(proxies.map(({ port }) => `tcp://127.0.0.1:${port}`));
  }

  /** Whether its map equals the server's, as far as it knows. */
  get isWhole() {
    return this.#lostAt === undefined;
  }

  /** What it has. */
  get state() {
    const { high, low } = this.#client.status().digest;
    return { digest: `${high.toString(16)}-${low.toString(16)}`, map: new Map(this.#client) };
  }

  /**
   * Resolves when its map equals the server's, with all up to that update.
   * @param {number} [sequence]
   */
  async hasAll(sequence = 0) {
    do await this.#client.synchronised({ timeout: TIMEOUT });
    while (this.#client.at.sequence < sequence && !(await delay(5, this.#tally.isOver)));
  }

  /**
   * Writes its share.
   * @param {number} count
   */
  async write(count) {
    const lane = async () => {
      while (this.#next < count && !this.#tally.isOver) {
        if (this.#tally.asked < this.#tally.allowed) await this.#update(this.#next++);
        else await delay(5);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  /** Breaks its links, in the middle of whatever is on them; returns how many. */
  cut() {
    return this.#proxies.reduce((sum, proxy) => sum + proxy.reset(), 0);
  }

  async close() {
    await this.#client.close();
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  /** @param {number} update */
  async #update(update) {
    const key = `/replica-${this.#index}/${update % KEYS}`;
    const value = update % DELETES === DELETES - 1 ? undefined : `update ${update}`;
    this.#tally.ask(key, value);
    try {
      const written = await (value === undefined
        ? this.#client.delete(key)
        : this.#client.set(key, value));
      this.newest = Math.max(this.newest, written.revision);
      this.#tally.acknowledge();
    } catch (error) {
      this.#tally.lose(key, error);
    }
  }

  #find() {
    if (this.#tally.isOver) return;
    this.#lostAt ??= performance.now();
    this.#hasLoaded = false;
    this.#tally.gaps++;
  }

  #repair() {
    if (this.#lostAt === undefined) return;
    const by = this.#hasLoaded ? 'snapshot' : 'history';
    this.#tally.repairs.push({ by, milliseconds: performance.now() - this.#lostAt });
    this.#lostAt = undefined;
  }
}
