/** What a Lazy Pirate client does until a request has its one outcome, each told as a story. */
import { describe, expect, test } from 'vitest';
import { encodeFailure } from '../../src/core/error-body.ts';
import { sizeOf } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
  type RequestCall,
} from '../../src/pirate/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../src/pirate/commands.ts';
import { Actor, body, textOf } from '../actor.ts';

class ClientStory extends Actor<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent> {
  declare readonly machine: ClientMachine;
  #id = 0;

  constructor(settings: Partial<ClientSettings> = {}) {
    super(
      (outbox) =>
        new ClientMachine(outbox, {
          lanes: 2,
          queueLimit: 10,
          queueBytes: 1000,
          backoff: 100,
          backoffLimit: 300,
          noticeGrace: 20,
          random: () => 1,
          ...settings,
        }),
    );
  }

  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  request(text: string, terms: Partial<RequestCall> = {}): number {
    const id = this.#id++;
    const times = { timeout: 10_000, attemptTimeout: 1000, retries: 3 };
    this.call({ type: 'request', id, body: body(text), ...times, ...terms });
    return id;
  }
  cancel(id: number): void {
    this.call({ type: 'cancel', id, reason: 'enough' });
  }
  hear(port: ClientPort, reply: Frames, stack: Frames | undefined = []): void {
    this.machine.handleCommand(this.now, port, '', { type: 'reply', stack, body: reply });
  }
  linkBreaks(port: ClientPort): void {
    this.machine.handlePeerGone(this.now, port);
  }
  /** `lane-0 < text` */
  get asked(): string[] {
    return this.sent.map(({ to, command }) => `${to} < ${textOf(command.body)}`);
  }
  /** `0 = text` or `0 ! ERR_…`, in the order of the outcomes. */
  get outcomes(): string[] {
    return this.events.flatMap((event) => {
      if (event.type === 'reply') return [`${event.id} = ${textOf(event.body)}`];
      return event.type === 'failed' ? [`${event.id} ! ${event.code}`] : [];
    });
  }
}

function connected(settings?: Partial<ClientSettings>): ClientStory {
  const client = new ClientStory(settings);
  client.connect('tcp://a', 'tcp://b');
  return client;
}

const closing = encodeFailure({ code: 'ERR_SERVER_CLOSING', message: 'bye' });

