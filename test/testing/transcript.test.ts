import { describe, expect, it } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { seededRandom } from '../../src/core/random.ts';
import { SimNetwork } from '../../src/testing/sim-network.ts';
import { SimWorld } from '../../src/testing/sim-world.ts';
import { showFrames, TraceHash, Transcript } from '../../src/testing/transcript.ts';
import { SmallWorld } from './small-world.ts';

describe('transcript', () => {
  it('shows messages, faults and notices, one line each', () => {
    const small = new SmallWorld();
    const broker = small.broker();
    const worker = small.worker('worker-1');
    worker.say('READY');
    small.run(10.5);
    broker.say('HEARTBEAT', broker.addresses[0]);
    small.run(5);
    worker.process.crash();
    small.run(10);
    expect(small.transcript.lines).toEqual([
      '[   0.000] broker starts',
      '[   0.000] worker-1 starts',
      '[   2.000] worker-1 connects to broker',
      '[   2.000] broker is told that worker-1 is new',
      '[   3.000] worker-1 → broker  [READY]',
      '[  11.500] broker → worker-1  [HEARTBEAT]',
      '[  15.500] worker-1 crashes',
      '[  19.500] broker is told that worker-1 is gone',
    ]);
    expect(small.transcript.toString().split('\n')).toHaveLength(8);
  });

  it('lets the pattern format its frames', () => {
    const transcript = new Transcript((frames, from, to) => `${frames.length} ${from} ${to}`);
    transcript.message(12.345, 'worker-1', 'broker', [encodeText('x')]);
    expect(transcript.lines).toEqual(['[  12.345] worker-1 → broker  1 worker-1 broker']);
  });

  it('shows bytes that are not text, and long frames by their length', () => {
    const frames = [new Uint8Array(), Uint8Array.of(1, 65, 255), new Uint8Array(33)];
    expect(showFrames(frames)).toBe('[][\\x01A\\xff][33 bytes]');
  });
});

const hashOf = (add: (hash: TraceHash) => void): string => {
  const hash = new TraceHash();
  add(hash);
  return hash.digest;
};

const run = (seed: number, transcript?: Transcript): string => {
  const random = seededRandom(seed);
  const world = new SimWorld(transcript === undefined ? { random } : { random, transcript });
  const network = new SimNetwork(world);
  const process = world.start('broker');
  const handler = { onMessage: () => undefined, onPeerGone: () => undefined };
  network
    .transport(process)
    .open('router', handler)
    .bind('ipc://x', () => undefined);
  const dealer = network.transport(world.start('worker')).open('dealer', handler);
  dealer.connect('ipc://x');
  dealer.send('', [encodeText('READY')], () => undefined);
  world.run(100);
  return world.trace.digest;
};

describe('trace hash', () => {
  it('tells values, texts and frames apart', () => {
    const digests = [
      hashOf((hash) => hash.addNumber(1)),
      hashOf((hash) => hash.addNumber(1.0000001)),
      hashOf((hash) => hash.addText('ab')),
      hashOf((hash) => hash.addText('ba')),
      hashOf((hash) => hash.addFrames([encodeText('ab')])),
      hashOf((hash) => hash.addFrames([encodeText('a'), encodeText('b')])),
      hashOf((hash) => hash.addFrames([new Uint8Array(500)])),
      hashOf((hash) => hash.addFrames([new Uint8Array(500).fill(1, 499)])),
    ];
    expect(new Set(digests).size).toBe(digests.length);
    expect(digests[0]).toMatch(/^[0-9a-f]{8}$/);
  });

  it('is the same with and without a transcript, and another one for another history', () => {
    expect(run(1)).toBe(run(1, new Transcript()));
    expect(run(1)).not.toBe(run(2));
  });
});
