/** What a Freelance server does with its clients, each told as a story. */
import { describe, expect, test } from 'vitest';
import { decodeFailure } from '../../src/core/error-body.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Address, Frames, Instant } from '../../src/core/machine.ts';
import type { ServerOutput } from '../../src/freelance/commands.ts';
import type { FreelanceServerEvent } from '../../src/freelance/server-events.ts';
import {
  NOTICE_GRACE,
  ServerMachine,
  type ServerSettings,
} from '../../src/freelance/server-machine.ts';

const body = (text: string): Frames => [encodeText(text)];

/** A server on a recording outbox, driven by hand. */
class ServerStory {
  now: Instant = 1000;
  /** `alice 7: hello` is a reply to alice under control frame 7; a failure shows its code. */
  readonly said: string[] = [];
  readonly events: FreelanceServerEvent[] = [];
  /** Clients whose queue is full. */
  readonly full = new Set<Address>();
  readonly machine: ServerMachine;

  constructor(settings: Partial<ServerSettings> = {}) {
    const bounds = { concurrency: 2, queueLimit: 3, queueBytes: 100_000, ...settings };
    this.machine = new ServerMachine(
      {
        open: () => {},
        close: () => {},
        store: () => {},
        send: (_port, to, command) => {
          if (this.full.has(to)) return false;
          this.said.push(`${to} ${shown(command)}`);
          return true;
        },
        emit: (event) => void this.events.push(event),
      },
      bounds,
    );
  }

  ping(from: Address): void {
    this.machine.handleCommand(this.now, 'clients', from, { type: 'ping' });
  }
  ask(from: Address, control: string, text = control): void {
    const command = { type: 'request', control: encodeText(control), body: body(text) } as const;
    this.machine.handleCommand(this.now, 'clients', from, command);
  }
  gone(from: Address): void {
    this.machine.handlePeerGone(this.now, 'clients', from);
  }
  reply(token: number, text = 'done'): void {
    this.machine.handleCall(this.now, { type: 'reply', token, body: body(text) });
  }
  fail(token: number): void {
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'no' } as const;
    this.machine.handleCall(this.now, { type: 'fail', token, failure });
  }
  call(type: 'drain' | 'stop'): void {
    this.machine.handleCall(this.now, { type });
  }
  wait(milliseconds: number): void {
    this.now += milliseconds;
    if (this.machine.nextTimeout <= this.now) this.machine.handleTimeout(this.now);
  }

  /** What was emitted of one type. */
  told<Type extends FreelanceServerEvent['type']>(
    type: Type,
  ): Extract<FreelanceServerEvent, { type: Type }>[] {
    return this.events.filter(
      (event): event is Extract<FreelanceServerEvent, { type: Type }> => event.type === type,
    );
  }
  /** The bodies of the requests that handlers got, in their order. */
  get handled(): string[] {
    return this.told('request').map((request) => request.body.map(decodeText).join('|'));
  }
}

function shown(command: ServerOutput): string {
  if (command.type === 'pong') return 'PONG';
  const failure = decodeFailure(command.body);
  return `${decodeText(command.control)}: ${failure?.code ?? command.body.map(decodeText).join('|')}`;
}

describe('a ping', () => {
  test('is answered by a pong, whoever it is from', () => {
    const server = new ServerStory();
    server.ping('alice');
    server.ping('bob');
    expect(server.said).toEqual(['alice PONG', 'bob PONG']);
    expect(server.events).toEqual([]);
  });

  test('is answered while all handlers are busy, and while the server drains', () => {
    const server = new ServerStory({ concurrency: 1 });
    server.ask('alice', '1');
    server.ping('alice');
    server.call('drain');
    server.ping('alice');
    expect(server.said).toEqual(['alice PONG', 'alice PONG']);
  });
});

