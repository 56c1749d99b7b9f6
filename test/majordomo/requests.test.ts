/** The conservation of requests: accepted is queued, in flight, or ended once. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { itemsOf } from '../../src/core/fair-queue.ts';
import { ClientTable, type Client } from '../../src/majordomo/broker/clients.ts';
import {
  RequestBook,
  type PendingRequest,
  type RequestEnd,
} from '../../src/majordomo/broker/requests.ts';

const BOUNDS = { queueLimit: 5, queueBytes: 5000, requestTtl: 100, priorityAgeing: 1000 };

const ask = (service = 'echo', text = 'hello') => ({ service, body: [encodeText(text)] }) as const;

const clients = new ClientTable();

/** As the intake does it: refused without room, and then nobody waits. */
function accept(
  book: RequestBook,
  now: number,
  client: string | Client,
  asked: ReturnType<typeof ask> & { readonly headers?: Uint8Array; readonly timeLeft?: number },
): PendingRequest | undefined {
  if (!book.hasRoom(asked)) return undefined;
  const owner = typeof client === 'string' ? clients.stock(client) : client;
  const number = book.state.accepted;
  return book.accept(now, { ...asked, waiter: { client: owner, dialect: 'mdp0.2', number } });
}

const ENDS: readonly RequestEnd[] = ['replied', 'failed', 'expired', 'cancelled'];

describe('a request', () => {
  test('is accepted, taken and ended once', () => {
    const book = new RequestBook(BOUNDS);
    const request = accept(book, 0, 'client', ask())!;
    expect(book.takeNext('echo')).toBe(request);
    expect(request).toMatchObject({ state: 'inFlight', attempts: 1, expiresAt: 100 });
    book.end(request, 'replied');
    book.end(request, 'failed');
    expect(book.state).toMatchObject({ accepted: 1, queued: 0, queuedBytes: 0, inFlight: 0 });
    expect(book.state.ended).toEqual({ replied: 1, failed: 0, expired: 0, cancelled: 0 });
    expect(request.body).toEqual([]);
  });

  test('that came back goes first, without the partials of the lost worker', () => {
    const book = new RequestBook(BOUNDS);
    const first = accept(book, 0, 'client', ask())!;
    accept(book, 0, 'other', ask());
    book.takeNext('echo');
    first.partials = [encodeText('part')];
    first.partialBytes = 4;
    book.requeue(first, false);
    expect(first).toMatchObject({ attempts: 1, partials: undefined, partialBytes: 0 });
    expect(book.takeNext('echo')).toBe(first);
    expect(first.attempts).toBe(2);
  });

  test('that was handed back before it began has cost no attempt', () => {
    const book = new RequestBook(BOUNDS);
    const request = accept(book, 0, 'client', ask())!;
    book.takeNext('echo');
    book.requeue(request, true);
    expect(request.attempts).toBe(0);
  });

  test('that somebody else has done leaves its queue, and no other place', () => {
    const book = new RequestBook(BOUNDS);
    const first = accept(book, 0, 'client', ask())!;
    const second = accept(book, 0, 'client', ask())!;
    for (let twice = 0; twice < 2; twice++) book.holdBack(first);
    expect(first).toMatchObject({ state: 'inFlight', attempts: 0 });
    expect(book.state).toMatchObject({ queued: 1, queuedBytes: second.bytes, inFlight: 1 });
    expect(book.takeNext('echo')).toBe(second);
    expect(book.hasQueued('echo')).toBe(false);
    book.end(first, 'replied');
    book.holdBack(first);
    expect(book.state).toMatchObject({ queued: 0, inFlight: 1 });
  });

  test('that has ended does not come back', () => {
    const book = new RequestBook(BOUNDS);
    const request = accept(book, 0, 'client', ask())!;
    book.takeNext('echo');
    book.end(request, 'cancelled');
    book.requeue(request, false);
    expect(book.takeNext('echo')).toBeUndefined();
  });

  test('expires in the order of acceptance, queued or not', () => {
    const book = new RequestBook(BOUNDS);
    const first = accept(book, 0, 'client', ask())!;
    const second = accept(book, 10, 'client', ask())!;
    book.takeNext('echo');
    expect(book.nextExpiry).toBe(100);
    expect(book.nextExpired(99)).toBeUndefined();
    expect([book.nextExpired(110), book.nextExpired(110)]).toEqual([first, second]);
  });
});

describe('who waits', () => {
  test('is not known for it once it has ended, or they have left', () => {
    const book = new RequestBook(BOUNDS);
    const [one, two] = [clients.stock('one'), clients.stock('two')];
    const request = accept(book, 0, one, { ...ask(), timeLeft: 20 })!;
    book.join(0, request, { client: two, dialect: 'mdp0.2', number: 7 }, 10);
    expect(book.nextExpiry).toBe(20);
    book.join(10, request, { client: two, dialect: 'mdp0.2', number: 8 }, 30);
    expect(book.nextExpiry).toBe(40);
    book.leave(request, two, 7);
    book.join(10, request, { client: two, dialect: 'mdp0.2', number: 9 }, undefined);
    expect(book.nextExpiry).toBe(BOUNDS.requestTtl);
    book.leave(request, two, 9);
    book.leave(request, two, 7);
    expect([...two.awaited.keys()]).toEqual([8]);
    expect(request.waiters.map(({ number }) => number)).toEqual([request.id, 8]);
    book.end(request, 'replied');
    expect([one.awaited.size, two.awaited.size]).toEqual([0, 0]);
    // Those who are to be told are still there.
    expect(request.waiters).toHaveLength(2);
  });

  test('bounds how long: the shorter of its time and the time to live', () => {
    const book = new RequestBook(BOUNDS);
    const asked = { ...ask(), waiter: undefined };
    expect(book.accept(10, { ...asked, timeLeft: 30 }).expiresAt).toBe(40);
    expect(book.accept(10, { ...asked, timeLeft: 5000 }).expiresAt).toBe(110);
    expect(book.nextExpiry).toBe(40);
  });
});

