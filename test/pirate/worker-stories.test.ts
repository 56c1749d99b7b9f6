/** What a Pirate worker does when queues come, go and misbehave, each told as a story. */
import { describe, expect, test } from 'vitest';
import { body } from '../actor.ts';
import { active, WorkerStory } from './worker-story.ts';

const BOTH = ['simple', 'paranoid'] as const;

describe('a session', () => {
  test.each(BOTH)('of the %s kind begins with READY on a fresh socket', (protocol) => {
    const worker = new WorkerStory(protocol);
    expect(worker.machine.nextTimeout).toBe(Infinity);
    worker.connect('tcp://a');
    worker.connect('tcp://b');
    expect(worker.sockets).toEqual(['open queue tcp://a']);
    expect(worker.said).toEqual(['ready']);
    expect(worker.took('connecting')).toEqual([{ type: 'connecting', endpoint: 'tcp://a' }]);
    expect(worker.took('ready')).toEqual([]);
  });

  test('is ready with the first sign of life, and only then', () => {
    const worker = new WorkerStory();
    worker.connect('tcp://a');
    worker.beat();
    worker.beat();
    expect(worker.took('ready')).toEqual([{ type: 'ready', endpoint: 'tcp://a' }]);
  });

  test('a request is as good a sign of life as a heartbeat, and the only one of a simple queue', () => {
    for (const protocol of BOTH) {
      const worker = new WorkerStory(protocol);
      worker.connect('tcp://a');
      worker.give('work');
      expect(worker.took('ready')).toHaveLength(1);
    }
  });

  test('beats each interval, idle or busy, and ends when the queue is silent', () => {
    const worker = active();
    worker.wait(200);
    worker.give('work');
    worker.wait(299);
    expect(worker.beats).toBe(4);
    expect(worker.took('queueLost')).toEqual([]);
    worker.wait(1);
    expect(worker.took('queueLost')).toEqual([
      { type: 'queueLost', endpoint: 'tcp://a', reason: 'silent' },
    ]);
    expect(worker.sockets.at(-1)).toBe('close queue');
  });

  test('of the simple kind never beats and never takes silence for an end', () => {
    const worker = active('simple');
    worker.give('work');
    worker.reply(0, 'done');
    worker.wait(1e9);
    expect(worker.beats).toBe(0);
    expect(worker.took('queueLost')).toEqual([]);
  });

  test('forgives the queue what it did not hear while it was stopped itself', () => {
    const worker = active();
    worker.sleep(5000);
    expect(worker.took('queueLost')).toEqual([]);
    worker.wait(100);
    expect(worker.took('queueLost')).toMatchObject([{ reason: 'silent' }]);
  });

  test('what nobody understands is told, and no sign of life', () => {
    const worker = active();
    worker.wait(290);
    worker.machine.handleMalformed(worker.now, 'queue', '', 'no body');
    expect(worker.took('malformed')).toEqual([{ type: 'malformed', reason: 'no body' }]);
    worker.wait(10);
    expect(worker.took('queueLost')).toHaveLength(1);
  });
});

describe('a queue that does not answer', () => {
  test('is tried again after a growing pause, each endpoint in its turn, on fresh sockets', () => {
    const worker = new WorkerStory();
    worker.connect('tcp://a', 'tcp://b');
    worker.wait(300 + 50 + 300 + 100 + 300);
    expect(worker.sockets).toEqual([
      'open queue tcp://a',
      'close queue',
      'open queue tcp://b',
      'close queue',
      'open queue tcp://a',
      'close queue',
    ]);
    expect(worker.machine.nextTimeout - worker.now).toBe(200);
    worker.wait(200);
    worker.beat();
    worker.wait(300);
    expect(worker.machine.nextTimeout - worker.now).toBe(50);
  });

  test('but did before is tried first', () => {
    const worker = active('paranoid', 'tcp://b');
    worker.wait(350);
    expect(worker.sockets.at(-1)).toBe('open queue tcp://a');
  });
});

