/** Single cases of key-value cache events: what the machines say to whom, step by step. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../../src/core/frames.ts';
import type {
  KvPublisherOutput,
  KvSubscriberInput,
  KvSubscriberPort,
} from '../../../src/clone/replay/commands.ts';
import type {
  ReplayPublisherEvent,
  ReplaySubscriberEvent,
} from '../../../src/clone/replay/events.ts';
import { KvPublisherMachine } from '../../../src/clone/replay/kv-publisher-machine.ts';
import { KvSubscriberMachine } from '../../../src/clone/replay/kv-subscriber-machine.ts';

const body = (text: string): Uint8Array => encodeText(text);

class Publisher {
  readonly said: string[] = [];
  readonly events: ReplayPublisherEvent[] = [];
  /** Those to whom nothing can be sent. */
  readonly deaf = new Set<string>();
  readonly machine = new KvPublisherMachine(
    {
      open: () => undefined,
      close: () => undefined,
      send: (port, to, command) => {
        if (this.deaf.has(to)) return false;
        if (port === 'replay') this.said.push(`${to} ${shown(command)}`);
        return true;
      },
      store: () => undefined,
      emit: (event) => this.events.push(event),
    },
    {
      heartbeatInterval: 100,
      heartbeatLiveness: 3,
      historyLimit: 3,
      historyBytes: 10_000,
      pendingLimit: 10,
      pendingBytes: 10_000,
      followerLimit: 1,
      isDurable: false,
    },
  );

  publish(count: number): void {
    for (let index = 0; index < count; index++) {
      const sequence = this.machine.accepted + 1;
      const call = { type: 'publish', sequence, topic: 't', body: [body(`${sequence}`)] } as const;
      this.machine.handleCall(0, call);
    }
  }

  asked(now: number, by: string, from: number): string[] {
    this.said.length = 0;
    this.machine.handleCommand(now, 'replay', by, { type: 'ask', from });
    return this.said;
  }
}

function shown(command: KvPublisherOutput): string {
  return command.type === 'end' ? 'end' : `${command.sequence}`;
}

describe('a publisher', () => {
  test('answers with what it still has, and an end', () => {
    const publisher = new Publisher();
    expect(publisher.asked(0, 'a', 0)).toEqual(['a end']);
    publisher.publish(5);
    expect(publisher.asked(0, 'a', 0)).toEqual(['a 2', 'a 3', 'a 4', 'a end']);
    expect(publisher.asked(0, 'a', 4)).toEqual(['a 4', 'a end']);
    expect(publisher.asked(0, 'a', 5)).toEqual(['a end']);
  });

  test('gives up who takes nothing of an answer for an expiry: others get the place', () => {
    const publisher = new Publisher();
    publisher.publish(2);
    publisher.deaf.add('dead');
    expect(publisher.asked(0, 'dead', 0)).toEqual([]);
    expect(publisher.asked(10, 'alive', 0)).toEqual([]);
    expect(publisher.events.at(-1)).toEqual({ type: 'replayRefused', from: 'alive' });
    expect(publisher.machine.nextTimeout).toBe(300);
    publisher.machine.handleTimeout(300);
    expect(publisher.asked(310, 'alive', 0)).toEqual(['alive 0', 'alive 1', 'alive end']);
  });

  test('goes on where it was when there is room again', () => {
    const publisher = new Publisher();
    publisher.publish(2);
    publisher.deaf.add('slow');
    publisher.asked(0, 'slow', 0);
    publisher.deaf.delete('slow');
    publisher.publish(2);
    publisher.machine.handleWritable(5, 'replay', 'slow');
    // What the history has lost meanwhile is not there; what came after the question is not asked for.
    expect(publisher.said).toEqual(['slow 1', 'slow end']);
  });
});

class Subscriber {
  readonly asked: number[] = [];
  readonly events: ReplaySubscriberEvent[] = [];
  readonly machine: KvSubscriberMachine;

  constructor(from: 'newest' | 'oldest' | number, replay = 'replay') {
    this.machine = new KvSubscriberMachine(
      {
        open: () => undefined,
        close: () => undefined,
        send: (_port, _to, { from: asked }) => this.asked.push(asked) > 0,
        store: () => undefined,
        emit: (event) => this.events.push(event),
      },
      {
        topics: [''],
        from,
        window: 100_000,
        reconnectInterval: 10,
        reconnectLimit: 10,
        replayTimeout: 100,
        replayRetries: 3,
        pollInterval: 1000,
        random: () => 0,
      },
    );
    this.machine.handleCall(0, { type: 'connect', endpoint: 'publisher', replay });
  }

