// A server is lost while it holds a request: how long until another server has it?
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../harness/clock.js';
import { milliseconds, whole } from '../harness/screen.js';
import { distribution } from '../harness/statistics.js';

export const summary = 'time from the loss of a Freelance server to its request at another one';

const SERVERS = 3;

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
  `one client, ${SERVERS} servers, each restarted where it was before the next trial`,
  'killed  SIGKILL, with default options: the broken connection tells',
  'silent  SIGSTOP, with heartbeats every 100 ms and a liveness of 3: only time tells',
  'Time is from the signal to the first line of the handler in another server process.',
];

export async function run({ fleet, quick, progress }) {
  const variants = [];
  for (const variant of VARIANTS) {
    const arena = new Arena(fleet, variant);
    await arena.open();
    const raw = [];
    const trials = quick ? 5 : variant.trials;
    while (raw.length < trials) {
      raw.push(await arena.loseOne(raw.length));
      progress(`${variant.name} ${raw.length} of ${trials}, ${milliseconds(raw.at(-1))} ms`);
    }
    await fleet.end();
    variants.push({ ...variant, ...distribution(raw), raw });
  }
  return { variants, notes: NOTES };
}

export function tables({ variants }) {
  return [
    {
      title: 'Freelance failover: one server is lost while it holds a request',
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

/** A client with one request, and servers to lose. Emits `held` with a server and its report. */
class Arena extends EventEmitter {
  #fleet;
  #variant;
  #client;

  constructor(fleet, variant) {
    super();
    this.#fleet = fleet;
    this.#variant = variant;
  }

  async open() {
    const servers = [];
    for (let index = 0; index < SERVERS; index++) {
      servers.push(await this.#startServer('tcp://127.0.0.1:*'));
    }
    this.#client = await this.#fleet.start('freelance-client', {
      endpoints: servers.map(({ told }) => told.endpoint),
      client: this.#variant.heartbeat,
    });
    await this.#client.call('live', SERVERS);
  }

  /** Milliseconds from the loss of the server that holds a request until another one has it. */
  async loseOne(trial) {
    const { signal, wait } = this.#variant;
    const held = once(this, 'held');
    const answered = this.#client.call('ask', trial);
    const [first] = await held;
    await sleep(Math.random() * wait);
    const again = once(this, 'held');
    const lostAt = now();
    first.kill(signal);
    const [second, report] = await again;
    if (second === first || report.trial !== trial) throw new Error('held by the wrong server');
    await second.call('release');
    await answered;
    first.kill('SIGKILL');
    await first.ended;
    await this.#startServer(first.told.endpoint);
    await this.#client.call('live', SERVERS);
    return (report.at - lostAt) / 1e6;
  }

  async #startServer(endpoint) {
    const server = await this.#fleet.start('freelance-server', { endpoint });
    server.on('report', (report) => this.emit('held', server, report));
    return server;
  }
}
