// @ts-check
/**
 * The processes of this demo: a pair of brokers, their witness, and workers. The broker that serves is
 * killed again and again, and started again at once: then it is the other one's turn.
 *
 * @typedef {import('./places.js').Role} Role
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { now, parseLog } from '../digest/logbook.js';
import { Processes } from '../processes.js';
import { findPlaces } from './places.js';

const BROKER = new URL('broker.js', import.meta.url);
const WITNESS = new URL('witness.js', import.meta.url);
const WORKER = new URL('../digest/worker.js', import.meta.url);

/** One broker, as it tells of itself. */
class Half {
  /** Under which it serves; 0 if it does not. */
  epoch = 0;
  /** Whether the other one has all that this one has. */
  isFollowed = false;

  /**
   * @param {Role} role
   * @param {import('../processes.js').Child} child
   */
  constructor(role, child) {
    this.role = role;
    this.child = child;
  }
}

export class Fleet extends Processes {
  /** @type {Map<Role, Half>} */
  #halves = new Map();
  #workers;
  #places;

  /**
   * @param {string} folder for epochs, logs and sockets
   * @param {{ workers: number, hasWitness: boolean }} size
   * @param {(line: string) => void} note
   */
  constructor(folder, { workers, hasWitness }, note) {
    super(note);
    this.#workers = Array.from({ length: workers }, (_, index) =>
      join(folder, `worker-${index}.log`),
    );
    this.#places = findPlaces(folder, hasWitness);
  }

  /**
   * Starts all of them.
   * @returns {Promise<string[]>} the endpoints of the pair, when the workers are ready
   */
  async start() {
    const { witness, primary, backup } = await this.#places;
    if (witness !== undefined) await this.spawn(WITNESS, [witness.bind, witness.store]).ready;
    const endpoints = [primary.bind, backup.bind];
    await Promise.all([this.#startBroker('primary'), this.#startBroker('backup')]);
    const workers = this.#workers.map((log) => this.spawn(WORKER, [log, ...endpoints]).ready);
    await Promise.all(workers);
    return endpoints;
  }

  /** The one that serves; of two the later one. */
  get active() {
    const [latest] = [...this.#halves.values()].toSorted((a, b) => b.epoch - a.epoch);
    return latest !== undefined && latest.epoch > 0 ? latest : undefined;
  }

  /** Resolves when one serves and the other could take its place; or when the demo is ending. */
  async isWhole() {
    while (this.active?.isFollowed !== true && !this.isEnding) await delay(1);
  }

  /**
   * Kills the one that serves, and starts it again.
   * @param {number} held requests that are under way, for people
   */
  async killActive(held) {
    const half = this.active;
    if (half === undefined) throw new Error('nobody serves');
    const { role, child, epoch } = half;
    const killedAt = now();
    child.kill();
    this.#halves.delete(role);
    this.note(`${role} ${child.pid} of epoch ${epoch} killed holding ${held}`);
    await child.ended;
    await this.#startBroker(role);
    return { killedAt, epoch, held };
  }

  /** What all workers have logged. */
  logs() {
    return this.#workers.flatMap((path) =>
      parseLog(readFileSync(path, { encoding: 'utf8', flag: 'a+' })),
    );
  }

  /** @param {Role} role */
  async #startBroker(role) {
    const places = await this.#places;
    const child = this.spawn(BROKER, [JSON.stringify(places[role])], (report) => {
      if (report.type === 'serving') half.epoch = report.epoch;
      if (report.type === 'serving') half.isFollowed = false;
      if (report.type === 'followed') half.isFollowed = report.isFollowed;
    });
    const half = new Half(role, child);
    this.#halves.set(role, half);
    await child.ready;
  }
}