  get got(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'message' ? [new TextDecoder().decode(event.body[0])] : [],
    );
  }

  of<Type extends ReplaySubscriberEvent['type']>(type: Type): ReplaySubscriberEvent[] {
    return this.events.filter((event) => event.type === type);
  }

  hear(now: number, sequence: number, text = `${sequence}`): void {
    this.#hear(now, 'publisher', { type: 'event', topic: 't', sequence, body: body(text) });
  }

  answer(now: number, ...answers: readonly (number | readonly [number, string])[]): void {
    for (const one of answers) {
      if (typeof one === 'number') this.begin(now, one, `${one}`);
      else this.begin(now, ...one);
    }
    this.#hear(now, 'replay', { type: 'end' });
  }

  /** One answer, and no end yet. */
  begin(now: number, sequence: number, text: string): void {
    this.#hear(now, 'replay', { type: 'answer', sequence, body: body(text) });
  }

  #hear(now: number, port: KvSubscriberPort, command: KvSubscriberInput): void {
    this.machine.handleCommand(now, port, '', command);
  }
}

describe('a subscriber', () => {
  test('asks for what is missing, and for the one before that', () => {
    const subscriber = new Subscriber('oldest');
    subscriber.answer(1, 0, 1, 2);
    subscriber.hear(2, 5);
    subscriber.hear(3, 6);
    expect(subscriber.asked).toEqual([0, 2]);
    subscriber.answer(4, 2, 3, 4, 5, 6);
    expect(subscriber.got).toEqual(['0', '1', '2', '3', '4', '5', '6']);
    expect(subscriber.of('gapRepaired')).toHaveLength(1);
  });

  test('takes for lost only what two answers lack', () => {
    const subscriber = new Subscriber('oldest');
    subscriber.answer(1, 0, 1);
    subscriber.hear(2, 6);
    subscriber.answer(3, 4, 5, 6);
    expect([subscriber.got, subscriber.of('historyLost')]).toEqual([['0', '1'], []]);
    expect(subscriber.asked).toEqual([0, 1, 1]);
    subscriber.answer(4, 4, 5, 6);
    expect(subscriber.got).toEqual(['0', '1', '4', '5', '6']);
    expect(subscriber.of('historyLost')).toMatchObject([{ from: 2, to: 3, reason: 'gone' }]);
  });

  test('knows a new life by the message that comes again as another', () => {
    const subscriber = new Subscriber('oldest');
    subscriber.answer(1, 0, 1, 2);
    // The new one has come further already: by its number it might be the old one.
    subscriber.hear(2, 4, 'new 4');
    expect(subscriber.asked).toEqual([0, 2]);
    subscriber.begin(3, 2, 'new 2');
    expect(subscriber.of('publisherRestarted')).toHaveLength(1);
    expect(subscriber.asked).toEqual([0, 2, 0]);
    subscriber.answer(4, [0, 'new 0'], [1, 'new 1'], [2, 'new 2'], [3, 'new 3'], [4, 'new 4']);
    expect(subscriber.got.slice(3)).toEqual(['new 0', 'new 1', 'new 2', 'new 3', 'new 4']);
  });

  test('without somebody to ask tells each gap at once', () => {
    const subscriber = new Subscriber('newest', '');
    subscriber.hear(1, 3);
    subscriber.hear(2, 6);
    expect(subscriber.got).toEqual(['3', '6']);
    expect(subscriber.of('historyLost')).toMatchObject([{ from: 4, to: 5, reason: 'noReplay' }]);
  });

  test('gives up what nobody answers for, after some tries', () => {
    const subscriber = new Subscriber('newest');
    subscriber.hear(1, 3);
    subscriber.hear(2, 6);
    for (let tries = 0; tries < 10 && subscriber.got.length < 2; tries++) {
      subscriber.machine.handleTimeout(subscriber.machine.nextTimeout);
    }
    expect(subscriber.got).toEqual(['3', '6']);
    expect(subscriber.of('historyLost')).toMatchObject([{ from: 4, to: 5, reason: 'unanswered' }]);
    expect(subscriber.of('replayFailed')).toHaveLength(3);
  });
});
