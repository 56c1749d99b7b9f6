/** The broker's shell and whoever decides: what each tells the other, over real sockets. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Election, ElectionEvent, Standing } from '../../src/core/election.ts';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from '../../src/index.ts';
import { PlayedGuard } from './failover-stories.ts';

const undo: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function closing<Shell extends { close(): Promise<void> | void }>(shell: Shell): Shell {
  undo.push(() => shell.close());
  return shell;
}

/** Decides as the test says, and grants at once that a broker serves alone. */
class PlayedElection extends PlayedGuard implements Election {
  readonly standings: Standing[] = [];
  readonly listeners = new Set<(event: ElectionEvent) => void>();

  subscribe(listener: (event: ElectionEvent) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  stand(standing: Standing): void {
    this.standings.push(standing);
    const { epoch } = this;
    if (standing.alone === true) queueMicrotask(() => this.tell({ type: 'servesAlone', epoch }));
  }

  tell(event: ElectionEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  elect(epoch: number): void {
    Object.assign(this, { epoch, highestEpoch: epoch, activeEndpoint: '' });
    this.tell({ type: 'becameActive', epoch });
  }

  depose(highest: number, endpoint: string): void {
    const { epoch } = this;
    Object.assign(this, { epoch: 0, highestEpoch: highest, activeEndpoint: endpoint });
    if (epoch > 0) this.tell({ type: 'becamePassive', epoch, reason: 'higherEpoch' });
    else this.tell({ type: 'activeChanged', epoch: highest, endpoint });
  }
}

/** The last that was said of each thing. */
const stands = ({ standings }: PlayedElection): Standing => Object.assign({}, ...standings);

const FAST = { heartbeatInterval: 50, heartbeatLiveness: 4, drainTimeout: 0 };

describe('the option failover', () => {
  test.each([['text'], [{}], [{ epochAt: () => 1 }], [null]])('is no %j', (failover) => {
    const options = { failover } as unknown as { failover: Election };
    expect(() => new MajordomoBroker(options)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_OPTION',
        message: expect.stringContaining("option 'failover' must be an Election") as string,
      }),
    );
  });

  test('the broker says where it is, and listens until it is closed', async () => {
    const election = new PlayedElection();
    const broker = closing(new MajordomoBroker({ ...FAST, failover: election }));
    expect(election.standings).toEqual([{ holds: 0 }]);
    const endpoint = await broker.bind('tcp://127.0.0.1:*');
    await broker.bind('tcp://127.0.0.1:*');
    expect(stands(election)).toEqual({ holds: 0, endpoint });
    expect(broker.status().failover).toMatchObject({ standing: 'passive', epoch: 0 });
    election.elect(3);
    expect(broker.status().failover).toMatchObject({ standing: 'active', epoch: 3 });
    expect(stands(election)).toEqual({ holds: 3, endpoint, alone: true });
    await broker.close();
    expect(stands(election).endpoint).toBe('');
    expect(election.listeners.size).toBe(0);
  });

  test('what was decided before counts', () => {
    const active = new PlayedElection();
    active.epoch = 3;
    active.highestEpoch = 3;
    const broker = closing(new MajordomoBroker({ ...FAST, failover: active }));
    expect(broker.status().failover).toMatchObject({ standing: 'active', epoch: 3 });
    const passive = new PlayedElection();
    Object.assign(passive, { highestEpoch: 3, activeEndpoint: 'tcp://127.0.0.1:1' });
    const other = closing(new MajordomoBroker({ ...FAST, failover: passive }));
    expect(other.status().failover).toMatchObject({ standing: 'passive', follower: 'copying' });
  });
});

test('one broker copies from the other, and goes on in its place', async () => {
  const elections = [new PlayedElection(), new PlayedElection()] as const;
  const [first, second] = elections.map((failover) =>
    closing(new MajordomoBroker({ ...FAST, failover })),
  ) as [MajordomoBroker, MajordomoBroker];
  const endpoints = [
    await first.bind('tcp://127.0.0.1:*'),
    await second.bind('tcp://127.0.0.1:*'),
  ] as const;
  elections[0].elect(1);
  let runs = 0;
  const worker = closing(new MajordomoWorker('count', () => `${++runs}`));
  worker.connect(endpoints[0]);
  await worker.ready();
  const ask = async (endpoint: string): Promise<string> => {
    const client = closing(new MajordomoClient());
    client.connect(endpoint);
    return (await client.request('count', '', { idempotencyKey: 'once' })).text();
  };
  expect(await ask(endpoints[0])).toBe('1');
  elections[1].depose(1, endpoints[0]);
  await vi.waitUntil(() => stands(elections[1]).holds === 1, { interval: 5 });
  await vi.waitUntil(() => stands(elections[0]).alone === false, { interval: 5 });
  expect(first.status().failover?.follower).toBe('synchronised');
  expect(second.status().failover?.follower).toBe('synchronised');
  elections[0].depose(2, endpoints[1]);
  elections[1].elect(2);
  expect(await ask(endpoints[1])).toBe('1');
  expect(runs).toBe(1);
  // The first one follows the second now.
  await vi.waitUntil(() => stands(elections[0]).holds === 2, { interval: 5 });
});
