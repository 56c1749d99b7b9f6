/** `unsinkable titanic`, `submit`, `fetch`, `forget`, and what the operator asks. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestSummary } from '../../src/titanic/commands.ts';
import {
  endAll,
  freshFolder,
  held,
  run,
  start,
  startBroker,
  startWorker,
  until,
  type Ending,
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

const UNKNOWN = '0123456789abcdef0123456789abcdef';

/** A broker, and a Titanic whose store is in this test's folder. */
async function startTitanic(...args: string[]): Promise<Running & { endpoint: string }> {
  const { endpoint } = await startBroker();
  return await startTitanicAt(endpoint, ...args);
}

async function startTitanicAt(
  endpoint: string,
  ...args: string[]
): Promise<Running & { endpoint: string }> {
  const store = folder.path('store');
  const titanic = start(['titanic', '--connect', endpoint, '--store', store, ...args]);
  await titanic.stdout(`ready titanic ${endpoint}\n`);
  return { ...titanic, endpoint };
}

/** Hands a request over. */
async function submit(endpoint: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(['submit', '--connect', endpoint, ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^[0-9a-f]{32}\n$/);
  return stdout.trim();
}

function fetch(endpoint: string, id: string, ...args: string[]): Promise<Ending> {
  return run(['fetch', id, '--connect', endpoint, ...args]);
}

function operate(endpoint: string, command: string, ...args: string[]): Promise<Ending> {
  return run(['titanic', command, '--connect', endpoint, ...args]);
}

/** A request that has failed for good. */
async function deadLetter(endpoint: string): Promise<string> {
  await startWorker('bad', endpoint, '--exec', 'echo no such month >&2; exit 1');
  const id = await submit(endpoint, 'bad', 'Juno', '--retries', '1', '--backoff', '1');
  expect((await fetch(endpoint, id, '--wait', 'Infinity')).code).toBe(4);
  return id;
}

describe('a request', () => {
  it('is submitted, fetched as often as wanted, and forgotten', async () => {
    const { endpoint } = await startTitanic();
    await startWorker('upper', endpoint, '--exec', 'tr a-z A-Z');
    const id = await submit(endpoint, 'upper', 'hel', 'lo');
    const reply = { code: 0, stdout: 'HELLO\n', stderr: '' };
    expect(await fetch(endpoint, id, '--wait', 'Infinity')).toMatchObject(reply);
    expect(await fetch(endpoint, id)).toMatchObject(reply);
    expect((await fetch(endpoint, id, '--raw')).stdout).toBe('HELLO');
    const done = { code: 0, stdout: '', stderr: '' };
    expect(await run(['forget', id, '--connect', endpoint])).toMatchObject(done);
    expect(await run(['forget', id, '--connect', endpoint])).toMatchObject(done);
    const { code, stderr } = await fetch(endpoint, id);
    expect(stderr).toMatch(/^error ERR_UNKNOWN_REQUEST: .+\n$/);
    expect(code).toBe(4);
  });

  it('outlives a Titanic that is killed', async () => {
    const titanic = await startTitanic();
    const { endpoint } = titanic;
    const id = await submit(endpoint, 'echo', '--file', '-', '--id', UNKNOWN.toUpperCase());
    expect(id).toBe(UNKNOWN);
    titanic.process.kill('SIGKILL');
    await titanic.ended;
    await startTitanicAt(endpoint);
    await startWorker('echo', endpoint, '--echo');
    expect(await fetch(endpoint, id, '--wait', 'Infinity')).toMatchObject({ code: 0 });
  });

  it('may be repeated under its id, but not with something else', async () => {
    const { endpoint } = await startTitanic();
    await submit(endpoint, 'later', 'x', '--id', UNKNOWN);
    await submit(endpoint, 'later', 'x', '--id', UNKNOWN);
    const other = await run(['submit', 'later', 'y', '--id', UNKNOWN, '--connect', endpoint]);
    expect(other).toMatchObject({ code: 4, stdout: '' });
    expect(other.stderr).toMatch(/^error ERR_ID_IN_USE: .+\n$/);
    const { stdout } = await operate(endpoint, 'status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ waiting: 1 });
  });

  it('that is pending has exit code 3', async () => {
    const { endpoint } = await startTitanic();
    const id = await submit(endpoint, 'later', 'x', '--delay', '3600000');
    for (const wait of [[], ['--wait', '50']]) {
      expect(await fetch(endpoint, id, ...wait)).toMatchObject({
        code: 3,
        stdout: '',
        stderr:
          'error ERR_PENDING: the reply is not there yet: ask again later, or let --wait wait for it\n',
      });
    }
  });

  it('that has failed for good has exit code 4, whatever the reason', async () => {
    const { endpoint } = await startTitanic();
    const failed = await fetch(endpoint, await deadLetter(endpoint));
    expect(failed.stderr).toMatch(/^error ERR_HANDLER_FAILED: .*no such month.*\n$/);
    expect(failed).toMatchObject({ code: 4, stdout: '' });
    const id = await submit(endpoint, 'nobody', '--deadline', '1');
    const late = await fetch(endpoint, id, '--wait', 'Infinity');
    expect(late.stderr).toMatch(/^error ERR_REQUEST_EXPIRED: .+\n$/);
    expect(late).toMatchObject({ code: 4, stdout: '' });
  });

  it('is refused in one line', async () => {
    const { endpoint } = await startTitanic();
    for (const service of ['titanic.close', 'mmi.service']) {
      const { code, stderr } = await run(['submit', service, '--connect', endpoint]);
      expect(stderr).toMatch(/^error ERR_INVALID_ARGUMENT: .+\n$/);
      expect(code).toBeOneOf([2, 4]);
    }
  });

  it('times out where there is no Titanic', async () => {
    const { endpoint } = await startBroker();
    for (const command of [
      ['submit', 'x'],
      ['fetch', UNKNOWN],
      ['forget', UNKNOWN],
      ['titanic', 'list'],
    ]) {
      const { code, stdout } = await run([...command, '--connect', endpoint, '--timeout', '200']);
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    }
  });

  it('that is waited for is left with Ctrl-C', async () => {
    const { endpoint } = await startTitanic();
    const id = await submit(endpoint, 'later', 'x');
    const waiting = start(['fetch', id, '--connect', endpoint, '--wait', 'Infinity', '--verbose']);
    await waiting.stderr('asking');
    waiting.process.kill('SIGINT');
    expect(await waiting.ended).toMatchObject({ code: 130, stdout: '' });
  });
});

describe('the operator', () => {
  it('sees what there is, as a table that cannot be forged and as JSON', async () => {
    const { endpoint } = await startTitanic();
    expect((await operate(endpoint, 'list')).stdout).toBe('there are none\n');
    const first = await submit(endpoint, 'a\u001b[2Jb', 'x');
    const second = await submit(endpoint, 'later', 'x', '--delay', '3600000');
    const { stdout } = await operate(endpoint, 'list');
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^id +service +state +attempts +submitted$/);
    expect(lines[1]).toMatch(new RegExp(String.raw`^${first} +a\\x1b\[2Jb +\w+ +\d +20\d\d-.*Z$`));
    expect(lines[2]).toMatch(new RegExp(`^${second} +later +delayed +0 +20`));
    const delayed = await operate(endpoint, 'list', '--state', 'delayed', '--json');
    const summary: RequestSummary = JSON.parse(delayed.stdout);
    expect(summary).toMatchObject({ id: second, service: 'later', state: 'delayed', attempts: 0 });
    const cut = await operate(endpoint, 'list', '--limit', '1');
    expect(cut.stdout).toContain(first);
    expect(cut.stdout).not.toContain(second);
    expect(cut.stderr).toBe('there are more: see them with --limit, or all with --json\n');
  });

  it('sees the counts and the store', async () => {
    const { endpoint } = await startTitanic('--durability', 'os');
    await submit(endpoint, 'later', 'x', '--delay', '3600000');
    const { stdout } = await operate(endpoint, 'status');
    expect(stdout).toMatch(/^delayed +waiting +running +done +dead +closed +store\n/);
    expect(stdout).toMatch(/\n +1 +0 +0 +0 +0 +0 +open, os\n$/);
    const json = await operate(endpoint, 'status', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      delayed: 1,
      storage: { state: 'open', durability: 'os' },
    });
  });

  it('sees dead letters, looks into one, and gives it another chance', async () => {
    const { endpoint } = await startTitanic();
    expect((await operate(endpoint, 'dead')).stdout).toBe('there are none\n');
    const id = await deadLetter(endpoint);
    const { stdout } = await operate(endpoint, 'dead');
    expect(stdout).toMatch(/^id +service +attempts +since +why\n/);
    expect(stdout).toMatch(
      new RegExp(`\n${id} +bad +2 +20.*Z +ERR_HANDLER_FAILED: .*no such month`),
    );
    const inspected = await operate(endpoint, 'inspect', id);
    expect(inspected.stdout).toMatch(new RegExp(`^id +${id}\nservice +bad\nstate +dead\n`));
    expect(inspected.stdout).toMatch(/\nbody +Juno\n$/);
    const json = await operate(endpoint, 'inspect', id, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      id,
      state: 'dead',
      body: [Buffer.from('Juno').toString('base64')],
    });
    expect(await operate(endpoint, 'resubmit', id)).toMatchObject({ code: 0, stdout: `${id}\n` });
    expect((await fetch(endpoint, id, '--wait', 'Infinity')).code).toBe(4);
    const all = await operate(endpoint, 'resubmit', '--all-dead');
    expect(all).toMatchObject({ code: 0, stdout: `${id}\n` });
  });

  it('is told what cannot be resubmitted or inspected', async () => {
    const { endpoint } = await startTitanic();
    const id = await submit(endpoint, 'later', 'x', '--delay', '3600000');
    for (const [command, about] of [
      ['resubmit', id],
      ['resubmit', UNKNOWN],
      ['inspect', UNKNOWN],
    ] as const) {
      const { code, stderr } = await operate(endpoint, command, about);
      expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
      expect(code).toBe(4);
    }
  });
});

