// @ts-check
/**
 * The demo's processes: one broker, several workers, and the kills.
 *
 * A kill counts only on evidence. A worker tells when it starts and when it ends a request, the end
 * before it replies; what it had not ended when it was dead, it held.
 *
 * @typedef {import('./lifeline.js').Report} Report
 */
import { fork } from 'node:child_process';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isReport } from './lifeline.js';

/** One process, from its start to its end. */
class Child {
  /** Requests started and not ended. @type {Set<number>} */
  running = new Set();
  /** Whether its end is our doing. */
  killed = false;
  /** @type {Promise<string>} The endpoint, when it is ready. */
  ready;
  /** @type {Promise<void>} When it has ended and its last report is here. */
  ended;
  #process;

  /**
   * @param {'broker' | 'worker'} role
   * @param {string} endpoint
   * @param {(report: Report) => void} onReport
   */
  constructor(role, endpoint, onReport) {
    this.role = role;
    this.#process = fork(fileURLToPath(new URL(`${role}.js`, import.meta.url)), [endpoint]);
    this.pid = this.#process.pid;
    this.ended = new Promise((resolve) => this.#process.on('close', () => resolve()));
    this.ready = new Promise((resolve) => {
      this.#process.on('message', (report) => {
        if (!isReport(report)) return;
        if (report.type === 'ready') resolve(report.endpoint);
        else if (report.type === 'started') this.running.add(report.request);
        else if (report.type === 'ended') this.running.delete(report.request);
        onReport(report);
      });
    });
  }

  /** Why it ended, for people. */
  get cause() {
    const { exitCode, signalCode } = this.#process;
    return signalCode === null ? `exit code ${exitCode}` : signalCode;
  }

  kill() {
    this.killed = true;
    this.#process.kill('SIGKILL');
  }
}

export class Fleet {
  /** Rejects when a process ends that nobody killed, or cannot be started. @type {Promise<never>} */
  failed;
  /** Requests that the broker gave to another worker. */
  requeued = 0;
  /** @type {Set<Child>} */
  #children = new Set();
  /** @type {Child | undefined} */
  #broker;
  #endpoint;
  #note;
  #ending = false;
  /** @type {(error: Error) => void} */
  #fail = () => {};

  /**
   * @param {string} endpoint for the broker; a port `*` becomes a real one, kept over restarts
   * @param {(line: string) => void} note
   */
  constructor(endpoint, note) {
    this.#endpoint = endpoint;
    this.#note = note;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    // Whoever races against it hears of it; until then it is not unhandled.
    this.failed.catch(() => {});
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
    this.#note(`worker ${worker.pid} killed holding ${held}`);
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
    this.#note(`broker ${broker.pid} killed holding ${held}`);
    return held;
  }

  /** Ends all processes at once. Resolves when they are gone. */
  async end() {
    this.#ending = true;
    for (const child of this.#children) child.kill();
    await Promise.all([...this.#children].map((child) => child.ended));
  }

  /** The worker with the most requests started and not ended, as soon as there is one. */
  async #busiestWorker() {
    for (;;) {
      // After all reports that have arrived were read: an older view would be of requests long ended.
      await setImmediate();
      const [busiest] = [...this.#children].toSorted((a, b) => b.running.size - a.running.size);
      if (busiest === undefined) throw new Error('the demo is ending');
      if (busiest.running.size > 0) return busiest;
    }
  }

  async #startBroker() {
    this.#broker = this.#spawn('broker');
    this.#endpoint = await this.#broker.ready;
  }

  async #startWorker() {
    await this.#spawn('worker').ready;
  }

  /** @param {'broker' | 'worker'} role */
  #spawn(role) {
    if (this.#ending) throw new Error('the demo is ending');
    const child = new Child(role, this.#endpoint, (report) => {
      if (report.type === 'requeued') this.requeued++;
    });
    this.#children.add(child);
    this.#note(`${role} ${child.pid} started`);
    void this.#watch(child);
    return child;
  }

  /** @param {Child} child */
  async #watch(child) {
    await child.ended;
    this.#children.delete(child);
    if (!child.killed) this.#fail(new Error(`a ${child.role} ended by itself: ${child.cause}`));
  }
}
