// @ts-check
/** The processes of this demo: a pair of brokers, their witness, and workers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLog } from '../digest/logbook.js';
import { Pair } from '../pair.js';
import { findPlaces } from './places.js';

const BROKER = new URL('broker.js', import.meta.url);
const WORKER = new URL('../digest/worker.js', import.meta.url);

export class Fleet extends Pair {
  #logs;

  /**
   * @param {string} folder for epochs, logs and sockets
   * @param {{ workers: number, hasWitness: boolean }} size
   * @param {(line: string) => void} note
   */
  constructor(folder, { workers, hasWitness }, note) {
    super(BROKER, findPlaces(folder, hasWitness), note);
    this.#logs = Array.from({ length: workers }, (_, index) => join(folder, `worker-${index}.log`));
  }

  /**
   * Starts all of them.
   * @returns {Promise<string[]>} the endpoints of the pair, when the workers are ready
   */
  async start() {
    const endpoints = await this.startPair();
    await Promise.all(this.#logs.map((log) => this.spawn(WORKER, [log, ...endpoints]).ready));
    return endpoints;
  }

  /** What all workers have logged. */
  logs() {
    return this.#logs.flatMap((path) =>
      parseLog(readFileSync(path, { encoding: 'utf8', flag: 'a+' })),
    );
  }
}