describe('the server', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s lets finish what runs, and ends with 0',
    async (signal) => {
      const titanic = await startTitanic('--drain-timeout', '20000');
      const { endpoint } = titanic;
      const { command, started, letGo } = held(folder.path);
      await startWorker('slow', endpoint, '--exec', command);
      const id = await submit(endpoint, 'slow');
      await started;
      titanic.process.kill(signal);
      await titanic.stderr('draining');
      letGo();
      expect(await titanic.ended).toMatchObject({ code: 0 });
      await startTitanicAt(endpoint);
      expect(await fetch(endpoint, id)).toMatchObject({ code: 0, stdout: 'done\n' });
    },
  );

  it('a second signal ends it at once', async () => {
    const titanic = await startTitanic('--drain-timeout', '600000');
    const { endpoint } = titanic;
    const { command, started } = held(folder.path);
    await startWorker('slow', endpoint, '--exec', command);
    await submit(endpoint, 'slow');
    await started;
    titanic.process.kill('SIGTERM');
    await titanic.stderr('draining');
    titanic.process.kill('SIGTERM');
    expect(await titanic.ended).toMatchObject({ code: 143 });
  });

  it('waits for a broker, and may be stopped meanwhile', async () => {
    const store = folder.path('store');
    const titanic = start(['titanic', '--connect', 'tcp://127.0.0.1:1', '--store', store]);
    await until(() => existsSync(store));
    titanic.process.kill('SIGTERM');
    expect(await titanic.ended).toMatchObject({ code: 0, stdout: '' });
  });

  it('has its store alone', async () => {
    const { endpoint } = await startTitanic();
    const second = await run([
      'titanic',
      '--connect',
      endpoint,
      '--store',
      folder.path('store'),
      '--log',
      'none',
    ]);
    expect(second.stderr).toMatch(/^error ERR_STORAGE_IN_USE: .+\n$/);
    expect(second).toMatchObject({ code: 1, stdout: '' });
  });

  it('refuses a store that is none', async () => {
    const file = folder.path('a file');
    writeFileSync(file, '');
    const foreign = folder.path('foreign');
    mkdirSync(foreign);
    const args = ['--connect', 'tcp://127.0.0.1:1', '--log', 'none'];
    const { code, stderr } = await run(['titanic', ...args, '--store', file]);
    expect(stderr).toMatch(/^error ERR_STORAGE_UNAVAILABLE: .+\n$/);
    expect(code).toBe(1);
  });
});

