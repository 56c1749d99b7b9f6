/** `unsinkable pirate-queue`, `pirate-worker` and `pirate-request`: whole conversations, and every way to end. */
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endAll, freshFolder, held, run, start, type Running } from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

const KINDS: [name: string, args: string[]][] = [
  ['paranoid', []],
  ['simple', ['--simple']],
];

type Queue = Running & { readonly frontend: string; readonly backend: string };

async function startQueue(...args: string[]): Promise<Queue> {
  const ends = ['--frontend', 'tcp://127.0.0.1:*', '--backend', 'tcp://127.0.0.1:*'];
  const queue = start(['pirate-queue', ...ends, ...args]);
  const [, frontend, backend] = await queue.stdout(/^ready pirate-queue (\S+) (\S+)\n/);
  return { ...queue, frontend: frontend!, backend: backend! };
}

async function startWorker(backend: string, ...args: string[]): Promise<Running> {
  const worker = start(['pirate-worker', '--connect', backend, ...args]);
  await worker.stdout(`ready pirate-worker ${backend}\n`);
  return worker;
}

const ask = (frontend: string, ...args: string[]): string[] => [
  'pirate-request',
  '--connect',
  frontend,
  ...args,
];

describe.each(KINDS)('a %s conversation', (_name, kind) => {
  it('has a queue, a worker and a client', async () => {
    const { frontend, backend } = await startQueue(...kind);
    await startWorker(backend, '--exec', 'tr a-z A-Z', ...kind);
    for (const text of ['hello', 'again']) {
      expect(await run(ask(frontend, text))).toMatchObject({
        code: 0,
        stdout: `${text.toUpperCase()}\n`,
        stderr: '',
      });
    }
  });

  it('keeps frames and bytes', async () => {
    const { frontend, backend } = await startQueue(...kind);
    await startWorker(backend, '--echo', ...kind);
    const file = folder.path('bytes');
    writeFileSync(file, Buffer.from([0, 255, 10, 1]));
    const texts = ['one', '', 'three'];
    expect((await run(ask(frontend, ...texts))).stdout).toBe('one\n\nthree\n');
    const raw = await run(ask(frontend, '--raw', '--file', '-', '--file', file), 'in');
    expect([...raw.bytes]).toEqual([...Buffer.from('in'), 0, 255, 10, 1]);
  });

  it('loses nothing when a worker is killed with a request in hand', async () => {
    const { command, started, letGo } = held(folder.path);
    const queue = await startQueue(...kind);
    const doomed = await startWorker(queue.backend, '--exec', command, ...kind);
    const request = start(ask(queue.frontend, 'hello'));
    await started;
    await startWorker(queue.backend, '--echo', ...kind);
    doomed.process.kill('SIGKILL');
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'hello\n' });
    await queue.stderr(/ workerLost worker=\S+ reason=(gone|expired) held=true$/m);
    letGo();
  });

  it('tells of a command that failed: exit code 4', async () => {
    const { frontend, backend } = await startQueue(...kind);
    await startWorker(backend, '--exec', 'echo "no such row" >&2; exit 7', ...kind);
    expect(await run(ask(frontend, 'x'))).toMatchObject({
      code: 4,
      stdout: '',
      stderr: 'error ERR_HANDLER_FAILED: the command ended with exit code 7: no such row\n',
    });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s drains the queue and the worker: what runs is answered',
    async (signal) => {
      const { command, started, letGo } = held(folder.path);
      const queue = await startQueue(...kind);
      const worker = await startWorker(queue.backend, '--exec', command, ...kind);
      const request = start(ask(queue.frontend, 'x'));
      await started;
      worker.process.kill(signal);
      await worker.stderr(`draining signal=${signal}`);
      queue.process.kill(signal);
      await queue.stderr(`draining signal=${signal}`);
      letGo();
      expect(await request.ended).toMatchObject({ code: 0, stdout: 'done\n' });
      expect(await worker.ended).toMatchObject({ code: 0 });
      expect(await queue.ended).toMatchObject({ code: 0 });
    },
  );
});

