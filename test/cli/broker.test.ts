/** `unsinkable broker`: ready, logs, signals, and its limits as its clients see them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endAll, freshFolder, held, run, start, startBroker, startWorker } from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

/** What stock peers are told: over express a client waits for the next broker, and heartbeats tell of losses. */
const STOCK = ['--protocol', 'mdp0.1'];

const ask = (endpoint: string, ...args: string[]): string[] => [
  'request',
  'held',
  '--connect',
  endpoint,
  ...args,
];

/** Resolves when a request waits for a worker. */
async function queued(endpoint: string): Promise<void> {
  let json = '';
  while (!json.includes('"queued":1')) {
    json = (await run(['services', '--json', '--connect', endpoint])).stdout;
  }
}

describe('serving', () => {
  it('tells its real endpoints in one line', async () => {
    const ipc = `ipc://${folder.path('broker')}`;
    const broker = start(['broker', '--bind', 'tcp://127.0.0.1:*', '--bind', ipc]);
    const [line, tcp] = await broker.stdout(/^ready broker (tcp:\/\/127\.0\.0\.1:\d+) (\S+)\n$/);
    expect(line).toContain(ipc);
    await startWorker('echo', ipc, '--echo');
    expect(await run(['request', 'echo', 'hi', '--connect', tcp!])).toMatchObject({
      code: 0,
      stdout: 'hi\n',
    });
  });

  it('fails with one line when the address is in use', async () => {
    const { endpoint } = await startBroker();
    const { code, stdout, stderr } = await run([
      'broker',
      '--bind',
      'tcp://127.0.0.1:*',
      '--bind',
      endpoint,
    ]);
    expect(stderr).toMatch(/^error ERR_ADDRESS_IN_USE: cannot bind .*\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });
});

describe('signals', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends it with 0', async (signal) => {
    const broker = await startBroker();
    await startWorker('echo', broker.endpoint, '--echo');
    broker.process.kill(signal);
    expect(await broker.ended).toMatchObject({ code: 0 });
  });

  it('drains: what runs is answered', async () => {
    const { command, started, letGo } = held(folder.path);
    const broker = await startBroker();
    await startWorker('held', broker.endpoint, '--exec', command);
    const request = start(ask(broker.endpoint));
    await started;
    broker.process.kill('SIGTERM');
    await broker.stderr('draining signal=SIGTERM');
    letGo();
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'done\n' });
    expect(await broker.ended).toMatchObject({ code: 0 });
  });

  it('drains no longer than --drain-timeout', async () => {
    const { command, started } = held(folder.path);
    const broker = await startBroker('--drain-timeout', '100');
    await startWorker('held', broker.endpoint, '--exec', command);
    const request = start(ask(broker.endpoint, '--retries', '0', ...STOCK));
    await started;
    broker.process.kill('SIGTERM');
    expect(await broker.ended).toMatchObject({ code: 0 });
    const { code, stderr } = await request.ended;
    expect(stderr).toMatch(/^error ERR_BROKER_CLOSING: .+\n$/);
    expect(code).toBe(4);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('a second %s ends it at once', async (signal, code) => {
    const { command, started } = held(folder.path);
    const broker = await startBroker('--drain-timeout', '600000');
    await startWorker('held', broker.endpoint, '--exec', command);
    start(ask(broker.endpoint));
    await started;
    broker.process.kill(signal);
    await broker.stderr('draining');
    broker.process.kill(signal);
    expect(await broker.ended).toMatchObject({ code });
  });
});

describe('logs', () => {
  it('are lines for people by default', async () => {
    const broker = await startBroker();
    await startWorker('café', broker.endpoint, '--echo');
    const line = /^\S+Z INFO {2}workerReady worker=[\w-]+ service=café dialect=express$/m;
    expect(await broker.stderr(line)).toHaveLength(1);
  });

  it('are JSON objects with --log json', async () => {
    const broker = await startBroker('--log', 'json');
    const worker = await startWorker('echo', broker.endpoint, '--echo', '--log', 'json');
    worker.process.kill('SIGTERM');
    const logged = [await worker.ended];
    await broker.stderr('workerLost');
    broker.process.kill('SIGTERM');
    logged.push(await broker.ended);
    const lines = logged.flatMap(({ stderr }) => stderr.trimEnd().split('\n'));
    const objects = lines.map((line): Record<string, unknown> => JSON.parse(line));
    expect(objects).toContainEqual(
      expect.objectContaining({ level: 'info', msg: 'workerReady', service: 'echo' }),
    );
    for (const object of objects) expect(object['time']).toBeTypeOf('number');
  });

  it('are nothing with --log none', async () => {
    const broker = await startBroker('--log', 'none');
    await startWorker('echo', broker.endpoint, '--echo');
    broker.process.kill('SIGTERM');
    expect(await broker.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('limits', () => {
  it('--queue-limit: one more is refused, exit code 4', async () => {
    const { endpoint } = await startBroker('--queue-limit', '1');
    start(ask(endpoint));
    await queued(endpoint);
    const { code, stderr } = await run(ask(endpoint));
    expect(stderr).toMatch(/^error ERR_QUEUE_FULL: .+\n$/);
    expect(code).toBe(4);
  });

  it('--request-ttl: the request times out, exit code 3', async () => {
    const { endpoint } = await startBroker('--request-ttl', '50');
    const { code, stderr } = await run(ask(endpoint));
    expect(stderr).toMatch(/^error ERR_REQUEST_EXPIRED: .+\n$/);
    expect(code).toBe(3);
  });

  it('--max-attempts: given up when it has cost so many workers, exit code 4', async () => {
    const { command, started } = held(folder.path);
    const { endpoint, ...broker } = await startBroker('--max-attempts', '1');
    const worker = await startWorker('held', endpoint, '--exec', command);
    const request = start(ask(endpoint));
    await started;
    worker.process.kill('SIGKILL');
    const { code, stderr } = await request.ended;
    expect(stderr).toMatch(/^error ERR_ATTEMPTS_EXHAUSTED: .+\n$/);
    expect(code).toBe(4);
    await broker.stderr(/ WARN {2}deadLetter service=held client=\S+ attempts=1 body=\[""\]$/m);
  });

  it('--attempt-timeout: a stock worker that holds it longer is lost', async () => {
    const { command, letGo } = held(folder.path);
    const broker = await startBroker('--attempt-timeout', '50', '--max-attempts', '1');
    await startWorker('held', broker.endpoint, '--exec', command, ...STOCK);
    expect(await run(ask(broker.endpoint))).toMatchObject({ code: 4 });
    await broker.stderr('reason=attemptTimeout');
    letGo();
  });

  it('--heartbeat-interval and --heartbeat-liveness: a worker that is silent is lost', async () => {
    const broker = await startBroker('--heartbeat-interval', '20', '--heartbeat-liveness', '4');
    const worker = await startWorker('echo', broker.endpoint, '--echo');
    worker.process.kill('SIGSTOP');
    expect(await broker.stderr('reason=expired')).toHaveLength(1);
    worker.process.kill('SIGCONT');
  });
});