describe('wrong usage', () => {
  const CONNECT = ['--connect', 'tcp://127.0.0.1:1'];
  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no --connect', ['titanic', '--store', 'x'], /--connect is missing/],
    ['no --store', ['titanic', ...CONNECT], /--store is missing/],
    [
      'an unknown durability',
      ['titanic', ...CONNECT, '--store', 'x', '--durability', 'none'],
      /'--durability <kind>' argument 'none'.*fsync, os/,
    ],
    ['an unknown operator', ['titanic', 'lst', ...CONNECT], /too many arguments|unknown/],
    [
      'an option of the server',
      ['titanic', 'list', ...CONNECT, '--store', 'x'],
      /'--store' is for the server, not for 'list'/,
    ],
    ['no --connect of submit', ['submit', 'x'], /--connect is missing/],
    ['an id that is none', ['submit', 'x', '--id', '../x', ...CONNECT], /32 hexadecimal digits/],
    ['a delay that is none', ['submit', 'x', '--delay', 'soon', ...CONNECT], /milliseconds, 0 or/],
    ['an id of fetch that is none', ['fetch', '*', ...CONNECT], /32 hexadecimal digits/],
    ['an id of forget that is none', ['forget', '', ...CONNECT], /32 hexadecimal digits/],
    ['no state', ['titanic', 'list', '--state', 'lost', ...CONNECT], /delayed, waiting, running/],
    ['nothing to resubmit', ['titanic', 'resubmit', ...CONNECT], /either ids or --all-dead/],
    [
      'all and one',
      ['titanic', 'resubmit', UNKNOWN, '--all-dead', ...CONNECT],
      /either ids or --all-dead/,
    ],
  ];

  it.each(mistakes)('%s', async (_name, args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect(stderr).toMatch(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each([
    'titanic',
    'submit',
    'fetch',
    'forget',
    'titanic status',
    'titanic list',
    'titanic dead',
    'titanic inspect',
    'titanic resubmit',
  ])('the help of %s has an example', async (command) => {
    const { code, stdout, stderr } = await run([...command.split(' '), '--help']);
    expect(stdout).toContain(`$ unsinkable ${command} `);
    expect(stdout).toContain('--verbose');
    expect(stdout.includes('--durability')).toBe(command === 'titanic');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});
