// The active one of a pair is lost under load: how long until a client has a reply again?
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { whole as wholeNumber } from '../harness/arguments.js';
import { now } from '../harness/clock.js';
import { temporaryFolder } from '../harness/folder.js';
import { freeEndpoint } from '../harness/free-port.js';
import { milliseconds, whole } from '../harness/screen.js';
import { distribution } from '../harness/statistics.js';

export const summary = 'time from the loss of the active broker of a pair to the first reply again';

/** The library's default, of which the goal is made. */
const LEASE = 1000;
/** Each loss comes at random within so many milliseconds, to meet all phases of heartbeats and leases, */
const WAIT = 500;
/** but not before everybody knows that the other one has all: who dies before that is waited for. */
const KNOWN = 500;
const IN_FLIGHT = 8;
/** Milliseconds between two requests of a lane. */
const PAUSE = 2;
const WORKERS = 2;
/** Milliseconds in which a trial must be over. */
const PATIENCE = 60_000;

const VARIANTS = [
  { name: 'vote, killed', signal: 'SIGKILL', hasWitness: false, goal: { p99: 300 } },
  { name: 'witness, killed', signal: 'SIGKILL', hasWitness: true, goal: { max: LEASE + 100 } },
  { name: 'vote, silent', signal: 'SIGSTOP', hasWitness: false },
  { name: 'witness, silent', signal: 'SIGSTOP', hasWitness: true },
];

const NOTES = [
  `default options (a lease is ${LEASE} ms); keyed requests of 1 client, ${IN_FLIGHT} in flight; epochs are fsynced`,
  'killed   SIGKILL: broken links tell; silent  SIGSTOP: only time tells, the client\u2019s too',
  'serving  from the loss until the other one may serve; reply  until the client has one from it',
];

export function addOptions(command) {
  command
    .option('--kills <number>', 'of each variant of binary-star', wholeNumber, 200)
    .option('--variant <name>', 'of binary-star: this one alone, such as "vote, killed"');
}

export async function run(context) {
  const { fleet, quick, options, progress } = context;
  const variants = [];
  for (const variant of VARIANTS) {
    if (options.variant !== undefined && options.variant !== variant.name) continue;
    const arena = new Arena(fleet, variant);
    await arena.open();
    const raw = [];
    const trials = quick ? 5 : options.kills;
    while (raw.length < trials) {
      raw.push(await arena.loseActive());
      const { reply } = raw.at(-1);
      progress(`${variant.name} ${raw.length} of ${trials}, ${milliseconds(reply)} ms`);
    }
    await fleet.end();
    const serving = distribution(raw.map((one) => one.serving));
    const reply = distribution(raw.map((one) => one.reply));
    variants.push({ ...variant, serving, reply, raw });
  }
  return { variants, notes: NOTES };
}

export function tables({ variants }) {
  return [
    {
      title: 'Binary Star: the active one of a pair is lost under load, in ms',
      head: ['variant', 'trials', 'serving p50', 'p99', 'max', 'reply p50', 'p99', 'max', 'goal'],
      rows: variants.map(({ name, serving, reply, goal }) => [
        name,
        whole(reply.count),
        ...figuresOf(serving),
        ...figuresOf(reply),
        goalText(goal, reply),
      ]),
    },
  ];
}

function figuresOf({ p50, p99, max }) {
  return [p50, p99, max].map(milliseconds);
}

function goalText(goal, reply) {
  if (goal === undefined) return '';
  const [[name, limit]] = Object.entries(goal);
  return `${name} ≤ ${limit}${reply[name] <= limit ? '' : ' MISSED'}`;
}

/** A pair under load. Emits `serving` with a half and an instant, and `answered` with a report. */
class Arena extends EventEmitter {
  #fleet;
  #variant;
  #folder = temporaryFolder();
  #places = {};
  #halves = new Map();

  constructor(fleet, variant) {
    super();
    this.#fleet = fleet;
    this.#variant = variant;
  }

  async open() {
    for (const name of ['primary', 'backup', 'primary.pair', 'backup.pair', 'witness']) {
      this.#places[name] = await freeEndpoint();
    }
    const { witness, primary, backup } = this.#places;
    if (this.#variant.hasWitness) {
      await this.#fleet.start('witness', { endpoint: witness, store: this.#file('witness') });
    }
    await Promise.all([this.#startHalf('primary'), this.#startHalf('backup')]);
    const endpoint = [primary, backup];
    for (let count = 0; count < WORKERS; count++) {
      await this.#fleet.start('worker', { endpoint, worker: { concurrency: IN_FLIGHT } });
    }
    const load = { inFlight: IN_FLIGHT, pause: PAUSE };
    const client = await this.#fleet.start('pair-client', { endpoints: endpoint, ...load });
    client.on('report', (report) => this.emit('answered', report));
  }

  /** Milliseconds from the loss of the one that serves until the other does, and has answered. */
  async loseActive() {
    const active = await this.#whole();
    await sleep(KNOWN + Math.random() * WAIT);
    const signal = AbortSignal.timeout(PATIENCE);
    const serves = once(this, 'serving', { signal });
    const answers = once(this, 'answered', { signal });
    const lostAt = now();
    active.child.kill(this.#variant.signal);
    const [[half, servingAt], [reply]] = await Promise.all([serves, answers]);
    if (half === active || reply.at < servingAt) throw new Error('the one that was lost serves');
    active.child.kill('SIGKILL');
    await active.child.ended;
    await this.#startHalf(active.role);
    return { serving: (servingAt - lostAt) / 1e6, reply: (reply.at - lostAt) / 1e6 };
  }

  /** The one that serves, when the other could take its place. */
  async #whole() {
    const signal = AbortSignal.timeout(PATIENCE);
    for (;;) {
      const active = [...this.#halves.values()].find(({ epoch }) => epoch > 0);
      if (active?.isFollowed) return active;
      await once(this, 'changed', { signal });
    }
  }

  async #startHalf(role) {
    const other = role === 'primary' ? 'backup' : 'primary';
    const star = { role, peer: this.#places[`${other}.pair`], store: this.#file(role) };
    if (this.#variant.hasWitness) star.witness = this.#places.witness;
    const settings = { star, pair: this.#places[`${role}.pair`], endpoint: this.#places[role] };
    const child = await this.#fleet.start('pair-broker', settings);
    const half = { role, child, ...child.told };
    child.on('report', (report) => this.#hear(half, report));
    this.#halves.set(role, half);
    this.emit('changed');
  }

  #hear(half, { epoch, isFollowed, at }) {
    const begins = epoch > half.epoch;
    Object.assign(half, { epoch, isFollowed });
    if (begins) this.emit('serving', half, at);
    this.emit('changed');
  }

  #file(name) {
    return join(this.#folder, `${name}.epochs`);
  }
}
