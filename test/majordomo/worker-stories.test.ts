/** What a worker does when brokers come, go and misbehave, each told as a story. */
import { describe, expect, test } from 'vitest';
import { body, WorkerStory } from './stories.ts';

function activeWorker(settings?: ConstructorParameters<typeof WorkerStory>[0]): WorkerStory {
  const worker = new WorkerStory(settings);
  worker.connect('tcp://a');
  worker.beat();
  return worker;
}

/** A worker of a broker that is not ours: it answers 501 to what it does not know. */
function autoWorker(...endpoints: string[]): WorkerStory {
  const worker = new WorkerStory({ protocol: 'auto' });
  worker.connect(...endpoints);
  worker.answerProbe('501');
  return worker;
}
/** Lets time pass; the broker goes on to answer 501. */
function waitFor(worker: WorkerStory, milliseconds: number): void {
  for (let waited = 0; waited < milliseconds; waited += 10) {
    worker.wait(10);
    worker.answerProbe('501');
  }
}

describe('a session', () => {
  test('begins with READY on a fresh socket, and is active once the broker is heard', () => {
    const worker = new WorkerStory();
    worker.connect('tcp://a');
    expect(worker.sockets).toEqual(['open stock-0 tcp://a']);
    expect(worker.said).toEqual(['ready 0.2']);
    expect(worker.took('ready')).toEqual([]);
    worker.beat();
    expect(worker.took('ready')).toEqual([
      { type: 'ready', endpoint: 'tcp://a', dialect: 'mdp0.2', session: 0 },
    ]);
  });

  test('of stock MDP: one for each request at a time, as far as there are lanes', () => {
    const worker = new WorkerStory({ concurrency: 1000, lanes: 3 });
    worker.connect('tcp://a');
    expect(worker.said).toEqual(['ready 0.2', 'ready 0.2', 'ready 0.2']);
  });

  test('beats each interval, and ends when the broker is silent', () => {
    const worker = activeWorker();
    worker.wait(299);
    expect(worker.sent.filter(({ command }) => command.type === 'heartbeat')).toHaveLength(2);
    worker.wait(1);
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'silent' }]);
    expect(worker.sockets.at(-1)).toBe('close stock-0');
  });

  test('that the broker ends is followed by another, after a growing pause', () => {
    const worker = activeWorker();
    const pauses: number[] = [];
    for (let count = 0; count < 4; count++) {
      worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
      pauses.push(worker.machine.nextTimeout - worker.now);
      worker.wait(pauses.at(-1)!);
    }
    expect(pauses).toEqual([50, 100, 200, 200]);
    worker.beat();
    worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
    expect(worker.machine.nextTimeout - worker.now).toBe(50);
  });

  test('forgives the broker what it did not hear while it was stopped', () => {
    const worker = activeWorker();
    worker.sleep(5000);
    expect(worker.took('brokerLost')).toEqual([]);
    worker.wait(100);
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'silent' }]);
  });

  test('a command of another dialect is malformed, and no sign of life', () => {
    const worker = activeWorker();
    worker.wait(290);
    worker.hear({ type: 'heartbeat', dialect: 'mdp0.1' });
    expect(worker.took('malformed')).toHaveLength(1);
    worker.wait(10);
    expect(worker.took('brokerLost')).toHaveLength(1);
  });
});

describe('a worker that finds its dialect', () => {
  test('tries 0.1 where nobody answers to 0.2, and 0.2 again after that', () => {
    const worker = autoWorker('tcp://a');
    waitFor(worker, 1500);
    expect(worker.said.slice(0, 3)).toEqual(['ready 0.2', 'ready 0.1', 'ready 0.2']);
  });

  test('begins anew with 0.2 once a session of 0.1 is over', () => {
    const worker = autoWorker('tcp://a');
    waitFor(worker, 360);
    worker.dialect = 'mdp0.1';
    worker.beat();
    worker.hear({ type: 'disconnect', dialect: 'mdp0.1' });
    waitFor(worker, 60);
    expect(worker.said).toEqual(['ready 0.2', 'ready 0.1', 'ready 0.2']);
  });

  test('tries each endpoint before the other dialect', () => {
    const worker = autoWorker('tcp://a', 'tcp://b');
    waitFor(worker, 1600);
    const tried = worker.took('connecting').map(({ endpoint, dialect }) => endpoint + dialect);
    expect(tried.slice(0, 4)).toEqual([
      'tcp://amdp0.2',
      'tcp://bmdp0.2',
      'tcp://amdp0.1',
      'tcp://bmdp0.1',
    ]);
  });

  test('given one, it speaks no other', () => {
    const worker = new WorkerStory({ protocol: 'mdp0.1' });
    worker.connect('tcp://a');
    worker.wait(1500);
    expect(new Set(worker.said)).toEqual(new Set(['ready 0.1']));
  });
});

