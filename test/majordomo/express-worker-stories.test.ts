/** What a worker does over express, and on the way to it, each told as a story. */
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/core/frames.ts';
import type {
  DispatchCommand,
  WorkerInput,
  WorkerOutput,
} from '../../src/majordomo/wire/commands.ts';
import { body, textOf, WorkerStory } from './stories.ts';

const express = { dialect: 'express' } as const;

/** A worker that speaks nothing but express, unless the settings say otherwise. */
class ExpressStory extends WorkerStory {
  constructor(settings: ConstructorParameters<typeof WorkerStory>[0] = {}) {
    super({ protocol: 'express', concurrency: 2, ...settings });
  }

  tell(command: WorkerInput): void {
    this.hear(command, 'express');
  }
  welcome(resumed = false, heartbeatInterval = 100, heartbeatLiveness = 3): void {
    this.tell({ type: 'welcome', ...express, resumed, heartbeatInterval, heartbeatLiveness });
  }
  dispatch(number: number, more: Partial<DispatchCommand> = {}): void {
    const content = { envelope: [], body: body(`work ${number}`) };
    this.tell({ type: 'dispatch', ...express, number, attempt: 1, ...content, ...more });
  }
  /** The broker's heartbeat: by default it has heard all of ours. */
  pulse(held: readonly number[], echo = this.lastBeat): void {
    this.tell({ type: 'heartbeat', ...express, beat: 1, echo, held });
  }
  reply(token: number, text: string): void {
    this.call({ type: 'reply', token, body: body(text) });
  }
  write(token: number, text: string): void {
    this.call({ type: 'write', token, body: body(text) });
  }
  gone(): void {
    this.machine.handlePeerGone(this.now, 'express');
  }
  writable(): void {
    this.full.clear();
    this.machine.handleWritable(this.now, 'express');
  }
  all<Type extends WorkerOutput['type']>(type: Type): Extract<WorkerOutput, { type: Type }>[] {
    const commands = this.sent.map(({ command }) => command);
    return commands.filter(
      (command): command is Extract<WorkerOutput, { type: Type }> => command.type === type,
    );
  }
  get lastBeat(): number {
    return this.all('heartbeat').at(-1)?.beat ?? 0;
  }
  /** What was said over express but heartbeats, since it was last asked. */
  news(): string[] {
    return this.sent.splice(0).flatMap(({ to, command }) => {
      if (to !== 'express') return [];
      switch (command.type) {
        case 'heartbeat':
          return [];
        case 'ready':
          return [`ready ${command.credit} [${command.held!.join()}]`];
        case 'result': {
          const said = command.failure?.code ?? textOf(command.body);
          return [`${command.number}.${command.sequence} ${said}${command.final ? '' : ' …'}`];
        }
        case 'capacity':
          return [`capacity ${command.credit}`];
        case 'handBack':
          return [`handBack ${command.number}`];
        case 'announce':
          return [`announce ${command.bytes}`];
        default:
          return [command.type];
      }
    });
  }
}

/** One that was welcomed, with nothing said since. */
function welcomed(settings?: ConstructorParameters<typeof WorkerStory>[0]): ExpressStory {
  const worker = new ExpressStory(settings);
  worker.connect('tcp://a');
  worker.welcome();
  worker.news();
  return worker;
}

/** One that asks first. */
function auto(concurrency = 2): ExpressStory {
  const worker = new ExpressStory({ protocol: 'auto', concurrency });
  worker.connect('tcp://a');
  return worker;
}

