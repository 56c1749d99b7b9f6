/** Our Titanic and Python clients of 9/TSP, over brokers and with workers of both kinds. */
import { afterEach, describe, expect, test } from 'vitest';
import { endAll, freshFolder, start, type Running } from '../cli/commands.ts';
import type { Child } from '../processes/child.ts';
import {
  bindBroker,
  closeAfterwards,
  HEARTBEAT,
  startBroker,
  startPeer,
  startWorker,
  withoutPeers,
  type Version,
} from './peers.ts';

/** An answer as the Python client prints it. */
interface PrintedAnswer {
  readonly status: number;
  readonly frames: readonly string[];
}

const VERSIONS: readonly Version[] = ['0.1', '0.2'];
const OK = { status: 200, frames: [] };
const UNKNOWN = { status: 400, frames: [] };

afterEach(endAll);

/** A Titanic as a process of its own, on a store of this test. */
function stores(): (endpoint: string) => Promise<Running> {
  const { path, remove } = freshFolder();
  closeAfterwards(async () => remove());
  return async (endpoint) => {
    const args = ['--connect', endpoint, '--store', path('store')];
    const titanic = start(['titanic', ...args, '--heartbeat-interval', `${HEARTBEAT}`]);
    await titanic.stdout('ready titanic');
    return titanic;
  };
}

function startClient(endpoint: string, version: Version, ...args: string[]): Child {
  return startPeer('titanic_client', '--connect', endpoint, '--protocol', version, ...args);
}

/** All answers of a Python client, which judges them. */
async function answersOf(client: Child): Promise<readonly PrintedAnswer[]> {
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`${client.name} ended with ${code}: ${client.errors}`);
  return client.lines.map((line): PrintedAnswer => JSON.parse(line));
}

async function ask(...args: Parameters<typeof startClient>): Promise<PrintedAnswer> {
  const answers = await answersOf(startClient(...args));
  return answers.at(-1)!;
}

/** Stores a request; resolves to its id. */
async function store(endpoint: string, version: Version, ...args: string[]): Promise<string> {
  const { status, frames } = await ask(endpoint, version, 'request', ...args);
  expect({ status, frames }).toEqual({ status: 200, frames: [expect.stringMatching(/^\w{32}$/)] });
  return frames[0]!;
}

/** Asks for a reply until it is there. */
const POLL = ['--patience', '15000'];

