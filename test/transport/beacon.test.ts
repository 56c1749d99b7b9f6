/** The thread that speaks for blocked processes: how it begins, fails, and ends with its process. */
import { describe, expect, test } from 'vitest';
import { ThreadBeacon } from '../../src/transport/beacon.ts';
import { run } from './processes.ts';

const settings = {
  endpoint: 'tcp://127.0.0.1:9',
  interval: 50,
  message: new Uint8Array(8),
  stuckAt: 3,
};

/** What a process does once its worker speaks express, and how it ends then. */
const ENDINGS: readonly (readonly [name: string, code: string, exitCode: number])[] = [
  ['is closed', 'await worker.close(); await broker.close();', 0],
  ['is closed and does not wait', 'void worker.close(); process.exit(0);', 0],
  ['exits', 'process.exit(3);', 3],
  ['throws', "setTimeout(() => { throw new Error('uncaught'); });", 1],
  [
    'blocks and exits',
    'for (const end = Date.now() + 300; Date.now() < end;); process.exit(4);',
    4,
  ],
];

const PROGRAM = `
import { MajordomoBroker, MajordomoWorker } from 'unsinkable';
const broker = new MajordomoBroker({ heartbeatInterval: 5 });
const endpoint = await broker.bind('tcp://127.0.0.1:*');
const worker = new MajordomoWorker('echo', () => '', { heartbeatInterval: 5 });
worker.connect(endpoint);
await worker.ready();
await new Promise((resolve) => setTimeout(resolve, 200));
`;

describe('a beacon', () => {
  test('whose thread cannot run says so to each session, and the next one tries again', async () => {
    const beacon = new ThreadBeacon(new URL('nothing-here.js', import.meta.url));
    for (let count = 0; count < 2; count++) {
      const reasons = await Promise.all(
        ['one', 'two'].map(
          (session) => new Promise<string>((resolve) => beacon.open(session, settings, resolve)),
        ),
      );
      for (const reason of reasons) expect(reason).toContain('nothing-here.js');
      await beacon.close('one');
    }
  });

  test('has nothing to do for endpoints inside of the process', async () => {
    const beacon = new ThreadBeacon(new URL('nothing-here.js', import.meta.url));
    const reasons: string[] = [];
    beacon.open('one', { ...settings, endpoint: 'inproc://here' }, (reason) => {
      reasons.push(reason);
    });
    await beacon.close('one');
    expect(reasons).toEqual([]);
  });

  test.each(ENDINGS)('ends with a process that %s', async (_name, code, exitCode) => {
    expect(await run(PROGRAM + code).ended).toMatchObject({ code: exitCode, signal: null });
  });
});