describe('a worker that asks for express', () => {
  test('asks in 0.1 before it says anything else, and speaks it if the answer is yes', () => {
    const worker = auto();
    expect(worker.sockets).toEqual(['open probe tcp://a']);
    expect(worker.sent).toEqual([
      {
        to: 'probe',
        command: { type: 'request', dialect: 'mdp0.1', service: 'mmi.express', body: body('1') },
      },
    ]);
    worker.answerProbe('200', '1');
    expect(worker.sockets.slice(1)).toEqual(['close probe', 'open express tcp://a']);
    expect(worker.news()).toEqual(['ready 2 []']);
  });

  test.each([['501'], ['404'], ['200', '2'], ['']])('speaks plain MDP after %s', (...answer) => {
    const worker = auto();
    worker.answerProbe(...answer);
    expect(worker.sockets.slice(1)).toEqual([
      'close probe',
      'open stock-0 tcp://a',
      'open stock-1 tcp://a',
    ]);
    expect(worker.said).toEqual(['ready 0.2', 'ready 0.2']);
  });

  test('that nobody answers begins plain after 250 ms, and goes on asking ever more slowly', () => {
    const worker = auto(1);
    worker.wait(249);
    expect(worker.said).toEqual([]);
    worker.wait(1);
    expect(worker.said).toEqual(['ready 0.2']);
    const asked: number[] = [];
    for (let time = 250; time < 25_000; time += 50) {
      worker.beat();
      worker.wait(50);
      for (const _ of worker.all('request').slice(asked.length + 1)) asked.push(worker.now);
    }
    expect(asked).toEqual([1250, 3250, 7250, 15_250, 23_250]);
  });

  test('asks each endpoint before it gives up, and goes where the answer came from', () => {
    const worker = new ExpressStory({ protocol: 'auto' });
    worker.connect('tcp://a', 'tcp://b');
    worker.wait(250);
    expect(worker.sockets).toEqual(['open probe tcp://a', 'open probe tcp://b']);
    worker.answerProbe('200', '1');
    expect(worker.sockets.at(-1)).toBe('open express tcp://b');
  });

  test('goes where a plain answer came from, too', () => {
    const worker = new ExpressStory({ protocol: 'auto', concurrency: 1 });
    worker.connect('tcp://a', 'tcp://b');
    worker.wait(250);
    worker.answerProbe('501');
    expect(worker.sockets.at(-1)).toBe('open stock-0 tcp://b');
  });

  test('changes over when the answer comes late, each session as soon as it is idle', () => {
    const worker = auto();
    worker.wait(250);
    worker.beat();
    worker.give('slow');
    worker.answerProbe('200', '1');
    expect(worker.sockets.slice(-2)).toEqual(['close stock-1 flushed', 'open express tcp://a']);
    expect(worker.all('ready').at(-1)).toMatchObject({ dialect: 'express', credit: 1 });
    worker.welcome();
    worker.news();
    worker.reply(0, 'done');
    expect(worker.sockets.at(-1)).toBe('close stock-0 flushed');
    expect(worker.news()).toEqual(['capacity 2']);
    worker.wait(90);
    expect(worker.took('brokerLost')).toEqual([]);
  });

  test('asks again when a plain session is lost', () => {
    const worker = auto(1);
    worker.answerProbe('501');
    worker.beat();
    worker.hear({ type: 'disconnect', dialect: 'mdp0.2' });
    expect(worker.sockets.at(-1)).toBe('open probe tcp://a');
    worker.answerProbe('200', '1');
    expect(worker.sockets.at(-1)).toBe('open express tcp://a');
  });

  test('falls back to plain MDP, with as many sessions as have no handler running', () => {
    const worker = auto(3);
    worker.answerProbe('200', '1');
    worker.welcome();
    worker.dispatch(1);
    worker.tell({ type: 'disconnect', ...express });
    worker.answerProbe('501');
    expect(worker.said.slice(1)).toEqual(['ready 0.2', 'ready 0.2']);
    worker.reply(0, 'late');
    expect(worker.took('replyDropped')).toHaveLength(1);
    expect(worker.said.slice(1)).toHaveLength(3);
  });

  test('does not ask where its protocol is fixed', () => {
    const plain = new WorkerStory({ protocol: 'mdp0.1' });
    plain.connect('tcp://a');
    expect(plain.sockets).toEqual(['open stock-0 tcp://a']);
    const fixed = new ExpressStory();
    fixed.connect('tcp://a');
    expect(fixed.sockets).toEqual(['open express tcp://a']);
  });
});

