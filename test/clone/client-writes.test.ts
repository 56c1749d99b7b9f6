/** What becomes of a Clone client's writes: each told as a story. */
import { describe, expect, test } from 'vitest';
import { ClientStory, PlainServer, synchronised } from './client-story.ts';

describe('a write', () => {
  test('is numbered, sent, answered, and done once the map shows it', () => {
    const { client, server } = synchronised();
    client.write({ key: '/a', text: 'x', ttl: 500, ifMatch: 1 });
    client.write({ kind: 'delete', key: '/b' });
    client.write({ kind: 'clear', key: '/c/' });
    expect(client.written).toEqual(['1^1 set /a=x', '2^1 delete /b', '3^1 clear /c/']);
    expect(client.writes[0]).toMatchObject({ ttl: 500, ifMatch: 1 });
    client.done(1, 3);
    expect(client.outcomes).toEqual([]);
    client.hear(server.set('/a', 'x'));
    expect(client.outcomes).toEqual(['0 done @3']);
    client.hear(server.delete('/b'));
    client.done(2, 4, false);
    expect(client.told('written')[1]).toMatchObject({ outcome: 'done', isReplicated: false });
    expect(client.machine.inFlight).toBe(1);
  });

  test('that changed nothing is done as soon as the map is known to be that new', () => {
    const { client, server } = synchronised({ subtree: '/x/' });
    server.set('/y', 'of no interest');
    client.write({ kind: 'delete', key: '/x/nothing' });
    client.done(1, 3);
    expect(client.outcomes).toEqual([]);
    client.hear(server.beat());
    expect(client.outcomes).toEqual(['0 done @3']);
  });

  test('outside of what is followed is done when it is answered', () => {
    const { client } = synchronised({ subtree: '/x/' });
    client.set('/y', '1');
    client.write({ kind: 'clear', key: '/y/' });
    client.write({ kind: 'clear', key: '/' });
    client.done(1, 3);
    client.done(2, 4);
    client.done(3, 5);
    expect(client.outcomes).toEqual(['0 done @3', '1 done @4']);
  });

  test('that is refused ends at once', () => {
    const { client } = synchronised();
    client.write({ key: '/a', ifMatch: 0 });
    client.hear({
      type: 'result',
      number: 1,
      refusal: 'conflict',
      revision: 1,
      isReplicated: false,
    });
    expect(client.told('written')).toEqual([
      {
        type: 'written',
        token: 0,
        outcome: 'refused',
        refusal: 'conflict',
        revision: 1,
        retryAfter: undefined,
      },
    ]);
  });

  test('waits until a server serves', () => {
    const client = new ClientStory();
    client.set('/a', '1');
    client.connect('a');
    expect(client.written).toEqual([]);
    client.hear(new PlainServer().begin('snapshot'));
    expect(client.written).toEqual(['1^1 set /a=1']);
  });

  test('that nobody asked for, or twice, is no answer', () => {
    const { client, server } = synchronised();
    client.set('/a', 'x');
    client.hear(server.set('/a', 'x'));
    client.done(2, 3);
    client.done(1, 3);
    client.done(1, 3);
    expect(client.outcomes).toEqual(['0 done @3']);
    expect(client.takeEvents()).toEqual(['ignored unexpected', 'written', 'ignored unexpected']);
  });
});

