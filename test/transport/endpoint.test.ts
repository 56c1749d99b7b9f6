import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../src/core/errors.ts';
import { checkEndpoint, ipcPathOf } from '../../src/transport/endpoint.ts';
import { compileTransport, removeFolder, run } from './processes.ts';

const BOTH = [
  'tcp://127.0.0.1:5555',
  'tcp://localhost:5555',
  'tcp://[::1]:5555',
  'tcp://broker-1.example.org:65535',
  'ipc:///tmp/broker',
  'ipc://relative/with space',
  'ipc://@abstract',
  'inproc://broker',
  'ws://127.0.0.1:80/mdp-1',
  'ws://localhost:80',
  'ws://[::1]:80/',
];
const BIND_ONLY = [
  'tcp://*:*',
  'tcp://*:5555',
  'tcp://127.0.0.1:*',
  'tcp://127.0.0.1:0',
  'ipc://*',
  'ws://*:*/mdp',
];
const NEVER: [endpoint: string, hint: RegExp][] = [
  ['', /must begin with tcp/],
  ['127.0.0.1:5555', /must begin with tcp/],
  ['TCP://127.0.0.1:5555', /must begin with tcp/],
  ['http://127.0.0.1:5555', /must begin with tcp/],
  ['udp://127.0.0.1:5555', /must begin with tcp/],
  ['tcp://', /host and a port/],
  ['tcp://127.0.0.1', /host and a port/],
  ['tcp://:5555', /host and a port/],
  ['tcp://-x:5555', /host and a port/],
  ['tcp://no such host:5555', /host and a port/],
  ['tcp://127.0.0.1:', /port from 1 to 65535/],
  ['tcp://127.0.0.1:65536', /port from 1 to 65535/],
  ['tcp://127.0.0.1:5555/', /port from 1 to 65535/],
  ['tcp://127.0.0.1:-1', /port from 1 to 65535/],
  ['tcp://999.0.0.1:5555', /valid IPv4/],
  ['tcp://[::1:5555', /valid IPv6/],
  ['tcp://[nonsense]:5555', /valid IPv6/],
  ['tcp://::1:5555', /brackets/],
  ['tcp://127.0.0.1:5555\0', /control character/],
  ['ipc://', /needs a path/],
  ['ipc://@', /needs a path/],
  [`ipc:///tmp/${'x'.repeat(120)}`, /bytes, the system's limit/],
  ['inproc://', /needs a name/],
  ['inproc://zeromq.zap.01', /reserved/],
  [`inproc://${'x'.repeat(1024)}`, /longer than 512/],
  ['ws://127.0.0.1/path', /host and a port/],
  ['ws://127.0.0.1:80/a b', /one path segment/],
  ['ws://127.0.0.1:80/mdp/v1', /one path segment/],
];

function refusalOf(endpoint: unknown, purpose: 'bind' | 'connect'): InvalidArgumentError {
  try {
    checkEndpoint(endpoint, purpose);
  } catch (error) {
    if (error instanceof InvalidArgumentError) return error;
    throw error;
  }
  throw new Error(`accepted: ${String(endpoint)}`);
}

describe('checkEndpoint', () => {
  it.each(BOTH)('accepts %s', (endpoint) => {
    expect(checkEndpoint(endpoint, 'bind')).toBe(endpoint);
    expect(checkEndpoint(endpoint, 'connect')).toBe(endpoint);
  });

  it.each(BIND_ONLY)('accepts %s for bind only', (endpoint) => {
    expect(checkEndpoint(endpoint, 'bind')).toBe(endpoint);
    expect(refusalOf(endpoint, 'connect').message).toMatch(/cannot connect to/);
  });

  it.each(NEVER)('refuses %j and says why', (endpoint, hint) => {
    for (const purpose of ['bind', 'connect'] as const) {
      const refusal = refusalOf(endpoint, purpose);
      expect(refusal.code).toBe('ERR_INVALID_ENDPOINT');
      expect(refusal.message).toMatch(hint);
    }
  });

  it('refuses to connect a ws:// endpoint by name, which libzmq resolves only once', () => {
    expect(checkEndpoint('ws://eth0:80', 'bind')).toBe('ws://eth0:80');
    expect(refusalOf('ws://example.org:80', 'connect').message).toMatch(/IP address/);
  });

  it.each([undefined, null, 5555, {}, ['tcp://127.0.0.1:5555']])('refuses %j', (endpoint) => {
    expect(refusalOf(endpoint, 'bind').message).toMatch(/must be a string/);
  });

  it('measures ipc paths in bytes', () => {
    expect(checkEndpoint(`ipc://${'x'.repeat(103)}`, 'bind')).toHaveLength(109);
    expect(refusalOf(`ipc://${'é'.repeat(60)}`, 'bind').message).toMatch(/bytes/);
  });

  it('knows the file behind an ipc endpoint', () => {
    expect(ipcPathOf('ipc:///tmp/broker')).toBe('/tmp/broker');
    expect(ipcPathOf('ipc://@abstract')).toBeUndefined();
    expect(ipcPathOf('tcp://127.0.0.1:1')).toBeUndefined();
  });
});

describe('what checkEndpoint accepts', () => {
  let folder: string;
  beforeAll(() => {
    folder = compileTransport();
  });
  afterAll(() => removeFolder(folder));

  it('never makes zeromq throw on connect, refuse a bind as invalid, or end the process', async () => {
    const child = run(FUZZ, [], folder);
    const result = await child.ended;
    expect(result).toEqual({ code: 0, signal: null, errors: '' });
    const [connected, bound] = (await child.line()).split(' ').map(Number);
    expect(connected).toBeGreaterThan(200);
    expect(bound).toBeGreaterThan(200);
  });
});

/** Odd endpoints from pieces of real ones, given to real sockets if they pass the check. */
const FUZZ = `
import fc from 'fast-check';
import { Router } from 'zeromq';
import { checkEndpoint } from './transport/endpoint.js';
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('127.0.0.1', 'localhost', '*', '[::1]', '::1', 'lo', 'a', 'x'.repeat(60),
    '.', '-', '_', '%', ';', '@', '[', ']', ':', '/', ' ', '0', '5', '65535', '99999', '!', 'é', '\\ud800') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
);
const host = fc.oneof(fc.constantFrom('127.0.0.1', 'localhost', '*', '[::1]', 'lo', 'a.invalid', 'no-nic'), fc.array(piece, { maxLength: 3 }).map((all) => all.join('')));
const port = fc.oneof(fc.constantFrom('*', '0', '00', '5', '1234', '65535', '65536', ''), fc.array(piece, { maxLength: 2 }).map((all) => all.join('')));
const free = fc.array(piece, { maxLength: 5 }).map((all) => all.join(''));
const endpoint = fc.oneof(
  fc.tuple(fc.constantFrom('tcp', 'ws'), host, port).map(([transport, name, number]) => transport + '://' + name + ':' + number),
  fc.tuple(host, port, free).map(([name, number, path]) => 'ws://' + name + ':' + number + '/' + path),
  free.map((name) => 'inproc://' + name),
  free.map((name) => 'ipc://' + name),
  fc.tuple(free, free).map(([scheme, rest]) => scheme + '://' + rest),
  free,
);
const tried = { connected: 0, bound: 0 };
const accepted = (text, purpose) => { try { checkEndpoint(text, purpose); return true; } catch (error) {
  if (error.code !== 'ERR_INVALID_ENDPOINT') throw error; return false; } };
const withSocket = (text, use) => {
  const socket = new Router();
  socket.linger = 0;
  if (text.includes('://[')) socket.ipv6 = true;
  try { use(socket); socket.lastEndpoint; } finally { socket.close(); }
};
fc.assert(fc.property(endpoint, (text) => {
  if (accepted(text, 'connect')) { tried.connected++; withSocket(text, (socket) => socket.connect(text)); }
  if (accepted(text, 'bind') && !text.startsWith('ipc://')) {
    tried.bound++;
    withSocket(text, (socket) => {
      try { socket.bindSync(text); } catch (error) {
        if (!['EADDRINUSE', 'ENODEV', 'EADDRNOTAVAIL', 'EACCES'].includes(error.code)) throw error;
      }
    });
  }
}), { numRuns: 3000, seed: 7 });
console.log(tried.connected, tried.bound);
`;
