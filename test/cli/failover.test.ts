/** `unsinkable broker --primary|--backup` and `unsinkable witness`: a pair as its operator runs it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pairIn } from '../../src/cli/pair.ts';
import { endAll, freshFolder, run, start, type Running } from './commands.ts';

let folder: ReturnType<typeof freshFolder>;
beforeEach(() => {
  folder = freshFolder();
});
afterEach(async () => {
  await endAll();
  folder.remove();
});

/** Short, so that silence is noticed within a test. */
const HASTE = ['--peer-interval', '100', '--heartbeat-interval', '100'];

const endpointOf = (role: string): string => `ipc://${folder.path(role)}`;

/** Where clients and workers connect to. */
function both(): string[] {
  return ['primary', 'backup'].flatMap((role) => ['--connect', endpointOf(role)]);
}

/** A witness, and what tells a broker of it. */
async function startWitness(): Promise<Running & { args: string[] }> {
  const endpoint = endpointOf('witness');
  const store = folder.path('witness.epochs');
  const witness = start(['witness', '--bind', endpoint, '--store', store]);
  await witness.stdout(`ready witness ${endpoint}\n`);
  return { ...witness, args: ['--witness', endpoint, '--lease', '300'] };
}

/** One of the pair, when it is bound. */
async function startBroker(role: 'primary' | 'backup', ...args: string[]): Promise<Running> {
  const endpoint = endpointOf(role);
  const peer = endpointOf(role === 'primary' ? 'backup' : 'primary');
  const where = ['--bind', endpoint, '--peer', `${peer}.pair`];
  const store = ['--store', folder.path(`${role}.epochs`)];
  const broker = start(['broker', `--${role}`, ...where, ...store, ...HASTE, ...args]);
  await broker.stdout(`ready broker ${endpoint}\n`);
  return broker;
}

/** Asks both, and returns what is printed: the text, if all is well. */
async function ask(text: string): Promise<string> {
  const { stdout, stderr } = await run(['request', 'echo', text, ...both()]);
  return stdout.trimEnd() + stderr;
}

async function killed(broker: Running): Promise<void> {
  broker.process.kill('SIGKILL');
  await broker.ended;
}

const epochOf = async (broker: Running): Promise<number> => {
  const [, epoch] = await broker.stderr(/becameActive epoch=(\d+)/);
  return Number(epoch);
};

describe('a pair with a witness', () => {
  it('goes on without the one that is killed, and takes it back as passive', async () => {
    const { args } = await startWitness();
    const primary = await startBroker('primary', ...args);
    const first = await epochOf(primary);
    const backup = await startBroker('backup', ...args);
    await backup.stderr(`activeChanged epoch=${first} endpoint=${endpointOf('primary')}`);
    await primary.stderr('followerSynchronised');
    start(['worker', 'echo', '--echo', ...both()]);
    expect(await ask('one')).toBe('one');

    await killed(primary);
    expect(await ask('two')).toBe('two');
    const second = await epochOf(backup);
    expect(second).toBeGreaterThan(first);

    const again = await startBroker('primary', ...args);
    await again.stderr(`activeChanged epoch=${second} endpoint=${endpointOf('backup')}`);
    expect(await ask('three')).toBe('three');
    again.process.kill('SIGTERM');
    expect((await again.ended).stderr).not.toContain('becameActive');
  });

  it('hands over when the active one is dismissed', async () => {
    const { args } = await startWitness();
    const primary = await startBroker('primary', ...args);
    await epochOf(primary);
    const backup = await startBroker('backup', ...args);
    await primary.stderr('followerSynchronised');
    primary.process.kill('SIGTERM');
    expect(await primary.ended).toMatchObject({ code: 0 });
    expect(await epochOf(backup)).toBeGreaterThan(0);
  });

  it('does not let one serve who is behind, until it is told to by a signal', async () => {
    const backup = await startBehind();
    backup.process.kill('SIGUSR2');
    expect(await epochOf(backup)).toBeGreaterThan(0);
  });

  it('or at its start', async () => {
    const backup = await startBehind();
    await killed(backup);
    const promoted = await startBroker('backup', ...args, '--promote');
    expect(await epochOf(promoted)).toBeGreaterThan(0);
  });

  let args: string[];

  /** A backup which has missed what the primary, which is gone, did alone. */
  async function startBehind(): Promise<Running> {
    ({ args } = await startWitness());
    const primary = await startBroker('primary', ...args);
    await primary.stderr('servesAlone');
    await killed(primary);
    const backup = await startBroker('backup', ...args);
    await backup.stderr(/takeoverFailed reason=(?:unsynchronised|notSynchronised)/);
    return backup;
  }
});

describe('a pair whose clients vote', () => {
  it('goes on without the one that is killed', async () => {
    const primary = await startBroker('primary');
    const backup = await startBroker('backup');
    start(['worker', 'echo', '--echo', ...both()]);
    expect(await ask('one')).toBe('one');
    const first = await epochOf(primary);
    await killed(primary);
    expect(await ask('two')).toBe('two');
    expect(await epochOf(backup)).toBeGreaterThan(first);
  });

  it('tells a stock client of the passive one that it stands by', async () => {
    const primary = await startBroker('primary');
    await startBroker('backup');
    await primary.stderr('followerSynchronised');
    const connect = ['--connect', endpointOf('backup')];
    const stock = ['--protocol', 'mdp0.1', '--retries', '0'];
    const { code, stderr } = await run(['request', 'echo', 'one', ...connect, ...stock]);
    expect(stderr).toMatch(/^error ERR_NOT_ACTIVE: .+\n$/);
    expect(code).toBe(4);
  });

  it('is served by a backup that was started alone', async () => {
    await startBroker('backup');
    start(['worker', 'echo', '--echo', ...both()]);
    expect(await ask('one')).toBe('one');
  });

  it('may have a half that speaks in digits only', async () => {
    const primary = await startBroker('primary', '--stock-peer');
    const backup = await startBroker('backup', '--stock-peer');
    start(['worker', 'echo', '--echo', ...both()]);
    expect(await ask('one')).toBe('one');
    await epochOf(primary);
    await killed(primary);
    expect(await ask('two')).toBe('two');
    await epochOf(backup);
  });
});