describe('a request', () => {
  test('goes to a handler at once, and its reply carries its control frame', () => {
    const server = new ServerStory();
    server.ask('alice', 'control', 'hello');
    expect(server.told('request')).toEqual([
      { type: 'request', token: 0, client: 'alice', body: body('hello') },
    ]);
    expect(server.machine.status()).toMatchObject({ inFlight: 1, running: 1, queued: 0 });
    server.reply(0, 'HELLO');
    expect(server.said).toEqual(['alice control: HELLO']);
    expect(server.machine.status()).toMatchObject({
      inFlight: 0,
      running: 0,
      requests: { accepted: 1, replied: 1, failed: 0, cancelled: 0 },
    });
  });

  test('may have the control frame of another: each is answered', () => {
    const server = new ServerStory();
    server.ask('alice', 'same', 'one');
    server.ask('alice', 'same', 'two');
    server.reply(1, 'TWO');
    server.reply(0, 'ONE');
    expect(server.said).toEqual(['alice same: TWO', 'alice same: ONE']);
  });

  test('is kept when its frames are overwritten', () => {
    const server = new ServerStory();
    const control = encodeText('control');
    const frames = [encodeText('hello')];
    const command = { type: 'request', control, body: frames } as const;
    server.machine.handleCommand(server.now, 'clients', 'alice', command);
    control.fill(0);
    frames[0]!.fill(0);
    server.reply(0, 'HELLO');
    expect(server.handled).toEqual(['hello']);
    expect(server.said).toEqual(['alice control: HELLO']);
  });

  test('whose handler fails is answered with the failure', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.fail(0);
    expect(server.said).toEqual(['alice 1: ERR_HANDLER_FAILED']);
    expect(server.machine.status().requests).toMatchObject({ replied: 0, failed: 1 });
  });

  test('is answered once', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.reply(0);
    server.reply(0, 'again');
    server.fail(0);
    server.reply(7, 'of nobody');
    expect(server.said).toEqual(['alice 1: done']);
    expect(server.machine.status().requests).toMatchObject({ replied: 1, failed: 0 });
  });

  test('whose client does not read has its reply dropped', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.full.add('alice');
    server.reply(0);
    expect(server.told('replyDropped')).toEqual([
      { type: 'replyDropped', token: 0, client: 'alice', reason: 'clientQueueFull' },
    ]);
    expect(server.machine.status()).toMatchObject({ running: 0, requests: { replied: 1 } });
  });
});

describe('more requests than handlers', () => {
  test('wait, and go to the next handler that is done', () => {
    const server = new ServerStory({ concurrency: 2 });
    for (const text of ['one', 'two', 'three', 'four']) server.ask('alice', text);
    expect(server.handled).toEqual(['one', 'two']);
    expect(server.machine.status()).toMatchObject({ queued: 2, running: 2 });
    server.reply(1);
    expect(server.handled).toEqual(['one', 'two', 'three']);
    server.fail(0);
    expect(server.handled).toEqual(['one', 'two', 'three', 'four']);
    expect(server.machine.status()).toMatchObject({ queued: 0, queuedBytes: 0, running: 2 });
  });

  test('are served in turn, one of each client', () => {
    const server = new ServerStory({ concurrency: 1, queueLimit: 10 });
    server.ask('alice', 'first');
    for (const text of ['a1', 'a2', 'a3']) server.ask('alice', text);
    server.ask('bob', 'b1');
    for (let count = 0; count < 5; count++) server.reply(server.told('request').at(-1)!.token);
    expect(server.handled).toEqual(['first', 'a1', 'b1', 'a2', 'a3']);
  });

  test('are refused beyond the bound in count', () => {
    const server = new ServerStory({ concurrency: 1, queueLimit: 2 });
    for (const text of ['1', '2', '3', '4']) server.ask('alice', text);
    expect(server.said).toEqual(['alice 4: ERR_QUEUE_FULL']);
    expect(server.told('requestRefused')).toMatchObject([{ client: 'alice', reason: 'queueFull' }]);
    server.reply(0);
    server.ask('alice', '5');
    expect(server.machine.status()).toMatchObject({ queued: 2, requests: { accepted: 4 } });
  });

  test('are refused beyond the bound in bytes, control frames counted', () => {
    const server = new ServerStory({ concurrency: 1, queueLimit: 100, queueBytes: 10_000 });
    server.ask('alice', '1', 'x'.repeat(20_000));
    server.ask('alice', '2', 'x'.repeat(4000));
    server.ask('alice', 'c'.repeat(4000), 'x');
    server.ask('alice', '4', 'x'.repeat(4000));
    expect(server.said).toEqual(['alice 4: ERR_QUEUE_FULL']);
    expect(server.machine.status().queuedBytes).toBeLessThanOrEqual(10_000);
  });

  test('leave nothing behind once they have ended, though a link broke meanwhile', () => {
    const server = new ServerStory({ concurrency: 1 });
    server.ask('alice', '1');
    server.ask('bob', '2');
    server.gone('bob');
    expect(server.machine.nextTimeout).toBeLessThan(Infinity);
    server.reply(0);
    server.reply(1);
    expect(server.machine.nextTimeout).toBe(Infinity);
    server.gone('alice');
    expect(server.machine.nextTimeout).toBe(Infinity);
    expect(server.machine.status()).toMatchObject({ queued: 0, queuedBytes: 0, inFlight: 0 });
  });
});

