/**
 * What a worker does when its brokers are a pair: it knows both, goes on with what has a key when one dies,
 * and tells the other what it runs and has done.
 */
import { describe, expect, test } from 'vitest';
import type {
  DispatchCommand,
  WorkerInput,
  WorkerOutput,
} from '../../src/majordomo/wire/commands.ts';
import { REMEMBERED_BYTES, REMEMBERED_TIME } from '../../src/majordomo/worker/outcomes.ts';
import type { WorkerPort } from '../../src/majordomo/worker/worker-machine.ts';
import { body, textOf, WorkerStory } from './stories.ts';

const express = { dialect: 'express' } as const;
const PACE = { heartbeatInterval: 100, heartbeatLiveness: 3 };
const ENDPOINTS = ['tcp://a', 'tcp://b'] as const;

/** The ports of the sessions with the first and the second broker. */
const A = 'express';
const B = 'express-1';

class PairStory extends WorkerStory {
  constructor(settings: ConstructorParameters<typeof WorkerStory>[0] = {}) {
    super({ protocol: 'express', concurrency: 2, ...settings });
  }

  welcome(port: WorkerPort, epoch: number | undefined, standby = false, resumed = false): void {
    this.hear({ type: 'welcome', ...express, ...PACE, resumed, epoch, standby }, port);
  }
  /** It serves from now on, and asks what is done; or asks again. */
  takeOver(port: WorkerPort, epoch: number, isHeir = false): void {
    this.hear({ type: 'standing', ...express, active: true, isHeir, epoch, endpoint: '' }, port);
  }
  stepDown(port: WorkerPort, epoch: number): void {
    this.hear({ type: 'standing', ...express, active: false, epoch, endpoint: '' }, port);
  }
  dispatch(port: WorkerPort, number: number, more: Partial<DispatchCommand> = {}): void {
    const content = { envelope: [], body: body(`work ${number}`) };
    this.hear({ type: 'dispatch', ...express, number, attempt: 1, ...content, ...more }, port);
  }
  tell(port: WorkerPort, command: WorkerInput): void {
    this.hear(command, port);
  }
  reply(token: number, text: string): void {
    this.call({ type: 'reply', token, body: body(text) });
  }
  write(token: number, text: string): void {
    this.call({ type: 'write', token, body: body(text) });
  }
  gone(port: WorkerPort): void {
    this.machine.handlePeerGone(this.now, port);
  }
  /** Time passes, and these brokers beat, knowing what they are told. */
  live(
    ports: readonly WorkerPort[],
    milliseconds: number,
    echoOf = (_port: WorkerPort) => 0,
  ): void {
    for (let waited = 0; waited < milliseconds; waited += 50) {
      this.wait(Math.min(50, milliseconds - waited));
      for (const port of ports) {
        this.hear({ type: 'heartbeat', ...express, beat: 1, echo: echoOf(port), held: [] }, port);
      }
    }
  }
  /** The same, and they echo what they hear. */
  echo(ports: readonly WorkerPort[], milliseconds: number): void {
    this.live(ports, milliseconds, (port) => {
      const beat = this.sent.findLast((one) => one.to === port && one.command.type === 'heartbeat');
      return beat?.command.type === 'heartbeat' ? (beat.command.beat ?? 0) : 0;
    });
  }
  all<Type extends WorkerOutput['type']>(type: Type): Extract<WorkerOutput, { type: Type }>[] {
    const commands = this.sent.map(({ command }) => command);
    return commands.filter(
      (command): command is Extract<WorkerOutput, { type: Type }> => command.type === type,
    );
  }
  /** What was said but heartbeats, since it was last asked: `express-1 report 2 runs [k] has []`. */
  news(): string[] {
    return this.sent.splice(0).flatMap(({ to, command }) => {
      const said = shown(command);
      return said === undefined ? [] : [`${to} ${said}`];
    });
  }
}