describe('a broken link', () => {
  test('of an idle paranoid worker: READY at once on a fresh socket, as the queue may be new', () => {
    const worker = active('paranoid', 'tcp://b');
    worker.wait(50);
    worker.linkBreaks();
    expect(worker.took('queueLost')).toMatchObject([{ reason: 'linkBroken' }]);
    worker.wait(0);
    expect(worker.sockets.slice(1)).toEqual(['close queue', 'open queue tcp://a']);
    expect(worker.said).toEqual(['ready', 'ready']);
  });

  test('that breaks as soon as the queue was heard is no reason to hurry', () => {
    const worker = active();
    worker.wait(49);
    worker.linkBreaks();
    worker.wait(49);
    expect(worker.sockets).toEqual(['open queue tcp://a', 'close queue']);
    worker.wait(1);
    expect(worker.said).toEqual(['ready', 'ready']);
  });

  test('of a paranoid worker that never heard the queue: after a pause, at the next endpoint', () => {
    const worker = new WorkerStory();
    worker.connect('tcp://a', 'tcp://b');
    worker.linkBreaks();
    worker.wait(49);
    expect(worker.said).toEqual(['ready']);
    worker.wait(1);
    expect(worker.sockets.at(-1)).toBe('open queue tcp://b');
  });

  test('of a busy paranoid worker: a heartbeat at once on the same socket, and it goes on', () => {
    const worker = active();
    worker.give('work', 'tag');
    worker.linkBreaks();
    expect(worker.beats).toBe(1);
    worker.wait(90);
    worker.beat();
    worker.reply(0, 'done');
    expect(worker.said).toEqual(['ready', 'tag: done']);
    expect(worker.sockets).toHaveLength(1);
    expect(worker.took('requestLost')).toEqual([]);
  });

  test('of a busy paranoid worker, behind which a new queue knows nothing of it: silence', () => {
    const worker = active();
    worker.give('work');
    worker.linkBreaks();
    worker.wait(300);
    expect(worker.took('queueLost')).toMatchObject([{ reason: 'silent' }]);
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
  });

  test('of an idle simple worker: READY after a pause, at the next endpoint', () => {
    for (const given of [false, true]) {
      const worker = active('simple', 'tcp://b');
      if (given) worker.give('work');
      if (given) worker.reply(0, 'done');
      worker.linkBreaks();
      expect(worker.took('queueLost')).toMatchObject([{ reason: 'linkBroken' }]);
      worker.wait(49);
      expect(worker.sockets.at(-1)).toBe('close queue');
      worker.wait(1);
      expect(worker.sockets.at(-1)).toBe('open queue tcp://b');
      expect(worker.said.at(-1)).toBe('ready');
    }
  });

  test('of a busy simple worker: its request is lost, and READY waits for its handler', () => {
    const worker = active('simple');
    worker.give('work');
    worker.linkBreaks();
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    worker.wait(10_000);
    expect(worker.said).toEqual(['ready']);
    worker.reply(0, 'late');
    worker.wait(0);
    expect(worker.took('replyDropped')).toMatchObject([{ token: 0 }]);
    expect(worker.said).toEqual(['ready', 'ready']);
  });

  test('between two sessions means nothing', () => {
    const worker = active();
    worker.wait(300);
    worker.took('queueLost');
    worker.linkBreaks();
    worker.beat();
    worker.give('work');
    expect(worker.took('queueLost')).toEqual([]);
    expect(worker.took('request')).toEqual([]);
  });
});