describe('a session of express', () => {
  test('begins with WELCOME, whose slower heartbeats both then keep, one at once', () => {
    const worker = new ExpressStory({ heartbeatLiveness: 4 });
    worker.connect('tcp://a');
    expect(worker.took('ready')).toEqual([]);
    worker.welcome(false, 200, 3);
    expect(worker.took('ready')).toMatchObject([{ endpoint: 'tcp://a', dialect: 'express' }]);
    expect(worker.took('sessionOpened')).toMatchObject([{ interval: 200 }]);
    expect(worker.lastBeat).toBe(1);
    worker.wait(799);
    expect(worker.lastBeat).toBe(4);
    expect(worker.took('brokerLost')).toEqual([]);
    worker.wait(1);
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'silent' }]);
    expect(worker.took('sessionClosed')).toHaveLength(1);
  });

  test('that nobody welcomes ends, whatever else is said', () => {
    const worker = new ExpressStory();
    worker.connect('tcp://a');
    worker.wait(200);
    worker.pulse([]);
    worker.wait(100);
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'silent' }]);
    expect(worker.lastBeat).toBe(0);
  });

  test('that is lost is followed by another, with an id of its own, at the next endpoint', () => {
    let random = 0;
    const worker = new ExpressStory({ random: () => (random = (random + 0.37) % 1) });
    worker.connect('tcp://a', 'tcp://b');
    worker.welcome();
    worker.tell({ type: 'disconnect', ...express });
    worker.wait(100);
    expect(worker.sockets).toEqual([
      'open express tcp://a',
      'close express',
      'open express tcp://b',
    ]);
    const [first, second] = worker.all('ready').map(({ session }) => session);
    expect(first).toHaveLength(16);
    expect(second).not.toBe(first);
  });

  test('forgives the broker what it did not hear while it was stopped', () => {
    const worker = welcomed();
    worker.sleep(5000);
    expect(worker.took('brokerLost')).toEqual([]);
    worker.wait(100);
    expect(worker.took('brokerLost')).toHaveLength(1);
  });

  test('is patient while something large is on its way, and announces its own', () => {
    const worker = welcomed();
    worker.tell({ type: 'announce', ...express, bytes: 2 * 1024 * 1024 });
    worker.wait(2200);
    expect(worker.took('brokerLost')).toEqual([]);
    worker.dispatch(1);
    worker.news();
    worker.call({ type: 'reply', token: 0, body: [new Uint8Array(1024 * 1024)] });
    expect(worker.news().map((line) => line.slice(0, 16))).toEqual([
      'announce 1048576',
      `1.0 ${'\0'.repeat(12)}`,
    ]);
  });

  test('takes no command of another dialect', () => {
    const worker = welcomed();
    worker.tell({ type: 'disconnect', dialect: 'mdp0.2' });
    expect(worker.took('malformed')).toHaveLength(1);
    expect(worker.took('brokerLost')).toEqual([]);
  });
});

describe('a link that breaks', () => {
  test('is followed by READY with the same id and what is held; results wait for WELCOME', () => {
    const worker = welcomed();
    worker.dispatch(7);
    worker.dispatch(8);
    worker.gone();
    expect(worker.news()).toEqual(['ready 2 [7,8]']);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual([]);
    worker.welcome(true);
    expect(worker.took('reattached')).toMatchObject([{ resumed: true }]);
    expect(worker.news()).toEqual(['7.0 done']);
    expect(worker.took('requestLost')).toEqual([]);
    worker.reply(1, 'also');
    expect(worker.news()).toEqual(['8.0 also']);
  });

  test('loses all that runs if the broker does not know the session; its room comes back later', () => {
    const worker = welcomed();
    worker.dispatch(7);
    worker.dispatch(8);
    worker.gone();
    worker.reply(1, 'too late');
    worker.news();
    worker.welcome(false);
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    expect(worker.took('replyDropped')).toMatchObject([{ token: 1 }]);
    expect(worker.news()).toEqual(['capacity 1']);
    worker.dispatch(7, { body: body('another') });
    worker.reply(0, 'of the lost one');
    expect(worker.took('replyDropped')).toMatchObject([{ token: 0 }]);
    worker.reply(2, 'new');
    expect(worker.news()).toEqual(['capacity 2', '7.0 new']);
  });

  test('is begun with nothing heard: a WELCOME that was lost may have said so', () => {
    const worker = welcomed();
    worker.tell({ type: 'heartbeat', ...express, beat: 49, echo: 1, held: [] });
    worker.gone();
    worker.welcome(true);
    expect(worker.all('heartbeat').at(-1)).toMatchObject({ beat: 2, echo: 0 });
    worker.tell({ type: 'heartbeat', ...express, beat: 1, echo: 2, held: [] });
    worker.wait(100);
    expect(worker.all('heartbeat').at(-1)).toMatchObject({ beat: 3, echo: 1 });
  });

  test('ends the session if it does not come back within the expiry', () => {
    const worker = welcomed();
    worker.dispatch(7);
    worker.gone();
    worker.wait(200);
    worker.gone();
    worker.wait(99);
    expect(worker.took('brokerLost')).toEqual([]);
    worker.wait(1);
    expect(worker.took('brokerLost')).toMatchObject([{ reason: 'silent' }]);
    worker.wait(100);
    expect(worker.news().at(-1)).toBe('ready 1 []');
    worker.welcome();
    worker.reply(0, 'late');
    expect(worker.news()).toEqual(['capacity 2']);
  });

  test('goes on with a stream when credit that was lost is said again', () => {
    const worker = welcomed();
    worker.dispatch(7, { window: 1 });
    worker.write(0, 'a');
    worker.write(0, 'b');
    expect(worker.news()).toEqual(['7.0 a …']);
    worker.gone();
    worker.welcome(true);
    expect(worker.news()).toEqual(['ready 2 [7]']);
    const bytes = sizeOf(body('a'));
    worker.tell({ type: 'credit', ...express, number: 7, bytes });
    worker.tell({ type: 'credit', ...express, number: 7, bytes });
    expect(worker.news()).toEqual(['7.1 b …']);
  });
});

