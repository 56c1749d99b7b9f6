// @ts-check
/**
 * What this demo counts, and the verdict over it.
 *
 * @typedef {{ by: 'history' | 'snapshot', milliseconds: number }} Repair
 * @typedef {{ digest: string, map: ReadonlyMap<string, string> }} State of the server, or of a replica
 */
import { messageOf } from '../files.js';

export class Tally {
  updates;
  replicas;
  killsWanted;
  kills = 0;
  /** Links broken while somebody used them. */
  cuts = 0;
  asked = 0;
  acknowledged = 0;
  /** Acknowledged, and another value is there in the end; or never acknowledged. */
  lost = 0;
  /** Times that a replica was not sure any more that it had all. */
  gaps = 0;
  /** @type {Repair[]} */
  repairs = [];
  /** Replicas whose digest is the server's, in the end. */
  equal = 0;
  /** Replicas whose map is another one, key by key. */
  different = 0;
  keys = 0;
  digest = '';
  /** Nothing is lost any more: what fails now does so because the demo ends. */
  isOver = false;
  /** What ended the run early. @type {string | undefined} */
  failure;
  /** The first mistakes, in words. @type {string[]} */
  mistakes = [];

  /** What each key was last set to; undefined: it was deleted. @type {Map<string, string | undefined>} */
  #expected = new Map();
  #startedAt = performance.now();
  /** Milliseconds that the updates took. */
  #took = 0;

  /**
   * @param {number} updates
   * @param {number} replicas
   * @param {number} kills
   */
  constructor(updates, replicas, kills) {
    this.updates = updates;
    this.replicas = replicas;
    this.killsWanted = kills;
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  get perSecond() {
    return this.#took === 0 ? 0 : Math.round((this.acknowledged / this.#took) * 1000);
  }

  /** Updates that wait to be acknowledged. */
  get underWay() {
    return this.asked - this.acknowledged - this.lost;
  }

  /** The updates that may be made before the next kill. */
  get allowed() {
    const { updates, kills, killsWanted } = this;
    const section = updates / (killsWanted + 1);
    return kills === killsWanted ? updates : Math.ceil(section * (kills + 1.5));
  }

  /** It is time for the next kill. */
  get isKillDue() {
    return this.acknowledged >= (this.updates / (this.killsWanted + 1)) * (this.kills + 1);
  }

  /**
   * @param {string} key
   * @param {string | undefined} value
   */
  ask(key, value) {
    this.asked++;
    this.#expected.set(key, value);
  }

  acknowledge() {
    this.acknowledged++;
    if (this.acknowledged + this.lost === this.updates) {
      this.#took = performance.now() - this.#startedAt;
    }
  }

  /**
   * @param {string} key
   * @param {unknown} error
   */
  lose(key, error) {
    if (this.isOver) return;
    this.lost++;
    this.#note(`lost: '${key}': ${messageOf(error)}`);
  }

  /**
   * Compares what the server has with what was acknowledged, and the replicas with the server.
   * @param {State} server
   * @param {readonly State[]} replicas
   */
  compare(server, replicas) {
    this.keys = server.map.size;
    this.digest = server.digest;
    for (const [key, value] of this.#expected) {
      if (server.map.get(key) === value) continue;
      this.lost++;
      this.#note(`lost: '${key}' is '${server.map.get(key)}', not '${value}'`);
    }
    for (const [index, { digest, map }] of replicas.entries()) {
      if (digest === server.digest) this.equal++;
      else this.#note(`replica ${index} has digest ${digest}`);
      if (map.size === server.map.size && [...map].every(([k, v]) => server.map.get(k) === v)) {
        continue;
      }
      this.different++;
      this.#note(`replica ${index} has another map`);
    }
  }

  /** Why the run failed, in words; empty if it did not. */
  get failures() {
    const { failure, updates, acknowledged, lost, different, equal, replicas } = this;
    const failures = failure === undefined ? [] : [failure];
    if (lost > 0) failures.push(`${lost} updates were lost`);
    if (acknowledged < updates) failures.push(`only ${acknowledged} of ${updates} updates`);
    if (equal < replicas) failures.push(`${replicas - equal} digests are not the server's`);
    if (different > 0) failures.push(`${different} replicas have another map`);
    if (this.repairs.length < this.gaps) {
      failures.push(`${this.gaps - this.repairs.length} gaps were not repaired`);
    }
    if (this.kills < this.killsWanted) {
      failures.push(`only ${this.kills} of ${this.killsWanted} kills`);
    }
    if (this.cuts === 0) failures.push('no link was cut');
    if (this.gaps === 0) failures.push('there was no gap');
    return failures;
  }

  /** @param {string} mistake */
  #note(mistake) {
    if (this.mistakes.length < 5) this.mistakes.push(mistake);
  }
}
