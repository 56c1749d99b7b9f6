/** Replies in parts over links that break: what ends as a whole has no hole in it. */
import { expect, test } from 'vitest';
import { RequestError, type WorkerRequest } from '../../src/index.ts';
import type { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { Links, until, type LinkedClient, type LinkedWorker } from './links.ts';
import { sum } from './link-faults.ts';

/** One stream, and what became of it. */
interface Trial {
  readonly service: string;
  readonly client: LinkedClient;
  readonly worker: LinkedWorker;
  readonly parts: number;
  readonly isStreamed: boolean;
  written: number;
  readonly received: number[];
  outcome: string | undefined;
}

const PAIRS = 3;
const ROUNDS = Number(process.env['ROUNDS'] ?? 100);
const NOTICES = process.env['NOTICES'] !== 'off';

test('a reset in mid-stream leaves no hole in what is presented as whole', async () => {
  const links = await Links.open({ seed: Number(process.env['SEED'] ?? 7), transport: { notices: NOTICES } });
  const { random } = links;
  const trials: Trial[] = [];
  const current = new Map<string, Trial>();
  const write = async (request: WorkerRequest): Promise<string> => {
    const trial = current.get(request.text())!;
    const gap = Math.floor(random() * 3);
    for (let number = 0; number < trial.parts; number++) {
      request.write([String(number), new Uint8Array(Math.floor(random() * 3000))]);
      trial.written = number + 1;
      await (gap === 0
        ? new Promise((resolve) => setImmediate(resolve))
        : new Promise((resolve) => setTimeout(resolve, gap - 1)));
    }
    return String(trial.parts);
  };
  const tally = { mid: 0, lossy: 0, complete: 0, holes: [] as string[], gaps: 0, outcomes: {} as Record<string, number> };
  const pair = async (number: number): Promise<void> => {
    const service = `parts-${number}`;
    const worker = await links.startWorker(write, service);
    const client = await links.startClient({ attemptTimeout: 400, timeout: 5000 });
    for (const { proxy } of [worker, client]) proxy.shape({ latency: 1, jitter: 1 });
    for (let round = 0; round < ROUNDS; round++) {
      const trial: Trial = {
        service, client, worker,
        parts: 3 + Math.floor(random() * 20),
        isStreamed: random() < 0.7,
        written: 0, received: [], outcome: undefined,
      };
      trials.push(trial);
      current.set(service, trial);
      const done = run(trial);
      const kind = await strike(trial, random, tally);
      await done;
      tally.outcomes[trial.outcome!] = (tally.outcomes[trial.outcome!] ?? 0) + 1;
      const inOrder = trial.received.every((it, index) => it === index);
      if (trial.outcome === 'complete') {
        tally.complete++;
        if (!inOrder || trial.received.length !== trial.parts + 1)
          tally.holes.push(`${kind} ${trial.isStreamed ? 'stream' : 'request'} parts ${trial.parts} got ${trial.received.join(',')}`);
      } else if (!inOrder) tally.gaps++;
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: PAIRS }, (_, number) => pair(number)));
  console.log(JSON.stringify({ ms: performance.now() - began, ...tally, lost: sum(links.proxies, 'bytesLost') }, null, 1));
  links.heal();
  await links.judge().catch((e) => console.log(String(e)));
  expect(tally.holes).toEqual([]);
  expect(tally.gaps).toBe(0);
}, 200_000);

async function run(trial: Trial): Promise<void> {
  const { client, service, isStreamed, received } = trial;
  try {
    if (isStreamed) {
      for await (const part of client.shell.stream(service, service)) received.push(Number(Buffer.from(part.body[0]!).toString()));
    } else {
      const { body } = await client.shell.request(service, service);
      received.push(...body.filter((_, index) => index % 2 === 0).map((it) => Number(Buffer.from(it).toString())));
    }
    trial.outcome = 'complete';
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    trial.outcome = error.code;
  }
}

async function strike(trial: Trial, random: () => number, tally: { mid: number; lossy: number }): Promise<string> {
  const onWorker = random() < 0.6;
  const proxy: ChaosProxy = onWorker ? trial.worker.proxy : trial.client.proxy;
  const side = random() < 0.3 ? 'client' : 'both';
  const hold = random() < 0.3;
  const after = Math.floor(random() * (trial.parts + 2));
  await until(() => trial.outcome !== undefined || trial.written >= Math.min(after, trial.parts), 20000);
  if (hold) {
    proxy.pause(onWorker ? 'up' : 'down');
    await until(() => trial.outcome !== undefined || proxy.heldBytes > 0 || trial.written === trial.parts, 20000);
  }
  const wait = Math.floor(random() * 4);
  for (let i = 0; i < wait; i++) await new Promise((resolve) => setImmediate(resolve));
  const lost = proxy.counters.bytesLost;
  const isMid = trial.outcome === undefined && trial.written > 0;
  const count = proxy.reset({ side });
  if (isMid && count > 0) { tally.mid++; if (proxy.counters.bytesLost > lost) tally.lossy++; }
  proxy.resume();
  return `${onWorker ? 'worker' : 'client'} ${side} ${hold ? 'held' : ''} after ${after}`;
}