describe('pirate-queue', () => {
  it('tells its real endpoints in one line, those for clients first', async () => {
    const [front, back] = [`ipc://${folder.path('front')}`, `ipc://${folder.path('back')}`];
    const any = 'tcp://127.0.0.1:*';
    const ends = ['--backend', any, '--backend', back, '--frontend', any, '--frontend', front];
    const line = /^ready pirate-queue (tcp:\S+) (\S+front) (tcp:\S+) (\S+back)\n$/;
    const queue = start(['pirate-queue', ...ends]);
    const [, first, second, third, fourth] = await queue.stdout(line);
    expect([second, fourth]).toEqual([front, back]);
    await startWorker(third!, '--echo');
    await startWorker(back, '--echo');
    for (const frontend of [first!, front]) {
      expect((await run(ask(frontend, 'hi'))).stdout).toBe('hi\n');
    }
  });

  it('fails with one line when an address is in use', async () => {
    const { frontend } = await startQueue();
    const ends = ['--backend', 'tcp://127.0.0.1:*', '--frontend', frontend];
    const { code, stdout, stderr } = await run(['pirate-queue', ...ends]);
    expect(stderr).toMatch(/^error ERR_ADDRESS_IN_USE: cannot bind .*\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('--queue-limit: more are refused, exit code 4', async () => {
    const { frontend } = await startQueue('--queue-limit', '1');
    const requests = ['1', '2', '3'].map((text) => start(ask(frontend, text)));
    const first = await Promise.race(requests.map(({ ended }) => ended));
    expect(first.stderr).toMatch(/^error ERR_QUEUE_FULL: .+\n$/);
    expect(first.code).toBe(4);
  });

  it('--request-ttl: the request times out, exit code 3', async () => {
    const { frontend } = await startQueue('--request-ttl', '50');
    const { code, stderr } = await run(ask(frontend, 'x'));
    expect(stderr).toMatch(/^error ERR_REQUEST_EXPIRED: .+\n$/);
    expect(code).toBe(3);
  });

  it('--max-attempts: given up when it has cost so many workers, exit code 4', async () => {
    const { command, started } = held(folder.path);
    const queue = await startQueue('--max-attempts', '1');
    const worker = await startWorker(queue.backend, '--exec', command);
    const request = start(ask(queue.frontend, 'x'));
    await started;
    worker.process.kill('SIGKILL');
    const { code, stderr } = await request.ended;
    expect(stderr).toMatch(/^error ERR_ATTEMPTS_EXHAUSTED: .+\n$/);
    expect(code).toBe(4);
    await queue.stderr(/ WARN {2}deadLetter client=\S+ .*attempts=1/);
  });

  it('--attempt-timeout: a request that is held longer goes to another worker', async () => {
    const { command, started, letGo } = held(folder.path);
    const queue = await startQueue('--attempt-timeout', '200');
    const worker = await startWorker(queue.backend, '--exec', command);
    const request = start(ask(queue.frontend, 'hello'));
    await started;
    await startWorker(queue.backend, '--echo');
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'hello\n' });
    await queue.stderr('workerOverdue');
    letGo();
    await queue.stderr('workerRecovered');
    expect(worker.process.exitCode).toBe(null);
  });

  it('--heartbeat-interval and --heartbeat-liveness: a worker that is silent is lost', async () => {
    const fast = ['--heartbeat-interval', '50', '--heartbeat-liveness', '4'];
    const queue = await startQueue(...fast);
    const worker = await startWorker(queue.backend, '--echo', ...fast);
    worker.process.kill('SIGSTOP');
    await queue.stderr('reason=expired');
    worker.process.kill('SIGCONT');
    expect(await queue.stderr(/workerReady[^]*workerReady/)).toHaveLength(1);
  });

  it('a second SIGINT ends it at once', async () => {
    const { command, started } = held(folder.path);
    const queue = await startQueue('--drain-timeout', '600000');
    await startWorker(queue.backend, '--exec', command);
    start(ask(queue.frontend, 'x'));
    await started;
    queue.process.kill('SIGINT');
    await queue.stderr('draining');
    queue.process.kill('SIGINT');
    expect(await queue.ended).toMatchObject({ code: 130 });
  });
});

describe('pirate-worker', () => {
  it('is ready when a queue has answered, not before', async () => {
    const backend = `ipc://${folder.path('back')}`;
    const worker = start(['pirate-worker', '--connect', backend, '--echo', '--verbose']);
    await worker.stderr('connecting');
    const ends = ['--frontend', 'tcp://127.0.0.1:*', '--backend', backend];
    const first = await Promise.race([
      worker.stdout('ready').then(() => 'worker'),
      start(['pirate-queue', ...ends])
        .stdout('ready')
        .then(() => 'queue'),
    ]);
    expect(first).toBe('queue');
    await worker.stdout(`ready pirate-worker ${backend}\n`);
  });

  it('uses another --connect when one does not answer', async () => {
    const { backend } = await startQueue();
    const nobody = `ipc://${folder.path('nobody')}`;
    const fast = ['--heartbeat-interval', '20', '--heartbeat-liveness', '2'];
    const ends = ['--connect', nobody, '--connect', backend];
    const worker = start(['pirate-worker', '--echo', ...ends, ...fast]);
    expect(await worker.stdout(`ready pirate-worker ${backend}\n`)).toHaveLength(1);
  });

  it('ends when no queue is there', async () => {
    const nobody = `ipc://${folder.path('nobody')}`;
    const worker = start(['pirate-worker', '--connect', nobody, '--echo', '--verbose']);
    await worker.stderr('connecting');
    worker.process.kill('SIGTERM');
    expect(await worker.ended).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('pirate-request', () => {
  it('times out: exit code 3', async () => {
    const { frontend } = await startQueue();
    const { code, stdout, stderr } = await run(
      ask(frontend, 'x', '--timeout', '100', '--retries', '0'),
    );
    expect(stderr).toMatch(/^error ERR_REQUEST_TIMEOUT: .*100 ms.*\n$/);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });

  it('tries another --connect when one does not answer', async () => {
    const { frontend, backend } = await startQueue();
    await startWorker(backend, '--echo');
    const nobody = `ipc://${folder.path('nobody')}`;
    const ends = ['--connect', nobody, '--connect', frontend];
    const request = ['pirate-request', 'hi', ...ends, '--timeout', '8000', '--retries', '9'];
    expect(await run(request)).toMatchObject({ code: 0, stdout: 'hi\n' });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s cancels it', async (signal, code) => {
    const { command, started } = held(folder.path);
    const { frontend, backend } = await startQueue();
    await startWorker(backend, '--exec', command);
    const request = start(ask(frontend, 'x', '--timeout', 'Infinity'));
    await started;
    request.process.kill(signal);
    const ending = await request.ended;
    expect(ending.stderr).toMatch(
      new RegExp(`^error ERR_CANCELLED: interrupted by ${signal}.*\n$`),
    );
    expect(ending.code).toBe(code);
  });
});

describe('wrong usage', () => {
  const FRONT = ['--frontend', 'tcp://127.0.0.1:*'];
  const BACK = ['--backend', 'tcp://127.0.0.1:*'];
  const CONNECT = ['--connect', 'tcp://127.0.0.1:1'];
  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no --frontend', ['pirate-queue', ...BACK], /--frontend is missing/],
    ['no --backend', ['pirate-queue', ...FRONT], /--backend is missing/],
    [
      'heartbeats of a simple queue',
      ['pirate-queue', ...FRONT, ...BACK, '--simple', '--heartbeat-interval', '1000'],
      /--simple has no heartbeats/,
    ],
    [
      'heartbeats of a simple worker',
      ['pirate-worker', ...CONNECT, '--echo', '--simple', '--heartbeat-liveness', '3'],
      /--simple has no heartbeats/,
    ],
    ['an operand for a queue', ['pirate-queue', ...FRONT, ...BACK, 'x'], /too many arguments/],
    [
      'a queue without room',
      ['pirate-queue', ...FRONT, ...BACK, '--queue-limit', '0'],
      /'--queue-limit <count>'.* a whole number, 1 or more/,
    ],
    ['no handler', ['pirate-worker', ...CONNECT], /either --echo or --exec/],
    [
      'two handlers',
      ['pirate-worker', ...CONNECT, '--echo', '--exec', 'cat'],
      /either --echo or --exec/,
    ],
    ['a worker without a queue', ['pirate-worker', '--echo'], /--connect is missing/],
    ['a request of nobody', ['pirate-request', 'x'], /--connect is missing/],
    [
      'stdin twice',
      ['pirate-request', ...CONNECT, '--file', '-', '--file', '-'],
      /stdin can be read once/,
    ],
    [
      'an endpoint that is none',
      ['pirate-request', 'x', '--connect', 'localhost'],
      /^error ERR_INVALID_ENDPOINT: .*must begin with tcp:/,
    ],
  ];

  it.each(mistakes)('%s', async (_name, args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect(stderr).toMatch(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each(['pirate-queue', 'pirate-worker', 'pirate-request'])(
    'the help of %s has an example',
    async (command) => {
      const { code, stdout, stderr } = await run([command, '--help']);
      expect(stdout).toContain(`$ unsinkable ${command} `);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    },
  );
});