function shown(command: WorkerOutput): string | undefined {
  switch (command.type) {
    case 'heartbeat':
      return undefined;
    case 'ready':
      return `ready ${command.credit} epoch ${command.epoch ?? 'none'}`;
    case 'result':
      return `${command.number} ${command.failure?.code ?? textOf(command.body)}`;
    case 'finished':
      return `finished ${command.key} = ${command.failure?.code ?? textOf(command.body)}`;
    case 'report':
      return `report ${command.epoch} runs [${command.running.join()}] has [${command.finished.join()}]`;
    case 'capacity':
      return `capacity ${command.credit}`;
    case 'handBack':
      return `handBack ${command.number}`;
    case 'seen':
      return `seen ${command.epoch}`;
    default:
      return command.type;
  }
}

/** With a session at both: A serves under epoch 1, B stands by. Nothing was said since. */
function paired(settings?: ConstructorParameters<typeof WorkerStory>[0]): PairStory {
  const worker = new PairStory(settings);
  worker.connect(...ENDPOINTS);
  worker.welcome(A, 1);
  worker.takeOver(A, 1);
  worker.welcome(B, 1, true);
  worker.news();
  return worker;
}

describe('two brokers that are a pair', () => {
  test('are both known as soon as one shows an epoch: a session with each', () => {
    const worker = new PairStory();
    worker.connect(...ENDPOINTS);
    expect(worker.sockets).toEqual(['open express tcp://a']);
    worker.welcome(A, 1);
    expect(worker.sockets.slice(1)).toEqual(['open express-1 tcp://b']);
    const [first, second] = worker.all('ready');
    expect(second!.worker).toHaveLength(16);
    expect(second!.worker).toBe(first!.worker);
    worker.welcome(B, 1, true);
    expect(worker.took('ready')).toMatchObject([{ endpoint: 'tcp://a', epoch: 1 }]);
    expect(worker.took('standby')).toEqual([{ type: 'standby', endpoint: 'tcp://b', epoch: 1 }]);
    expect(worker.took('sessionOpened')).toMatchObject([
      { endpoint: 'tcp://a' },
      { endpoint: 'tcp://b' },
    ]);
    expect(worker.news()).toEqual(['express ready 2 epoch none', 'express-1 ready 2 epoch 1']);
  });

  test('are found through the passive one, too, and endpoints that are added are used', () => {
    const worker = new PairStory({ protocol: 'auto' });
    worker.connect('tcp://a');
    worker.answerProbe('200', '1');
    worker.welcome(A, 0, true);
    worker.connect('tcp://a', 'tcp://b');
    expect(worker.sockets.slice(-2)).toEqual(['open express tcp://a', 'open express-1 tcp://b']);
    worker.welcome(B, 3);
    expect(worker.took('ready')).toMatchObject([{ endpoint: 'tcp://b', epoch: 3 }]);
    expect(worker.news().at(-1)).toBe('express-1 ready 2 epoch none');
  });

  test('without an epoch are none: one session, and the next endpoint when it is lost', () => {
    const worker = new PairStory();
    worker.connect(...ENDPOINTS);
    worker.welcome(A, undefined);
    worker.dispatch(A, 1, { key: 'k' });
    worker.tell(A, { type: 'disconnect', ...express });
    expect(worker.took('requestLost')).toHaveLength(1);
    worker.wait(100);
    expect(worker.sockets).toEqual([
      'open express tcp://a',
      'close express',
      'open express tcp://b',
    ]);
  });

  test('are each come back to by the session that is theirs', () => {
    const worker = paired();
    worker.tell(B, { type: 'disconnect', ...express });
    worker.live([A], 100);
    expect(worker.sockets.slice(2)).toEqual(['close express-1', 'open express-1 tcp://b']);
    worker.welcome(B, 1, true);
    worker.tell(A, { type: 'disconnect', ...express });
    worker.live([B], 100);
    expect(worker.sockets.slice(4)).toEqual(['close express', 'open express tcp://a']);
  });

  test('are come back to within a heartbeat, however long one was away: it may take over at once', () => {
    const worker = paired({ reconnectLimit: 10_000 });
    for (let lost = 0; lost < 8; lost++) {
      worker.tell(B, { type: 'disconnect', ...express });
      worker.live([A], PACE.heartbeatInterval);
      expect(worker.sockets.at(-1)).toBe('open express-1 tcp://b');
    }
  });

  test('of whom none is heard for long may be others by now: it begins anew with asking', () => {
    const worker = new PairStory({ protocol: 'auto' });
    worker.connect(...ENDPOINTS);
    worker.answerProbe('200', '1');
    worker.welcome(A, 1);
    worker.wait(29_000);
    expect(worker.sockets.filter((line) => line.includes('probe'))).toHaveLength(2);
    worker.wait(3000);
    expect(worker.sockets.at(-1)).toMatch(/open probe/);
    worker.answerProbe('501');
    expect(worker.sockets.at(-1)).toMatch(/open stock-1/);
  });
});