describe('a request', () => {
  test('comes with all that is known of it', () => {
    const worker = welcomed();
    worker.wait(50);
    const headers = new Uint8Array([123, 125]);
    worker.dispatch(7, { attempt: 2, timeLeft: 500, key: 'k', headers });
    expect(worker.took('request')).toEqual([
      {
        type: 'request',
        token: 0,
        body: body('work 7'),
        attempt: 2,
        deadlineAt: 550,
        idempotencyKey: 'k',
        headers,
      },
    ]);
  });

  test('beyond the credit is handed back, and one that came twice is refused', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.dispatch(1);
    worker.dispatch(2);
    worker.dispatch(3);
    expect(worker.took('malformed')).toHaveLength(1);
    expect(worker.took('request')).toHaveLength(2);
    expect(worker.news()).toEqual(['handBack 3']);
  });

  test('that is cancelled is told so once; its end gives the credit back', () => {
    const worker = welcomed();
    worker.dispatch(1, { window: 1 });
    worker.write(0, 'a');
    worker.write(0, 'b');
    worker.took('written');
    worker.tell({ type: 'cancel', ...express, number: 1 });
    worker.tell({ type: 'cancel', ...express, number: 1 });
    expect(worker.took('requestCancelled')).toMatchObject([{ token: 0, reason: 'cancelled' }]);
    expect(worker.took('written')).toHaveLength(1);
    worker.write(0, 'c');
    expect(worker.took('written')).toHaveLength(1);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual(['1.0 a …', '1.1 ERR_CANCELLED']);
    expect(worker.machine.running).toBe(0);
  });

  test('whose time is over is told so', () => {
    const worker = welcomed();
    worker.dispatch(1, { timeLeft: 40 });
    worker.dispatch(2, { timeLeft: 30 });
    worker.reply(0, 'in time');
    worker.wait(29);
    expect(worker.took('requestCancelled')).toEqual([]);
    worker.wait(1);
    expect(worker.took('requestCancelled')).toMatchObject([{ token: 1, reason: 'deadline' }]);
    worker.reply(1, 'too late');
    expect(worker.news()).toEqual(['1.0 in time', '2.0 ERR_REQUEST_EXPIRED']);
  });

  test('that the broker no longer counts on is lost; its room comes back when it settles', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.pulse([], 1);
    expect(worker.took('requestLost')).toEqual([]);
    worker.wait(100);
    worker.dispatch(2);
    worker.pulse([]);
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    expect(worker.news()).toEqual(['capacity 1']);
    worker.reply(0, 'in vain');
    expect(worker.took('replyDropped')).toHaveLength(1);
    expect(worker.news()).toEqual(['capacity 2']);
    worker.reply(1, 'good');
    expect(worker.news()).toEqual(['2.0 good']);
  });

  test('of which the handler throws ends with a failure', () => {
    const worker = welcomed();
    worker.dispatch(1);
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    worker.call({ type: 'fail', token: 0, failure });
    expect(worker.news()).toEqual(['1.0 ERR_HANDLER_FAILED']);
  });
});

