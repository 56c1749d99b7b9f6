/** `unsinkable clone-server` and `clone get|set|delete|clear|watch`. */
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endAll, freshFolder, run, start, type Ending, type Running } from './commands.ts';
import { threePorts } from '../ports.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

const DONE = { code: 0, stdout: '', stderr: '' };

type Server = Running & { endpoint: string };

/** A server that serves. */
async function startServer(...args: string[]): Promise<Server> {
  const places = args.includes('--port') ? [] : ['--no-stock', '--port', '*'];
  const server = start(['clone-server', ...places, ...args]);
  const [, endpoint] = await server.stdout(/^ready clone-server (\S+)\n/);
  return { ...server, endpoint: endpoint! };
}

function clone(endpoint: string, ...args: string[]): Promise<Ending> {
  return run(['clone', ...args, '--connect', endpoint]);
}

/** Sets a key, and returns its revision. */
async function set(endpoint: string, ...args: string[]): Promise<number> {
  const { code, stdout, stderr } = await clone(endpoint, 'set', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^\d+\n$/);
  return Number(stdout);
}

async function killed(server: Running): Promise<void> {
  server.process.kill('SIGKILL');
  await server.ended;
}

describe('a key', () => {
  it('is set, got and deleted', async () => {
    const { endpoint } = await startServer();
    const first = await set(endpoint, '/config/host', 'db.example');
    expect(await clone(endpoint, 'get', '/config/host')).toMatchObject({
      code: 0,
      stdout: 'db.example\n',
      stderr: '',
    });
    expect((await clone(endpoint, 'get', '/config/host', '--raw')).stdout).toBe('db.example');
    expect(await set(endpoint, '/config/host', 'other')).toBeGreaterThan(first);
    expect(await clone(endpoint, 'delete', '/config/host')).toMatchObject(DONE);
    expect(await clone(endpoint, 'delete', '/config/host')).toMatchObject(DONE);
    expect(await clone(endpoint, 'get', '/config/host')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: "error ERR_UNKNOWN_KEY: there is no key '/config/host'\n",
    });
  });

  it('takes its value from a file or from stdin', async () => {
    const { endpoint } = await startServer();
    const file = folder.path('value');
    writeFileSync(file, Buffer.of(0, 255, 10));
    await set(endpoint, '/bytes', '--file', file);
    expect((await clone(endpoint, 'get', '/bytes')).bytes).toEqual(Buffer.of(0, 255, 10));
    const piped = ['clone', 'set', '/piped', '--file', '-', '--connect', endpoint];
    expect(await run(piped, 'from stdin\n')).toMatchObject({ code: 0 });
    expect((await clone(endpoint, 'get', '/piped')).stdout).toBe('from stdin\n');
  });

  it('is set only if it has that revision', async () => {
    const { endpoint } = await startServer();
    const revision = await set(endpoint, '/lock', 'me', '--if-match', '0');
    const late = await clone(endpoint, 'set', '/lock', 'you', '--if-match', '0');
    expect(late).toMatchObject({
      code: 4,
      stdout: '',
      stderr: `error ERR_CONFLICT: '/lock' has changed: the key has revision ${revision}\n`,
    });
    const deleted = await clone(endpoint, 'delete', '/lock', '--if-match', `${revision}`);
    expect(deleted).toMatchObject(DONE);
  });

  it('ends after its seconds', async () => {
    const { endpoint } = await startServer();
    const watch = start(['clone', 'watch', '--connect', endpoint, '--initial']);
    await set(endpoint, '/short', 'x', '--ttl', '0.3');
    await watch.stdout(/"type":"deleted","key":"\/short"/);
    expect(await clone(endpoint, 'get', '/short')).toMatchObject({ code: 1 });
  });
});

