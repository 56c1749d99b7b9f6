/** The driver over a machine, sockets and a clock that do what the test says. */
import { describe, expect, test, vi } from 'vitest';
import { PuppetWorld } from './puppet-world.ts';

describe('events', () => {
  test('leave after the machine has returned', () => {
    const world = new PuppetWorld();
    let inside = false;
    const seen: boolean[] = [];
    world.onEvent = () => seen.push(inside);
    world.puppet.react = () => {
      inside = true;
      world.outbox.emit('one');
      world.outbox.emit('two');
      inside = false;
    };
    world.driver.call('go');
    expect(world.events).toEqual(['one', 'two']);
    expect(seen).toEqual([false, false]);
  });

  test('a listener may call again: it runs after the events that came before', () => {
    const world = new PuppetWorld();
    world.puppet.react = (line) => {
      world.outbox.emit(`${line} a`);
      world.outbox.emit(`${line} b`);
    };
    world.onEvent = (event) => {
      if (event !== 'call first a') return;
      world.driver.call('second');
      expect(world.log).toEqual(['call first']);
    };
    world.driver.call('first');
    expect(world.events).toEqual([
      'call first a',
      'call first b',
      'call second a',
      'call second b',
    ]);
  });

  test('a listener that throws does not stop the driver', () => {
    const world = new PuppetWorld();
    world.puppet.react = (line) => world.outbox.emit(line);
    world.onEvent = (event) => {
      if (event === 'call bad') throw new Error('the listener failed');
    };
    expect(() => world.driver.call('bad')).toThrow('the listener failed');
    world.driver.call('good');
    expect(world.events).toEqual(['call bad', 'call good']);
  });
});

describe('time', () => {
  test('a deadline that is due comes before any input', () => {
    const world = new PuppetWorld();
    world.puppet.nextTimeout = 10;
    world.clock.time = 10;
    world.driver.call('late');
    expect(world.log).toEqual(['timeout', 'call late']);
  });

  test('a message is dropped if the deadline before it closed its socket', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.clock.endTurn();
    world.puppet.nextTimeout = 10;
    world.clock.time = 10;
    world.puppet.react = (line) => {
      if (line === 'timeout') world.outbox.close('left');
    };
    socket.receive('peer', 'late');
    socket.handler.onPeerGone('peer');
    expect(world.log).toEqual(['timeout']);
    expect(world.driver.counters.received).toBe(0);
  });

  test('is one instant for all that is received in a turn', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    const instants: number[] = [];
    world.puppet.react = (_line, now) => void instants.push(now);
    world.clock.endTurn();
    world.clock.time = 5;
    socket.receive('peer', 'a');
    world.clock.time = 7;
    socket.receive('peer', 'b');
    world.clock.endTurn();
    socket.receive('peer', 'c');
    expect(instants).toEqual([5, 5, 7]);
  });

  test('one timer wakes the machine, and is set anew at the end of a turn, only for something earlier', () => {
    const world = new PuppetWorld();
    world.inside(() => (world.puppet.nextTimeout = 50));
    world.clock.endTurn();
    expect(world.clock.wakeAts).toEqual([50]);
    world.inside(() => (world.puppet.nextTimeout = 80));
    world.clock.endTurn();
    expect(world.clock.wakeAts).toEqual([50]);
    world.inside(() => (world.puppet.nextTimeout = 20));
    world.clock.endTurn();
    expect(world.clock.wakeAts).toEqual([20]);
    world.inside(() => (world.puppet.nextTimeout = 80));
    world.clock.advance(79);
    expect(world.log).toEqual([]);
    world.clock.advance(1);
    expect(world.log).toEqual(['timeout']);
    expect(world.clock.wakeAts).toEqual([]);
  });
});