describe.skipIf(withoutPeers)('our Titanic and a Python client', () => {
  test.each(VERSIONS)(
    '%s: a request is stored, executed, asked for and closed',
    async (version) => {
      const { endpoint } = await bindBroker();
      await stores()(endpoint);
      startWorker(version, endpoint, 'upper');
      const id = await store(endpoint, version, 'upper', 'hel', '', 'lo');
      const reply = { status: 200, frames: ['HEL', '', 'LO'] };
      expect(await ask(endpoint, version, ...POLL, 'reply', id)).toEqual(reply);
      // "MUST NOT delete a reply when successfully delivered"
      expect(await ask(endpoint, version, 'reply', id)).toEqual(reply);
      expect(await ask(endpoint, version, 'close', id)).toEqual(OK);
      expect(await ask(endpoint, version, 'reply', id)).toEqual(UNKNOWN);
      // "idempotent and MUST return 200 if the UUID is not known"
      expect(await ask(endpoint, version, 'close', id)).toEqual(OK);
    },
  );

  test('a request, its reply and its close each survive SIGKILL', async () => {
    const { endpoint } = await bindBroker();
    const startTitanic = stores();
    const restart = async (titanic: Running): Promise<Running> => {
      titanic.process.kill('SIGKILL');
      await titanic.ended;
      return await startTitanic(endpoint);
    };
    let titanic = await startTitanic(endpoint);
    const id = await store(endpoint, '0.1', 'upper', 'hello');
    titanic = await restart(titanic);
    expect(await ask(endpoint, '0.1', 'reply', id)).toEqual({ status: 300, frames: [] });

    startWorker('0.1', endpoint, 'upper');
    const reply = { status: 200, frames: ['HELLO'] };
    expect(await ask(endpoint, '0.1', ...POLL, 'reply', id)).toEqual(reply);
    titanic = await restart(titanic);
    expect(await ask(endpoint, '0.1', 'reply', id)).toEqual(reply);

    expect(await ask(endpoint, '0.1', 'close', id)).toEqual(OK);
    await restart(titanic);
    expect(await ask(endpoint, '0.1', 'reply', id)).toEqual(UNKNOWN);
  });

  test('a client that polls does not notice a restart, but by its patience', async () => {
    const { endpoint } = await bindBroker();
    const startTitanic = stores();
    const titanic = await startTitanic(endpoint);
    const id = await store(endpoint, '0.1', 'upper', 'hello');
    const polling = startClient(endpoint, '0.1', '--timeout', '500', ...POLL, 'reply', id);
    await polling.line(/"status": 300/);
    titanic.process.kill('SIGKILL');
    await titanic.ended;
    await startTitanic(endpoint);
    polling.passOver();
    await polling.line(/"status": 300/);
    startWorker('0.1', endpoint, 'upper');
    const answers = await answersOf(polling);
    expect(answers.at(-1)).toEqual({ status: 200, frames: ['HELLO'] });
    expect(answers.slice(0, -1).every(({ status }) => [300, 500].includes(status))).toBe(true);
  });

  test('many requests of one client have many ids, and each its own reply', async () => {
    const { endpoint } = await bindBroker();
    await stores()(endpoint);
    startWorker('0.1', endpoint, 'upper');
    const stored = await answersOf(
      startClient(endpoint, '0.1', 'request', '--count', '50', 'upper', 'a'),
    );
    const ids = stored.map(({ frames }) => frames[0]!);
    expect(new Set(ids).size).toBe(50);
    const answers = await answersOf(startClient(endpoint, '0.1', ...POLL, 'reply', ...ids));
    const replies = answers.filter(({ status }) => status === 200);
    expect(replies.map(({ frames }) => frames)).toEqual(ids.map((_, at) => ['A', `${at + 1}`]));
  });

  test('an id may be written in capitals', async () => {
    const { endpoint } = await bindBroker();
    await stores()(endpoint);
    const id = (await store(endpoint, '0.1', 'later', 'x')).toUpperCase();
    expect(await ask(endpoint, '0.1', 'reply', id)).toMatchObject({ status: 300 });
    expect(await ask(endpoint, '0.1', 'close', id)).toEqual(OK);
    expect(await ask(endpoint, '0.1', 'reply', id)).toEqual(UNKNOWN);
  });

  test('an id that nobody was given is unknown, one that is none is refused', async () => {
    const { endpoint } = await bindBroker();
    await stores()(endpoint);
    const nobodys = 'f'.repeat(32);
    expect(await ask(endpoint, '0.1', 'reply', nobodys)).toEqual(UNKNOWN);
    expect(await ask(endpoint, '0.1', 'close', nobodys)).toEqual(OK);
    const garbage = [
      '',
      '*',
      '../../etc/passwd',
      'g'.repeat(32),
      'f'.repeat(31),
      'f'.repeat(33),
      `${'f'.repeat(31)}\n`,
      'f'.repeat(100_000),
    ];
    for (const verb of ['reply', 'close']) {
      const answers = await answersOf(startClient(endpoint, '0.1', verb, ...garbage));
      expect(answers).toEqual(garbage.map(() => UNKNOWN));
    }
  });

  test('a request for no service, or for one that is not allowed, is refused', async () => {
    const { endpoint } = await bindBroker();
    await stores()(endpoint);
    for (const service of ['', 'titanic.close', 'mmi.service', 's'.repeat(256)]) {
      expect(await ask(endpoint, '0.1', 'request', service, 'x')).toEqual(UNKNOWN);
    }
  });
});

describe.skipIf(withoutPeers)('our Titanic among Python peers only', () => {
  test.each(VERSIONS)('%s: broker, worker and client are theirs', async (version) => {
    const { broker, endpoint } = await startBroker();
    const startTitanic = stores();
    const titanic = await startTitanic(endpoint);
    const id = await store(endpoint, version, 'upper', 'hello');
    titanic.process.kill('SIGKILL');
    await titanic.ended;
    await startTitanic(endpoint);
    startWorker(version, endpoint, 'upper');
    const reply = await ask(endpoint, version, '--timeout', '1000', ...POLL, 'reply', id);
    expect(reply).toEqual({ status: 200, frames: ['HELLO'] });
    expect(await ask(endpoint, version, 'close', id)).toEqual(OK);
    expect(broker.ending).toBeUndefined();
  });
});
