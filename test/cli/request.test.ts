/** `unsinkable request`: what goes in, what comes out, and every way to end. */
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MajordomoWorker, type WorkerHandler } from '../../src/majordomo/worker/worker.ts';
import { signal } from '../../src/transport/closing.ts';
import { endAll, freshFolder, run, start, startBroker } from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
let endpoint: string;
let workers: MajordomoWorker[] = [];

beforeEach(async () => {
  folder = freshFolder();
  ({ endpoint } = await startBroker());
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.close()));
  workers = [];
  await endAll();
  folder.remove();
});

async function serve(handler: WorkerHandler): Promise<void> {
  const worker = new MajordomoWorker('x', handler, { drainTimeout: 0 });
  workers.push(worker);
  worker.connect(endpoint);
  await worker.ready();
}

/** The command, with the endpoint before what may be operands. */
const ask = (...args: string[]): string[] => ['request', '--connect', endpoint, 'x', ...args];

describe('the body', () => {
  it('has the BODYs first, then the files, as they are', async () => {
    const [first, second] = [folder.path('first'), folder.path('second')];
    writeFileSync(first, Buffer.from([0, 255, 10]));
    writeFileSync(second, '');
    let received: readonly Uint8Array[] = [];
    await serve((request) => void (received = request.body.map((frame) => frame.slice())));
    const files = ['--file', first, '--file', '-', '--file', second];
    const { code } = await run(ask(...files, 'héllo', '--', '--raw', '-5'), Buffer.from([128]));
    expect(code).toBe(0);
    const texts = ['héllo', '--raw', '-5'].map((text) => Buffer.from(text));
    const bytes = [Buffer.from([0, 255, 10]), Buffer.from([128]), Buffer.alloc(0)];
    expect(received.map((frame) => Buffer.from(frame))).toEqual([...texts, ...bytes]);
  });

  it('is one empty frame without any', async () => {
    await serve(({ body }) => JSON.stringify(body.map((frame) => frame.byteLength)));
    expect(await run(ask())).toMatchObject({ code: 0, stdout: '[0]\n' });
  });

  it('cannot be had from a file that is not there', async () => {
    const { code, stderr } = await run(ask('--file', folder.path('nothing')));
    expect(stderr).toMatch(/^error ERR_FILE_UNREADABLE: cannot read '.*nothing': .+\n$/);
    expect(code).toBe(1);
  });
});

describe('the reply', () => {
  it.each([
    ['text', ['HELLO'], 'HELLO\n'],
    ['lines', ['one\ntwo\n'], 'one\ntwo\n'],
    ['frames', ['one', 'two\n', ''], 'one\ntwo\n\n'],
  ])('ends each frame with a newline: %s', async (_name, frames, stdout) => {
    await serve(() => frames);
    expect(await run(ask())).toMatchObject({ code: 0, stdout, stderr: '' });
  });

  it('is exact with --raw', async () => {
    await serve(() => [Buffer.from([0, 200]), Buffer.from([13])]);
    expect((await run(ask('--raw'))).bytes).toEqual(Buffer.from([0, 200, 13]));
  });

  it('is whole when it is large', async () => {
    const large = Buffer.alloc(3_000_000, 'x');
    await serve(() => large);
    expect((await run(ask('--raw'))).bytes.equals(large)).toBe(true);
  });

  it.each(['auto', 'express', 'mdp0.2'])(
    'comes in parts with --stream, over %s',
    async (dialect) => {
      const seen = signal();
      await serve(async (request) => {
        void request.write('first');
        await seen.promise;
        return 'second';
      });
      const request = start(ask('--stream', '--protocol', dialect));
      await request.stdout('first\n');
      seen.fire();
      expect(await request.ended).toMatchObject({ code: 0, stdout: 'first\nsecond\n' });
    },
  );

  it('is made once for an idempotency key', async () => {
    let runs = 0;
    await serve(() => String(++runs));
    for (let times = 0; times < 2; times++) {
      expect(await run(ask('--idempotency-key', 'order 7'))).toMatchObject({ stdout: '1\n' });
    }
    expect(await run(ask('--protocol', 'express'))).toMatchObject({ stdout: '2\n' });
  });

  it('may depend on headers', async () => {
    await serve(({ headers }) => JSON.stringify(headers));
    const headers = ['--header', 'trace=00-1=', '--header', 'empty=', '--priority', '9'];
    const { code, stdout } = await run(ask(...headers));
    expect(JSON.parse(stdout)).toEqual({ trace: '00-1=', empty: '' });
    expect(code).toBe(0);
  });

  it('ends quietly when nobody reads it any more', async () => {
    const gone = signal();
    await serve(async (request) => {
      void request.write('first');
      await gone.promise;
      void request.write('second');
      return 'third';
    });
    const request = start(ask('--stream'));
    await request.stdout('first\n');
    request.process.stdout?.destroy();
    gone.fire();
    expect(await request.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('without a reply', () => {
  it('times out: exit code 3', async () => {
    const { code, stdout, stderr } = await run(ask('--timeout', '100', '--retries', '0'));
    expect(stderr).toMatch(/^error ERR_REQUEST_TIMEOUT: .*after 1 try within 100 ms.*\n$/);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });

  it('fails at once if it should and nobody is there: exit code 4', async () => {
    const { code, stderr } = await run(ask('--fail-fast'));
    expect(stderr).toMatch(/^error ERR_NO_SERVICE: .+\n$/);
    expect(code).toBe(4);
  });

  it('cannot have from plain MDP what that cannot do: exit code 4', async () => {
    const { code, stderr } = await run(ask('--fail-fast', '--protocol', 'mdp0.2'));
    expect(stderr).toMatch(/^error ERR_NOT_SUPPORTED: .*express.*\n$/);
    expect(code).toBe(4);
  });

  it('is an error of the handler, in one line whatever it says: exit code 4', async () => {
    await serve(() => {
      throw new Error('bad\n\u001b[31mbody');
    });
    expect(await run(ask())).toMatchObject({
      code: 4,
      stdout: '',
      stderr: 'error ERR_HANDLER_FAILED: bad\\n\\x1b[31mbody\n',
    });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s cancels it', async (name, code) => {
    const received = signal();
    await serve(() => {
      received.fire();
      return new Promise<void>(() => {});
    });
    const request = start(ask('--timeout', 'Infinity'));
    await received.promise;
    const before = performance.now();
    request.process.kill(name);
    const ending = await request.ended;
    expect(ending.stderr).toMatch(new RegExp(`^error ERR_CANCELLED: interrupted by ${name}.*\n$`));
    expect(ending.code).toBe(code);
    expect(performance.now() - before).toBeLessThan(2000);
  });

  it('Ctrl-C while it reads stdin ends it too', async () => {
    const request = start(ask('--file', '-', '--verbose'));
    await request.stderr('reading');
    request.process.kill('SIGINT');
    expect(await request.ended).toMatchObject({ code: 130 });
  });
});
