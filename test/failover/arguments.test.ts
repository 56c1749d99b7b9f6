/** Mistakes in a call are refused by name, before anything is opened. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  BinaryStar,
  InvalidArgumentError,
  WitnessServer,
  type BinaryStarOptions,
} from '../../src/failover/index.ts';
import {
  BinaryStar as FromRoot,
  epochFile,
  WitnessServer as AlsoFromRoot,
} from '../../src/index.ts';
import { fileIn, makeStar } from './stars.ts';

const GOOD = { role: 'primary', peer: 'tcp://127.0.0.1:5556' } as const;

/** What a program in JavaScript may write. */
function star(options: unknown): BinaryStar {
  return new BinaryStar(options as BinaryStarOptions);
}

describe('a BinaryStar', () => {
  const long = `tcp://${'a'.repeat(260)}:5555`;
  it.each([
    ['nothing', undefined, "'role' is missing"],
    ['no role', { peer: GOOD.peer }, "'role' is missing"],
    ['another role', { ...GOOD, role: 'leader' }, "'role' must be 'primary' or 'backup'"],
    ['no peer', { role: 'backup' }, "'peer' is missing"],
    [
      'a peer that is no endpoint',
      { ...GOOD, peer: 'localhost' },
      "'peer' is not what one connects",
    ],
    [
      'a peer at any port',
      { ...GOOD, peer: 'tcp://127.0.0.1:*' },
      "'peer' is not what one connects",
    ],
    ['a witness at all addresses', { ...GOOD, witness: 'tcp://*:5557' }, "'witness' is not what"],
    [
      'its peer for a witness',
      { ...GOOD, witness: GOOD.peer },
      "'witness' must be a third process",
    ],
    ['an empty name', { ...GOOD, name: '' }, "'name' must be text of 1 to 255 bytes"],
    ['a long name', { ...GOOD, name: 'ü'.repeat(128) }, "'name' must be text"],
    ['a store of another kind', { ...GOOD, store: { read: 1 } }, "'store' must be a path"],
    ['an empty path', { ...GOOD, store: '' }, "'store' must be a path"],
    ['another protocol', { ...GOOD, protocol: 'mdp' }, "'protocol' must be one of"],
    [
      'a witness that stock peers do not know',
      { ...GOOD, protocol: 'stock', witness: 'tcp://127.0.0.1:5557' },
      "'witness' is not for the protocol 'stock'",
    ],
    ['an endpoint that is none', { ...GOOD, advertise: 'here' }, "'advertise' is not what one"],
    ['a very long endpoint', { ...GOOD, advertise: long }, "'advertise' is longer than 255 bytes"],
    ['a liveness of 1', { ...GOOD, heartbeatLiveness: 1 }, "'heartbeatLiveness' must be"],
    ['an interval of 0', { ...GOOD, heartbeatInterval: 0 }, "'heartbeatInterval' must be"],
    ['a negative grace', { ...GOOD, noticeGrace: -1 }, "'noticeGrace' must be"],
    ['a lease that is too long', { ...GOOD, lease: 60_001 }, "'lease' must be milliseconds, 10 to"],
    [
      'a drift of a half',
      { ...GOOD, clockDrift: 0.5 },
      "'clockDrift' must be a number from 0 to 0.2",
    ],
    ['no logger', { ...GOOD, logger: {} }, "'logger' must be"],
  ])('refuses %s', (_what, options, message) => {
    expect(() => star(options)).toThrow(InvalidArgumentError);
    expect(() => star(options)).toThrow(`BinaryStar: option ${message}`);
    expect(() => star(options)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION' }));
  });

  it('refuses an option that it does not have', () => {
    const mistyped = { ...GOOD, heartBeatInterval: 100 };
    const error = expect.objectContaining({
      code: 'ERR_UNKNOWN_OPTION',
      message: expect.stringContaining("'heartBeatInterval'"),
    });
    expect(() => star(mistyped)).toThrow(error);
  });

  it.each(['tcp://127.0.0.1', 'udp://x:1', ''])('refuses to bind to %j', async (endpoint) => {
    const pair = makeStar('primary');
    await expect(pair.bind(endpoint)).rejects.toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
    expect(readdirSync(fileIn('.'))).toEqual([]);
  });

  it('is not ready before it was told where to bind', async () => {
    await expect(makeStar('primary').ready()).rejects.toMatchObject({
      code: 'ERR_NOT_READY',
      message: 'not bound: call bind(endpoint) before ready()',
    });
  });

  it('has no file before it is bound', async () => {
    await makeStar('primary').close();
    expect(readdirSync(fileIn('.'))).toEqual([]);
  });
});

describe('a WitnessServer', () => {
  it.each([
    [{ pairLimit: 0 }, 'ERR_INVALID_OPTION', "'pairLimit'"],
    [{ store: 3 }, 'ERR_INVALID_OPTION', "'store'"],
    [{ lease: 100 }, 'ERR_UNKNOWN_OPTION', "'lease'"],
  ])('refuses %j', (options, code, name) => {
    const make = (): WitnessServer => new WitnessServer(options as object);
    const message = expect.stringContaining(name);
    expect(make).toThrow(expect.objectContaining({ code, message }));
  });

  it('refuses to bind to what is no endpoint', async () => {
    const witness = new WitnessServer({ store: fileIn('w') });
    await expect(witness.bind('here')).rejects.toMatchObject({ code: 'ERR_INVALID_ENDPOINT' });
    await witness.close();
    await expect(witness.bind('tcp://127.0.0.1:*')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

it('all of it is there from the root too', () => {
  expect(FromRoot).toBe(BinaryStar);
  expect(AlsoFromRoot).toBe(WitnessServer);
  expect(epochFile(fileIn('x'))).toMatchObject({ read: expect.any(Function) });
});