describe('a client whose link broke', () => {
  test('is gone after the grace: what waits is dropped, what runs is aborted, its reply is dropped', () => {
    const server = new ServerStory({ concurrency: 1 });
    for (const text of ['1', '2', '3']) server.ask('alice', text);
    server.ask('bob', '4');
    server.gone('alice');
    server.wait(NOTICE_GRACE - 1);
    expect(server.told('clientGone')).toEqual([]);
    server.wait(1);
    expect(server.told('clientGone')).toEqual([
      { type: 'clientGone', client: 'alice', queued: 2, inFlight: 1 },
    ]);
    expect(server.told('requestLost')).toEqual([
      { type: 'requestLost', token: 0, client: 'alice' },
    ]);
    // Its handler is not done yet: it takes up room.
    expect(server.handled).toEqual(['1']);
    expect(server.machine.status()).toMatchObject({ running: 1, inFlight: 0, queued: 1 });
    server.reply(0);
    expect(server.told('replyDropped')).toEqual([
      { type: 'replyDropped', token: 0, client: 'alice', reason: 'requestEnded' },
    ]);
    expect(server.handled).toEqual(['1', '4']);
    expect(server.said).toEqual([]);
    expect(server.machine.status().requests).toMatchObject({ accepted: 4, cancelled: 3 });
  });

  test('is known for as long as anything of it is here', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.ask('alice', '2');
    server.reply(0);
    server.gone('alice');
    server.wait(NOTICE_GRACE);
    expect(server.told('requestLost')).toMatchObject([{ token: 1 }]);
  });

  test('and that is heard within the grace goes on as if nothing was', () => {
    const server = new ServerStory();
    for (const sign of ['ping', 'request', 'noise'] as const) {
      server.ask('alice', sign);
      server.gone('alice');
      server.wait(NOTICE_GRACE - 1);
      if (sign === 'ping') server.ping('alice');
      else if (sign === 'request') server.ask('alice', 'more');
      else server.machine.handleMalformed(server.now, 'clients', 'alice', 'one frame');
      expect(server.machine.nextTimeout).toBe(Infinity);
      server.wait(NOTICE_GRACE);
    }
    expect(server.told('clientGone')).toEqual([]);
  });

  test('is not given more time by a second notice', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.gone('alice');
    server.wait(NOTICE_GRACE - 1);
    server.gone('alice');
    server.wait(1);
    expect(server.told('clientGone')).toHaveLength(1);
  });

  test('and waits for nothing here is nobody that the server knows', () => {
    const server = new ServerStory();
    server.gone('alice');
    server.ask('bob', '1');
    server.reply(0);
    server.gone('bob');
    server.wait(10 * NOTICE_GRACE);
    expect(server.told('clientGone')).toEqual([]);
    expect(server.machine.nextTimeout).toBe(Infinity);
  });

  test('is not blamed for what the server could not hear while it was stopped itself', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.gone('alice');
    server.wait(5000);
    expect(server.told('clientGone')).toEqual([]);
    server.wait(NOTICE_GRACE);
    expect(server.told('clientGone')).toHaveLength(1);
  });

  test('may ask again under the same address, and what ran before is still in vain', () => {
    const server = new ServerStory({ concurrency: 2 });
    server.ask('alice', 'old');
    server.gone('alice');
    server.wait(NOTICE_GRACE);
    server.ask('alice', 'new');
    server.reply(0);
    server.reply(1);
    expect(server.said).toEqual(['alice new: done']);
  });
});

