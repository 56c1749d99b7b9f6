/** `unsinkable freelance-server` and `freelance-request`: whole conversations, and every way to end. */
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
  until,
  type Running,
} from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

type Server = Running & { readonly endpoint: string };

async function startServer(...args: string[]): Promise<Server> {
  return await startServerAt('tcp://127.0.0.1:*', ...args);
}

async function startServerAt(where: string, ...args: string[]): Promise<Server> {
  const server = start(['freelance-server', '--bind', where, ...args]);
  const [, endpoint] = await server.stdout(/^ready freelance-server (\S+)\n/);
  return { ...server, endpoint: endpoint! };
}

const ask = (servers: readonly { readonly endpoint: string }[], ...args: string[]): string[] => [
  'freelance-request',
  ...servers.flatMap(({ endpoint }) => ['--connect', endpoint]),
  ...args,
];

describe('a conversation', () => {
  it('has a server and a client', async () => {
    const server = await startServer('--exec', 'tr a-z A-Z');
    expect(await run(ask([server], 'hel', 'lo'))).toMatchObject({
      code: 0,
      stdout: 'HELLO\n',
      stderr: '',
    });
  });

  it('keeps frames', async () => {
    const server = await startServer('--echo');
    expect((await run(ask([server], 'one', '', 'three'))).stdout).toBe('one\n\nthree\n');
    expect((await run(ask([server], '--raw', '--file', '-'), 'as it is')).stdout).toBe('as it is');
  });

  it.each(['first', 'fastest', 'all'])('goes on with --strategy %s', async (strategy) => {
    const servers = [await startServer('--echo'), await startServer('--echo')];
    expect((await run(ask(servers, 'hi', '--strategy', strategy))).stdout).toBe('hi\n');
  });

  it('goes on with the next server when one is killed with the request in hand', async () => {
    const other = { endpoint: `ipc://${folder.path('other')}` };
    const { command, started, letGo } = held(folder.path);
    const doomed = await startServer('--exec', command);
    const request = start(ask([doomed, other], 'hello'));
    await started;
    await startServerAt(other.endpoint, '--echo');
    doomed.process.kill('SIGKILL');
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'hello\n' });
    letGo();
  });

  it('waits for a server that comes later', async () => {
    const endpoint = `ipc://${folder.path('later')}`;
    const request = start(ask([{ endpoint }], '--file', '-', '--verbose'), 'hi');
    await request.stderr('reading');
    start(['freelance-server', '--bind', endpoint, '--echo']);
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'hi\n' });
  });

  it('tells of a command that failed: exit code 4', async () => {
    const server = await startServer('--exec', 'echo "no such row" >&2; exit 7');
    expect(await run(ask([server], 'x'))).toMatchObject({
      code: 4,
      stdout: '',
      stderr: 'error ERR_HANDLER_FAILED: the command ended with exit code 7: no such row\n',
    });
  });

  it('times out without a live server, and says so: exit code 3', async () => {
    const endpoint = `ipc://${folder.path('nobody')}`;
    const { code, stdout, stderr } = await run(ask([{ endpoint }], 'x', '--timeout', '100'));
    expect(stderr).toMatch(/^error ERR_REQUEST_TIMEOUT: .*100 ms.*\n$/);
    expect(stderr).toMatch(/live/);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });
});