describe('many writes', () => {
  test('are not sent beyond what may be in flight; the others follow in order', () => {
    const { client, server } = synchronised({ inFlightLimit: 2, queueLimit: 2 });
    for (const text of ['1', '2', '3', '4', '5']) client.set('/a', text);
    expect(client.written).toEqual(['1^1 set /a=1', '2^1 set /a=2']);
    expect(client.outcomes).toEqual(['4 queueFull']);
    client.hear(server.set('/a', '1'));
    client.done(1, 3);
    expect(client.written.at(-1)).toBe('3^2 set /a=3');
    expect([client.machine.waiting, client.machine.inFlight]).toEqual([1, 2]);
  });

  test('of many bytes are bounded by these, but for one alone', () => {
    const { client } = synchronised({ queueBytes: 1000 });
    client.set('/a', 'x'.repeat(5000));
    client.set('/b', 'x');
    client.set('/c', 'x'.repeat(5000));
    expect(client.written).toHaveLength(1);
    expect(client.outcomes).toEqual(['2 queueFull']);
  });

  test('wait while there is no room on the way, and go on in order', () => {
    const { client } = synchronised();
    client.room = 1;
    for (const text of ['1', '2', '3']) client.set('/a', text);
    expect(client.written).toEqual(['1^1 set /a=1']);
    // One is for what it says of its progress.
    client.writable(3);
    expect(client.written.slice(1)).toEqual(['2^1 set /a=2', '3^1 set /a=3']);
  });

  test('are sent again after a link broke, in order and under their numbers', () => {
    const { client, server } = synchronised();
    for (const text of ['1', '2', '3']) client.set('/a', text);
    client.hear(server.set('/a', '1'));
    client.done(1, 3);
    client.gone();
    client.set('/a', '4');
    client.takeEvents();
    client.wait(100);
    server.stream = client.stream;
    client.hear(...server.continuation(3));
    expect(client.written).toEqual(['2^2 set /a=2', '3^2 set /a=3', '4^2 set /a=4']);
    client.done(2, 4);
    // It was done before the link broke: the answer is from memory.
    server.set('/a', '2');
    client.hear(server.set('/a', '3'));
    expect(client.outcomes).toEqual([]);
  });

  test('of which one was lost on the way are sent again from there, once', () => {
    const { client } = synchronised();
    for (const text of ['1', '2', '3', '4']) client.set('/a', text);
    client.takeEvents();
    client.hear({ type: 'expected', number: 2 });
    client.hear({ type: 'expected', number: 2 });
    expect(client.written.map((text) => text.slice(0, 3))).toEqual(['1^1', '2^1', '3^1', '4^1']);
    client.hear({ type: 'expected', number: 9 });
    expect(client.told('ignored')).toHaveLength(1);
  });

  test('of which one is lost again, or one more, are sent once in an interval', () => {
    const { client, server } = synchronised();
    for (const text of ['1', '2', '3']) client.set('/a', text);
    client.hear({ type: 'expected', number: 1 });
    client.takeEvents();
    // Most often these are said of what was under way before.
    for (const number of [1, 1, 2, 3, 2]) client.hear({ type: 'expected', number });
    client.wait(999, server);
    expect(client.written).toEqual([]);
    client.wait(1, server);
    expect(client.written).toEqual(['1^1 set /a=1', '2^1 set /a=2', '3^1 set /a=3']);
    client.takeEvents();
    client.hear({ type: 'expected', number: 1 }, server.set('/a', '1'));
    client.done(1, 3);
    client.wait(2000, server);
    expect(client.written).toEqual([]);
  });

  test('of which a result was lost are sent again after an expiry', () => {
    const { client, server } = synchronised();
    client.set('/a', '1');
    client.wait(1000, server);
    client.set('/a', '2');
    client.takeEvents();
    client.wait(1999, server);
    expect(client.written).toEqual([]);
    client.hear(server.beat());
    client.wait(1);
    expect(client.written).toEqual(['1^1 set /a=1', '2^1 set /a=2']);
  });

  test('that were not sent again because of no room are sent when there is', () => {
    const { client, server } = synchronised();
    for (const text of ['1', '2', '3']) client.set('/a', text);
    client.gone();
    client.wait(100);
    server.stream = client.stream;
    client.takeEvents();
    client.room = 1;
    client.hear(...server.continuation(2));
    expect(client.written).toEqual(['1^1 set /a=1']);
    client.set('/a', '4');
    client.writable();
    expect(client.written.slice(1)).toEqual(['2^1 set /a=2', '3^1 set /a=3', '4^1 set /a=4']);
  });
});

describe('a failover', () => {
  test('applies nothing again that is pending: only what the stream says is shown', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    client.set('/a', 'mine');
    client.goOn();
    const other = server.successor(6);
    other.set('/a', 'mine');
    other.set('/a', 'of somebody else');
    other.stream = client.stream;
    client.takeEvents();
    client.hear(...other.continuation(2));
    expect(client.written).toEqual(['1^1 set /a=mine']);
    client.done(1, 3);
    expect(client.view).toBe('/a=of somebody else /b=2');
    expect(client.outcomes).toEqual(['0 done @3']);
  });

  test('asks anew for what was answered and is not shown yet', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    client.set('/a', '1');
    client.set('/a', '2');
    client.done(2, 4, false);
    client.goOn();
    const other = server.successor(6);
    other.stream = client.stream;
    client.takeEvents();
    client.hear(...other.continuation(2));
    expect(client.written).toEqual(['1^1 set /a=1', '2^1 set /a=2']);
    client.hear(other.set('/c', '3'), other.set('/c', '4'), other.set('/a', '1'));
    expect(client.outcomes).toEqual([]);
    client.done(1, 5);
    client.done(2, 6);
    client.hear(other.set('/a', '2'));
    expect(client.outcomes).toEqual(['0 done @5', '1 done @6']);
  });

  test('to a server with less does not take its numbers for those of the other', () => {
    const { client, server } = synchronised({}, ['a', 'b']);
    for (let count = 0; count < 5; count++) client.hear(server.set('/lonely', 'x'));
    client.goOn();
    const other = new PlainServer(6);
    other.stream = client.stream;
    client.set('/a', 'mine');
    client.hear(other.begin('snapshot'));
    client.done(1, 1);
    // What is visible is of the other server still, and has seven.
    expect(client.outcomes).toEqual([]);
    client.hear(other.set('/a', 'mine'), other.end(0), other.beat());
    expect(client.outcomes).toEqual(['0 done @1']);
    expect(client.view).toBe('/a=mine');
  });
});

