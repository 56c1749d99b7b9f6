/** Clients and workers of two real brokers, of which a hand decides who serves. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Election, ElectionEvent, Epoch, Standing } from '../../src/core/election.ts';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from '../../src/majordomo/index.ts';

const open: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

function closing<Closable extends { close(): unknown }>(it: Closable): Closable {
  open.push(it);
  return it;
}

/** Decides nothing by itself. */
class Hand implements Election {
  highestEpoch: Epoch = 0;
  activeEndpoint = '';
  #epoch: Epoch = 0;
  readonly #listeners = new Set<(event: ElectionEvent) => void>();

  epochAt(): Epoch {
    return this.#epoch;
  }
  seen(): void {
    // Told by hand.
  }
  asked(): void {
    // Nor does it count votes.
  }
  subscribe(listener: (event: ElectionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  stand({ alone }: Standing): void {
    const epoch = this.#epoch;
    if (alone === true && epoch > 0)
      queueMicrotask(() => this.#tell({ type: 'servesAlone', epoch }));
  }

  serve(epoch: Epoch): void {
    this.#epoch = epoch;
    this.highestEpoch = epoch;
    this.#tell({ type: 'becameActive', epoch });
  }
  standBy(epoch: Epoch, endpoint: string): void {
    const was = this.#epoch;
    this.#epoch = 0;
    this.highestEpoch = epoch;
    this.activeEndpoint = endpoint;
    if (was > 0) this.#tell({ type: 'becamePassive', epoch: was, reason: 'higherEpoch' });
    this.#tell({ type: 'activeChanged', epoch, endpoint });
  }
  #tell(event: ElectionEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** Two brokers, and who decides for each. */
async function pair() {
  const hands = [new Hand(), new Hand()] as const;
  const endpoints: string[] = [];
  for (const failover of hands) {
    const broker = closing(new MajordomoBroker({ failover, drainTimeout: 0 }));
    endpoints.push(await broker.bind('tcp://127.0.0.1:*'));
  }
  return { hands, endpoints };
}

describe('a worker is ready', () => {
  test('when the active one has answered', async () => {
    const { hands, endpoints } = await pair();
    hands[1].serve(2);
    const worker = closing(new MajordomoWorker('echo', (request) => request.body));
    const served: unknown[] = [];
    worker.on('ready', ({ endpoint, epoch }) => served.push({ endpoint, epoch }));
    worker.connect(endpoints);
    await worker.ready();
    expect(served).toEqual([{ endpoint: endpoints[1], epoch: 2 }]);
  });

  test('when its time is over, if passive ones are there: they know it', async () => {
    const { hands, endpoints } = await pair();
    const worker = closing(new MajordomoWorker('echo', (request) => request.body));
    const passive: string[] = [];
    worker.on('standby', ({ endpoint }) => passive.push(endpoint));
    worker.connect(endpoints);
    await vi.waitUntil(() => passive.length === 2, { interval: 1 });
    await worker.ready({ timeout: 50 });
    hands[0].serve(1);
    const client = closing(new MajordomoClient());
    client.connect(endpoints);
    expect((await client.request('echo', 'hello')).text()).toBe('hello');
  });

  test('and not if nobody is there', async () => {
    const worker = closing(new MajordomoWorker('echo', (request) => request.body));
    worker.connect(['tcp://127.0.0.1:9', 'tcp://127.0.0.1:19']);
    await expect(worker.ready({ timeout: 50 })).rejects.toMatchObject({ code: 'ERR_NOT_READY' });
  });
});

test('a request under a key that runs while another broker takes over is run once', async () => {
  const { hands, endpoints } = await pair();
  hands[0].serve(1);
  hands[1].standBy(1, endpoints[0]!);
  let runs = 0;
  let finish: (() => void) | undefined;
  const worker = closing(
    new MajordomoWorker('slow', async () => {
      runs++;
      await new Promise<void>((resolve) => (finish = resolve));
      return 'done';
    }),
  );
  worker.connect(endpoints);
  await worker.ready();
  const client = closing(new MajordomoClient());
  const reigns: unknown[] = [];
  client.on('failedOver', ({ endpoint, epoch }) => reigns.push({ endpoint, epoch }));
  client.connect(endpoints);
  const reply = client.request('slow', '', { idempotencyKey: 'order 7' });
  await vi.waitUntil(() => worker.running === 1, { interval: 1 });
  hands[1].serve(2);
  hands[0].standBy(2, endpoints[1]!);
  await vi.waitUntil(() => reigns.length > 0, { interval: 1 });
  finish!();
  expect((await reply).text()).toBe('done');
  expect(reigns).toEqual([{ endpoint: endpoints[1], epoch: 2 }]);
  expect(runs).toBe(1);
  // Whoever asks again gets what was answered.
  const again = await client.request('slow', '', { idempotencyKey: 'order 7' });
  expect(again.text()).toBe('done');
  expect(runs).toBe(1);
});
