// @ts-check
/**
 * The demo's processes: one broker, several workers, and the kills.
 *
 * A kill counts only on evidence. A worker tells when it starts and when it ends a request, the end
 * before it replies; what it had not ended when it was dead, it held.
 */
import { setImmediate } from 'node:timers/promises';
import { Processes } from './processes.js';

const BROKER = new URL('broker.js', import.meta.url);
const WORKER = new URL('worker.js', import.meta.url);

export class Fleet extends Processes {
  /** Requests that the broker gave to another worker. */
  requeued = 0;
  /** @type {import('./processes.js').Child | undefined} */
  #broker;
  #endpoint;

  /**
   * @param {string} endpoint for the broker; a port `*` becomes a real one, kept over restarts
   * @param {(line: string) => void} note
   */
  constructor(endpoint, note) {
    super(note);
    this.#endpoint = endpoint;
  }

  /**
   * Starts the broker and then the workers.
   * @param {number} workers
   * @returns {Promise<string>} the endpoint, when all are ready
   */
  async start(workers) {
    await this.#startBroker();
    await Promise.all(Array.from({ length: workers }, () => this.#startWorker()));
    return this.#endpoint;
  }

  /**
   * Kills a worker that is working, and replaces it.
   * @returns {Promise<number>} how many requests died in its hands; none, if it was faster
   */
  async killWorker() {
    const worker = await this.#busiestWorker();
    worker.kill();
    await worker.ended;
    const held = worker.running.size;
    this.note(`worker ${worker.pid} killed holding ${held}`);
    await this.#startWorker();
    return held;
  }

  /**
   * Kills the broker, and starts another one on the same endpoint.
   * @template Request
   * @param {ReadonlySet<Request>} outstanding the requests sent and not yet answered, kept up to date
   * @returns {Promise<number>} how many requests died with it: only the new broker can answer them
   */
  async killBroker(outstanding) {
    const broker = this.#broker;
    const before = [...outstanding];
    if (broker === undefined || before.length === 0) return 0;
    broker.kill();
    await broker.ended;
    await this.#startBroker();
    const held = before.filter((request) => outstanding.has(request)).length;
    this.note(`broker ${broker.pid} killed holding ${held}`);
    return held;
  }

  /** The worker with the most requests started and not ended, as soon as there is one. */
  async #busiestWorker() {
    for (;;) {
      // After all reports that have arrived were read: an older view would be of requests long ended.
      await setImmediate();
      const [busiest] = [...this.children].toSorted((a, b) => b.running.size - a.running.size);
      if (busiest === undefined) throw new Error('the demo is ending');
      if (busiest.running.size > 0) return busiest;
    }
  }

  async #startBroker() {
    this.#broker = this.spawn(BROKER, [this.#endpoint], (report) => {
      if (report.type === 'requeued') this.requeued++;
    });
    this.#endpoint = await this.#broker.ready;
  }

  async #startWorker() {
    await this.spawn(WORKER, [this.#endpoint]).ready;
  }
}
