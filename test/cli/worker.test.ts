/** `unsinkable worker`: echo, shell commands as services, and its end in all circumstances. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  endAll,
  exists,
  freshFolder,
  groupLives,
  held,
  run,
  start,
  startBroker,
  startWorker,
  until,
  type Ending,
} from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

/** What `request` makes of a command as a service. */
async function answerOf(command: string, input: string | Uint8Array = ''): Promise<Ending> {
  const { endpoint } = await startBroker();
  const worker = await startWorker('x', endpoint, '--exec', command);
  const ending = await run(['request', 'x', '--file', '-', '--raw', '--connect', endpoint], input);
  worker.process.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0 });
  return ending;
}

describe('serving', () => {
  it('is ready when a broker has answered, not before', async () => {
    const endpoint = `ipc://${folder.path('broker')}`;
    const worker = start(['worker', 'x', '--connect', endpoint, '--echo', '--verbose']);
    await worker.stderr('connecting');
    const first = await Promise.race([
      worker.stdout('ready').then(() => 'worker'),
      run(['services', '--connect', endpoint, '--timeout', '300']).then(() => 'nobody'),
    ]);
    expect(first).toBe('nobody');
    start(['broker', '--bind', endpoint]);
    await worker.stdout(`ready worker ${endpoint}\n`);
  });

  it('uses another --connect when one does not answer', async () => {
    const { endpoint } = await startBroker();
    const nobody = `ipc://${folder.path('nobody')}`;
    const fast = ['--heartbeat-interval', '20', '--heartbeat-liveness', '2'];
    const ends = ['--connect', nobody, '--connect', endpoint];
    const worker = start(['worker', 'x', '--echo', ...ends, ...fast]);
    expect(await worker.stdout(`ready worker ${endpoint}\n`)).toHaveLength(1);
  });

  it.each(['auto', 'express', 'mdp0.1', 'mdp0.2'])(
    '--echo over %s keeps the frames',
    async (dialect) => {
      const { endpoint } = await startBroker();
      await startWorker('x', endpoint, '--echo', '--protocol', dialect);
      const { stdout } = await run(['request', 'x', 'one', '', 'three', '--connect', endpoint]);
      expect(stdout).toBe('one\n\nthree\n');
    },
  );

  it('--concurrency handles so many at a time', async () => {
    const { endpoint } = await startBroker();
    const both = `touch ${folder.path('$$.here')}; until [ ! -d ${folder.path('')} ] || [ $(ls ${folder.path('')} | wc -l) = 2 ]; do sleep 0.02; done`;
    await startWorker('x', endpoint, '--concurrency', '2', '--exec', both);
    const ask = ['request', 'x', '--connect', endpoint];
    const codes = (await Promise.all([run(ask), run(ask)])).map(({ code }) => code);
    expect(codes).toEqual([0, 0]);
  });
});

describe('--exec', () => {
  it('is given the frames joined, and replies with stdout', async () => {
    const { endpoint } = await startBroker();
    await startWorker('upper', endpoint, '--exec', 'tr a-z A-Z');
    const { stdout } = await run(['request', 'upper', 'hel', 'lo', '--connect', endpoint]);
    expect(stdout).toBe('HELLO\n');
  });

  it('passes bytes through as they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256));
    const { code, bytes: answer } = await answerOf('cat', bytes);
    expect(code).toBe(0);
    expect(answer.equals(bytes)).toBe(true);
  });

  it('may leave its stdin unread', async () => {
    expect(await answerOf('echo enough', Buffer.alloc(5_000_000))).toMatchObject({
      code: 0,
      stdout: 'enough\n',
    });
  });

  it.each([
    ['echo first >&2; echo "last words" >&2; exit 7', 'ended with exit code 7: last words'],
    ['exit 3', 'ended with exit code 3'],
    ['kill -9 $$', 'was ended by SIGKILL'],
    ['no-such-command-anywhere', 'ended with exit code 127: .*not found'],
  ])('that fails is an error reply: %s', async (command, words) => {
    const { code, stdout, stderr } = await answerOf(command);
    expect(stderr).toMatch(new RegExp(`^error ERR_HANDLER_FAILED: the command ${words}\n$`));
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  });

  it('is killed with all it started when the broker is lost', async () => {
    const broker = await startBroker();
    const pid = folder.path('pid');
    const command = `trap "" TERM; sleep 1000 & echo $$ > ${pid}.new; mv ${pid}.new ${pid}; wait`;
    const fast = ['--heartbeat-interval', '50', '--heartbeat-liveness', '2'];
    const worker = await startWorker('x', broker.endpoint, '--exec', command, ...fast);
    start(['request', 'x', '--connect', broker.endpoint]);
    await exists(pid);
    const group = Number(readFileSync(pid, 'utf8'));
    expect(groupLives(group)).toBe(true);
    broker.process.kill('SIGKILL');
    await until(() => !groupLives(group));
    worker.process.kill('SIGTERM');
    expect(await worker.ended).toMatchObject({ code: 0 });
  });
});

describe('signals', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s lets what runs finish', async (signal) => {
    const { command, started, letGo } = held(folder.path);
    const { endpoint } = await startBroker();
    const worker = await startWorker('x', endpoint, '--exec', command);
    const request = start(['request', 'x', '--connect', endpoint]);
    await started;
    worker.process.kill(signal);
    await worker.stderr(`draining signal=${signal}`);
    letGo();
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'done\n' });
    expect(await worker.ended).toMatchObject({ code: 0 });
  });

  it('a second one, and --drain-timeout, end the command too', async () => {
    const { endpoint } = await startBroker();
    for (const [name, drain, code] of [
      ['second', '600000', 143],
      ['timeout', '50', 0],
    ] as const) {
      const pid = folder.path(name);
      const command = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; sleep 1000`;
      const worker = await startWorker(name, endpoint, '--exec', command, '--drain-timeout', drain);
      start(['request', name, '--connect', endpoint]);
      await exists(pid);
      const group = Number(readFileSync(pid, 'utf8'));
      worker.process.kill('SIGTERM');
      await worker.stderr('draining');
      if (name === 'second') worker.process.kill('SIGTERM');
      expect(await worker.ended).toMatchObject({ code });
      await until(() => !groupLives(group));
    }
  });

  it('ends when no broker is there, or when it was killed', async () => {
    const broker = await startBroker();
    const orphan = await startWorker('x', broker.endpoint, '--echo');
    const lonely = start(['worker', 'x', '--connect', broker.endpoint, '--echo', '--verbose']);
    await lonely.stderr('connecting');
    broker.process.kill('SIGKILL');
    await broker.ended;
    for (const worker of [orphan, lonely]) {
      worker.process.kill('SIGTERM');
      expect(await worker.ended).toMatchObject({ code: 0 });
    }
  });
});
