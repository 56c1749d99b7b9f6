// A worker is lost while it holds a request: how long until another worker has it?
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.js';
import { milliseconds, whole } from '../harness/screen.js';
import { distribution } from '../harness/statistics.js';

export const summary =
  'time from the loss of a worker to the dispatch of its request at another one';

/** Workers started at a time, before the trials that use them up, so that none starts in a trial. */
const POOL = 10;

/** `wait`: each signal comes at random within so many milliseconds, to meet all phases of the heartbeats. */
const VARIANTS = [
  { name: 'killed', signal: 'SIGKILL', trials: 200, wait: 20, goal: 'p99 ≤ 50 ms', heartbeat: {} },
  {
    name: 'silent',
    signal: 'SIGSTOP',
    trials: 40,
    wait: 200,
    goal: 'max ≤ 3 × 100 + 100 ms',
    heartbeat: { heartbeatInterval: 100, heartbeatLiveness: 3 },
  },
];

const NOTES = [
  'killed  SIGKILL, with default options: the broken connection tells',
  'silent  SIGSTOP, with heartbeats every 100 ms and a liveness of 3: only time tells',
  'Time is from the signal to the first line of the handler in another worker process.',
];

export async function run(context) {
  const variants = [];
  for (const variant of VARIANTS) {
    const arena = new Arena(context, variant);
    await arena.open();
    const raw = [];
    const trials = context.quick ? 10 : variant.trials;
    while (raw.length < trials) {
      raw.push(await arena.loseOne(raw.length));
      context.progress(
        `${variant.name} ${raw.length} of ${trials}, ${milliseconds(raw.at(-1))} ms`,
      );
    }
    await context.fleet.end();
    variants.push({ ...variant, ...distribution(raw), raw });
  }
  return { variants, notes: NOTES };
}

export function tables({ variants }) {
  return [
    {
      title: 'Failover: one worker is lost while it holds a request',
      head: ['variant', 'trials', 'p50 ms', 'p99 ms', 'max ms', 'goal'],
      rows: variants.map(({ name, count, p50, p99, max, goal }) => [
        name,
        whole(count),
        milliseconds(p50),
        milliseconds(p99),
        milliseconds(max),
        goal,
      ]),
    },
  ];
}

/** A broker, a client with one request, and workers to lose. Emits `held` with a worker and its report. */
class Arena extends EventEmitter {
  #fleet;
  #variant;
  #common;
  #endpoint;
  #client;
  #workers = new Set();

  constructor({ fleet, common }, variant) {
    super();
    this.#fleet = fleet;
    this.#variant = variant;
    this.#common = common;
  }

  async open() {
    const broker = await this.#fleet.start('broker', { broker: this.#variant.heartbeat });
    this.#endpoint = broker.told.endpoint;
    this.#client = await this.#fleet.start('asking-client', {
      endpoint: this.#endpoint,
      client: this.#common,
    });
  }

  /** Milliseconds from the loss of the worker that holds a request until another one has it. */
  async loseOne(trial) {
    const { signal, wait } = this.#variant;
    await this.#fillPool();
    const held = once(this, 'held');
    const answered = this.#client.call('ask', trial);
    const [first] = await held;
    await sleep(Math.random() * wait);
    const again = once(this, 'held');
    const lostAt = now();
    first.kill(signal);
    this.#workers.delete(first);
    const [second, report] = await again;
    if (second === first || report.trial !== trial) throw new Error('held by the wrong worker');
    await second.call('release');
    await answered;
    first.kill('SIGKILL');
    return (report.at - lostAt) / 1e6;
  }

  async #fillPool() {
    if (this.#workers.size > 1) return;
    const missing = POOL - this.#workers.size;
    await Promise.all(Array.from({ length: missing }, () => this.#startWorker()));
    // What they did to begin is over, and is not measured.
    await sleep(200);
  }

  async #startWorker() {
    const worker = await this.#fleet.start('holding-worker', {
      endpoint: this.#endpoint,
      worker: { ...this.#common, ...this.#variant.heartbeat },
    });
    worker.on('report', (report) => this.emit('held', worker, report));
    this.#workers.add(worker);
  }
}