describe('a request', () => {
  test('has a lane of its own, as many as there are; an answered lane is used again', () => {
    const client = connected();
    for (const text of ['first', 'second', 'third', 'fourth']) client.request(text);
    expect(client.asked).toEqual(['lane-0 < first', 'lane-1 < second']);
    expect(client.machine.waiting).toBe(2);
    client.hear('lane-1', body('done'));
    expect(client.asked.at(-1)).toBe('lane-1 < third');
    expect(client.outcomes).toEqual(['1 = done']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'open lane-1 tcp://a']);
  });

  test('is written as a REQ socket would: nothing in front of the empty frame', () => {
    const client = connected();
    client.request('work');
    expect(client.sent[0]!.command).toEqual({ type: 'request', stack: [], body: body('work') });
  });

  test('waits for an endpoint', () => {
    const client = new ClientStory();
    client.request('early');
    expect(client.asked).toEqual([]);
    client.connect('tcp://a');
    expect(client.asked).toEqual(['lane-0 < early']);
  });

  test('is tried again on a fresh socket at the next endpoint, after a growing rest', () => {
    const client = connected();
    client.request('work', { retries: 4 });
    const triedAt: number[] = [];
    for (let attempt = 2; attempt <= 5; attempt++) {
      while (client.took('retry').length === 0) client.wait(10);
      triedAt.push(client.now);
    }
    expect(triedAt).toEqual([1100, 2300, 3600, 4900]);
    expect(client.sockets).toEqual([
      'open lane-0 tcp://a',
      'close lane-0',
      'open lane-1 tcp://b',
      'close lane-1',
      'open lane-0 tcp://a',
      'close lane-0',
      'open lane-1 tcp://b',
      'close lane-1',
      'open lane-0 tcp://a',
    ]);
    client.wait(1000);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
    expect(client.took('failed')[0]!.message).toContain(
      'no reply after 5 tries and no try is left',
    );
  });

  test('rests as little as any first time, when the one before it was answered', () => {
    const client = connected();
    client.request('slow');
    client.wait(2300);
    expect(client.took('retry')).toHaveLength(2);
    client.hear('lane-0', body('done'));
    client.request('next');
    client.wait(1099);
    expect(client.took('retry')).toEqual([]);
    client.wait(1);
    expect(client.took('retry')).toEqual([
      { type: 'retry', id: 1, attempt: 2, endpoint: 'tcp://b' },
    ]);
  });

  test('rests at random, between half of its time and all of it', () => {
    const client = connected({ random: () => 0 });
    client.request('work');
    client.wait(1049);
    expect(client.took('retry')).toEqual([]);
    client.wait(1);
    expect(client.took('retry')).toHaveLength(1);
  });

  test('shares its timeout out over its tries', () => {
    const client = connected();
    client.request('work', { timeout: 900, retries: 2, attemptTimeout: undefined });
    client.wait(299);
    expect(client.sockets).toEqual(['open lane-0 tcp://a']);
    client.wait(1);
    expect(client.sockets.at(-1)).toBe('close lane-0');
  });

  test('ends at its own deadline, sent, waiting or resting', () => {
    const client = connected({ lanes: 1 });
    client.request('sent', { timeout: 500 });
    client.request('waiting', { timeout: 400 });
    client.wait(450);
    expect(client.outcomes).toEqual(['1 ! ERR_REQUEST_TIMEOUT']);
    expect(client.took('failed')[0]!.message).toContain('could not be sent within 400 ms');
    client.wait(50);
    expect(client.took('failed')[0]!.message).toContain('after 1 try within 500 ms');
    client.request('resting', { timeout: 1050 });
    client.wait(1049);
    expect(client.outcomes).toEqual([]);
    client.wait(1);
    expect(client.outcomes).toEqual(['2 ! ERR_REQUEST_TIMEOUT']);
    expect(client.machine.outstanding).toBe(0);
  });

  test('that rested goes before those that wait', () => {
    const client = connected({ lanes: 1 });
    client.request('first', { attemptTimeout: 100 });
    client.request('second', { attemptTimeout: 150 });
    client.request('third');
    client.wait(260);
    expect(client.asked).toEqual(['lane-0 < first', 'lane-0 < second', 'lane-0 < first']);
  });
});

