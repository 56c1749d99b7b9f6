// @ts-check
/**
 * The processes of this demo: one broker, one Titanic, several workers. They are killed and started all
 * together: one such generation is a life.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Processes } from '../processes.js';
import { parseLog } from '../digest/logbook.js';

const BROKER = new URL('../broker.js', import.meta.url);
const TITANIC = new URL('titanic.js', import.meta.url);
const WORKER = new URL('../digest/worker.js', import.meta.url);

/** Heartbeats missed before the broker gives up a worker: here it only waits for a core. */
const LIVENESS = '20';

export class Fleet extends Processes {
  /** Executions ended so far, as the workers tell it. */
  executed = 0;
  #folder;
  #workers;
  #endpoint;
  #life = 0;

  /**
   * @param {string} folder for the store, the logs and the broker's socket
   * @param {number} workers
   * @param {(line: string) => void} note
   */
  constructor(folder, workers, note) {
    super(note);
    this.#folder = folder;
    this.#workers = workers;
    this.#endpoint = process.platform === 'win32' ? 'tcp://127.0.0.1:*' : `ipc://${folder}/broker`;
  }

  /**
   * Starts a broker and a Titanic: without workers, requests can only be kept.
   * @returns {Promise<string>} the endpoint of the broker, when both are ready
   */
  async start() {
    this.#life++;
    const broker = this.spawn(BROKER, [this.#endpoint, LIVENESS]);
    this.#endpoint = await broker.ready;
    const store = join(this.#folder, 'store');
    await this.spawn(TITANIC, [this.#endpoint, store, this.#log('titanic')]).ready;
    return this.#endpoint;
  }

  /** Starts the workers. */
  async startWorkers() {
    const workers = Array.from({ length: this.#workers }, (_, index) =>
      this.spawn(WORKER, [this.#log(`worker-${index}`), this.#endpoint], (report) => {
        if (report.type === 'ended') this.executed++;
      }),
    );
    await Promise.all(workers.map((worker) => worker.ready));
  }

  /** Requests that the workers have in their hands. */
  get held() {
    return [...this.children].reduce((sum, child) => sum + child.running.size, 0);
  }

  /**
   * Resolves when so many executions have ended, and others are under way if there are any left; or when
   * the demo is ending.
   * @param {number} count
   */
  async hasExecuted(count) {
    while (this.executed < count && !this.isEnding) await delay(1);
    for (let tries = 0; this.held === 0 && tries < 1000; tries++) await delay(1);
  }

  /**
   * Kills everything.
   * @param {() => number} random decides the order
   * @returns {Promise<number>} how many requests the workers had in their hands
   */
  async killAll(random) {
    const children = [...this.children]
      .map((child) => ({ child, place: random() }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ child }) => child);
    for (const child of children) child.kill();
    await Promise.all(children.map((child) => child.ended));
    const held = children.reduce((sum, child) => sum + child.running.size, 0);
    this.note(`all ${children.length} killed holding ${held}`);
    return held;
  }

  /** What all processes have logged. */
  logs() {
    const names = readdirSync(this.#folder).filter((name) => name.endsWith('.log'));
    return names.flatMap((name) => parseLog(readFileSync(join(this.#folder, name), 'utf8')));
  }

  /** @param {string} name */
  #log(name) {
    return join(this.#folder, `${name}-${this.#life}.log`);
  }
}
