/** What a Freelance client does until a request has its one outcome, each told as a story. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { body, clientOf, ClientStory } from './client-story.ts';

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);

describe('a request', () => {
  test('goes to the first live server, and its reply is its outcome', () => {
    const client = clientOf(3);
    client.request('x');
    client.request('y');
    client.answer('a', 'y', body('Y'));
    client.answer('a', 'x', body('X', 'more'));
    expect(client.asked).toEqual(['a < x', 'a < y']);
    expect(client.outcomes).toEqual(['1 = Y', '0 = X|more']);
    expect([client.machine.outstanding, client.machine.inFlight]).toEqual([0, 0]);
  });

  test('goes to the fastest one, which is the first while none was measured', () => {
    const client = clientOf(2);
    client.request('x', { strategy: 'fastest' });
    client.wait(50);
    client.answer('a', 'x');
    expect(client.asked).toEqual(['a < x']);
    client.wait(950);
    client.pong('a');
    client.wait(5);
    client.pong('b');
    client.wait(5);
    client.request('y', { strategy: 'fastest' });
    expect(client.asked.at(-1)).toBe('b < y');
    client.wait(5);
    client.answer('b', 'y');
    expect(client.machine.servers[1]!.responseTime).toBe(5);
  });

  test('goes to all of them, and the first answer wins', () => {
    const client = clientOf(3);
    client.request('x', { strategy: 'all', retries: 0 });
    expect(client.asked).toEqual(['a < x', 'b < x', 'c < x']);
    expect(client.machine.inFlight).toBe(1);
    client.answer('c', 'x', body('from c'));
    client.answer('a', 'x', body('from a'));
    client.answer('b', 'x', body('from b'));
    expect(client.outcomes).toEqual(['0 = from c']);
    expect(client.told('replyIgnored').map(({ endpoint }) => endpoint)).toEqual(['a', 'b']);
    expect(client.told('retry')).toEqual([]);
  });

  test('waits for a live server', () => {
    const client = new ClientStory();
    client.request('early');
    client.connect('a', 'b');
    client.request('later');
    expect(client.asked).toEqual([]);
    client.pong('b');
    expect(client.asked).toEqual(['b < early', 'b < later']);
  });

  test('that waited for one is sent once and is no retry', () => {
    const client = new ClientStory();
    client.connect('a');
    client.request('x');
    client.pong('a');
    client.pong('a');
    client.writable('a');
    expect(client.asked).toEqual(['a < x']);
    expect(client.told('retry')).toEqual([]);
  });

  test('has a control frame of its number and its try', () => {
    const client = clientOf(2);
    const id = 0x0102_0304_0506;
    client.call({
      type: 'request',
      id,
      body: body('x'),
      strategy: 'first',
      timeout: 2000,
      retries: 1,
      hedge: false,
    });
    client.gone('a');
    const frames = client.sent.map(({ command }) => [...command.control]);
    expect(frames).toEqual([
      [1, 2, 3, 4, 5, 6, 0, 0],
      [1, 2, 3, 4, 5, 6, 0, 1],
    ]);
    client.reply('b', client.sent[1]!.command.control);
    expect(client.outcomes).toEqual([`${id} = done`]);
  });

  test('fails as the handler failed', () => {
    const client = clientOf(2);
    client.request('x');
    client.fail('a', 'x', 'ERR_HANDLER_FAILED');
    expect(client.told('failed')).toEqual([
      { type: 'failed', id: 0, code: 'ERR_HANDLER_FAILED', message: 'no x' },
    ]);
    expect(client.asked).toEqual(['a < x']);
  });
});

describe('a lost server', () => {
  test('is not asked: the next one is, at once and in order', () => {
    const client = clientOf(3);
    for (const text of ['x', 'y', 'z']) client.request(text);
    client.answer('a', 'y');
    client.gone('a');
    expect(client.asked.slice(3)).toEqual(['b < x', 'b < z']);
    expect(client.told('retry')).toEqual([
      { type: 'retry', id: 0, endpoint: 'b', attempt: 2, reason: 'serverLost' },
      { type: 'retry', id: 2, endpoint: 'b', attempt: 2, reason: 'serverLost' },
    ]);
    client.request('new');
    expect(client.asked.at(-1)).toBe('b < new');
  });

  test('comes back to its rank', () => {
    const client = clientOf(2);
    client.gone('a');
    client.request('x');
    client.wait(100);
    expect(client.sockets).toEqual(['close a', 'open a']);
    client.request('y');
    client.pong('a');
    client.request('z');
    expect(client.asked).toEqual(['b < x', 'b < y', 'a < z']);
  });

  test('found by its silence', () => {
    const client = clientOf(2);
    client.request('x', { timeout: 20_000 });
    for (let second = 0; second < 2; second++) {
      client.wait(1000);
      client.pong('b');
    }
    client.wait(999);
    expect(client.asked).toEqual(['a < x']);
    client.wait(1);
    expect(client.asked).toEqual(['a < x', 'b < x']);
    expect(client.told('serverLost')).toEqual([
      { type: 'serverLost', endpoint: 'a', reason: 'silent' },
    ]);
  });

  test('costs a retry, and no token', () => {
    const client = clientOf(3, { retryBudget: 0, retryBurst: 0 });
    client.request('x', { retries: 2 });
    client.request('none', { retries: 0 });
    client.gone('a');
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT']);
    expect(client.told('failed')[0]!.message).toBe(
      'no reply after 1 try and no retry is left, with 2 of 3 servers live',
    );
    client.gone('b');
    expect(client.asked.slice(2)).toEqual(['b < x', 'c < x']);
    client.gone('c');
    expect(client.outcomes.at(-1)).toBe('0 ! ERR_REQUEST_TIMEOUT');
    expect(client.told('budgetEmpty')).toEqual([]);
  });

  test('that was the last one: what it held waits, before all that is new', () => {
    const client = clientOf(2);
    client.request('x');
    client.request('y');
    client.gone('b');
    client.gone('a');
    client.request('new');
    expect(client.machine.inFlight).toBe(0);
    expect(client.machine.waiting).toBe(3);
    client.wait(100);
    client.pong('b');
    expect(client.asked.slice(2)).toEqual(['b < x', 'b < y', 'b < new']);
    expect(client.told('retry').map(({ id }) => id)).toEqual([0, 1]);
  });

  test('leaves nothing behind, however full the line is', () => {
    const client = clientOf(1, { inFlightLimit: 2, queueLimit: 1 });
    for (const text of ['x', 'y', 'z']) client.request(text);
    client.gone('a');
    expect(client.machine.waiting).toBe(3);
    client.wait(100);
    client.pong('a');
    client.answer('a', 'x');
    expect(client.asked.slice(2)).toEqual(['a < x', 'a < y', 'a < z']);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('answers nothing any more, also after it has come back', () => {
    const client = clientOf(2);
    client.request('x');
    const { control } = client.sent[0]!.command;
    client.gone('a');
    client.reply('a', control);
    client.wait(100);
    client.pong('a');
    client.reply('a', control);
    expect(client.outcomes).toEqual([]);
    expect(client.told('replyIgnored')).toHaveLength(2);
    client.answer('b', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('with one copy of several is no reason for another', () => {
    const client = clientOf(3);
    client.request('x', { strategy: 'all' });
    client.gone('b');
    client.gone('a');
    expect(client.asked).toHaveLength(3);
    client.gone('c');
    client.wait(100);
    client.pong('b');
    expect(client.asked.slice(3)).toEqual(['b < x']);
  });

  test('with ten thousand tries: each goes on to the next one in order, as far as there is room', () => {
    const many = 10_000;
    const client = clientOf(3, { inFlightLimit: many, queueLimit: many, queueBytes: Infinity });
    for (let index = 0; index < many; index++) client.request(String(index));
    client.room.set('b', 4000).set('c', 3000);
    client.gone('a');
    const numbers = (server: string, from: number) =>
      client.sent
        .slice(from)
        .filter(({ to }) => to === server)
        .map(({ command }) => Number(Buffer.from(command.body[0]!).toString()));
    expect(numbers('b', many)).toEqual(range(0, 4000));
    expect(numbers('c', many)).toEqual(range(4000, 7000));
    expect([client.machine.inFlight, client.machine.waiting]).toEqual([7000, 3000]);
    client.writable('c');
    expect(numbers('c', many + 7000)).toEqual(range(7000, many));
    for (const { to, command } of client.sent.slice(many)) client.reply(to, command.control);
    expect(client.outcomes).toHaveLength(many);
    expect(client.told('replyIgnored')).toEqual([]);
    expect([client.machine.inFlight, client.machine.outstanding]).toEqual([0, 0]);
  });
});

describe('a server that is lost beside one that was too slow', () => {
  test('leaves its try to the next one, whatever the budget', () => {
    const client = clientOf(3, { retryBudget: 0, retryBurst: 1 });
    client.request('x', { attemptTimeout: 100 });
    client.wait(100);
    expect(client.asked).toEqual(['a < x', 'b < x']);
    client.gone('b');
    expect(client.asked.at(-1)).toBe('c < x');
    expect(client.told('retry').at(-1)).toMatchObject({ attempt: 3, reason: 'serverLost' });
    client.answer('c', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('with two copies of a request that goes to all leaves it to all the others, once', () => {
    const client = clientOf(3);
    client.request('x', { strategy: 'all', attemptTimeout: 200 });
    client.gone('b');
    client.gone('c');
    client.wait(200);
    expect(client.asked).toEqual(['a < x', 'b < x', 'c < x', 'a < x']);
    client.pong('b', 'c');
    client.wait(100);
    client.gone('a');
    expect(client.asked.slice(4)).toEqual(['b < x', 'c < x']);
    expect(client.told('retry').map(({ attempt }) => attempt)).toEqual([2, 3, 3]);
  });

  test('leaves it to nobody when no retry is left: the other one may still answer', () => {
    const client = clientOf(3);
    client.request('x', { attemptTimeout: 100, retries: 1 });
    client.wait(100);
    client.gone('b');
    expect(client.asked).toEqual(['a < x', 'b < x']);
    client.answer('a', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
  });
});

describe('a try without an answer', () => {
  test('is followed by one more at the next server, and may still answer', () => {
    const client = clientOf(3);
    client.request('x', { timeout: 400 });
    client.wait(99);
    expect(client.asked).toEqual(['a < x']);
    client.wait(1);
    expect(client.asked).toEqual(['a < x', 'b < x']);
    expect(client.told('retry')).toEqual([
      { type: 'retry', id: 0, endpoint: 'b', attempt: 2, reason: 'timeout' },
    ]);
    client.wait(100);
    expect(client.asked.at(-1)).toBe('c < x');
    client.answer('a', 'x');
    client.answer('c', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.told('replyIgnored')).toHaveLength(1);
  });

  test('has the time that it was given', () => {
    const client = clientOf(2);
    client.request('x', { attemptTimeout: 30, retries: 1 });
    client.wait(30);
    expect(client.asked).toHaveLength(2);
    client.wait(500);
    expect(client.asked).toHaveLength(2);
  });

  test('is sent once more to the same server if there is no other', () => {
    const client = clientOf(1);
    client.request('x', { attemptTimeout: 100, retries: 1 });
    client.wait(100);
    expect(client.asked).toEqual(['a < x', 'a < x']);
    client.reply('a', client.sent[0]!.command.control);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('is not followed by another without a token, and goes on to the deadline', () => {
    const client = clientOf(3, { retryBudget: 0, retryBurst: 1 });
    client.request('x', { attemptTimeout: 100 });
    client.request('y', { attemptTimeout: 150 });
    client.wait(150);
    expect(client.asked).toEqual(['a < x', 'a < y', 'b < x']);
    expect(client.told('budgetEmpty')).toEqual([{ type: 'budgetEmpty', id: 1 }]);
    client.wait(1000);
    expect(client.asked).toHaveLength(3);
    client.answer('a', 'y');
    client.wait(850);
    expect(client.outcomes).toEqual(['1 = done', '0 ! ERR_REQUEST_TIMEOUT']);
  });

  test('makes its server slower than those that answer', () => {
    const client = clientOf(2);
    client.wait(1000);
    client.pong('a');
    client.wait(20);
    client.pong('b');
    client.request('x', { strategy: 'fastest', attemptTimeout: 400 });
    client.wait(400);
    client.request('y', { strategy: 'fastest' });
    expect(client.asked).toEqual(['a < x', 'b < x', 'b < y']);
  });
});

describe('the deadline', () => {
  test('is one, whatever happened before it', () => {
    const client = clientOf(2);
    client.request('sent', { timeout: 500, attemptTimeout: 400 });
    client.gone('a');
    client.wait(300);
    client.gone('b');
    client.request('waiting', { timeout: 150 });
    client.wait(149);
    expect(client.outcomes).toEqual([]);
    client.wait(1);
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT']);
    client.wait(50);
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT', '0 ! ERR_REQUEST_TIMEOUT']);
    expect(client.told('failed').map(({ message }) => message)).toEqual([
      'no server could be asked within 150 ms, with 0 of 2 servers live: are they running, and do they speak 10/FLP?',
      'no reply after 2 tries within 500 ms, with 0 of 2 servers live',
    ]);
    expect([client.machine.inFlight, client.machine.waiting]).toEqual([0, 0]);
  });

  test('says how many servers are live', () => {
    const client = clientOf(3);
    client.gone('c');
    client.request('x', { timeout: 50, retries: 0 });
    client.full.add('a').add('b');
    client.request('y', { timeout: 50 });
    client.wait(50);
    expect(client.told('failed').map(({ message }) => message)).toEqual([
      'no reply after 1 try within 50 ms, with 2 of 3 servers live',
      'no server could be asked within 50 ms, with 2 of 3 servers live: all were busy',
    ]);
  });

  test('may be never: then tries end all the same', () => {
    const client = clientOf(2, { heartbeatInterval: 600_000 });
    client.request('x', { timeout: Infinity, retries: 1 });
    client.wait(59_999);
    expect(client.asked).toHaveLength(1);
    client.wait(1);
    expect(client.asked).toEqual(['a < x', 'b < x']);
    client.wait(500_000);
    expect(client.outcomes).toEqual([]);
  });
});

describe('a hedge', () => {
  const hedged = { hedge: true, attemptTimeout: 1900 };

  test('is a second copy to the next server, after the p95 of recent replies', () => {
    const client = clientOf(3);
    client.warmUp('a', 20, 10);
    client.request('x', hedged);
    client.wait(9);
    expect(client.asked).toEqual(['a < x']);
    client.wait(1);
    expect(client.asked).toEqual(['a < x', 'b < x']);
    expect(client.told('hedge')).toEqual([{ type: 'hedge', id: 20, endpoint: 'b' }]);
    client.wait(500);
    expect(client.asked).toHaveLength(2);
    client.answer('b', 'x', body('from b'));
    client.answer('a', 'x', body('from a'));
    expect(client.outcomes).toEqual(['20 = from b']);
    expect(client.told('replyIgnored')).toEqual([{ type: 'replyIgnored', endpoint: 'a' }]);
  });

  test('waits until there are twenty times, and is for those who asked', () => {
    const client = clientOf(2);
    client.warmUp('a', 19, 10);
    client.request('x', hedged);
    client.wait(100);
    client.answer('a', 'x');
    client.request('y', { ...hedged, hedge: false });
    client.wait(200);
    expect(client.asked).toEqual(['a < x', 'a < y']);
  });

  test('never goes to the server that has the request', () => {
    const client = clientOf(1);
    client.warmUp('a', 20, 10);
    client.request('x', hedged);
    client.wait(500);
    expect(client.asked).toEqual(['a < x']);
    client.connect('b');
    client.pong('b');
    client.request('y', hedged);
    client.gone('b');
    client.wait(50);
    expect(client.asked).toEqual(['a < x', 'a < y']);
    expect(client.told('budgetEmpty')).toEqual([]);
  });

  test('costs a token, and is not sent without one', () => {
    const client = clientOf(2, { retryBudget: 0, retryBurst: 2 });
    client.warmUp('a', 20, 10);
    for (const text of ['x', 'y', 'z']) client.request(text, hedged);
    client.wait(50);
    expect(client.asked.slice(3)).toEqual(['b < x', 'b < y']);
    expect(client.told('budgetEmpty')).toEqual([{ type: 'budgetEmpty', id: 22 }]);
  });

  test('in the long run is sent for one request in ten', () => {
    const client = clientOf(2, { retryBurst: 1 });
    client.warmUp('a', 20, 10);
    for (let index = 0; index < 101; index++) {
      client.request(`x${index}`, hedged);
      client.wait(10);
      client.answer('a', `x${index}`);
      client.pong('a', 'b');
    }
    expect(client.told('hedge')).toHaveLength(11);
  });

  test('is sent once, also when both copies were lost', () => {
    const client = clientOf(4);
    client.warmUp('a', 20, 10);
    client.request('x', hedged);
    client.wait(10);
    client.gone('a');
    client.gone('b');
    client.wait(60);
    expect(client.asked).toEqual(['a < x', 'b < x', 'c < x']);
    expect(client.told('hedge')).toHaveLength(1);
  });

  test('is not for a request that went to all', () => {
    const client = clientOf(2);
    client.warmUp('a', 20, 10);
    client.request('x', { ...hedged, strategy: 'all' });
    client.connect('c');
    client.pong('c');
    client.wait(100);
    expect(client.asked).toEqual(['a < x', 'b < x']);
  });

  test('counts as a retry', () => {
    const client = clientOf(3);
    client.warmUp('a', 20, 10);
    client.request('x', { ...hedged, retries: 0 });
    client.request('y', { hedge: true, retries: 1, attemptTimeout: 100 });
    client.wait(500);
    expect(client.asked).toEqual(['a < x', 'a < y', 'b < y']);
  });

  test('that is left alone when the first server is lost is enough, and fails over itself', () => {
    const client = clientOf(3);
    client.warmUp('a', 20, 10);
    client.request('x', hedged);
    client.wait(10);
    client.gone('a');
    expect(client.asked).toEqual(['a < x', 'b < x']);
    client.gone('b');
    expect(client.asked.at(-1)).toBe('c < x');
  });
});

describe('a refusal', () => {
  test('of a full server is no answer: the next one is asked, for a token', () => {
    const client = clientOf(3, { retryBudget: 0, retryBurst: 1 });
    client.request('x');
    client.fail('a', 'x', 'ERR_QUEUE_FULL');
    expect(client.asked).toEqual(['a < x', 'b < x']);
    expect(client.told('retry')).toMatchObject([{ endpoint: 'b', attempt: 2, reason: 'refused' }]);
    client.fail('b', 'x', 'ERR_QUEUE_FULL');
    expect(client.outcomes).toEqual(['0 ! ERR_QUEUE_FULL']);
    expect(client.told('budgetEmpty')).toHaveLength(1);
    client.request('y');
    expect(client.asked.at(-1)).toBe('a < y');
  });

  test('of all that are live is the outcome', () => {
    const client = clientOf(2);
    client.request('x');
    client.fail('a', 'x', 'ERR_QUEUE_FULL');
    client.fail('b', 'x', 'ERR_QUEUE_FULL');
    expect(client.outcomes).toEqual(['0 ! ERR_QUEUE_FULL']);
    expect(client.asked).toHaveLength(2);
  });

  test('of one of several copies leaves the others', () => {
    const client = clientOf(3);
    client.request('x', { strategy: 'all' });
    client.fail('a', 'x', 'ERR_QUEUE_FULL');
    client.fail('b', 'x', 'ERR_SERVER_CLOSING');
    expect(client.outcomes).toEqual([]);
    expect(client.asked).toHaveLength(3);
    client.answer('c', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('of a closing server costs no token, and it is asked nothing more until it comes anew', () => {
    const client = clientOf(2, { retryBudget: 0, retryBurst: 0 });
    client.request('before');
    client.request('x');
    client.fail('a', 'x', 'ERR_SERVER_CLOSING');
    client.request('y');
    expect(client.asked.slice(2)).toEqual(['b < x', 'b < y']);
    client.answer('a', 'before');
    expect(client.outcomes).toEqual(['0 = done']);
    client.gone('a');
    client.wait(100);
    client.pong('a');
    client.request('z');
    expect(client.asked.at(-1)).toBe('a < z');
  });

  test('of a closing server is forgotten after one expiry: another process may be there by then', () => {
    const client = clientOf(1);
    client.request('x', { timeout: 10_000 });
    client.fail('a', 'x', 'ERR_SERVER_CLOSING');
    for (let beat = 0; beat < 3; beat++) {
      expect(client.asked).toEqual(['a < x']);
      client.wait(1000);
      client.pong('a');
    }
    expect(client.asked).toEqual(['a < x', 'a < x']);
    expect(client.told('serverLost')).toEqual([]);
  });

  test('of a closing server costs no token beside another copy either', () => {
    const client = clientOf(3, { retryBudget: 0, retryBurst: 1 });
    client.request('x', { attemptTimeout: 100 });
    client.wait(100);
    client.fail('b', 'x', 'ERR_SERVER_CLOSING');
    expect(client.asked).toEqual(['a < x', 'b < x', 'c < x']);
    client.answer('a', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('is forgotten when another try took too long', () => {
    const client = clientOf(2);
    client.request('x', { attemptTimeout: 100 });
    client.wait(100);
    client.fail('b', 'x', 'ERR_QUEUE_FULL');
    expect(client.asked).toEqual(['a < x', 'b < x']);
    client.wait(100);
    expect(client.asked.at(-1)).toBe('b < x');
  });

  test('of the only server, as it closes: the request waits for it to come anew', () => {
    const client = clientOf(1);
    client.request('x');
    client.fail('a', 'x', 'ERR_SERVER_CLOSING');
    expect([client.machine.waiting, client.machine.inFlight]).toEqual([1, 0]);
    client.gone('a');
    client.wait(100);
    client.pong('a');
    expect(client.asked).toEqual(['a < x', 'a < x']);
    expect(client.told('retry')).toMatchObject([{ endpoint: 'a', reason: 'refused' }]);
  });

  test.each(['ERR_SERVER_CLOSING', 'ERR_QUEUE_FULL'] as const)(
    'is the outcome when no retry is left: %s',
    (code) => {
      const client = clientOf(2);
      client.request('x', { retries: 0 });
      client.fail('a', 'x', code);
      expect(client.outcomes).toEqual([`0 ! ${code}`]);
      expect([client.machine.inFlight, client.machine.waiting]).toEqual([0, 0]);
    },
  );
});

describe('a reply', () => {
  test('from a server that was not asked is ignored', () => {
    const client = clientOf(2);
    client.request('x');
    const { control } = client.sent[0]!.command;
    client.reply('b', control, body('forged'));
    expect(client.outcomes).toEqual([]);
    client.reply('a', control);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test.each([[], [0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 9], [255, 255, 255, 255, 255, 255, 255, 255]])(
    'with a control frame that is nobody’s is ignored: %j',
    (...bytes) => {
      const client = clientOf(1);
      client.request('x');
      client.reply('a', Uint8Array.from(bytes));
      client.reply('a', encodeText('PING'));
      expect(client.outcomes).toEqual([]);
      expect(client.told('replyIgnored')).toHaveLength(2);
    },
  );

  test('twice is one', () => {
    const client = clientOf(1);
    client.request('x');
    client.answer('a', 'x');
    client.answer('a', 'x');
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.told('replyIgnored')).toHaveLength(1);
  });

  test('is a sign of life', () => {
    const client = clientOf(1);
    client.request('x');
    client.wait(2900);
    client.reply('a', encodeText('late'));
    client.wait(2900);
    expect(client.states).toEqual(['a live']);
  });

  test('makes no server live: only a pong does', () => {
    const client = new ClientStory();
    client.connect('a');
    client.reply('a', encodeText('early'));
    expect(client.states).toEqual(['a connecting']);
  });

  test('keeps its bytes when the message’s are overwritten', () => {
    const client = clientOf(1);
    client.request('x');
    const borrowed = encodeText('done');
    client.answer('a', 'x', [borrowed]);
    borrowed.fill(0);
    expect(client.outcomes).toEqual(['0 = done']);
  });
});

describe('bounds', () => {
  test('as many as allowed are under way, the others wait their turn', () => {
    const client = clientOf(2, { inFlightLimit: 2 });
    for (const text of ['w', 'x', 'y', 'z']) client.request(text);
    expect(client.asked).toEqual(['a < w', 'a < x']);
    client.answer('a', 'x');
    expect(client.asked.at(-1)).toBe('a < y');
    expect([client.machine.inFlight, client.machine.waiting]).toEqual([2, 1]);
  });

  test('a full queue refuses by name, by count and by bytes', () => {
    const bounds = { inFlightLimit: 1, queueLimit: 2, queueBytes: 410 };
    const client = clientOf(1, bounds);
    client.request('sent');
    client.request('12345');
    client.request('123456');
    client.request('x');
    client.request('y');
    expect(client.outcomes).toEqual(['2 ! ERR_QUEUE_FULL', '4 ! ERR_QUEUE_FULL']);
    client.answer('a', 'sent');
    client.answer('a', '12345');
    client.request('z'.repeat(1000));
    expect(client.outcomes.at(-1)).toBe('1 = done');
  });

  test('a server whose queue is full is passed over until it is writable', () => {
    const client = clientOf(2);
    client.full.add('a');
    client.request('x');
    client.full.add('b');
    client.request('y');
    client.request('z');
    expect(client.asked).toEqual(['b < x']);
    expect([client.machine.inFlight, client.machine.waiting]).toEqual([1, 2]);
    client.writable('a');
    expect(client.asked).toEqual(['b < x', 'a < y', 'a < z']);
  });
});

describe('the end', () => {
  test('of a cancelled request is at once, waiting or sent, and its reply is ignored', () => {
    const client = clientOf(1, { inFlightLimit: 1 });
    const sent = client.request('sent');
    const waiting = client.request('waiting');
    client.request('next');
    client.cancel(waiting);
    client.cancel(sent);
    client.cancel(sent);
    expect(client.outcomes).toEqual(['1 ! ERR_CANCELLED', '0 ! ERR_CANCELLED']);
    client.answer('a', 'sent');
    expect(client.told('replyIgnored')).toHaveLength(1);
    client.wait(1);
    expect(client.asked).toEqual(['a < sent', 'a < next']);
  });

  test('of one gives its room to who has waited, and not to who has just come', () => {
    const client = clientOf(1, { inFlightLimit: 1 });
    const sent = client.request('sent');
    client.request('waiting');
    client.cancel(sent);
    client.request('new');
    client.wait(1);
    expect(client.asked).toEqual(['a < sent', 'a < waiting']);
  });

  test('of many that one signal cancels lets none of them be sent', () => {
    const client = clientOf(1, { inFlightLimit: 2 });
    const ids = ['v', 'w', 'x', 'y', 'z'].map((text) => client.request(text));
    for (const id of ids) client.cancel(id);
    client.wait(10);
    expect(client.asked).toEqual(['a < v', 'a < w']);
    expect(client.outcomes).toHaveLength(5);
  });

  test('by drain takes nothing new and waits for what is outstanding', () => {
    const client = clientOf(2);
    client.request('x');
    client.call({ type: 'drain' });
    client.request('new');
    expect(client.outcomes).toEqual(['1 ! ERR_CANCELLED']);
    client.gone('a');
    client.answer('b', 'x');
    expect(client.told('drained')).toHaveLength(1);
    expect(client.sockets).toEqual(['close a', 'close b']);
    client.connect('c');
    client.request('late');
    expect(client.sockets).toHaveLength(2);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });

  test('by stop cancels all, and sends nothing', () => {
    const client = clientOf(1, { inFlightLimit: 1 });
    client.request('sent');
    client.request('waiting');
    client.call({ type: 'stop' });
    client.call({ type: 'drain' });
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED', '1 ! ERR_CANCELLED']);
    expect(client.asked).toEqual(['a < sent']);
    expect(client.told('drained')).toHaveLength(1);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });
});
