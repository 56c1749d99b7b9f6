// @ts-check
/**
 * The processes of a pair of servers and their witness. The server that serves is killed again and again,
 * and started again at once: then it is the other one's turn.
 *
 * @typedef {import('./failover/places.js').Role} Role
 * @typedef {{ role: Role, bind: string, pair: string, peer: string, witness: string | undefined, store: string }} ServerPlaces
 * @typedef {{ witness: { bind: string, store: string } | undefined, primary: ServerPlaces, backup: ServerPlaces }} Places
 */
import { setTimeout as delay } from 'node:timers/promises';
import { now } from './digest/logbook.js';
import { Processes } from './processes.js';

const WITNESS = new URL('failover/witness.js', import.meta.url);

/** One server, as it tells of itself. */
class Half {
  /** Under which it serves; 0 if it does not. */
  epoch = 0;
  /** Whether the other one has all that this one has. */
  isFollowed = false;

  /**
   * @param {Role} role
   * @param {import('./processes.js').Child} child
   */
  constructor(role, child) {
    this.role = role;
    this.child = child;
  }
}

export class Pair extends Processes {
  /** @type {Map<Role, Half>} */
  #halves = new Map();
  #program;
  #places;

  /**
   * @param {URL} program of a server, which is given its places as JSON
   * @param {Promise<Places>} places
   * @param {(line: string) => void} note
   */
  constructor(program, places, note) {
    super(note);
    this.#program = program;
    this.#places = places;
  }

  /**
   * Starts the witness, if there is one, and both servers.
   * @returns {Promise<string[]>} the endpoints of the pair
   */
  async startPair() {
    const { witness, primary, backup } = await this.#places;
    if (witness !== undefined) await this.spawn(WITNESS, [witness.bind, witness.store]).ready;
    await Promise.all([this.#startServer('primary'), this.#startServer('backup')]);
    return [primary.bind, backup.bind];
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
   * @param {number} held what is under way, for people
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
    await this.#startServer(role);
    return { killedAt, epoch, held };
  }

  /** @param {Role} role */
  async #startServer(role) {
    const places = await this.#places;
    const child = this.spawn(this.#program, [JSON.stringify(places[role])], (report) => {
      if (report.type === 'serving') half.epoch = report.epoch;
      if (report.type === 'serving') half.isFollowed = false;
      if (report.type === 'followed') half.isFollowed = report.isFollowed;
    });
    const half = new Half(role, child);
    this.#halves.set(role, half);
    await child.ready;
  }
}
