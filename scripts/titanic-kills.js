// @ts-check
// Kills a Titanic with SIGKILL at random moments while clients submit, fetch and close, restarts it each
// time, and lets a checker judge what clients and workers wrote down.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import { seededRandom } from '../dist/core/random.js';
import { checkTitanicHistory } from '../dist/testing/titanic-history.js';

const HELP = `Usage: node scripts/titanic-kills.js [--kills N] [--seed S] [--others] [--fault NAME] [--keep]

Kills a Titanic with SIGKILL again and again, at random moments of a steady load and of its own start, and
restarts it on the same store. A checker then judges the history that clients and workers wrote: nothing
acknowledged may be lost or change, nothing may be executed after its close was acknowledged, or more often
than kills explain. Exit code 1 if anything is wrong. Every 100 kills begin with a fresh store.
  --kills N     how often (default 1000)
  --seed S      decides when (default: a fresh one)
  --others      every fifth kill takes a worker along, every tenth the broker
  --fault NAME  plant a bug, which has to be found: hasty (acknowledges before anything is written) or
                forgetful (no close reaches the disk)
  --keep        leave stores and histories where they are, and say where`;

const FAULTS = ['hasty', 'forgetful'];
const ROLES = new URL('../test/processes/roles/', import.meta.url);
const KILLS_A_ROUND = 100;
const CLIENTS = 3;
const WORKERS = 2;
/** Milliseconds: up to these a Titanic lives, after it is ready or from its start. */
const LIFE = 500;
const INFANCY = 350;
/** Milliseconds in which every process must do what it is told, or all is over. */
const PATIENCE = 60_000;

const HEARTBEATS = { heartbeatInterval: 100, heartbeatLiveness: 3 };
/** Requests wait for their attempts no longer than they must. */
const TITANIC = {
  ...HEARTBEATS,
  absence: 20,
  backoff: 20,
  storage: { ballastBytes: 0 },
};
const CLIENT = {
  ...HEARTBEATS,
  timeout: PATIENCE,
  attemptTimeout: 1000,
  backoff: 20,
  backoffLimit: 200,
};

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    others: { type: 'boolean', default: false },
    fault: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** One program of `roles/`, killed when this one ends. */
class Role {
  #process;
  #lines;
  /** How it ended; empty as long as it has not. */
  ending = '';
  /** The same. @type {Promise<string>} */
  ended;

  /**
   * @param {string} role
   * @param {object} settings
   */
  constructor(role, settings) {
    const file = new URL(`${role}.js`, ROLES).pathname;
    this.#process = spawn(process.execPath, [file, JSON.stringify(settings)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        resolve((this.ending = signal ?? `exit code ${code}`));
      });
    });
  }

  /**
   * The first message of a type, or undefined if it ends before.
   * @param {string} type
   * @returns {Promise<{ endpoint?: string } | undefined>}
   */
  told(type) {
    return new Promise((resolve) => {
      this.#lines.on('line', (line) => {
        if (line.includes(`"type":"${type}"`)) resolve(JSON.parse(line));
      });
      void this.ended.then(() => resolve(undefined));
    });
  }

  stop() {
    this.#process.stdin.write('stop\n');
  }

  async kill() {
    this.#process.kill('SIGKILL');
    await this.ended;
  }
}

