// @ts-check
/**
 * The processes of a demo: started, watched, killed, and gone at its end.
 *
 * @typedef {import('./lifeline.js').Report} Report
 */
import { fork } from 'node:child_process';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isReport } from './lifeline.js';

/** One process, from its start to its end. */
export class Child {
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
   * @param {URL} program
   * @param {readonly string[]} args
   * @param {(report: Report) => void} onReport
   */
  constructor(program, args, onReport) {
    const file = fileURLToPath(program);
    /** What it is, for people. */
    this.role = basename(file, '.js');
    this.#process = fork(file, args);
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

export class Processes {
  /** Rejects when a process ends that nobody killed, or cannot be started. @type {Promise<never>} */
  failed;
  /** Those that are there. @type {Set<Child>} */
  children = new Set();
  /** Tells people. */
  note;
  #ending = false;
  /** @type {(error: Error) => void} */
  #fail = () => {};

  /** @param {(line: string) => void} note */
  constructor(note) {
    this.note = note;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    // Whoever races against it hears of it; until then it is not unhandled.
    this.failed.catch(() => {});
  }

  get isEnding() {
    return this.#ending;
  }

  /** Ends all processes at once. Resolves when they are gone. */
  async end() {
    this.#ending = true;
    for (const child of this.children) child.kill();
    await Promise.all([...this.children].map((child) => child.ended));
  }

  /**
   * @param {URL} program
   * @param {readonly string[]} args
   * @param {(report: Report) => void} [onReport]
   * @throws Error if the demo is ending
   */
  spawn(program, args, onReport = () => {}) {
    if (this.#ending) throw new Error('the demo is ending');
    const child = new Child(program, args, onReport);
    this.children.add(child);
    this.note(`${child.role} ${child.pid} started`);
    void this.#watch(child);
    return child;
  }

  /** @param {Child} child */
  async #watch(child) {
    await child.ended;
    this.children.delete(child);
    if (!child.killed) this.#fail(new Error(`a ${child.role} ended by itself: ${child.cause}`));
  }
}