describe('a request', () => {
  test.each(BOTH)('has its stack returned with the reply (%s)', (protocol) => {
    const worker = active(protocol);
    worker.give('work', 'one', 'two');
    expect(worker.took('request')).toEqual([{ type: 'request', token: 0, body: body('work') }]);
    worker.reply(0, 'done');
    worker.give('more');
    worker.reply(1, 'well done');
    expect(worker.said).toEqual(['ready', 'one: two: done', 'well done']);
  });

  test('has a copy of its frames: those it came in are borrowed', () => {
    const worker = active();
    const [stack, work] = [body('tag'), body('work')];
    worker.hear({ type: 'dispatch', stack, body: work });
    for (const frame of [...stack, ...work]) frame.fill(0);
    expect(worker.took('request')).toMatchObject([{ body: body('work') }]);
    worker.reply(0, 'done');
    expect(worker.said.at(-1)).toBe('tag: done');
  });

  test('whose handler fails has that for its reply', () => {
    const worker = active();
    worker.give('work', 'tag');
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    worker.call({ type: 'fail', token: 0, failure });
    worker.reply(0, 'and yet');
    expect(worker.said.slice(1)).toEqual(['tag: ERR_HANDLER_FAILED']);
  });

  test('beside another one breaks the protocol: the session ends', () => {
    for (const protocol of BOTH) {
      const worker = active(protocol);
      worker.give('first');
      worker.give('second');
      expect(worker.took('queueLost')).toMatchObject([{ reason: 'unexpectedCommand' }]);
      expect(worker.took('requestLost')).toEqual([{ type: 'requestLost', token: 0 }]);
      expect(worker.took('request')).toHaveLength(1);
      expect(worker.machine.running).toBe(1);
    }
  });

  test('of a lost session settles before the next READY, and its reply reaches no one', () => {
    const worker = active();
    worker.give('work');
    worker.wait(300);
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    worker.wait(10_000);
    expect(worker.said).toEqual(['ready']);
    worker.reply(0, 'late');
    worker.reply(0, 'late again');
    expect(worker.took('replyDropped')).toEqual([{ type: 'replyDropped', token: 0 }]);
    worker.wait(0);
    expect(worker.said).toEqual(['ready', 'ready']);
  });

  test('whose reply has no room is held until it has', () => {
    const worker = active();
    worker.give('work', 'tag');
    worker.full.add('queue');
    worker.reply(0, 'done');
    expect(worker.machine.running).toBe(1);
    worker.writable();
    expect(worker.said).toEqual(['ready', 'tag: done']);
    expect(worker.machine.running).toBe(0);
  });
});

describe('closing', () => {
  test.each(BOTH)('an idle %s worker is gone at once: there is no word for goodbye', (protocol) => {
    const worker = active(protocol);
    worker.call({ type: 'drain' });
    expect(worker.sockets.at(-1)).toBe('close queue flushed');
    expect(worker.took('drained')).toHaveLength(1);
    worker.call({ type: 'drain' });
    worker.wait(10_000);
    expect(worker.said).toEqual(['ready']);
    expect(worker.took('drained')).toEqual([]);
  });

  test('a busy one finishes first, and its reply leaves', () => {
    const worker = active();
    worker.give('work');
    worker.call({ type: 'drain' });
    expect(worker.took('drained')).toEqual([]);
    worker.wait(90);
    worker.reply(0, 'done');
    expect(worker.said).toEqual(['ready', 'done']);
    expect(worker.sockets.at(-1)).toBe('close queue flushed');
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.machine.nextTimeout).toBe(Infinity);
  });

  test('one whose reply has no room waits for that', () => {
    const worker = active();
    worker.give('work');
    worker.call({ type: 'drain' });
    worker.full.add('queue');
    worker.reply(0, 'done');
    expect(worker.took('drained')).toEqual([]);
    worker.writable();
    expect(worker.took('drained')).toHaveLength(1);
  });

  test.each(BOTH)(
    'a busy %s one ends with its handler, though the queue went first',
    (protocol) => {
      const worker = active(protocol);
      worker.give('work');
      worker.call({ type: 'drain' });
      worker.linkBreaks();
      worker.wait(300);
      worker.reply(0, 'late');
      expect(worker.took('drained')).toHaveLength(1);
      expect(worker.said).toEqual(['ready']);
      expect(worker.machine.nextTimeout).toBe(Infinity);
    },
  );

  test('one that was never connected has nothing to end', () => {
    const worker = new WorkerStory();
    worker.call({ type: 'drain' });
    worker.connect('tcp://a');
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.sockets).toEqual([]);
  });

  test('one between two sessions begins no other', () => {
    const worker = active();
    worker.wait(300);
    worker.call({ type: 'drain' });
    worker.wait(10_000);
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.said).toEqual(['ready']);
  });

  test('stop loses what runs, and tells so once', () => {
    const worker = active();
    worker.give('work');
    worker.call({ type: 'stop' });
    worker.call({ type: 'stop' });
    worker.reply(0, 'late');
    expect(worker.took('requestLost')).toHaveLength(1);
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.said).toEqual(['ready']);
    expect(worker.machine.running).toBe(0);
  });
});
