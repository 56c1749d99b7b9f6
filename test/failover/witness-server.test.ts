/** Pairs with a witness over real sockets, ended by closing them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  ClosedError,
  WitnessServer,
  type BinaryStar,
  type WitnessEvent,
} from '../../src/failover/index.ts';
import {
  becomes,
  bindStar,
  bindWitness,
  clientEndpointOf,
  endpointOf,
  eventsOf,
  fileIn,
  makeStar,
  says,
  SETTINGS,
  until,
} from './stars.ts';

async function pair(): Promise<{ primary: BinaryStar; backup: BinaryStar }> {
  const options = { witness: endpointOf('witness') };
  const [primary, backup] = await Promise.all([
    bindStar('primary', options),
    bindStar('backup', options),
  ]);
  return { primary, backup };
}

/** One of a pair of another name, without the other one. */
async function lone(name: string): Promise<BinaryStar> {
  const star = makeStar('backup', {
    name,
    witness: endpointOf('witness'),
    peer: `ipc://${fileIn('nobody')}`,
    store: fileIn(`${name}.epochs`),
  });
  await star.bind(`ipc://${fileIn(name)}`);
  return star;
}

describe('a pair and its witness', () => {
  it('has one that serves, without anybody asking, and one that says where', async () => {
    const witness = await bindWitness();
    const granted: WitnessEvent[] = [];
    witness.on('granted', (event) => void granted.push(event));
    const { primary, backup } = await pair();
    await becomes(primary, 'active');
    const epoch = await says(primary, 'serve');
    expect(epoch % 2).toBe(1);
    await until(() =>
      expect(backup.guard()).toEqual({
        verdict: 'redirect',
        epoch,
        endpoint: clientEndpointOf('primary'),
      }),
    );
    await until(() => expect(granted).toContainEqual(expect.objectContaining({ epoch })));
    await until(() => expect(primary.status()).toMatchObject({ witness: 'heard' }));
    expect(primary.status().leaseLeft).toBeLessThan(SETTINGS.lease);
  });

  it('loses the active one and has another at once, under a higher epoch', async () => {
    await bindWitness();
    const { primary, backup } = await pair();
    const first = await says(primary, 'serve');
    await primary.close();
    const second = await says(backup, 'serve');
    expect(second).toBeGreaterThan(first);
    expect(second % 2).toBe(0);
    const again = await bindStar('primary', { witness: endpointOf('witness') });
    await until(() => expect(again.guard()).toMatchObject({ verdict: 'redirect', epoch: second }));
    expect(backup.guard()).toEqual({ verdict: 'serve', epoch: second });
  });

  it('loses its witness and goes on, as the two hear each other', async () => {
    const witness = await bindWitness();
    const { primary } = await pair();
    const epoch = await says(primary, 'serve');
    const events = eventsOf(primary);
    // The other one alone may have elected it.
    await until(() => expect(primary.status().witness).toBe('heard'));
    await witness.close();
    await until(() => expect(events).toContainEqual({ type: 'witnessLost' }));
    // Longer than the lease that it had from the witness.
    const later = performance.now() + 2 * SETTINGS.lease;
    while (performance.now() < later) {
      expect(primary.guard()).toEqual({ verdict: 'serve', epoch });
      await new Promise((next) => setImmediate(next));
    }
  });

  it('loses two of three, and the last one stops to serve', async () => {
    const witness = await bindWitness();
    const { primary, backup } = await pair();
    await says(primary, 'serve');
    const events = eventsOf(primary);
    await backup.close();
    await witness.close();
    await until(() => expect(primary.status().state).not.toBe('active'));
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'becamePassive', reason: 'leaseEnded' }),
    );
    expect(primary.guard()).toMatchObject({ verdict: 'refuse' });
  });

  it('is not held up by a witness that is started again, nor grants that one an old epoch', async () => {
    const witness = await bindWitness();
    const { primary, backup } = await pair();
    const first = await says(primary, 'serve');
    await witness.close();
    await bindWitness();
    await primary.close();
    const second = await says(backup, 'serve');
    expect(second).toBeGreaterThan(first);
  });
});

describe('a witness', () => {
  it('serves several pairs, each for itself', async () => {
    const witness = await bindWitness({ pairLimit: 2 });
    const refused: WitnessEvent[] = [];
    witness.on('pairRefused', (event) => void refused.push(event));
    const [one, other] = [await lone('one'), await lone('other')];
    await Promise.all([says(one, 'serve'), says(other, 'serve')]);
    const third = await lone('third');
    await until(() => expect(refused).not.toEqual([]));
    expect(third.guard()).toMatchObject({ verdict: 'refuse' });
  });

  it('refuses a file that is another one’s, or damaged', async () => {
    await bindStar('primary');
    const file = fileIn('primary.epochs');
    await expect(bindWitness({ store: file })).rejects.toMatchObject({
      code: 'ERR_STORAGE_IN_USE',
    });
    const copy = fileIn('copy.epochs');
    await until(() => writeFileSync(copy, readFileSync(file)));
    const witness = new WitnessServer({ store: copy });
    await expect(witness.bind(endpointOf('witness'))).rejects.toMatchObject({
      code: 'ERR_STORAGE_UNAVAILABLE',
      message: expect.stringContaining('is not for this server'),
    });
    await witness.close();
    writeFileSync(copy, 'x');
    await expect(bindWitness({ store: copy })).rejects.toMatchObject({
      code: 'ERR_STORAGE_CORRUPT',
    });
  });

  it('closes while it begins, and twice', async () => {
    const witness = await bindWitness();
    expect(witness.endpoints).toEqual([endpointOf('witness')]);
    const second = witness.bind('tcp://127.0.0.1:*');
    await Promise.all([witness.close(), witness.close()]);
    await expect(second).rejects.toBeInstanceOf(ClosedError);
  });
});