describe('freelance-server', () => {
  it('tells its real endpoints in one line', async () => {
    const ipc = `ipc://${folder.path('server')}`;
    const bind = ['--bind', 'tcp://127.0.0.1:*', '--bind', ipc];
    const server = start(['freelance-server', ...bind, '--echo']);
    const [line, tcp] = await server.stdout(/^ready freelance-server (tcp:\S+:\d+) (\S+)\n$/);
    expect(line).toContain(ipc);
    for (const endpoint of [tcp!, ipc]) {
      expect((await run(ask([{ endpoint }], 'hi'))).stdout).toBe('hi\n');
    }
  });

  it('fails with one line when the address is in use', async () => {
    const { endpoint } = await startServer('--echo');
    const args = ['freelance-server', '--bind', endpoint, '--echo'];
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_ADDRESS_IN_USE: cannot bind .*\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('needs --public-endpoint to bind all addresses', async () => {
    const all = ['freelance-server', '--bind', 'tcp://0.0.0.0:*', '--echo'];
    const { code, stderr } = await run(all);
    expect(stderr).toMatch(/^error ERR_INVALID_OPTION: .*publicEndpoint.*\n$/);
    expect(code).toBe(2);
    const server = start([...all, '--public-endpoint', 'tcp://192.0.2.1:5555']);
    const [, port] = await server.stdout(/^ready freelance-server tcp:\/\/0\.0\.0\.0:(\d+)\n/);
    const endpoint = `tcp://127.0.0.1:${port}`;
    expect((await run(ask([{ endpoint }], 'hi'))).stdout).toBe('hi\n');
  });

  it('--concurrency handles so many at a time', async () => {
    const both = `touch ${folder.path('$$.here')}; until [ ! -d ${folder.path('')} ] || [ $(ls ${folder.path('')} | wc -l) = 2 ]; do sleep 0.02; done`;
    const server = await startServer('--concurrency', '2', '--exec', both);
    const endings = await Promise.all([run(ask([server], '1')), run(ask([server], '2'))]);
    expect(endings.map(({ code }) => code)).toEqual([0, 0]);
  });

  it('kills the command when its client leaves', async () => {
    const pid = folder.path('pid');
    const command = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; sleep 1000`;
    const server = await startServer('--exec', command);
    const request = start(ask([server], 'x'));
    await exists(pid);
    const group = Number(readFileSync(pid, 'utf8'));
    expect(groupLives(group)).toBe(true);
    request.process.kill('SIGKILL');
    await until(() => !groupLives(group));
    expect(server.process.exitCode).toBe(null);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('%s lets what runs finish', async (signal) => {
    const { command, started, letGo } = held(folder.path);
    const server = await startServer('--exec', command);
    const request = start(ask([server], 'x'));
    await started;
    server.process.kill(signal);
    await server.stderr(`draining signal=${signal}`);
    letGo();
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'done\n' });
    expect(await server.ended).toMatchObject({ code: 0 });
  });

  it('drains no longer than --drain-timeout; the client goes to the next server', async () => {
    const other = { endpoint: `ipc://${folder.path('other')}` };
    const { command, started } = held(folder.path);
    const server = await startServer('--drain-timeout', '100', '--exec', command);
    const request = start(ask([server, other], 'hello'));
    await started;
    await startServerAt(other.endpoint, '--echo');
    server.process.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 0 });
    expect(await request.ended).toMatchObject({ code: 0, stdout: 'hello\n' });
  });

  it('a second SIGTERM ends it and the command at once', async () => {
    const pid = folder.path('pid');
    const command = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; sleep 1000`;
    const server = await startServer('--drain-timeout', '600000', '--exec', command);
    start(ask([server], 'x'));
    await exists(pid);
    const group = Number(readFileSync(pid, 'utf8'));
    server.process.kill('SIGTERM');
    await server.stderr('draining');
    server.process.kill('SIGTERM');
    expect(await server.ended).toMatchObject({ code: 143 });
    await until(() => !groupLives(group));
  });
});

describe('freelance-request', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s cancels it', async (signal, code) => {
    const { command, started } = held(folder.path);
    const server = await startServer('--exec', command);
    const request = start(ask([server], 'x', '--timeout', 'Infinity'));
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
  const BIND = ['--bind', 'tcp://127.0.0.1:*'];
  const CONNECT = ['--connect', 'tcp://127.0.0.1:1'];
  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no --bind', ['freelance-server', '--echo'], /--bind is missing/],
    ['no handler', ['freelance-server', ...BIND], /either --echo or --exec/],
    [
      'two handlers',
      ['freelance-server', ...BIND, '--echo', '--exec', 'cat'],
      /either --echo or --exec/,
    ],
    [
      'a public endpoint that is none',
      ['freelance-server', ...BIND, '--echo', '--public-endpoint', 'here'],
      /^error ERR_INVALID_OPTION: .*'publicEndpoint'/,
    ],
    [
      'no handler at a time',
      ['freelance-server', ...BIND, '--echo', '--concurrency', '0'],
      /'--concurrency <count>'.* a whole number, 1 or more/,
    ],
    ['no --connect', ['freelance-request', 'x'], /--connect is missing/],
    [
      'an unknown strategy',
      ['freelance-request', 'x', ...CONNECT, '--strategy', 'last'],
      /'--strategy <name>' argument 'last'.*first, fastest, all/,
    ],
    [
      'stdin twice',
      ['freelance-request', ...CONNECT, '--file', '-', '--file', '-'],
      /stdin can be read once/,
    ],
  ];

  it.each(mistakes)('%s', async (_name, args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect(stderr).toMatch(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each(['freelance-server', 'freelance-request'])(
    'the help of %s has an example',
    async (command) => {
      const { code, stdout, stderr } = await run([command, '--help']);
      expect(stdout).toContain(`$ unsinkable ${command} `);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    },
  );
});