describe('when to try again', () => {
  test('is unknown at first: the longest wait', () => {
    expect(new RequestBook(BOUNDS).retryAfter).toBe(10_000);
  });

  test('follows the pace of the replies, within bounds', () => {
    const fast = new RequestBook({ ...BOUNDS, queueLimit: 1000 });
    for (let now = 0; now < 100; now++) fast.replied(now);
    expect(fast.retryAfter).toBe(100);
    const faster = new RequestBook(BOUNDS);
    faster.replied(0);
    expect(faster.retryAfter).toBe(10);
    const slow = new RequestBook({ ...BOUNDS, queueLimit: 1000 });
    for (let now = 0; now < 100; now++) slow.replied(now * 1000);
    expect(slow.retryAfter).toBe(10_000);
  });
});

describe('the queue', () => {
  test('refuses by count', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 2 });
    expect(accept(book, 0, 'a', ask())).toBeDefined();
    expect(accept(book, 0, 'a', ask())).toBeDefined();
    expect(accept(book, 0, 'a', ask())).toBeUndefined();
    expect(book.state.accepted).toBe(2);
    book.takeNext('echo');
    expect(accept(book, 0, 'a', ask())).toBeDefined();
  });

  test('refuses by bytes, and empty bodies are not free', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 1000, queueBytes: 10_000 });
    expect(accept(book, 0, 'a', ask('echo', 'x'.repeat(10_001)))).toBeUndefined();
    let accepted = 0;
    while (accept(book, 0, 'a', ask('echo', '')) !== undefined) accepted++;
    expect(accepted).toBeLessThan(100);
    expect(book.state.queuedBytes).toBeLessThanOrEqual(10_000);
  });

  test('counts headers, and for copies that share what they keep only what each costs', () => {
    const book = new RequestBook({ ...BOUNDS, queueBytes: 10_000 });
    expect(book.hasRoom({ ...ask(), headers: new Uint8Array(10_000) })).toBe(false);
    const request = accept(book, 0, 'a', { ...ask(), headers: new Uint8Array(5000) })!;
    expect(book.state.queuedBytes).toBeGreaterThan(5000);
    expect(request.headers).toEqual(new Uint8Array(5000));
    expect(book.hasRoom(ask(), 3)).toBe(true);
    expect(book.hasRoom(ask(), 4)).toBe(false);
  });

  test('takes back beyond its bound what it had accepted before', () => {
    const book = new RequestBook({ ...BOUNDS, queueLimit: 1 });
    const first = accept(book, 0, 'a', ask())!;
    book.takeNext('echo');
    accept(book, 0, 'a', ask());
    book.requeue(first, false);
    expect(book.state.queued).toBe(2);
    expect(accept(book, 0, 'a', ask())).toBeUndefined();
  });

  test('keeps nothing of services and clients that have nothing there', () => {
    const book = new RequestBook(BOUNDS);
    const owner = new ClientTable().stock('a');
    const request = accept(book, 0, owner, ask('rare'))!;
    expect(book.hasQueued('rare')).toBe(true);
    book.end(request, 'cancelled');
    expect(book.hasQueued('rare')).toBe(false);
    expect([book.state.queues.size, book.state.open.size]).toEqual([0, 0]);
    expect(owner.awaited.size).toBe(0);
  });
});

test('requests are conserved, whatever happens to them', () => {
  const operation = fc.record({
    what: fc.constantFrom('accept', 'accept', 'take', 'requeue', 'hold', 'end', 'expire'),
    which: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (operations) => {
      const book = new RequestBook(BOUNDS);
      const owners = ['c0', 'c1', 'c2'].map((address) => new ClientTable().stock(address));
      const all: PendingRequest[] = [];
      for (const [now, { what, which }] of operations.entries()) {
        const service = `s${which % 2}`;
        const request = all[which];
        if (what === 'accept') {
          const accepted = accept(book, now * 5, owners[which % 3]!, ask(service));
          if (accepted !== undefined) all.push(accepted);
        } else if (what === 'take') book.takeNext(service);
        else if (what === 'expire') {
          const expired = book.nextExpired(now * 5);
          if (expired !== undefined) book.end(expired, 'expired');
        } else if (request !== undefined) {
          if (what === 'requeue') book.requeue(request, which % 2 === 0);
          else if (what === 'hold') book.holdBack(request);
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
        const awaited = owners.flatMap((owner) => [...owner.awaited.values()]);
        expect(new Set(awaited)).toEqual(new Set(state.open.values()));
        expect(awaited).toHaveLength(queued.length + state.inFlight);
      }
    }),
    { numRuns: 200 },
  );
});
