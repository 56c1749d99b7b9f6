/** The conservation of requests: admitted is queued, in flight, or ended once, in any pattern. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { itemsOf } from '../../src/core/fair-queue.ts';
import { encodeText } from '../../src/core/frames.ts';
import { RequestBook, type BookedRequest, type RequestEnd } from '../../src/core/request-book.ts';

const BOUNDS = { queueLimit: 3, queueBytes: 1000, requestTtl: 100 };

const ENDS: readonly RequestEnd[] = ['replied', 'failed', 'expired', 'cancelled'];

interface Choices {
  readonly now?: number;
  readonly owner?: string;
  readonly line?: string;
  readonly bytes?: number;
  readonly priority?: number;
  readonly starts?: boolean;
}

function admit(book: RequestBook<BookedRequest>, choices: Choices = {}): BookedRequest {
  const { now = 0, owner = 'client', line = '', bytes = 10, priority = 0, starts } = choices;
  const request: BookedRequest = {
    id: book.state.accepted,
    owner,
    line,
    priority,
    body: [encodeText('hello')],
    bytes,
    acceptedAt: now,
    expiresAt: book.expiryOf(now),
    state: starts === true ? 'inFlight' : 'queued',
    attempts: starts === true ? 1 : 0,
  };
  book.admit(request);
  return request;
}

const newBook = (bounds = {}) => new RequestBook<BookedRequest>({ ...BOUNDS, ...bounds });

describe('a request', () => {
  test('is taken, and ends once', () => {
    const book = newBook();
    const request = admit(book);
    expect(book.takeNext()).toBe(request);
    expect(request).toMatchObject({ state: 'inFlight', attempts: 1, expiresAt: 100 });
    expect([book.end(request, 'replied'), book.end(request, 'failed')]).toEqual([true, false]);
    expect(book.state).toMatchObject({ accepted: 1, queued: 0, queuedBytes: 0, inFlight: 0 });
    expect(book.state.ended).toEqual({ replied: 1, failed: 0, expired: 0, cancelled: 0 });
    expect(request.body).toEqual([]);
  });

  test('that starts at once never waits', () => {
    const book = newBook();
    const request = admit(book, { starts: true });
    expect(book.hasQueued()).toBe(false);
    expect(book.state).toMatchObject({ queued: 0, inFlight: 1 });
    expect(book.requeue(request, true)).toBe(true);
    expect(request).toMatchObject({ state: 'queued', attempts: 0 });
  });

  test('that came back goes first, before those of other clients', () => {
    const book = newBook();
    const first = admit(book, { owner: 'one' });
    admit(book, { owner: 'two' });
    book.takeNext();
    book.requeue(first, false);
    expect(book.takeNext()).toBe(first);
    expect(first.attempts).toBe(2);
  });

  test('that is not in flight does not come back', () => {
    const book = newBook();
    const request = admit(book);
    expect(book.requeue(request, false)).toBe(false);
    book.takeNext();
    book.end(request, 'cancelled');
    expect(book.requeue(request, false)).toBe(false);
    expect(book.takeNext()).toBeUndefined();
    expect(book.state.queued).toBe(0);
  });

  test('expires in the order of acceptance, queued or not, and not before', () => {
    const book = newBook();
    const first = admit(book);
    const second = admit(book, { now: 10 });
    book.takeNext();
    expect(book.nextExpiry).toBe(100);
    expect(book.nextExpired(99)).toBeUndefined();
    expect([book.nextExpired(110), book.nextExpired(110)]).toEqual([first, second]);
  });

  test('lives as long as somebody waits, within its time to live', () => {
    const book = newBook();
    expect([book.expiryOf(10), book.expiryOf(10, 30), book.expiryOf(10, 500)]).toEqual([
      110, 40, 110,
    ]);
    const request = admit(book);
    book.prolong(request, 50);
    expect(book.nextExpiry).toBe(100);
    book.prolong(request, 150);
    expect(book.nextExpiry).toBe(150);
  });
});

describe('the queue', () => {
  test('has room for so many, and so many bytes', () => {
    const book = newBook();
    expect([book.fits(1000), book.fits(1001)]).toEqual([true, false]);
    expect([book.fits(0, 3), book.fits(0, 4)]).toEqual([true, false]);
    admit(book, { bytes: 400 });
    expect([book.fits(600, 2), book.fits(601), book.fits(0, 3)]).toEqual([true, false, false]);
    book.takeNext();
    expect(book.fits(1000, 3)).toBe(true);
  });

  test('serves the clients in turn, and the priorities as they age', () => {
    const fair = newBook();
    const [first] = [admit(fair, { owner: 'one' }), admit(fair, { owner: 'one' })];
    const other = admit(fair, { owner: 'two' });
    expect([fair.takeNext(), fair.takeNext()]).toEqual([first, other]);
    const ageing = newBook({ priorityAgeing: 10 });
    const old = admit(ageing);
    const young = admit(ageing, { now: 15, priority: 1 });
    const high = admit(ageing, { now: 15, priority: 2 });
    expect([1, 2, 3].map(() => ageing.takeNext())).toEqual([high, old, young]);
  });

  test('is one for each line, of which nothing stays', () => {
    const book = newBook();
    const [here, there] = [admit(book, { line: 'here' }), admit(book, { line: 'there' })];
    expect([book.hasQueued('here'), book.hasQueued()]).toEqual([true, false]);
    expect(book.takeNext('there')).toBe(there);
    book.end(here, 'cancelled');
    expect([book.state.queues.size, book.state.open.size]).toEqual([0, 1]);
  });
});

describe('when to try again', () => {
  test('is unknown at first, and follows the pace of the replies within bounds', () => {
    const book = newBook({ queueLimit: 1000 });
    expect(book.retryAfter).toBe(10_000);
    for (let now = 0; now < 100; now++) book.replied(now);
    expect(book.retryAfter).toBe(100);
    for (let now = 1; now < 100; now++) book.replied(now * 1000);
    expect(book.retryAfter).toBe(10_000);
  });
});

test('requests are conserved, whatever happens to them', () => {
  const operation = fc.record({
    what: fc.constantFrom('queue', 'queue', 'start', 'take', 'requeue', 'end', 'expire'),
    which: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80, size: 'max' }), (operations) => {
      const book = newBook();
      const all: BookedRequest[] = [];
      for (const [step, { what, which }] of operations.entries()) {
        const now = step * 5;
        const choices = { now, owner: `c${which % 3}`, line: `l${which % 2}`, bytes: 10 * which };
        const request = all[which];
        if (what === 'start') all.push(admit(book, { ...choices, starts: true }));
        else if (what === 'queue') {
          if (book.fits(choices.bytes)) all.push(admit(book, choices));
        } else if (what === 'take') book.takeNext(choices.line);
        else if (what === 'expire') {
          const expired = book.nextExpired(now);
          if (expired !== undefined) book.end(expired, 'expired');
        } else if (request !== undefined) {
          if (what === 'requeue') book.requeue(request, which % 2 === 0);
          else book.end(request, ENDS[which % 4]!);
        }
        expect(contradictions(book, all)).toEqual([]);
      }
    }),
    { numRuns: 200 },
  );
});

/** What does not fit together, in words; nothing while all is well. */
function* contradicting(
  { state }: RequestBook<BookedRequest>,
  all: readonly BookedRequest[],
): Generator<string> {
  const inState = (name: BookedRequest['state']) => all.filter((it) => it.state === name);
  const waiting = inState('queued');
  const queued = [...state.queues.values()].flatMap((queue) => [...itemsOf(queue)]);
  if (queued.length !== waiting.length) yield 'in queues, and queued';
  if (waiting.some((request) => !queued.includes(request))) yield 'queued, and in no queue';
  if (state.queued !== queued.length) yield 'the count of queued requests';
  if (state.queuedBytes !== queued.reduce((sum, { bytes }) => sum + bytes, 0)) yield 'their bytes';
  if (state.inFlight !== inState('inFlight').length) yield 'the count of those in flight';
  if (state.accepted !== all.length) yield 'the count of all';
  for (const end of ENDS) if (state.ended[end] !== inState(end).length) yield `the count of ${end}`;
  if (state.open.size !== state.queued + state.inFlight) yield 'open is not queued and in flight';
}

function contradictions(
  book: RequestBook<BookedRequest>,
  all: readonly BookedRequest[],
): readonly string[] {
  return [...contradicting(book, all)];
}