describe('room for handlers', () => {
  test('is shared: what one broker gave leaves less for the other', () => {
    const worker = paired();
    worker.dispatch(A, 1);
    worker.takeOver(B, 2);
    worker.news();
    worker.dispatch(B, 7);
    worker.dispatch(B, 8);
    expect(worker.took('request')).toHaveLength(2);
    expect(worker.news()).toEqual(['express-1 handBack 8']);
    expect(worker.machine.handling).toBe(2);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual(['express 1 done', 'express-1 capacity 2']);
  });

  test('is not told to one that stands by, whatever runs', () => {
    const worker = paired();
    worker.dispatch(A, 1);
    worker.dispatch(A, 2);
    worker.live([A, B], 500);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual(['express 1 done']);
    worker.takeOver(B, 2);
    expect(worker.news()).toEqual([
      'express-1 report 2 runs [] has []',
      'express-1 capacity 1',
      'express seen 2',
    ]);
  });

  test('is taken up by what runs for a broker that died, not by replies that wait for it', () => {
    const worker = paired({ concurrency: 1 });
    worker.dispatch(A, 1);
    worker.gone(A);
    worker.takeOver(B, 2);
    expect(worker.news().slice(-1)).toEqual(['express-1 capacity 0']);
    worker.reply(0, 'in vain');
    expect(worker.news()).toEqual(['express-1 capacity 1']);
    worker.dispatch(B, 7);
    expect(worker.took('request')).toHaveLength(2);
  });
});

describe('the active broker dies', () => {
  test('what has a key goes on, and whoever takes over is told that it runs, and how it ends', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.dispatch(A, 2);
    worker.gone(A);
    worker.live([B], 150);
    worker.news();
    worker.takeOver(B, 2);
    expect(worker.news().slice(0, 1)).toEqual(['express-1 report 2 runs [k] has []']);
    expect(worker.took('failedOver')).toEqual([
      { type: 'failedOver', endpoint: 'tcp://b', epoch: 2 },
    ]);
    expect(worker.took('ready').at(-1)).toMatchObject({ endpoint: 'tcp://b', epoch: 2 });
    worker.live([B], 300);
    expect(worker.took('brokerLost')).toMatchObject([{ endpoint: 'tcp://a', reason: 'silent' }]);
    expect(worker.took('requestLost')).toMatchObject([{ token: 1 }]);
    worker.news();
    worker.reply(0, 'done');
    expect(worker.news()[0]).toBe('express-1 finished k = done');
    expect(worker.took('replyKept')).toMatchObject([{ token: 0 }]);
    worker.reply(1, 'in vain');
    expect(worker.took('replyDropped')).toMatchObject([{ token: 1 }]);
    expect(worker.news().join()).not.toContain('finished');
  });

  test('also before its session is given up: the end is told to the one that serves', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.gone(A);
    worker.takeOver(B, 2);
    worker.news();
    worker.reply(0, 'done');
    expect(worker.news()).toContain('express-1 finished k = done');
    worker.welcome(A, 2, true);
    expect(worker.took('replyKept')).toHaveLength(1);
    expect(worker.news()).toEqual([]);
  });

  test('a reply that was on its way to it is told of, too', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.dispatch(A, 2, { key: 'f' });
    worker.dispatch(A, 3);
    worker.reply(0, 'done');
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    worker.call({ type: 'fail', token: 1, failure });
    worker.gone(A);
    worker.news();
    worker.takeOver(B, 2);
    expect(worker.news()).toEqual([
      'express-1 finished k = done',
      'express-1 finished f = ERR_HANDLER_FAILED',
      'express-1 report 2 runs [] has [k,f]',
    ]);
  });

  test('of a reply in parts all is told', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k', window: 1 });
    worker.write(0, 'one');
    worker.write(0, 'two');
    worker.gone(A);
    worker.live([B], 300);
    worker.takeOver(B, 2);
    worker.write(0, 'three');
    expect(worker.took('written')).toHaveLength(3);
    worker.news();
    worker.reply(0, 'end');
    expect(worker.news()).toContain('express-1 finished k = one|two|three|end');
  });

  test('unless they are more than may be kept: then it is lost', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.gone(A);
    worker.live([B], 300);
    expect(worker.took('requestLost')).toEqual([]);
    worker.write(0, 'x'.repeat(2000));
    expect(worker.took('requestLost')).toHaveLength(1);
    worker.takeOver(B, 2);
    expect(worker.all('report').at(-1)).toMatchObject({ running: [], finished: [] });
  });

  test('what was cancelled is neither run nor done', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.tell(A, { type: 'cancel', ...express, number: 1 });
    worker.gone(A);
    worker.takeOver(B, 2);
    worker.reply(0, 'anything');
    expect(worker.all('report')[0]).toMatchObject({ running: [], finished: [] });
    expect(worker.all('finished')).toEqual([]);
  });

  test('both die: whoever comes back first is told', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.wait(1000);
    expect(worker.took('brokerLost').length).toBeGreaterThan(1);
    expect(worker.took('requestLost')).toEqual([]);
    worker.reply(0, 'done');
    expect(worker.took('replyKept')).toHaveLength(1);
    worker.welcome(B, 2);
    worker.takeOver(B, 2);
    expect(worker.all('finished')).toMatchObject([{ key: 'k' }]);
  });
});

