/** The conservation of requests: accepted is queued, in flight, or ended once. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { itemsOf } from '../../src/majordomo/fair-queue.ts';
import { RequestBook, type PendingRequest, type RequestEnd } from '../../src/majordomo/requests.ts';

const BOUNDS = { queueLimit: 5, queueBytes: 5000, requestTtl: 100 };

const ask = (service = 'echo', text = 'hello') =>
  ({ type: 'request', dialect: 'mdp0.2', service, body: [encodeText(text)] }) as const;

const ENDS: readonly RequestEnd[] = ['replied', 'failed', 'expired', 'cancelled'];

describe('a request', () => {
  test('is accepted, taken and ended once', () => {
    const book = new RequestBook(BOUNDS);
    const request = book.accept(0, 'client', ask())!;
    expect(book.takeNext('echo')).toBe(request);
    expect(request).toMatchObject({ state: 'inFlight', attempts: 1, expiresAt: 100 });
    book.end(request, 'replied');
    book.end(request, 'failed');
    expect(book.state).toMatchObject({ accepted: 1, queued: 0, queuedBytes: 0, inFlight: 0 });
    expect(book.state.ended).toEqual({ replied: 1, failed: 0, expired: 0, cancelled: 0 });
    expect(request.body).toEqual([]);
  });

  test('owns the bytes of its body', () => {
    const command = ask();
    const request = new RequestBook(BOUNDS).accept(0, 'client', command)!;
    command.body[0].fill(0);
    expect(request.body).toEqual([encodeText('hello')]);
  });

  test('that came back goes first, without the partials of the lost worker', () => {
    const book = new RequestBook(BOUNDS);
    const first = book.accept(0, 'client', ask())!;
    book.accept(0, 'other', ask());
    book.takeNext('echo');
    first.partials.push(encodeText('part'));
    first.partialBytes = 4;
    book.requeue(first, false);
    expect(first).toMatchObject({ attempts: 1, partials: [], partialBytes: 0 });
    expect(book.takeNext('echo')).toBe(first);
    expect(first.attempts).toBe(2);
  });

  test('that was handed back before it began has cost no attempt', () => {
    const book = new RequestBook(BOUNDS);
    const request = book.accept(0, 'client', ask())!;
    book.takeNext('echo');
    book.requeue(request, true);
    expect(request.attempts).toBe(0);
  });

  test('that has ended does not come back', () => {
    const book = new RequestBook(BOUNDS);
    const request = book.accept(0, 'client', ask())!;
    book.takeNext('echo');
    book.end(request, 'cancelled');
    book.requeue(request, false);
    expect(book.takeNext('echo')).toBeUndefined();
  });

  test('expires in the order of acceptance, queued or not', () => {
    const book = new RequestBook(BOUNDS);
    const first = book.accept(0, 'client', ask())!;
    const second = book.accept(10, 'client', ask())!;
    book.takeNext('echo');
    expect(book.nextExpiry).toBe(100);
    expect(book.nextExpired(99)).toBeUndefined();
    expect([book.nextExpired(110), book.nextExpired(110)]).toEqual([first, second]);
  });
});

describe('the queue', () => {
  test('refuses by count', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 2 });
    expect(book.accept(0, 'a', ask())).toBeDefined();
    expect(book.accept(0, 'a', ask())).toBeDefined();
    expect(book.accept(0, 'a', ask())).toBeUndefined();
    expect(book.state.accepted).toBe(2);
    book.takeNext('echo');
    expect(book.accept(0, 'a', ask())).toBeDefined();
  });

  test('refuses by bytes, and empty bodies are not free', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 1000, queueBytes: 10_000 });
    expect(book.accept(0, 'a', ask('echo', 'x'.repeat(10_001)))).toBeUndefined();
    let accepted = 0;
    while (book.accept(0, 'a', ask('echo', '')) !== undefined) accepted++;
    expect(accepted).toBeLessThan(100);
    expect(book.state.queuedBytes).toBeLessThanOrEqual(10_000);
  });

  test('takes back beyond its bound what it had accepted before', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 1 });
    const first = book.accept(0, 'a', ask())!;
    book.takeNext('echo');
    book.accept(0, 'a', ask());
    book.requeue(first, false);
    expect(book.state.queued).toBe(2);
    expect(book.accept(0, 'a', ask())).toBeUndefined();
  });

  test('keeps nothing of services and clients that have nothing there', () => {
    const book = new RequestBook(BOUNDS);
    const request = book.accept(0, 'a', ask('rare'))!;
    expect(book.hasQueued('rare')).toBe(true);
    book.end(request, 'cancelled');
    expect(book.hasQueued('rare')).toBe(false);
    expect([book.state.queues.size, book.state.clients.size]).toEqual([0, 0]);
  });
});

test('requests are conserved, whatever happens to them', () => {
  const operation = fc.record({
    what: fc.constantFrom('accept', 'accept', 'take', 'requeue', 'end', 'expire'),
    which: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (operations) => {
      const book = new RequestBook(BOUNDS);
      const all: PendingRequest[] = [];
      for (const [now, { what, which }] of operations.entries()) {
        const service = `s${which % 2}`;
        const request = all[which];
        if (what === 'accept') {
          const accepted = book.accept(now * 5, `c${which % 3}`, ask(service));
          if (accepted !== undefined) all.push(accepted);
        } else if (what === 'take') book.takeNext(service);
        else if (what === 'expire') {
          const expired = book.nextExpired(now * 5);
          if (expired !== undefined) book.end(expired, 'expired');
        } else if (request !== undefined) {
          if (what === 'requeue') book.requeue(request, which % 2 === 0);
          else book.end(request, ENDS[which % 4]!);
        }
        const inState = (state: PendingRequest['state']) =>
          all.filter((other) => other.state === state);
        const { state } = book;
        const queued = [...state.queues.values()].flatMap((queue) => [...itemsOf(queue)]);
        expect(new Set(queued)).toEqual(new Set(inState('queued')));
        expect(new Set(book.queued())).toEqual(new Set(inState('queued')));
        expect(state.queued).toBe(queued.length);
        expect(state.queuedBytes).toBe(queued.reduce((sum, { bytes }) => sum + bytes, 0));
        expect(state.inFlight).toBe(inState('inFlight').length);
        expect(state.accepted).toBe(all.length);
        for (const end of ENDS) expect(state.ended[end]).toBe(inState(end).length);
        const ofClients = ['c0', 'c1', 'c2'].flatMap((client) => [...book.ofClient(client)]);
        expect(ofClients).toHaveLength(queued.length + state.inFlight);
      }
    }),
    { numRuns: 200 },
  );
});
