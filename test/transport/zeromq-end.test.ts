/** Whatever a program does with its sockets, it ends when it should, and not before. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileTransport, removeFolder, run } from './processes.ts';

describe('the end of the process', () => {
  let compiled: string;
  beforeAll(() => {
    compiled = compileTransport();
  });
  afterAll(() => removeFolder(compiled));

  const OPEN = `
    import { zeromqTransport } from './transport/zeromq.js';
    const dealer = zeromqTransport().open('dealer', { onMessage() {}, onPeerGone() {} });
    const router = zeromqTransport().open('router', { onMessage() {}, onPeerGone() {} });
    dealer.connect('tcp://127.0.0.1:1');
    await new Promise((done) => router.bind('tcp://127.0.0.1:*', done));
    for (let index = 0; index < 100; index++) dealer.send('', [new Uint8Array(1000)], () => {});
    `;
  /** Generous, for busy machines: with zeromq's own defaults these programs would never end. */
  const HANG_LIMIT = 2000;

  it.each([
    ['close(0) ends at once', 'dealer.close(0); router.close(0);', 0, 0],
    ['close(400) ends after the linger', 'dealer.close(400); router.close(400);', 400, 0],
    ['process.exit without close ends at once', 'setImmediate(() => process.exit());', 0, 0],
    [
      'an uncaught error ends at once',
      "setImmediate(() => { throw new Error('on purpose'); });",
      0,
      1,
    ],
  ])('%s', async (_name, ending, linger, expected) => {
    const child = run(`${OPEN} console.log(Date.now()); ${ending}`, [], compiled);
    const begun = Number(await child.line());
    const { code, signal, errors } = await child.ended;
    const took = Date.now() - begun;
    expect({ code, signal, errors: errors.includes('WARNING') }).toEqual({
      code: expected,
      signal: null,
      errors: false,
    });
    expect(took).toBeLessThan(linger + HANG_LIMIT);
    expect(took).toBeGreaterThan(linger - 50);
  });

  it('is not brought about by garbage collection: a socket that nobody holds goes on', async () => {
    const child = run(UNHELD, [], compiled);
    expect(await child.line()).toBe('received');
    expect(await child.ended).toEqual({ code: 0, signal: null, errors: '' });
  });
});

const UNHELD = `
  import { setFlagsFromString } from 'node:v8';
  import { runInNewContext } from 'node:vm';
  import { Dealer } from 'zeromq';
  import { zeromqTransport } from './transport/zeromq.js';
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const endpoint = await new Promise((resolve) => {
    zeromqTransport()
      .open('router', { onMessage: () => { console.log('received'); process.exit(); }, onPeerGone() {} })
      .bind('tcp://127.0.0.1:*', (error, real) => resolve(real));
  });
  for (let round = 0; round < 5; round++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  const dealer = new Dealer({ linger: 0 });
  dealer.connect(endpoint);
  await dealer.send('hello');
  setInterval(() => {}, 1000);
`;
