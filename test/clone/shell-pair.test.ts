/** A pair of Clone servers with real BinaryStars in one process: who serves, and that nothing is lost by it. */
import { describe, expect, test } from 'vitest';
import { BinaryStar, WitnessServer, type PairRole } from '../../src/failover/index.ts';
import type { CloneServer, CloneServerOptions } from '../../src/clone/index.ts';
import {
  closing,
  connect,
  eventsOf,
  failureOf,
  fileIn,
  follow,
  makeServer,
  shows,
  until,
} from './shells.ts';

const STAR = { heartbeatInterval: 50, heartbeatLiveness: 8, noticeGrace: 30, lease: 600 };

const placeOf = (role: PairRole): string => `ipc://${fileIn(`${role}.pair`)}`;
const endpointOf = (role: PairRole): string => `ipc://${fileIn(role)}`;
const otherOf = (role: PairRole): PairRole => (role === 'primary' ? 'backup' : 'primary');
const BOTH = (): string[] => [endpointOf('primary'), endpointOf('backup')];

async function startWitness(): Promise<void> {
  const witness = closing(new WitnessServer({ store: fileIn('witness.epochs') }));
  await witness.bind(`ipc://${fileIn('witness')}`);
}

interface Half {
  readonly star: BinaryStar;
  readonly server: CloneServer;
}

async function startHalf(role: PairRole, options: CloneServerOptions = {}): Promise<Half> {
  const star = closing(
    new BinaryStar({
      role,
      peer: placeOf(otherOf(role)),
      witness: `ipc://${fileIn('witness')}`,
      store: fileIn(`${role}.epochs`),
      ...STAR,
    }),
  );
  const server = makeServer({ failover: star, ...options });
  await star.bind(placeOf(role));
  await server.bind(endpointOf(role));
  return { star, server };
}

/** Both, of which the first serves and the second has all. */
async function startPair(options: (role: PairRole) => CloneServerOptions = () => ({})) {
  await startWitness();
  const primary = await startHalf('primary', options('primary'));
  await until(() => expect(primary.server.status().state).toBe('active'));
  const backup = await startHalf('backup', options('backup'));
  await until(() => expect(primary.server.status().backup).toBe('synchronised'));
  return { primary, backup };
}

const storing = (role: PairRole): CloneServerOptions => ({ store: fileIn(`${role}.state`) });

async function stop({ server, star }: Half): Promise<void> {
  await server.close();
  await star.close();
}

describe('a pair', () => {
  test('has all twice, and says so', async () => {
    const { primary, backup } = await startPair();
    const client = await follow(BOTH());
    expect(await client.set('/k', 'v')).toMatchObject({ replicated: true });
    await until(() =>
      expect(backup.server.status().digest).toEqual(primary.server.status().digest),
    );
    expect(backup.server.status()).toMatchObject({ state: 'passive', keys: 1 });
  });

  test('has one that is passive say where the active one is', async () => {
    await startPair();
    const client = connect(endpointOf('backup'));
    const failure = await failureOf(client.synchronised({ timeout: 300 }));
    expect(failure).toMatchObject({
      message: expect.stringContaining(`passive, and says that ${endpointOf('primary')} serves`),
    });
    client.connect(endpointOf('primary'));
    await client.synchronised();
    expect(client.status().redirectedTo).toBe('');
  });

  test('goes on under a higher epoch when the active one closes', { timeout: 30_000 }, async () => {
    const { primary, backup } = await startPair();
    const client = await follow(BOTH());
    const events = eventsOf(client);
    await client.set('/k', 'v');
    await client.set('/short', 'x', { ttl: 1500 });
    const begun = performance.now();
    const { revision } = await client.set('/x', '1');
    const before = client.at.epoch;
    await stop(primary);
    await client.set('/y', '2', { timeout: 20_000 });
    expect(backup.server.status()).toMatchObject({ state: 'active', servesAlone: true });
    expect(client.at.epoch).toBeGreaterThan(before);
    expect(client.revision('/x')).toBe(revision);
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'failedOver',
        isContinued: true,
        endpoint: endpointOf('backup'),
      }),
    );
    await until(() => expect(client.has('/short')).toBe(false));
    expect(performance.now() - begun).toBeGreaterThan(1400);
    await shows(client, { '/k': 'v', '/x': '1', '/y': '2' });
  });

  test('that is async says whether the other one has it', async () => {
    await startPair(() => ({ replication: 'async' }));
    const client = await follow(BOTH());
    const { replicated } = await client.set('/k', 'v');
    expect(typeof replicated).toBe('boolean');
    expect(client.get('/k')).toBe('v');
  });

  test('serves its clients wherever they come to', async () => {
    const { backup } = await startPair();
    const client = await follow([endpointOf('backup'), endpointOf('primary')]);
    await client.set('/k', 'v');
    expect(client.status().endpoint).toBe(endpointOf('primary'));
    expect(backup.server.status().events.redirected).toBeGreaterThan(0);
  });

  test('loses nothing while one after the other goes and comes', { timeout: 60_000 }, async () => {
    let { primary, backup } = await startPair();
    const client = connect<string>(BOTH(), { codec: 'text' });
    const late = connect<string>(BOTH(), { codec: 'text' });
    const expected: Record<string, string> = {};
    const done = new AbortController();
    let acknowledged = 0;
    const more = async (): Promise<void> => {
      const enough = acknowledged + 50;
      await until(() => expect(acknowledged).toBeGreaterThan(enough));
    };
    const writing = (async () => {
      for (let count = 0; !done.signal.aborted; count++) {
        await client.set(`/k/${count % 50}`, `${count}`, { timeout: 30_000 });
        expected[`/k/${count % 50}`] = `${count}`;
        acknowledged++;
      }
    })();
    await more();
    await stop(primary);
    await until(() => expect(backup.server.status().servesAlone).toBe(true));
    await more();
    primary = await startHalf('primary');
    await until(() => expect(backup.server.status().backup).toBe('synchronised'));
    await more();
    await stop(backup);
    await until(() => expect(primary.server.status().servesAlone).toBe(true));
    backup = await startHalf('backup');
    await until(() => expect(primary.server.status().backup).toBe('synchronised'));
    await more();
    done.abort();
    await writing;
    await shows(client, expected);
    await shows(late, expected);
    expect(Object.keys(expected)).toHaveLength(50);
  });

  test('that stores has its map when both were gone', { timeout: 30_000 }, async () => {
    const { primary, backup } = await startPair(storing);
    const client = await follow(BOTH());
    await client.set('/k', 'kept');
    await client.set('/k2', 'too', { ttl: 60_000 });
    await Promise.all([stop(primary), stop(backup)]);
    await Promise.all([
      startHalf('primary', storing('primary')),
      startHalf('backup', storing('backup')),
    ]);
    await client.set('/k3', 'new', { timeout: 20_000 });
    await shows(client, { '/k': 'kept', '/k2': 'too', '/k3': 'new' });
    const late = await follow(BOTH());
    await shows(late, { '/k': 'kept', '/k2': 'too', '/k3': 'new' });
    expect(client.revision('/k')).toBe(late.revision('/k'));
  });
});
