// The child processes of a benchmark: started, called, and all of them ended in the end.
import { fork } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Milliseconds for a process to end by itself. */
const PATIENCE = 5000;

/** One child process. Emits `report` with what it tells. */
class Child extends EventEmitter {
  /** What it told when it was ready; rejects if it ends before. */
  ready;
  ended;
  expendable = false;
  #process;
  #calls = new Map();
  #nextId = 0;

  constructor(role, options, execArgv) {
    super();
    this.role = role;
    this.#process = fork(
      fileURLToPath(new URL(`../roles/${role}.js`, import.meta.url)),
      [JSON.stringify(options)],
      { execArgv },
    );
    this.pid = this.#process.pid;
    this.ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.ready = new Promise((resolve, reject) => {
      this.#process.on('message', (message) => {
        if (message.type === 'ready') resolve(message.result);
        else this.#handle(message);
      });
      this.#process.once('exit', () => this.#fail(new Error(`${role} ended early`), reject));
    });
    this.ready.catch(ignore);
  }

  /** Runs one of the role's commands in its process. */
  call(command, argument) {
    const id = this.#nextId++;
    const answered = new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#process.send({ id, command, argument });
    });
    answered.catch(ignore);
    return answered;
  }

  kill(signal) {
    this.expendable = true;
    this.#process.kill(signal);
  }

  async end() {
    this.expendable = true;
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE);
    await this.ended;
    clearTimeout(timer);
  }

  #handle(message) {
    if (message.type !== 'done' && message.type !== 'failed') {
      this.emit('report', message);
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.type === 'done') call.resolve(message.result);
    else call.reject(new Error(`${this.role}: ${message.reason}`));
  }

  #fail(error, reject) {
    reject(error);
    for (const call of this.#calls.values()) call.reject(error);
  }
}

/** All of them. With `profiles`, a folder, each writes a CPU profile there when it ends. */
export class Fleet {
  /** Rejects when a process ends that nobody ended. */
  failed;
  #fail;
  #children = new Set();
  #profiles;
  #started = 0;
  #closed = false;

  constructor(profiles) {
    this.#profiles = profiles;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(ignore);
  }

  /** Starts `roles/<role>.js`, and resolves to the child when it is ready, as `child.told`. */
  async start(role, options = {}) {
    if (this.#closed) throw new Error('the benchmark is over');
    const child = new Child(role, options, this.#execArgv(role));
    this.#children.add(child);
    void this.#watch(child);
    child.told = await child.ready;
    return child;
  }

  /** Ends all that still run. */
  async end() {
    await Promise.all([...this.#children].map((child) => child.end()));
  }

  /** Ends all that still run, and starts no more. */
  async close() {
    this.#closed = true;
    await this.end();
  }

  async #watch(child) {
    await child.ended;
    this.#children.delete(child);
    if (!child.expendable) this.#fail(new Error(`a process ended by itself: ${child.role}`));
  }

  #execArgv(role) {
    if (this.#profiles === undefined) return [];
    // Each of its threads writes one, under a name of node's own.
    const folder = `${this.#profiles}/${String(++this.#started).padStart(3, '0')}-${role}`;
    return ['--cpu-prof', `--cpu-prof-dir=${folder}`];
  }
}

function ignore() {
  // Whoever waits for it hears of it; when a benchmark is broken off, nobody does.
}
