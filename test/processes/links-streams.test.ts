/**
 * Replies in parts over links that break at any instant: what ends as whole has no hole in it.
 *
 * Express numbers the parts. Nothing in stock MDP does, so it is the notices of broken links that end such
 * a reply there: without them (`notices: false`) a reset does leave holes.
 */
import { describe, expect, test } from 'vitest';
import type { Random } from '../../src/core/retry.ts';
import { RequestError, type WorkerRequest } from '../../src/index.ts';
import { Links, turn, until, type LinkedClient, type LinkedWorker } from './links.ts';

const PAIRS = 5;
const ROUNDS = 24;

/** A client and the worker that it alone asks, so that each reset has one reply to hit. */
interface Pair {
  readonly service: string;
  readonly worker: LinkedWorker;
  readonly client: LinkedClient;
}

/** One reply in parts, and what became of it. */
class Trial {
  /** How many parts come before the final one; each begins with its number. */
  readonly parts: number;
  /** Read part by part, or as the one reply that the broker makes of the parts. */
  readonly isStreamed: boolean;
  readonly received: number[] = [];
  written = 0;
  /** What the client was told in the end: all is there, or a code. */
  outcome: string | undefined;

  constructor(random: Random) {
    this.parts = 3 + Math.floor(20 * random());
    this.isStreamed = random() < 0.7;
  }

  get isRunning(): boolean {
    return this.outcome === undefined;
  }

  /** True if what was received is what was written, from the first on. */
  get isPrefix(): boolean {
    return this.received.every((number, index) => number === index);
  }

  get isWhole(): boolean {
    return this.isPrefix && this.received.length === this.parts + 1;
  }

  async ask({ client, service }: Pair): Promise<void> {
    try {
      if (this.isStreamed) {
        for await (const { body } of client.shell.stream(service, '')) this.#receive(body);
      } else this.#receive((await client.shell.request(service, '')).body);
      this.outcome = 'complete';
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.outcome = error.code;
    }
  }

  /** The worker's side: in one turn after the other, or with a little time between the parts. */
  async write(request: WorkerRequest, random: Random): Promise<string[]> {
    const pause = random() < 0.5 ? turn : rest;
    for (this.written = 0; this.written < this.parts; this.written++) {
      void request.write([String(this.written), new Uint8Array(1 + 3000 * random())]);
      await pause();
    }
    return [String(this.parts), ''];
  }

  /** A number, its filler, the next number … */
  #receive(body: readonly Uint8Array[]): void {
    const numbers = body.filter((_, index) => index % 2 === 0);
    this.received.push(...numbers.map((frame) => Number(Buffer.from(frame).toString())));
  }
}

/** A reset, and whether it did what this test is about. */
interface Strike {
  readonly link: 'worker' | 'client';
  readonly side: 'both' | 'client';
  /** It broke a connection after the first part was written and before the end was received. */
  readonly isMidStream: boolean;
  /** Bytes that were on their way went with it. */
  readonly isLossy: boolean;
}

/** Resets one of the two links at a random instant of the trial, or a little before or after. */
async function strike(trial: Trial, pair: Pair, random: Random): Promise<Strike> {
  const link = random() < 0.6 ? 'worker' : 'client';
  const side = random() < 0.3 ? 'client' : 'both';
  const { proxy } = pair[link];
  const after = Math.floor((trial.parts + 1) * random());
  await until(() => !trial.isRunning || trial.written >= after);
  if (random() < 0.3) {
    proxy.pause(link === 'worker' ? 'up' : 'down');
    await until(() => !trial.isRunning || proxy.heldBytes > 0 || trial.written === trial.parts);
  }
  for (let turns = Math.floor(6 * random()); turns > 0; turns--) await turn();
  const lost = proxy.counters.bytesLost;
  const isMidStream = trial.isRunning && trial.written > 0 && proxy.reset({ side }) > 0;
  proxy.resume();
  return { link, side, isMidStream, isLossy: isMidStream && proxy.counters.bytesLost > lost };
}

describe.each([
  { dialect: 'express', notices: true },
  { dialect: 'express', notices: false },
  { dialect: 'mdp0.2', notices: true },
] as const)('replies in parts over $dialect, notices: $notices', ({ dialect, notices }) => {
  test('a reset at any instant leaves no hole in what ends as whole', async () => {
    const links = await Links.open({
      dialect,
      transport: { notices },
      seed: 7,
      broker: { attemptTimeout: 300 },
      client: { attemptTimeout: 300 },
    });
    const { random } = links;
    const strikes: Strike[] = [];
    const trials: Trial[] = [];
    const work = async (number: number): Promise<void> => {
      const service = `parts-${number}`;
      let trial = new Trial(random);
      const worker = await links.startWorker((request) => trial.write(request, random), service);
      const pair = { service, worker, client: await links.startClient() };
      for (const { proxy } of [worker, pair.client]) proxy.shape({ latency: 1, jitter: 1 });
      for (let round = 0; round < ROUNDS; round++) {
        trial = new Trial(random);
        trials.push(trial);
        const [hit] = await Promise.all([strike(trial, pair, random), trial.ask(pair)]);
        strikes.push(hit);
        const { parts, received, outcome } = trial;
        const details = { ...hit, parts, received: received.join(), outcome };
        // What is left of a reply that ended in an error has no hole either.
        if (!trial.isPrefix || (trial.outcome === 'complete' && !trial.isWhole))
          holes.push(details);
      }
    };
    const holes: object[] = [];
    await Promise.all(Array.from({ length: PAIRS }, (_, number) => work(number)));

    expect(holes).toEqual([]);
    const lossy = strikes.filter(({ isLossy }) => isLossy);
    // A test whose resets miss proves nothing.
    expect(strikes.filter(({ isMidStream }) => isMidStream).length).toBeGreaterThan(60);
    expect(lossy.filter(({ link }) => link === 'worker').length).toBeGreaterThan(16);
    expect(lossy.filter(({ link }) => link === 'client').length).toBeGreaterThan(8);
    expect(lossy.filter(({ side }) => side === 'client').length).toBeGreaterThan(8);
    const outcomes = new Set(trials.map(({ outcome }) => outcome));
    expect(outcomes).toContain('complete');
    expect(outcomes).toContain('ERR_WORKER_LOST');
    await links.rest();
  });
});

async function rest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1));
}
