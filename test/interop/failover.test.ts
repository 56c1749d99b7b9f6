/** Our half of a pair and a stock one, which has neither names nor epochs: a digit on PUB/SUB. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BinaryStar, type PairEvent, type PairRole } from '../../src/index.ts';
import type { Child } from '../processes/child.ts';
import { freshFolder, removeFolder } from '../transport/processes.ts';
import { encodeText } from '../../src/core/frames.ts';
import { zeromqTransport } from '../../src/transport/zeromq.ts';
import { closeAfterwards, startPeer, withoutPeers } from './peers.ts';

/** Milliseconds between two digits. */
const HEARTBEAT = 100;

const PATIENCE = { timeout: 10_000, interval: 5 };

let folder = '';
beforeEach(() => {
  folder = freshFolder();
});
afterEach(() => removeFolder(folder));

const endpointOf = (role: PairRole): string => `ipc://${join(folder, role)}`;
const otherOf = (role: PairRole): PairRole => (role === 'primary' ? 'backup' : 'primary');

async function bindOurs(role: PairRole): Promise<BinaryStar> {
  const star = new BinaryStar({
    role,
    peer: endpointOf(otherOf(role)),
    protocol: 'stock',
    heartbeatInterval: HEARTBEAT,
    store: join(folder, `${role}.epochs`),
  });
  closeAfterwards(() => star.close());
  await star.bind(endpointOf(role));
  return star;
}

async function startTheirs(role: PairRole, ...more: string[]): Promise<Child> {
  const ends = ['--bind', endpointOf(role), '--connect', endpointOf(otherOf(role))];
  const theirs = startPeer(
    'binary_star',
    '--role',
    role,
    ...ends,
    '--heartbeat',
    `${HEARTBEAT}`,
    ...more,
  );
  await theirs.line(/^ready /);
  return theirs;
}

/** Somebody bound where the peer of ours should be, who says whatever it is told to. */
async function stockVoice(role: PairRole): Promise<(...frames: string[]) => Promise<void>> {
  const handler = { onMessage: () => undefined, onPeerGone: () => undefined };
  const socket = zeromqTransport().open('pub', handler);
  closeAfterwards(async () => socket.close(0));
  await new Promise<void>((resolve, reject) => {
    socket.bind(endpointOf(role), (error) => (error === undefined ? resolve() : reject(error)));
  });
  return (...frames) =>
    new Promise((resolve) => socket.send('', frames.map(encodeText), () => resolve()));
}

/** Waits until it is so, asking as a client does. */
async function says(star: BinaryStar, verdict: string): Promise<number> {
  return await vi.waitFor(() => {
    const said = star.guard();
    expect(said.verdict).toBe(verdict);
    return said.epoch;
  }, PATIENCE);
}

/** Waits until it is so, asking nothing. */
async function hears(star: BinaryStar, state: string): Promise<void> {
  await vi.waitFor(() => expect(star.status().peer).toBe(state), PATIENCE);
}

describe.skipIf(withoutPeers)('our primary and a stock backup', () => {
  test('ours serves as soon as they hear each other', async () => {
    const theirs = await startTheirs('backup');
    const ours = await bindOurs('primary');
    await theirs.line(/^is passive$/);
    await vi.waitFor(() => expect(ours.status().state).toBe('active'), PATIENCE);
    expect(ours.guard()).toEqual({ verdict: 'serve', epoch: 1 });
  });

  test('theirs takes over, ours comes back as passive, and takes over in turn', async () => {
    const theirs = await startTheirs('backup', '--asked');
    const ours = await bindOurs('primary');
    const first = await says(ours, 'serve');
    await theirs.line(/^is passive$/);
    await ours.close();
    await theirs.line(/^serves$/);
    const again = await bindOurs('primary');
    await hears(again, 'active');
    expect(again.guard()).toEqual({ verdict: 'refuse', epoch: expect.any(Number) });
    await theirs.end('SIGKILL');
    const second = await says(again, 'serve');
    expect(second).toBeGreaterThan(first);
    const next = await startTheirs('backup', '--asked');
    await next.line(/^is passive$/);
    await hears(again, 'passive');
    expect(again.guard()).toEqual({ verdict: 'serve', epoch: second });
  });
});

describe.skipIf(withoutPeers)('a stock primary and our backup', () => {
  test('theirs serves as soon as they hear each other, and ours cannot say where', async () => {
    const ours = await bindOurs('backup');
    const theirs = await startTheirs('primary', '--asked');
    await theirs.line(/^serves$/);
    await hears(ours, 'active');
    expect(ours.guard()).toEqual({ verdict: 'refuse', epoch: 0 });
  });

  test('ours takes over, and theirs comes back as passive', async () => {
    const ours = await bindOurs('backup');
    const theirs = await startTheirs('primary');
    await theirs.line(/^is active$/);
    await hears(ours, 'active');
    await theirs.end('SIGKILL');
    const epoch = await says(ours, 'serve');
    const next = await startTheirs('primary', '--asked');
    await next.line(/^is passive$/);
    await hears(ours, 'passive');
    expect(ours.guard()).toEqual({ verdict: 'serve', epoch });
    await ours.close();
    await next.line(/^serves$/);
  });

  test('theirs is started again before ours misses it: one of them serves', async () => {
    const ours = await bindOurs('backup');
    const theirs = await startTheirs('primary');
    await theirs.line(/^is active$/);
    await hears(ours, 'active');
    await theirs.end('SIGKILL');
    const next = await startTheirs('primary', '--asked');
    await vi.waitFor(() => {
      const isActive = ours.status().state === 'active';
      expect(next.lines.includes('is active')).toBe(!isActive);
    }, PATIENCE);
  });

  test('ours steps down where both serve, as the primary goes first', async () => {
    const ours = await bindOurs('backup');
    const lost: PairEvent[] = [];
    ours.on('becamePassive', (event) => void lost.push(event));
    await says(ours, 'serve');
    // One that has served for long, and was cut off from ours.
    const publish = await stockVoice('primary');
    await vi.waitFor(async () => {
      await publish('3');
      expect(lost).toContainEqual(expect.objectContaining({ reason: 'peerActive' }));
    }, PATIENCE);
    expect(ours.guard()).toMatchObject({ verdict: 'refuse' });
  });
});

describe.skipIf(withoutPeers)('what a stock peer never says', () => {
  test('is counted, and takes ours for nobody else’s', async () => {
    const ours = await bindOurs('backup');
    const publish = await stockVoice('primary');
    await vi.waitFor(async () => {
      for (const text of ['0', '5', '', '33', 'active', '\u0003']) await publish(text);
      await publish('3', '3');
      expect(ours.status().events.malformed).toBeGreaterThan(6);
    }, PATIENCE);
    expect(ours.status().peer).toBe('unheard');
    await says(ours, 'serve');
  });
});