describe('watch', () => {
  it('prints a JSON line for each change, also of what was there', async () => {
    const { endpoint } = await startServer();
    const first = await set(endpoint, '/a/x', 'ä "1"');
    await set(endpoint, '/b', 'elsewhere');
    const watch = start(['clone', 'watch', '/a/', '--initial', '--connect', endpoint]);
    await watch.stdout('\n');
    const binary = folder.path('binary');
    writeFileSync(binary, Buffer.of(255));
    await set(endpoint, '/a/y', '--file', binary);
    expect(await clone(endpoint, 'clear', '/a/')).toMatchObject(DONE);
    await watch.stdout(/(?:.*\n){4}/);
    watch.process.kill('SIGINT');
    const { code, stdout, stderr } = await watch.ended;
    expect(code).toBe(130);
    expect(stderr).toBe('');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(lines).toEqual([
      { type: 'set', key: '/a/x', revision: first, value: 'ä "1"' },
      { type: 'set', key: '/a/y', revision: first + 2, base64: '/w==' },
      { type: 'deleted', key: '/a/x', revision: expect.any(Number) as number },
      { type: 'deleted', key: '/a/y', revision: expect.any(Number) as number },
    ]);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('has no other end than %s', async (signal, code) => {
    const { endpoint } = await startServer();
    await set(endpoint, '/k', 'v');
    const watch = start(['clone', 'watch', '--initial', '--connect', endpoint]);
    await watch.stdout('"/k"');
    watch.process.kill(signal);
    expect(await watch.ended).toMatchObject({ code, stderr: '' });
  });

  it('ends quietly when nobody reads it any more', async () => {
    const { endpoint } = await startServer();
    await set(endpoint, '/k', 'v');
    const watch = start(['clone', 'watch', '--initial', '--connect', endpoint]);
    await watch.stdout('"/k"');
    watch.process.stdout?.destroy();
    await set(endpoint, '/k', 'w');
    await set(endpoint, '/k', 'x');
    expect(await watch.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a server', () => {
  it('has after a kill what it had, in its store', async () => {
    const args = ['--store', folder.path('state'), '--port', `${await threePorts()}`, '--no-stock'];
    const server = await startServer(...args);
    await set(server.endpoint, '/k', 'kept');
    await killed(server);
    const { endpoint } = await startServer(...args);
    expect((await clone(endpoint, 'get', '/k')).stdout).toBe('kept\n');
    const other = await run(['clone-server', '--store', folder.path('state'), '--port', '1']);
    expect(other).toMatchObject({ code: 1, stdout: '' });
    expect(other.stderr).toMatch(/^error ERR_STORAGE_IN_USE: .+\n$/m);
  });

  it('drains at a signal', async () => {
    const server = await startServer();
    server.process.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  it('serves stock clients on its port and the two above it', async () => {
    const { endpoint } = await startServer('--port', `${await threePorts()}`);
    await set(endpoint, '/config/own', '1');
    const stock = (...args: string[]) => clone(endpoint, ...args, '--stock-server');
    expect(await stock('get', '/config/own')).toMatchObject({ code: 0, stdout: '1\n' });
    expect(await stock('set', '/config/stock', '2')).toMatchObject({ code: 0, stderr: '' });
    expect((await clone(endpoint, 'get', '/config/stock')).stdout).toBe('2\n');
    expect(await stock('clear', '/config/')).toMatchObject({ code: 0, stderr: '' });
    expect(await clone(endpoint, 'get', '/config/own')).toMatchObject({ code: 1 });
    const conflict = await stock('set', '/config/stock', '3', '--if-match', '1');
    expect(conflict).toMatchObject({ code: 4 });
    expect(conflict.stderr).toMatch(/^error ERR_NOT_SUPPORTED: .+\n$/);
  });

  it('is one of a pair that goes on without the other', { timeout: 60_000 }, async () => {
    const witness = `ipc://${folder.path('witness')}`;
    start(['witness', '--bind', witness, '--store', folder.path('witness.epochs')]);
    const halfOf = (role: string, peer: string): string[] => [
      `--${role}`,
      `--peer=ipc://${folder.path(`${peer}.pair`)}`,
      `--pair=ipc://${folder.path(`${role}.pair`)}`,
      `--witness=${witness}`,
      `--epochs=${folder.path(`${role}.epochs`)}`,
      '--lease=400',
      '--peer-interval=100',
    ];
    const primary = await startServer(...halfOf('primary', 'backup'));
    await primary.stderr('becameActive');
    const backup = await startServer(...halfOf('backup', 'primary'));
    await primary.stderr('backupSynchronised');
    const both = ['--connect', primary.endpoint, '--connect', backup.endpoint];
    expect(await run(['clone', 'set', '/k', 'v', ...both])).toMatchObject({ code: 0, stderr: '' });
    const watch = start(['clone', 'watch', '--initial', ...both]);
    await watch.stdout('"/k"');
    await killed(primary);
    expect(await run(['clone', 'set', '/k', 'w', ...both])).toMatchObject({ code: 0, stderr: '' });
    await watch.stdout('"value":"w"');
    expect(await run(['clone', 'get', '/k', ...both])).toMatchObject({ code: 0, stdout: 'w\n' });
  });
});

describe('what is wrong is said in one line', () => {
  const NOBODY = ['--connect', 'tcp://127.0.0.1:9', '--timeout', '150'];

  it.each([
    [['clone'], /^error ERR_USAGE: a command is missing, one of get, set, delete, clear, watch;/],
    [
      ['clone', 'bogus'],
      /^error ERR_USAGE: unknown command 'bogus'; see 'unsinkable clone --help'/,
    ],
    [['clone', 'get'], /^error ERR_USAGE: missing required argument 'key'/],
    [['clone', 'get', '/k'], /^error ERR_USAGE: --connect is missing/],
    [['clone', 'get', 'k', ...NOBODY], /^error ERR_INVALID_KEY: 'k' is no key: .* '\/config/],
    [['clone', 'delete', '/k/', ...NOBODY], /^error ERR_INVALID_KEY: '\/k\/' is no key/],
    [['clone', 'clear', 'k', ...NOBODY], /^error ERR_INVALID_KEY: 'k' is no subtree/],
    [['clone', 'watch', '//', ...NOBODY], /^error ERR_INVALID_KEY: '\/\/' is no subtree/],
    [['clone', 'set', '/k', ...NOBODY], /^error ERR_USAGE: give either a value or --file/],
    [
      ['clone', 'set', '/k', '', ...NOBODY],
      /^error ERR_EMPTY_VALUE: .*'unsinkable clone delete \/k'/,
    ],
    [['clone', 'set'], /'key'; see 'unsinkable clone set --help'/],
    [['clone', 'set', '/k', 'v', '--bogus'], /'--bogus'; see 'unsinkable clone set --help'/],
    [['clone', 'set', '/k', 'v', '--ttl', '0', ...NOBODY], /'--ttl <seconds>' argument '0' is inv/],
    [['clone', 'set', '/k', 'v', '--if-match', '-1', ...NOBODY], /^error ERR_USAGE: /],
    [['clone-server'], /^error ERR_USAGE: --port is missing/],
    [['clone-server', '--port', '*'], /^error ERR_USAGE: --port '\*' has no two ports above it/],
    [['clone-server', '--port', '70000'], /It must be a port from 1 to 65535/],
    [['clone-server', '--port', '65534'], /^error ERR_INVALID_ENDPOINT: .*two ports above/m],
    [['clone-server', '--port', '5', '--host', 'a b'], /^error ERR_INVALID_ENDPOINT: /m],
    [['clone-server', '--port', '5', '--epochs', 'x'], /--epochs is for one of a pair/],
    [['clone-server', '--port', '5', '--primary'], /--peer is missing/],
    [['clone-server', '--port', '65533', '--backup', '--peer', 'tcp://h:1'], /--pair is missing/],
    [['clone-server', '--port', '5', '--stock-peer'], /unknown option '--stock-peer'/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('where a port for stock clients is taken', async () => {
    const { endpoint } = await startServer();
    const below = Number(/\d+$/.exec(endpoint)?.[0]) - 1;
    const { code, stderr } = await run(['clone-server', '--port', `${below}`, '--log', 'none']);
    expect(stderr).toMatch(/^error ERR_ADDRESS_IN_USE: stock clients .*; or add --no-stock\n$/);
    expect(code).toBe(1);
  });

  it('where nobody is', async () => {
    for (const args of [['get', '/k'], ['watch'], ['set', '/k', 'v'], ['clear', '']]) {
      const { code, stdout, stderr } = await run(['clone', ...args, ...NOBODY]);
      expect(stderr).toMatch(/^error ERR_(?:NOT_READY|WRITE_TIMEOUT): .*within 150 ms.*\n$/);
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    }
  });

  it('where the file is not', async () => {
    const file = `--file=${folder.path('none')}`;
    const { code, stderr } = await run(['clone', 'set', '/k', file, ...NOBODY]);
    expect(stderr).toMatch(/^error ERR_FILE_UNREADABLE: .+\n$/);
    expect(code).toBe(1);
  });
});