describe('a write that is given up', () => {
  test('after its time may be done if it was sent, and surely not if it was not', () => {
    const { client } = synchronised({ inFlightLimit: 1 });
    client.set('/a', '1', { timeout: 50 });
    client.set('/a', '2', { timeout: 50 });
    client.wait(50);
    expect(client.outcomes).toEqual(['0 timeout maybe', '1 timeout']);
    client.done(1, 3);
    expect(client.told('ignored')).toHaveLength(1);
  });

  test('does not hold up those behind it: the floor moves beyond it', () => {
    const { client } = synchronised();
    client.set('/a', '1', { timeout: 50 });
    client.set('/a', '2');
    client.wait(50);
    client.takeEvents();
    // The first was lost on the way.
    client.hear({ type: 'expected', number: 1 });
    expect(client.written).toEqual(['2^2 set /a=2']);
  });

  test('behind one that is waited for lets those after it through when that is finished', () => {
    const { client, server } = synchronised();
    client.set('/a', '1');
    client.set('/a', '2', { timeout: 50 });
    client.set('/a', '3');
    client.wait(50);
    client.takeEvents();
    // The second was lost on the way, and the result of the first.
    client.hear({ type: 'expected', number: 2 });
    expect(client.written).toEqual(['1^1 set /a=1', '3^1 set /a=3']);
    client.takeEvents();
    client.hear({ type: 'expected', number: 2 }, server.set('/a', '1'));
    client.done(1, 3);
    expect(client.written).toEqual(['3^3 set /a=3']);
  });

  test('after it was found missing does the same', () => {
    const { client, server } = synchronised();
    for (const text of ['1', '2', '3']) client.set('/a', text, text === '2' ? { timeout: 50 } : {});
    client.hear({ type: 'expected', number: 2 });
    client.wait(50);
    client.takeEvents();
    client.hear(server.set('/a', '1'));
    client.done(1, 3);
    expect(client.written).toEqual(['3^3 set /a=3']);
    client.takeEvents();
    client.wait(1000, server);
    client.takeEvents();
    client.hear({ type: 'expected', number: 3 });
    expect(client.written).toEqual(['3^3 set /a=3']);
    client.takeEvents();
    client.hear(server.set('/a', '3'));
    client.done(3, 4);
    expect(client.written).toEqual([]);
  });

  test('that is answered twice before it is shown has the first answer', () => {
    const { client, server } = synchronised();
    client.set('/a', 'x');
    client.done(1, 3);
    client.done(1, 9);
    expect(client.told('ignored')).toHaveLength(1);
    client.hear(server.set('/a', 'x'));
    expect(client.outcomes).toEqual(['0 done @3']);
  });

  test('that was answered, but is not shown in time, may be done', () => {
    const { client } = synchronised();
    client.set('/a', '1', { timeout: 50 });
    client.done(1, 3);
    client.wait(50);
    expect(client.outcomes).toEqual(['0 timeout maybe']);
  });

  test('by its user says whether it was sent', () => {
    const { client } = synchronised({ inFlightLimit: 1 });
    client.set('/a', '1');
    client.set('/a', '2');
    client.set('/a', '3');
    for (const token of [1, 0, 0, 9]) client.call({ type: 'abandon', token });
    expect(client.outcomes).toEqual(['1 abandoned', '0 abandoned maybe']);
    expect(client.written).toHaveLength(1);
    // Nor does a younger one go before it.
    client.set('/a', '4');
    client.wait(1);
    expect(client.written.slice(1)).toEqual(['2^2 set /a=3']);
  });
});

describe('the end', () => {
  test('waits for what is pending, and takes nothing new', () => {
    const { client, server } = synchronised();
    client.set('/a', '1');
    client.call({ type: 'drain' });
    client.set('/a', '2');
    expect(client.outcomes).toEqual(['1 closed']);
    expect(client.told('drained')).toEqual([]);
    client.hear(server.set('/a', '1'));
    client.done(1, 3);
    expect(client.outcomes).toEqual(['1 closed', '0 done @3']);
    expect(client.told('drained')).toHaveLength(1);
  });

  test('that cannot wait ends all there is', () => {
    const { client } = synchronised({ inFlightLimit: 1 });
    client.set('/a', '1');
    client.set('/a', '2');
    client.call({ type: 'drain' });
    client.call({ type: 'stop' });
    expect(client.outcomes).toEqual(['0 closed maybe', '1 closed']);
    expect(client.told('drained')).toHaveLength(1);
  });
});