describe('sending', () => {
  test('happens at the end of the turn, and once', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.send('left', 'peer', 'a');
    world.send('left', 'peer', 'b');
    expect(socket.sent).toEqual([]);
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: a', 'peer: b']);
    expect(world.driver.counters.sent).toBe(2);
  });

  test('of a pack happens at once when it is full, else at the end of the turn', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.send('left', 'peer', '+a', '+b');
    expect(socket.sent).toEqual([]);
    world.send('left', 'peer', '+c', '+d');
    expect(socket.sent).toEqual(['peer: +a+b+c']);
    world.send('left', 'peer', '+e');
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: +a+b+c', 'peer: +d+e']);
  });

  test('of a pack that was begun while another one left waits for the end of its turn', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.answer = () => undefined;
    world.send('left', 'peer', '+a', '+b', '+c', '+d');
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: +a+b+c']);
    world.send('left', 'peer', '+e');
    socket.settle('sent');
    expect(socket.sent).toEqual(['peer: +a+b+c']);
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: +a+b+c', 'peer: +d+e']);
  });

  test('to a port that is not open is refused', () => {
    expect(new PuppetWorld().send('right', 'peer', 'a')).toEqual([false]);
  });

  test('waits for the outcome before the next message to the same peer', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.answer = (to) => (to === 'slow' ? undefined : 'sent');
    world.send('left', 'slow', 'a', 'b');
    world.send('left', 'quick', 'c');
    world.clock.endTurn();
    expect(socket.sent).toEqual(['slow: a', 'quick: c']);
    socket.settle('sent');
    expect(socket.sent).toEqual(['slow: a', 'quick: c', 'slow: b']);
  });

  test('a full peer is tried again with growing pauses, blocks nobody and is not overtaken', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    const tries: number[] = [];
    let full = true;
    socket.answer = (to) => {
      if (to !== 'full' || !full) return 'sent';
      tries.push(world.clock.time);
      return 'full';
    };
    world.send('left', 'full', 'a', 'b');
    world.send('left', 'other', 'c');
    world.clock.endTurn();
    expect(socket.sent).toEqual(['other: c']);
    world.clock.advance(20);
    expect(tries).toEqual([0, 1, 3, 7, 15]);
    world.send('left', 'full', 'd');
    full = false;
    world.clock.endTurn();
    expect(socket.sent).toEqual(['other: c']);
    world.clock.advance(20);
    expect(socket.sent).toEqual(['other: c', 'full: a', 'full: b', 'full: d']);
    expect(world.clock.wakeAts).toEqual([]);
  });

  test('a peer that stays full is tried every 32 ms', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    const answer = vi.fn(() => 'full' as const);
    socket.answer = answer;
    world.send('left', 'peer', 'a');
    world.clock.advance(63 + 32 * 10);
    expect(answer).toHaveBeenCalledTimes(7 + 10);
  });

  test('each peer may queue so many bytes; then it is refused until half is free', () => {
    const world = new PuppetWorld({ peerQueueBytes: 10 });
    const socket = world.open('left');
    socket.answer = (to) => (to === 'slow' ? undefined : 'sent');
    expect(world.send('left', 'slow', 'aaaa', 'bbbb', 'ccc', 'cc', 'd')).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(world.send('left', 'other', 'e')).toEqual([true]);
    expect(world.driver.counters.refused).toBe(2);
    world.clock.endTurn();
    socket.settle('sent');
    expect(world.log).toEqual([]);
    socket.settle('sent');
    expect(world.log).toEqual(['left slow writable']);
    socket.settle('sent');
    expect(world.log).toEqual(['left slow writable']);
  });

  test('one message larger than the bound passes an empty queue', () => {
    const world = new PuppetWorld({ peerQueueBytes: 10 });
    world.open('left');
    expect(world.send('left', 'peer', 'x'.repeat(50), 'y')).toEqual([true, false]);
  });

  test('an unroutable peer is gone, and its queue with it', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.answer = (to) => (to === 'nobody' ? 'unroutable' : 'sent');
    world.send('left', 'nobody', 'a', 'b');
    world.send('left', 'other', 'c');
    world.clock.endTurn();
    expect(world.log).toEqual(['left nobody gone']);
    expect(socket.sent).toEqual(['other: c']);
    expect(world.driver.counters).toMatchObject({ unroutable: 2, sent: 1 });
  });

  test('a refused sender hears that there is room, also when its peer is unroutable', () => {
    const world = new PuppetWorld({ peerQueueBytes: 10 });
    const socket = world.open('left');
    socket.answer = () => 'unroutable';
    expect(world.send('left', 'peer', 'x'.repeat(10), 'y')).toEqual([true, false]);
    world.clock.endTurn();
    expect(world.log).toEqual(['left peer gone', 'left peer writable']);
  });

  test('what came of sending, and of its outcome, leaves too', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.answer = (to) => (to === 'nobody' ? 'unroutable' : 'sent');
    world.send('left', 'nobody', 'a');
    world.puppet.react = (line) => {
      if (line === 'left nobody gone') world.outbox.send('left', 'other', 'it is gone');
    };
    world.clock.endTurn();
    expect(socket.sent).toEqual(['other: it is gone']);
  });
});

describe('receiving', () => {
  test('hands over commands, and says what is malformed', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.receive('peer', 'hello');
    socket.receive('peer', '');
    socket.handler.onPeerGone('peer');
    expect(world.log).toEqual(['left peer: hello', 'left peer malformed: empty', 'left peer gone']);
    expect(world.driver.counters).toMatchObject({ received: 2, malformed: 1 });
  });
});