/** A broker, workers, clients and a Titanic, until so many kills are over. */
class Round {
  #folder;
  /** What is asked of it in the end. @type {import('../dist/testing/titanic-history.js').TitanicHistoryEntry[]} */
  #kills = [];
  /** @type {Set<Role>} */
  #roles = new Set();
  #endpoint = 'tcp://127.0.0.1:*';
  #started = 0;

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder;
    mkdirSync(folder);
  }

  /**
   * @param {number} kills
   * @param {() => number} random
   * @param {() => void} onKill
   * @returns what the checker says
   */
  async run(kills, random, onKill) {
    try {
      let broker = await this.#startBroker();
      const workers = Array.from({ length: WORKERS }, () => this.#startWorker());
      const clients = Array.from({ length: CLIENTS }, () => this.#start('titanic-client', CLIENT));
      let titanic = this.#startTitanic();
      for (let kill = 1; kill <= kills; kill++) {
        // Some die before they have read all that there is.
        if (random() < 0.7) await within(titanic.told('ready'), 'the Titanic is ready');
        await setTimeout(random() * (random() < 0.7 ? LIFE : INFANCY));
        await this.#kill(titanic, 'titanic');
        if (values.others && kill % 5 === 0) {
          await this.#kill(workers.shift(), 'worker');
          workers.push(this.#startWorker());
        }
        if (values.others && kill % 10 === 0) {
          await this.#kill(broker, 'broker');
          broker = await this.#startBroker();
        }
        titanic = this.#startTitanic();
        onKill();
      }
      for (const client of clients) client.stop();
      await this.#allEnd(clients);
      await this.#allEnd([
        this.#start('titanic-auditor', CLIENT, { histories: this.#histories() }),
      ]);
    } finally {
      await Promise.all([...this.#roles].map((role) => role.kill()));
    }
    return checkTitanicHistory([...this.#histories().flatMap(readHistory), ...this.#kills]);
  }

  async #startBroker() {
    const broker = this.#start('broker', HEARTBEATS);
    const bound = await within(broker.told('bound'), 'the broker is bound');
    this.#endpoint = bound?.endpoint ?? this.#endpoint;
    return broker;
  }

  #startWorker() {
    return this.#start('titanic-worker', HEARTBEATS);
  }

  #startTitanic() {
    const directory = join(this.#folder, 'store');
    return this.#start('titanic', TITANIC, { directory, fault: values.fault });
  }

  /**
   * @param {string} role
   * @param {object} options
   * @param {object} [more]
   */
  #start(role, options, more) {
    const name = `${role}-${++this.#started}`;
    const history = join(this.#folder, `${name}.jsonl`);
    const endpoint = this.#endpoint;
    const started = new Role(role, { name, history, endpoint, options, ...more });
    this.#roles.add(started);
    void started.ended.then(() => this.#roles.delete(started));
    return started;
  }

  /**
   * @param {Role | undefined} role
   * @param {string} name
   */
  async #kill(role, name) {
    if (role?.ending !== '') throw new Error(`a ${name} ended by itself: ${role?.ending}`);
    this.#kills.push({ type: 'killed', at: Number(process.hrtime.bigint() / 1000n) / 1000, name });
    await role.kill();
  }

  /** @param {readonly Role[]} roles */
  async #allEnd(roles) {
    const endings = await within(
      Promise.all(roles.map(({ ended }) => ended)),
      'clients have ended',
    );
    const bad = endings.filter((ending) => ending !== 'exit code 0');
    if (bad.length > 0) throw new Error(`clients ended with ${bad.join(', ')}`);
  }

  #histories() {
    const files = readdirSync(this.#folder).filter((file) => file.endsWith('.jsonl'));
    return files.map((file) => join(this.#folder, file));
  }
}

/**
 * @template Result
 * @param {Promise<Result>} promise
 * @param {string} what
 * @returns {Promise<Result>}
 */
async function within(promise, what) {
  const over = new AbortController();
  const limit = setTimeout(2 * PATIENCE, undefined, { signal: over.signal }).then(() => {
    throw new Error(`it took too long until ${what}`);
  });
  limit.catch(() => undefined); // when it is aborted, nobody waits for it any more
  try {
    return await Promise.race([promise, limit]);
  } finally {
    over.abort();
  }
}

/**
 * @param {string} path
 * @returns {import('../dist/testing/titanic-history.js').TitanicHistoryEntry[]}
 */
function readHistory(path) {
  const lines = readFileSync(path, 'utf8').split('\n');
  // The last line of a process that was killed may be half a line; that of the others is empty.
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

/** @returns {Promise<number>} the exit code */
async function main() {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [kills, seed] = [Number(values.kills), Number(values.seed)];
  const isFault = values.fault === undefined || FAULTS.includes(values.fault);
  if (!(Number.isSafeInteger(kills) && kills > 0 && Number.isSafeInteger(seed) && isFault)) {
    console.error(HELP);
    return 2;
  }
  const random = seededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'unsinkable-kills-'));
  process.once('exit', () => values.keep || rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const bar = new SingleBar({
    format: `seed ${seed} [{bar}] {value}/{total} kills, {eta_formatted} left`,
    hideCursor: null,
    clearOnComplete: true,
  });
  /** @type {Record<string, number>} */
  const sums = {};
  const complaints = [];
  bar.start(kills, 0);
  try {
    for (let done = 0; done < kills; done += KILLS_A_ROUND) {
      const round = new Round(join(folder, `round-${done}`));
      const times = Math.min(KILLS_A_ROUND, kills - done);
      const { violations, failed, ...figures } = await round.run(times, random, () =>
        bar.increment(),
      );
      for (const [name, figure] of Object.entries({ ...figures, ...failed })) {
        sums[name] = (sums[name] ?? 0) + figure;
      }
      complaints.push(...violations.map(({ message }) => message));
    }
  } finally {
    bar.stop();
    if (values.keep) console.log(`kept: ${folder}`);
  }
  const table = new Table({ colAligns: ['left', 'right'] });
  for (const [name, sum] of Object.entries(sums)) table.push([name, sum]);
  console.log(table.toString());
  for (const complaint of complaints.slice(0, 20)) console.log(complaint);
  const verdict = `${sums['submitted'] ?? 0} acknowledged requests over ${kills} kills, seed ${seed}`;
  console.log(
    complaints.length === 0
      ? `OK: ${verdict}; nothing lost.`
      : `FAILED: ${complaints.length} violations; ${verdict}.`,
  );
  return complaints.length === 0 ? 0 : 1;
}

process.exitCode = await main();