describe('a witness', () => {
  it('tells whom it has granted what, and ends with 0', async () => {
    const witness = await startWitness();
    await startBroker('primary', ...witness.args);
    await witness.stderr(/granted pair=pair role=primary epoch=\d+/);
    witness.process.kill('SIGTERM');
    expect(await witness.ended).toMatchObject({ code: 0 });
  });

  it('serves pairs of several names', async () => {
    const witness = await startWitness();
    await startBroker('primary', ...witness.args, '--name', 'red');
    await startBroker('backup', ...witness.args, '--name', 'blue');
    expect(await witness.stderr('pair=red role=primary')).toHaveLength(1);
    expect(await witness.stderr('pair=blue role=backup')).toHaveLength(1);
  });

  it('that cannot read its store says so in one line', async () => {
    const args = ['--bind', 'tcp://127.0.0.1:*', '--store', folder.path(''), '--log', 'none'];
    const { code, stdout, stderr } = await run(['witness', ...args]);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });
});

/** Where the peer finds a broker that is bound there. */
function pairAt(bind: string, pair?: string): string | undefined {
  return pairIn({ primary: true, peer: 'tcp://127.0.0.1:1', ...(pair && { pair }) }, bind)?.bind;
}

describe('where the peer finds a broker', () => {
  it.each([
    ['tcp://127.0.0.1:5555', 'tcp://127.0.0.1:5556'],
    ['tcp://*:9999', 'tcp://*:10000'],
    ['tcp://[::1]:5555', 'tcp://[::1]:5556'],
    ['ipc:///tmp/broker', 'ipc:///tmp/broker.pair'],
  ])('is beside %s', (bind, pair) => {
    expect(pairAt(bind)).toBe(pair);
  });

  it.each(['tcp://127.0.0.1:*', 'tcp://127.0.0.1:65535', 'ipc://*', 'ws://127.0.0.1:5555/x'])(
    'is to be said for %s',
    (bind) => {
      expect(() => pairAt(bind)).toThrow(/--pair is missing: .*say where/);
      expect(pairAt(bind, 'tcp://*:7')).toBe('tcp://*:7');
    },
  );
});

describe('wrong usage', () => {
  const BROKER = ['broker', '--bind', 'tcp://127.0.0.1:5555'];
  const PEER = ['--peer', 'tcp://127.0.0.1:5558'];
  const PRIMARY = [...BROKER, '--primary', ...PEER];
  const WITNESS = ['--witness', 'tcp://127.0.0.1:5559'];
  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['both roles', [...PRIMARY, '--backup'], /either --primary or --backup/],
    ['no --peer', [...BROKER, '--backup'], /--peer is missing: give the endpoint/],
    ['no role', [...BROKER, ...PEER], /--peer is for one of a pair: add --primary or --backup/],
    ['a witness for one', [...BROKER, ...WITNESS], /--witness is for one of a pair/],
    ['two peers', [...PRIMARY, ...PEER], /It may be given once/],
    ['a peer of this process', [...BROKER, '--primary', '--peer', 'inproc://x'], /use tcp:\/\/ or/],
    [
      'itself as a peer',
      [...BROKER, '--primary', '--peer', 'tcp://127.0.0.1:5556'],
      /is this one itself: give the --pair of the other one/,
    ],
    [
      'no place for the pair',
      ['broker', '--bind', 'tcp://127.0.0.1:*', '--primary', ...PEER],
      /--pair is missing: there is no port beside tcp:\/\/127\.0\.0\.1:\*/,
    ],
    ['a lease of nobody', [...PRIMARY, '--lease', '500'], /add --witness, or leave out --lease/],
    ['a lease of no time', [...PRIMARY, ...WITNESS, '--lease', '1'], /milliseconds, 10 to 60000/],
    [
      'a stock peer and a witness',
      [...PRIMARY, ...WITNESS, '--stock-peer'],
      /a stock peer knows no witness: leave out either/,
    ],
    ['a name that is none', [...PRIMARY, '--name', ''], /It must be text of 1 to 255 bytes/],
    [
      'a bad peer',
      [...BROKER, '--primary', '--peer', 'x'],
      /'peer' must be .*endpoint|must begin with tcp/,
    ],
    ['a witness without --bind', ['witness'], /--bind is missing/],
    ['too few pairs', ['witness', '--bind', 'tcp://*:*', '--pair-limit', '0'], /1 or more/],
  ];

  it.each(mistakes)('%s', async (_name, args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect(stderr).toMatch(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('the help shows a whole pair', async () => {
    const { stdout } = await run(['broker', '--help']);
    for (const word of ['witness --bind', 'broker --primary', 'broker --backup', 'SIGUSR2']) {
      expect(stdout).toContain(word);
    }
  });
});