describe('ports', () => {
  test('closing without a flush drops what is queued', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.send('left', 'peer', 'a');
    world.inside(() => world.outbox.close('left'));
    world.clock.endTurn();
    expect(socket.sent).toEqual([]);
    expect(socket.linger).toBe(0);
  });

  test('closing with a flush sends it first', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.send('left', 'peer', 'farewell');
    world.inside(() => world.outbox.close('left', true));
    expect(socket.sent).toEqual(['peer: farewell']);
    expect(socket.linger).toBeGreaterThan(0);
  });

  test('a farewell to a full peer is tried again, for a second', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    socket.answer = () => 'full';
    world.send('left', 'peer', 'farewell');
    world.inside(() => world.outbox.close('left', true));
    world.clock.advance(999);
    expect(socket.linger).toBeUndefined();
    world.clock.advance(1);
    expect(socket.linger).toBeGreaterThan(0);
    world.clock.advance(1000);
    expect(world.clock.wakeAts).toEqual([]);
  });

  test('opening one anew drops the messages and notices of the old socket', () => {
    const world = new PuppetWorld();
    const old = world.open('left');
    world.send('left', 'peer', 'for the old one');
    const fresh = world.open('left');
    old.receive('peer', 'from the old one');
    old.handler.onPeerGone('peer');
    fresh.receive('peer', 'from the new one');
    world.clock.endTurn();
    expect(old.linger).toBe(0);
    expect(world.log).toEqual(['left peer: from the new one']);
    expect([...old.sent, ...fresh.sent]).toEqual([]);
    expect(fresh.endpoint).toBe('tcp://left');
  });

  test('bound from outside, a port is opened once', () => {
    const world = new PuppetWorld();
    const bound: string[] = [];
    world.driver.bind('left', 'tcp://a', (_error, endpoint) => bound.push(endpoint));
    world.driver.bind('left', 'tcp://b', (_error, endpoint) => bound.push(endpoint));
    expect(world.sockets).toHaveLength(1);
    expect(bound).toEqual(['tcp://a', 'tcp://b']);
  });
});

describe('store', () => {
  test('is answered by handleStored, at once or later', () => {
    const answers: ((error?: Error) => void)[] = [];
    const world = new PuppetWorld({ store: (_batch, done) => void answers.push(done) });
    world.inside(() => world.outbox.store(1, 'one'));
    world.inside(() => world.outbox.store(2, 'two'));
    answers[1]!(new Error('the disk is full'));
    answers[0]!();
    expect(world.log).toEqual(['stored 2 the disk is full', 'stored 1 well']);
  });

  test('that answers at once does not re-enter the machine', () => {
    const world = new PuppetWorld({ store: (_batch, done) => done() });
    world.inside(() => {
      world.outbox.store(1, 'one');
      expect(world.log).not.toContain('stored 1 well');
    });
    expect(world.log).toContain('stored 1 well');
  });
});

describe('close', () => {
  test('calls back once, after the farewells of all ports', () => {
    const world = new PuppetWorld();
    const [left, right] = [world.open('left'), world.open('right')];
    right.answer = () => undefined;
    world.send('left', 'peer', 'farewell');
    world.send('right', 'peer', 'farewell');
    const done = vi.fn<() => void>();
    world.driver.close(done);
    expect(left.sent).toEqual(['peer: farewell']);
    expect(left.linger).toBeGreaterThan(0);
    expect(done).not.toHaveBeenCalled();
    right.settle('sent');
    expect(right.linger).toBeGreaterThan(0);
    expect(done).toHaveBeenCalledTimes(1);
    world.clock.advance(5000);
    expect(done).toHaveBeenCalledTimes(1);
  });

  test('waits a second at most, whichever port is slow', () => {
    const world = new PuppetWorld();
    world.open('left');
    const right = world.open('right');
    right.answer = () => undefined;
    world.send('right', 'peer', 'farewell');
    world.clock.endTurn();
    const done = vi.fn<() => void>();
    world.driver.close(done);
    world.clock.advance(999);
    expect(done).not.toHaveBeenCalled();
    world.clock.advance(1);
    expect(done).toHaveBeenCalledTimes(1);
    expect(right.linger).toBeGreaterThan(0);
  });

  test('without a socket calls back at once', () => {
    const world = new PuppetWorld();
    const done = vi.fn<() => void>();
    world.driver.close(done);
    expect(done).toHaveBeenCalledTimes(1);
  });

  test('nothing reaches the machine after it, and no timer is left', () => {
    const world = new PuppetWorld();
    const socket = world.open('left');
    world.inside(() => (world.puppet.nextTimeout = 10));
    world.driver.close(() => {});
    socket.receive('peer', 'late');
    world.driver.call('late');
    world.clock.advance(100);
    expect(world.log).toEqual([]);
    expect(world.clock.wakeAts).toEqual([]);
    const refused = vi.fn<(error: Error | undefined) => void>();
    world.driver.bind('left', 'tcp://a', refused);
    expect(refused.mock.calls[0]![0]).toMatchObject({ code: 'ERR_CLOSED' });
  });

  test('from a listener ends what that listener called before it', () => {
    const world = new PuppetWorld();
    world.puppet.react = (line) => {
      if (line === 'call first') world.outbox.emit('first');
      if (line === 'call second') world.outbox.open('left', 'tcp://left');
    };
    world.onEvent = () => {
      world.driver.call('second');
      world.driver.close(() => {});
    };
    world.driver.call('first');
    expect(world.log).toEqual(['call first']);
    expect(world.sockets).toEqual([]);
  });
});