describe('the active broker steps down', () => {
  test('nothing of it is answered any more; what has a key goes on', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.dispatch(A, 2);
    worker.stepDown(A, 2);
    expect(worker.took('requestLost')).toMatchObject([{ token: 1 }]);
    expect(worker.took('standby')).toHaveLength(2);
    worker.tell(A, { type: 'cancel', ...express, number: 1 });
    worker.reply(0, 'done');
    expect(worker.news()).toEqual([]);
    expect(worker.took('requestCancelled')).toEqual([]);
    worker.wait(100);
    expect(worker.all('heartbeat').at(-1)).toMatchObject({ held: [] });
    worker.takeOver(A, 3);
    expect(worker.news()).toContain('express finished k = done');
  });

  test('and hears of the higher epoch from the worker, if it knows nothing of it', () => {
    const worker = paired();
    worker.takeOver(B, 2);
    expect(worker.news()).toContain('express seen 2');
    worker.dispatch(A, 1);
    expect(worker.took('request')).toEqual([]);
    expect(worker.news()).toEqual(['express handBack 1', 'express seen 2']);
    worker.takeOver(A, 1);
    worker.gone(A);
    worker.welcome(A, 1);
    expect(worker.all('seen')).toHaveLength(2);
    expect(worker.all('report')).toEqual([]);
  });

  test('of an epoch that cannot be nothing is believed', () => {
    const worker = paired();
    worker.takeOver(B, 2 ** 51);
    worker.gone(B);
    worker.welcome(B, 2 ** 51);
    expect(worker.took('malformed')).toHaveLength(2);
    worker.dispatch(A, 1);
    expect(worker.took('request')).toHaveLength(1);
  });
});