describe('a reply in parts', () => {
  test('leaves as the reader has room, and each write is answered when its part has left', () => {
    const worker = welcomed();
    worker.dispatch(1, { window: 300 });
    worker.write(0, 'a');
    worker.write(0, 'b');
    worker.write(0, 'c');
    expect(worker.took('written')).toHaveLength(2);
    expect(worker.news()).toEqual(['1.0 a …', '1.1 b …']);
    worker.reply(0, 'end');
    expect(worker.news()).toEqual([]);
    worker.tell({ type: 'credit', ...express, number: 1, bytes: 402 });
    expect(worker.took('written')).toHaveLength(1);
    expect(worker.news()).toEqual(['1.2 c …', '1.3 end']);
    expect(worker.machine.running).toBe(0);
  });

  test('that is never read ends with a failure once too much of it waits', () => {
    const worker = welcomed();
    worker.dispatch(1, { window: 1 });
    worker.write(0, 'a');
    worker.write(0, 'x'.repeat(2000));
    expect(worker.took('written')).toHaveLength(1);
    worker.write(0, 'y');
    expect(worker.took('written')).toHaveLength(2);
    worker.reply(0, 'end');
    expect(worker.news()).toEqual(['1.0 a …', '1.1 ERR_STREAM_OVERFLOW']);
  });

  test('waits for the link like any other reply', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.dispatch(2);
    worker.full.add('express');
    worker.write(0, 'a');
    worker.reply(0, 'b');
    worker.reply(1, 'c');
    expect(worker.took('written')).toEqual([]);
    expect(worker.machine.running).toBe(2);
    worker.writable();
    expect(worker.news()).toEqual(['1.0 a …', '1.1 b', '2.0 c']);
    expect(worker.machine.running).toBe(0);
  });
});

describe('closing', () => {
  test('idle, it says goodbye at once, and what it holds before that: nothing', () => {
    const worker = welcomed();
    worker.call({ type: 'drain' });
    expect(worker.sent.map(({ command }) => command)).toMatchObject([
      { type: 'capacity', credit: 0 },
      { type: 'heartbeat', held: [] },
      { type: 'disconnect' },
    ]);
    expect(worker.sockets.at(-1)).toBe('close express flushed');
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.took('sessionClosed')).toHaveLength(1);
  });

  test('busy, it hands back what comes, and finishes what runs', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.call({ type: 'drain' });
    worker.full.add('express');
    worker.dispatch(2);
    worker.writable();
    expect(worker.news()).toEqual(['capacity 0', 'handBack 2']);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual(['1.0 done', 'disconnect']);
    expect(worker.took('drained')).toHaveLength(1);
    worker.wait(1000);
    expect(worker.machine.nextTimeout).toBe(Infinity);
  });

  test('it waits for the reader of the last part, and no longer', () => {
    const worker = welcomed();
    worker.dispatch(1, { window: 1 });
    worker.write(0, 'a');
    worker.write(0, 'b');
    worker.reply(0, 'end');
    worker.call({ type: 'drain' });
    expect(worker.news()).toEqual(['1.0 a …', 'capacity 0']);
    worker.tell({ type: 'credit', ...express, number: 1, bytes: sizeOf(body('a')) });
    expect(worker.news()).toEqual(['1.1 b …', '1.2 end', 'disconnect']);
    expect(worker.took('drained')).toHaveLength(1);
  });

  test('stopped, it names what it leaves unfinished, and loses it', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.call({ type: 'stop' });
    expect(worker.all('heartbeat').at(-1)).toMatchObject({ held: [1] });
    expect(worker.took('requestLost')).toHaveLength(1);
    expect(worker.took('drained')).toHaveLength(1);
    worker.reply(0, 'late');
    expect(worker.took('replyDropped')).toEqual([]);
  });

  test('it ends with its last handler, though the broker went first', () => {
    const worker = welcomed();
    worker.dispatch(1);
    worker.call({ type: 'drain' });
    worker.tell({ type: 'disconnect', ...express });
    expect(worker.took('drained')).toEqual([]);
    worker.reply(0, 'late');
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.machine.nextTimeout).toBe(Infinity);
  });
});