describe('a failure', () => {
  test('of one that closes is none: it is asked elsewhere', () => {
    const client = connected();
    client.request('work');
    client.hear('lane-0', closing);
    expect(client.outcomes).toEqual([]);
    client.wait(100);
    expect(client.took('retry')).toMatchObject([{ attempt: 2, endpoint: 'tcp://b' }]);
    client.hear('lane-1', body('done'));
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('of one that closes costs no try, however often: it may be back in time', () => {
    const client = connected();
    client.request('work', { retries: 1 });
    for (const port of ['lane-0', 'lane-1', 'lane-0', 'lane-1'] as const) {
      client.hear(port, closing);
      client.wait(300);
    }
    client.hear('lane-0', body('done'));
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('of one that closes is the outcome where nothing may be tried again', () => {
    const client = connected();
    client.request('work', { retries: 0 });
    client.hear('lane-0', closing);
    expect(client.outcomes).toEqual(['0 ! ERR_SERVER_CLOSING']);
  });

  test('of any other kind is the outcome, and its lane is good', () => {
    const client = connected({ lanes: 1 });
    client.request('work');
    client.request('more');
    client.hear('lane-0', encodeFailure({ code: 'ERR_QUEUE_FULL', message: 'full' }));
    expect(client.took('failed')).toEqual([
      { type: 'failed', id: 0, code: 'ERR_QUEUE_FULL', message: 'full' },
    ]);
    expect(client.asked).toEqual(['lane-0 < work', 'lane-0 < more']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a']);
  });
});

describe('a reply', () => {
  test('to an old try finds its socket closed, and no other request on its lane', () => {
    const client = connected({ lanes: 1 });
    client.request('slow', { attemptTimeout: 100, retries: 1 });
    client.request('next');
    client.wait(101);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'close lane-0', 'open lane-0 tcp://b']);
    expect(client.asked).toEqual(['lane-0 < slow', 'lane-0 < next']);
    client.hear('lane-0', body('for next'));
    client.wait(100);
    client.hear('lane-0', body('for slow'));
    expect(client.outcomes).toEqual(['1 = for next', '0 = for slow']);
  });

  test('that nobody asked for is refused, and what else comes there with it', () => {
    const client = connected();
    client.request('work');
    client.hear('lane-0', body('done'));
    client.hear('lane-0', body('twice'));
    expect(client.took('replyRefused')).toEqual([{ type: 'replyRefused', lane: 0 }]);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'close lane-0']);
    client.request('next');
    client.request('and next');
    expect(client.asked.slice(1)).toEqual(['lane-1 < next', 'lane-0 < and next']);
    expect(client.sockets.slice(2)).toEqual(['open lane-1 tcp://a', 'open lane-0 tcp://a']);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('outlives the message that it came in', () => {
    const client = connected();
    client.request('work');
    const borrowed = body('done');
    client.hear('lane-0', borrowed);
    borrowed[0]!.fill(0);
    expect(client.outcomes).toEqual(['0 = done']);
  });

  test('on a lane that never was is refused', () => {
    const client = connected();
    client.hear('lane-9', body('no such lane'));
    client.hear('lane-1', body('never opened'));
    expect(client.took('replyRefused').map(({ lane }) => lane)).toEqual([-1, 1]);
    expect(client.sockets).toEqual([]);
  });

  test('that is malformed is counted, and no outcome', () => {
    const client = connected();
    client.request('work');
    client.machine.handleMalformed(client.now, 'lane-0', '', 'no body');
    expect(client.took('malformed')).toEqual([{ type: 'malformed', reason: 'no body' }]);
    client.hear('lane-0', body('done'));
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a']);
    client.machine.handleMalformed(client.now, 'lane-0', '', 'no body');
    expect(client.sockets.at(-1)).toBe('close lane-0');
  });

  test('makes its endpoint the one that is connected next', () => {
    const client = connected({ lanes: 3 });
    client.request('lost', { attemptTimeout: 100, retries: 0 });
    client.request('good');
    client.wait(100);
    client.hear('lane-1', body('done'));
    client.request('again on the good one');
    client.request('and a fresh one');
    expect(client.sockets.at(-1)).toBe('open lane-2 tcp://a');
  });
});

describe('a broken link', () => {
  test('leaves a try its grace, in which the reply may still come', () => {
    const client = connected();
    client.request('answered');
    client.request('lost');
    client.linkBreaks('lane-0');
    client.linkBreaks('lane-1');
    client.linkBreaks('lane-9');
    client.wait(19);
    client.hear('lane-0', body('done'));
    client.wait(1);
    expect(client.sockets.at(-1)).toBe('close lane-1');
    client.wait(100);
    expect(client.outcomes).toEqual(['0 = done']);
    expect(client.took('retry')).toMatchObject([{ id: 1, attempt: 2 }]);
  });

  test('makes no try longer than it was', () => {
    const client = connected({ noticeGrace: 500 });
    client.request('work', { attemptTimeout: 100, retries: 0 });
    client.linkBreaks('lane-0');
    client.wait(100);
    expect(client.outcomes).toEqual(['0 ! ERR_REQUEST_TIMEOUT']);
  });

  test('where nothing is outstanding sends the next request elsewhere', () => {
    const client = connected();
    client.request('work');
    client.hear('lane-0', body('done'));
    client.linkBreaks('lane-0');
    client.request('next');
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'close lane-0', 'open lane-1 tcp://b']);
  });
});

describe('a cancel', () => {
  test('while it waits leaves no trace', () => {
    const client = connected({ lanes: 1 });
    client.request('sent');
    client.cancel(client.request('waiting'));
    expect(client.took('failed')).toEqual([
      { type: 'failed', id: 1, code: 'ERR_CANCELLED', message: 'enough' },
    ]);
    client.hear('lane-0', body('done'));
    expect(client.asked).toEqual(['lane-0 < sent']);
    expect(client.machine.waiting).toBe(0);
  });

  test('while it is sent closes its lane, so that the reply meets no later request', () => {
    const client = connected({ lanes: 1 });
    const id = client.request('sent');
    client.request('next');
    client.cancel(id);
    client.cancel(id);
    client.wait(1);
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED']);
    expect(client.sockets).toEqual(['open lane-0 tcp://a', 'close lane-0', 'open lane-0 tcp://a']);
    expect(client.asked.at(-1)).toBe('lane-0 < next');
  });

  test('while it rests ends it at once', () => {
    const client = connected();
    const id = client.request('work');
    client.wait(1050);
    client.cancel(id);
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED']);
    client.wait(1000);
    expect(client.asked).toEqual(['lane-0 < work']);
    expect(client.machine.nextTimeout).toBe(Infinity);
  });
});

describe('bounds and closing', () => {
  test('a full queue refuses by name, by count and by bytes', () => {
    const queueBytes = 2 * sizeOf(body('12345'));
    const client = connected({ lanes: 1, queueLimit: 2, queueBytes });
    client.request('on its lane');
    client.request('12345');
    client.request('123456');
    client.request('x');
    client.request('y');
    expect(client.outcomes).toEqual(['2 ! ERR_QUEUE_FULL', '4 ! ERR_QUEUE_FULL']);
  });

  test('drain takes nothing new and waits for what is outstanding', () => {
    const client = connected();
    client.request('work');
    client.call({ type: 'drain' });
    client.request('new');
    expect(client.outcomes).toEqual(['1 ! ERR_CANCELLED']);
    expect(client.took('drained')).toEqual([]);
    client.hear('lane-0', body('done'));
    expect(client.took('drained')).toHaveLength(1);
    expect(client.sockets.at(-1)).toBe('close lane-0');
    client.connect('tcp://c');
    client.hear('lane-0', body('late'));
    expect(client.sockets.at(-1)).toBe('close lane-0');
  });

  test('stop cancels it, and opens nothing for those that wait', () => {
    const client = connected({ lanes: 1 });
    client.request('sent');
    client.request('waiting');
    client.call({ type: 'stop' });
    client.call({ type: 'drain' });
    expect(client.outcomes).toEqual(['0 ! ERR_CANCELLED', '1 ! ERR_CANCELLED']);
    expect(client.asked).toEqual(['lane-0 < sent']);
    expect(client.took('drained')).toHaveLength(1);
  });
});

/** Two requests over one lane, the first of which is answered twice. */
function twice(settings: Partial<ClientSettings>): ClientStory {
  const client = new ClientStory({ lanes: 1, ...settings });
  client.connect('tcp://a');
  client.request('first');
  client.request('second');
  const { stack } = client.sent[0]!.command;
  client.hear('lane-0', body('FIRST'), stack);
  client.hear('lane-0', body('FIRST'), stack);
  return client;
}

describe('a second reply to the same request', () => {
  test('is taken for the reply to the next one where nothing tells them apart', () => {
    expect(twice({}).outcomes).toEqual(['0 = FIRST', '1 = FIRST']);
  });

  test('is refused where requests carry a tag, and so is one without', () => {
    const client = twice({ correlate: true });
    client.hear('lane-0', body('untagged'));
    expect(client.outcomes).toEqual(['0 = FIRST']);
    expect(client.took('replyRefused')).toHaveLength(2);
    client.hear('lane-0', body('SECOND'), client.sent.at(-1)!.command.stack);
    expect(client.outcomes).toEqual(['0 = FIRST', '1 = SECOND']);
  });
});