describe('a report', () => {
  test('is given as often as it is asked for, but not while one may be under way', () => {
    const worker = paired();
    worker.takeOver(B, 2);
    worker.takeOver(B, 2);
    expect(worker.all('report')).toHaveLength(2);
    worker.dispatch(B, 1, { key: 'large' });
    worker.call({ type: 'reply', token: 0, body: [new Uint8Array(3 * 1024 * 1024)] });
    worker.takeOver(B, 2);
    worker.takeOver(B, 2);
    expect(worker.all('report')).toHaveLength(3);
    expect(worker.news().slice(-3, -1)).toEqual(['express-1 announce', expect.any(String)]);
    worker.live([A, B], 3100);
    worker.takeOver(B, 2);
    expect(worker.all('report')).toHaveLength(1);
  });

  test('waits for room in the queue, and its outcomes before it', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.reply(0, 'done');
    worker.news();
    worker.full.add(B);
    worker.takeOver(B, 2);
    worker.takeOver(B, 2);
    worker.dispatch(A, 2, { key: 'later' });
    expect(worker.news()).toEqual(['express seen 2', 'express handBack 2', 'express seen 2']);
    worker.full.clear();
    worker.machine.handleWritable(worker.now, B);
    expect(worker.news()).toEqual([
      'express-1 finished k = done',
      'express-1 report 2 runs [] has [k]',
    ]);
  });

  test('tells of a minute', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'old' });
    worker.reply(0, 'done');
    worker.live([A, B], REMEMBERED_TIME - 100);
    worker.dispatch(A, 2, { key: 'young' });
    worker.reply(1, 'done');
    worker.live([A, B], 200);
    worker.takeOver(B, 2);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['young'] });
  });

  test('to an heir leaves out what its predecessor surely had', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'old' });
    worker.reply(0, 'done');
    worker.echo([A, B], 10_000);
    worker.dispatch(A, 2, { key: 'young' });
    worker.reply(1, 'done');
    worker.takeOver(B, 2, true);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['young'] });
    // Asked again, it says the same, however much has arrived since.
    worker.echo([A, B], 10_000);
    worker.takeOver(B, 2, true);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['young'] });
    worker.takeOver(A, 3);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['old', 'young'] });
  });

  test('to an heir leaves out nothing that no echo proves to have arrived', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'old' });
    worker.reply(0, 'done');
    worker.live([A, B], 10_000);
    worker.takeOver(B, 2, true);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['old'] });
  });

  test('and of so many bytes, the oldest being forgotten first', () => {
    const worker = paired();
    const third = new Uint8Array(REMEMBERED_BYTES / 3);
    for (const [number, key] of ['one', 'two', 'three', 'four'].entries()) {
      worker.dispatch(A, number, { key });
      worker.call({ type: 'reply', token: number, body: [third] });
    }
    expect(worker.machine.rememberedBytes).toBeLessThanOrEqual(REMEMBERED_BYTES);
    worker.takeOver(B, 2);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['three', 'four'] });
    worker.dispatch(B, 9, { key: 'huge' });
    worker.call({ type: 'reply', token: 4, body: [new Uint8Array(REMEMBERED_BYTES + 1)] });
    worker.live([A, B], 30_000);
    worker.takeOver(B, 2);
    expect(worker.all('report').at(-1)).toMatchObject({ finished: ['huge'] });
  });
});

describe('closing', () => {
  test('both are told that there is no room, and goodbye when nothing runs for either', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.gone(A);
    worker.live([B], 300);
    worker.takeOver(B, 2);
    worker.news();
    worker.call({ type: 'drain' });
    expect(worker.news()).toEqual(['express-1 capacity 0']);
    expect(worker.took('drained')).toEqual([]);
    worker.reply(0, 'done');
    expect(worker.news()).toEqual(['express-1 finished k = done', 'express-1 disconnect']);
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.machine.nextTimeout).toBe(Infinity);
  });

  test('idle, the passive one is told at once, too', () => {
    const worker = paired();
    worker.call({ type: 'drain' });
    expect(worker.news()).toEqual([
      'express capacity 0',
      'express-1 capacity 0',
      'express disconnect',
      'express-1 disconnect',
    ]);
    expect(worker.took('sessionClosed')).toHaveLength(2);
  });

  test('stopped, it loses what runs, with a key or without', () => {
    const worker = paired();
    worker.dispatch(A, 1, { key: 'k' });
    worker.dispatch(A, 2);
    worker.gone(A);
    worker.live([B], 300);
    expect(worker.took('requestLost')).toMatchObject([{ token: 1 }]);
    worker.call({ type: 'stop' });
    expect(worker.took('requestLost')).toMatchObject([{ token: 0 }]);
    expect(worker.took('drained')).toHaveLength(1);
    expect(worker.machine.running).toBe(0);
  });
});