describe('a message that means nothing', () => {
  test('is told and counted', () => {
    const server = new ServerStory();
    server.machine.handleMalformed(server.now, 'clients', 'mallory', 'one frame');
    expect(server.told('malformed')).toEqual([
      { type: 'malformed', from: 'mallory', reason: 'one frame' },
    ]);
    expect(server.machine.status().events.malformed).toBe(1);
    expect(server.said).toEqual([]);
  });
});

describe('closing', () => {
  test('idle, it is drained at once, and tells so once', () => {
    const server = new ServerStory();
    server.call('drain');
    server.call('drain');
    server.call('stop');
    expect(server.told('drained')).toHaveLength(1);
  });

  test('busy, it fails what waits, refuses what comes, and finishes what runs', () => {
    const server = new ServerStory({ concurrency: 1 });
    server.ask('alice', '1');
    server.ask('bob', '2');
    server.call('drain');
    server.ask('carol', '3');
    expect(server.said).toEqual(['bob 2: ERR_SERVER_CLOSING', 'carol 3: ERR_SERVER_CLOSING']);
    expect(server.told('requestRefused')).toMatchObject([{ client: 'carol', reason: 'closing' }]);
    expect(server.told('drained')).toEqual([]);
    server.reply(0);
    expect(server.said.at(-1)).toBe('alice 1: done');
    expect(server.told('drained')).toHaveLength(1);
    expect(server.machine.status().requests).toMatchObject({ accepted: 2, replied: 1, failed: 1 });
  });

  test('it waits for a handler whose client has gone', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.gone('alice');
    server.wait(NOTICE_GRACE);
    server.call('drain');
    expect(server.told('drained')).toEqual([]);
    server.reply(0);
    expect(server.told('drained')).toHaveLength(1);
  });

  test('stop fails what runs, and its replies come too late', () => {
    const server = new ServerStory({ concurrency: 1 });
    server.ask('alice', '1');
    server.ask('bob', '2');
    server.call('stop');
    expect(server.said).toEqual(['bob 2: ERR_SERVER_CLOSING', 'alice 1: ERR_SERVER_CLOSING']);
    expect(server.told('requestLost')).toMatchObject([{ token: 0 }]);
    expect(server.told('drained')).toHaveLength(1);
    server.reply(0);
    expect(server.said).toHaveLength(2);
    expect(server.machine.status()).toMatchObject({ running: 0, requests: { failed: 2 } });
  });

  test('stop tells nobody who has gone', () => {
    const server = new ServerStory();
    server.ask('alice', '1');
    server.gone('alice');
    server.wait(NOTICE_GRACE);
    server.call('stop');
    expect(server.said).toEqual([]);
    expect(server.told('requestLost')).toHaveLength(1);
    expect(server.told('drained')).toHaveLength(1);
  });
});