describe('a request', () => {
  test('may come before any heartbeat; parts and result carry its envelope back', () => {
    const worker = new WorkerStory();
    worker.connect('tcp://a');
    worker.give('work', 'tag 7');
    expect(worker.took('request')).toMatchObject([{ token: 0, body: body('work') }]);
    worker.call({ type: 'write', token: 0, body: body('a') });
    worker.call({ type: 'reply', token: 0, body: body('b') });
    worker.call({ type: 'reply', token: 0, body: body('twice') });
    expect(worker.said).toEqual(['ready 0.2', 'result a …', 'result b']);
    expect(worker.sent.at(-1)!.command).toMatchObject({ envelope: body('tag 7') });
  });

  test('in 0.1 has its parts joined to one result, unless the handler fails', () => {
    const worker = activeWorker({ protocol: 'mdp0.1' });
    worker.give('work');
    worker.call({ type: 'write', token: 0, body: body('a') });
    worker.call({ type: 'reply', token: 0, body: body('b') });
    worker.give('more');
    worker.call({ type: 'write', token: 1, body: body('a') });
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    worker.call({ type: 'fail', token: 1, failure });
    expect(worker.said.slice(1)).toEqual(['result a|b', 'result ERR_HANDLER_FAILED']);
  });

  test('too many at a time end the session: the credit is one', () => {
    const worker = activeWorker();
    worker.give('first');
    worker.give('second');
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'unexpectedCommand' }]);
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    expect(worker.said.at(-1)).toBe('disconnect 0.2');
    expect(worker.sockets.at(-1)).toBe('close stock-0 flushed');
  });

  test('of a lost session settles before the next READY, and its reply reaches no one', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    worker.wait(1000);
    expect(worker.said).toEqual(['ready 0.2']);
    worker.call({ type: 'reply', token: 0, body: body('late') });
    expect(worker.took('replyDropped')).toMatchObject([{ token: 0 }]);
    worker.wait(0);
    expect(worker.said).toEqual(['ready 0.2', 'ready 0.2']);
  });

  test('of which parts were sent ends with its link: some may be lost', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.machine.handlePeerGone(worker.now, 'stock-0');
    expect(worker.took('brokerLost')).toEqual([]);
    worker.call({ type: 'write', token: 0, body: body('a') });
    worker.machine.handlePeerGone(worker.now, 'stock-0');
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'linkBroken' }]);
  });

  test('whose parts are too large for one reply ends with that failure', () => {
    const worker = activeWorker({ protocol: 'mdp0.1' });
    worker.give('work');
    worker.call({ type: 'write', token: 0, body: body('x'.repeat(801)) });
    worker.call({ type: 'write', token: 0, body: body('y') });
    worker.call({ type: 'reply', token: 0, body: body('z') });
    expect(worker.said.slice(1)).toEqual(['result ERR_REPLY_TOO_LARGE']);
    expect(worker.took('brokerLost')).toEqual([]);
  });

  test('whose parts outrun the link ends with that failure, once there is room', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.full.add('stock-0');
    worker.call({ type: 'write', token: 0, body: body('x') });
    worker.call({ type: 'reply', token: 0, body: body('y') });
    expect(worker.machine.running).toBe(1);
    worker.full.clear();
    worker.machine.handleWritable(worker.now, 'stock-0');
    expect(worker.said.slice(1)).toEqual(['result ERR_STREAM_OVERFLOW']);
    expect(worker.machine.running).toBe(0);
  });
});

describe('closing', () => {
  test('idle, it says goodbye at once', () => {
    const worker = activeWorker();
    worker.call({ type: 'drain' });
    expect(worker.said).toEqual(['ready 0.2', 'disconnect 0.2']);
    expect(worker.sockets.at(-1)).toBe('close stock-0 flushed');
    expect(worker.took('drained')).toHaveLength(1);
    worker.wait(10_000);
    expect(worker.said).toHaveLength(2);
  });

  test('busy, it finishes first', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.call({ type: 'drain' });
    expect(worker.took('drained')).toEqual([]);
    worker.call({ type: 'reply', token: 0, body: body('done') });
    expect(worker.said.slice(1)).toEqual(['result done', 'disconnect 0.2']);
    expect(worker.took('drained')).toHaveLength(1);
  });

  test('it ends with its last handler, though the broker went first', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.call({ type: 'drain' });
    worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
    worker.call({ type: 'reply', token: 0, body: body('late') });
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.machine.nextTimeout).toBe(Infinity);
  });

  test('stop loses what runs, and tells so once', () => {
    const worker = activeWorker();
    worker.give('work');
    worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
    worker.call({ type: 'stop' });
    worker.call({ type: 'stop' });
    expect(worker.took('requestLost')).toHaveLength(1);
    expect(worker.took('drained')).toHaveLength(1);
  });
});
