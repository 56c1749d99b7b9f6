/** The life of a worker with one request at a time, whatever its protocol says. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import type { Instant } from '../../src/core/machine.ts';
import {
  WorkerSession,
  type HeldRequest,
  type HeldRequestEvent,
  type SessionLoss,
  type SessionSettings,
  type SessionWire,
} from '../../src/core/worker-session.ts';

type Reason = 'quarrel';

const REPLY = [encodeText('reply')];

/** A session over a protocol that notes what it is to say. */
class Life implements SessionWire<HeldRequest, Reason> {
  now: Instant = 0;
  readonly said: string[] = [];
  isFull = false;
  /** Done in the middle of the end of a session. */
  whenLost: () => void = () => undefined;
  readonly session: WorkerSession<HeldRequest, Reason>;

  constructor(settings: Partial<SessionSettings> = {}, endpoints = ['a', 'b', 'c']) {
    const heartbeat = { heartbeatInterval: 100, heartbeatLiveness: 3 };
    const reconnect = { reconnectInterval: 50, reconnectLimit: 200, random: () => 1 };
    this.session = new WorkerSession(this, { ...heartbeat, ...reconnect, ...settings }, endpoints);
  }

  open(endpoint: number): void {
    this.said.push(`open ${endpoint}`);
  }
  beat(): void {
    this.said.push('beat');
  }
  leave(): void {
    this.said.push('leave');
  }
  lost(_now: Instant, { reason, endpoint, wasActive }: SessionLoss<Reason>): void {
    this.said.push(`lost ${endpoint} ${reason}${wasActive ? '' : ' unheard'}`);
    this.whenLost();
  }
  reply(_held: HeldRequest): boolean {
    if (!this.isFull) this.said.push('reply');
    return !this.isFull;
  }
  emit({ type, token }: HeldRequestEvent): void {
    this.said.push(`${type} ${token}`);
  }

  /** Begins a session, and hears the other side. */
  begin(): this {
    this.session.connect(this.now);
    this.session.hear(this.now);
    return this;
  }
  hold(token: number): void {
    this.session.hold(token, { session: this.session.state.session, reply: undefined });
  }
  end(isAtOnce = false): void {
    this.session.end(this.now, 'quarrel', isAtOnce);
  }
  finish(token: number): void {
    this.session.finish(this.now, token, REPLY);
  }
  /** Time passes; each session begins as soon as it may. */
  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.session.nextTimeout <= until) {
      this.now = Math.max(this.now, this.session.nextTimeout);
      this.session.handleTimeout(this.now);
      if (this.session.isIdle) this.session.connect(this.now);
    }
    this.now = until;
  }
  /** What was said since it was last asked. */
  took(): string[] {
    return this.said.splice(0);
  }
}

describe('a session', () => {
  test('is open from the start, and its first sign of life is told apart', () => {
    const life = new Life();
    expect(life.session.isIdle).toBe(true);
    expect(life.session.hear(0)).toBe(false);
    life.session.connect(0);
    expect(life.session).toMatchObject({ isIdle: false, isOpen: true });
    expect([life.session.hear(0), life.session.hear(0)]).toEqual([true, false]);
  });

  test('beats each interval, and a beat out of turn moves the next one', () => {
    const life = new Life().begin();
    life.wait(150);
    life.session.beat(life.now);
    expect(life.took()).toEqual(['open 0', 'beat', 'beat']);
    life.wait(99);
    expect(life.took()).toEqual([]);
    life.wait(1);
    expect(life.took()).toEqual(['beat']);
  });

  test('ends after interval × liveness of silence, and any sign of life puts that off', () => {
    const life = new Life().begin();
    life.wait(250);
    life.session.hear(life.now);
    life.wait(299);
    expect(life.took().filter((word) => word.startsWith('lost'))).toEqual([]);
    life.wait(1);
    expect(life.took()).toEqual(['lost 0 silent']);
  });

  test('after being stopped itself, gives the other side one more interval', () => {
    const life = new Life().begin();
    life.now = 5000;
    life.session.handleTimeout(life.now);
    expect(life.took()).toEqual(['open 0', 'beat']);
    life.wait(100);
    expect(life.took()).toContain('lost 0 silent');
  });

  test('without an interval never beats and never expires', () => {
    const life = new Life({ heartbeatInterval: Infinity, heartbeatLiveness: Infinity }).begin();
    expect(life.session.nextTimeout).toBe(Infinity);
    life.session.hear(1e9);
    expect(life.session.nextTimeout).toBe(Infinity);
  });
});

describe('after a session', () => {
  test('comes a pause that doubles up to its limit, until the other side is heard', () => {
    const life = new Life();
    const pauses: number[] = [];
    life.session.connect(life.now);
    for (let count = 0; count < 4; count++) {
      life.end();
      pauses.push(life.session.nextTimeout - life.now);
      life.wait(pauses.at(-1)!);
    }
    expect(pauses).toEqual([50, 100, 200, 200]);
    life.session.hear(life.now);
    life.end();
    expect(life.session.nextTimeout - life.now).toBe(50);
  });

  test('comes none where it is to go on at once, and that counts as no retry', () => {
    const life = new Life().begin();
    life.end(true);
    expect(life.session.nextTimeout).toBe(life.now);
    life.wait(0);
    life.end();
    expect(life.session.nextTimeout - life.now).toBe(50);
  });

  test('that was heard the next is with the same endpoint, otherwise with the next', () => {
    const life = new Life().begin();
    for (const pause of [50, 100, 200, 200]) {
      life.end();
      life.wait(pause);
    }
    expect(life.took().filter((word) => word.startsWith('open'))).toEqual([
      'open 0',
      'open 0',
      'open 1',
      'open 2',
      'open 0',
    ]);
  });

  test('the protocol may choose the next endpoint itself', () => {
    const life = new Life().begin();
    life.whenLost = () => life.session.moveOn();
    life.end();
    life.wait(50);
    expect(life.took()).toEqual(['open 0', 'lost 0 quarrel', 'open 1']);
    life.whenLost = () => undefined;
    life.end();
    life.session.handleTimeout(life.session.nextTimeout);
    life.session.connect(life.now, 0);
    expect(life.took()).toEqual(['lost 1 quarrel unheard', 'open 0']);
  });
});

describe('a request', () => {
  test('is held until its reply has left', () => {
    const life = new Life().begin();
    life.hold(7);
    expect(life.session.running).toBe(1);
    life.finish(7);
    life.finish(7);
    expect(life.took()).toEqual(['open 0', 'reply']);
    expect(life.session.running).toBe(0);
  });

  test('whose reply finds no room waits for it, and what is said twice is said once', () => {
    const life = new Life().begin();
    life.hold(7);
    life.isFull = true;
    life.finish(7);
    life.finish(7);
    expect(life.session.running).toBe(1);
    life.isFull = false;
    life.session.handleWritable();
    life.session.handleWritable();
    expect(life.took()).toEqual(['open 0', 'reply']);
  });

  test('of a lost session keeps the next one waiting, and its reply reaches no one', () => {
    const life = new Life().begin();
    life.hold(7);
    life.end();
    expect(life.took()).toEqual(['open 0', 'lost 0 quarrel', 'requestLost 7']);
    expect(life.session.held(7)).toBeUndefined();
    life.wait(10_000);
    expect(life.took()).toEqual([]);
    life.finish(7);
    life.finish(7);
    expect(life.took()).toEqual(['replyDropped 7']);
    life.wait(0);
    expect(life.took()).toEqual(['open 0']);
  });

  test('that settles early does not shorten the pause', () => {
    const life = new Life().begin();
    life.hold(7);
    life.end();
    life.finish(7);
    expect(life.session.nextTimeout).toBe(50);
  });

  test('whose reply waited for room when the session ended is done with', () => {
    const life = new Life().begin();
    life.hold(7);
    life.isFull = true;
    life.finish(7);
    life.end();
    expect(life.took()).toEqual(['open 0', 'lost 0 quarrel', 'replyDropped 7']);
    expect(life.session.nextTimeout).toBe(50);
  });

  test('that is unknown changes nothing', () => {
    const life = new Life().begin();
    life.finish(7);
    expect(life.took()).toEqual(['open 0']);
  });
});

describe('to end for good', () => {
  test('an idle one says goodbye, and a busy one has to be asked again', () => {
    const life = new Life().begin();
    life.hold(7);
    life.session.retire();
    expect(life.took()).toEqual(['open 0']);
    life.finish(7);
    life.session.retire();
    expect(life.took()).toEqual(['reply', 'leave']);
    expect(life.session).toMatchObject({ isIdle: true, isOpen: false, nextTimeout: Infinity });
  });

  test('one between two sessions has nobody to say goodbye to', () => {
    const life = new Life().begin();
    life.end();
    life.took();
    life.session.retire();
    expect(life.took()).toEqual([]);
    expect(life.session.nextTimeout).toBe(Infinity);
  });

  test('stop loses what runs, and tells so once', () => {
    const life = new Life().begin();
    life.hold(7);
    life.session.stop();
    life.session.stop();
    expect(life.took()).toEqual(['open 0', 'requestLost 7', 'leave']);
    life.begin();
    life.hold(8);
    life.end();
    life.session.stop();
    expect(life.took()).toEqual(['open 0', 'lost 0 quarrel', 'requestLost 8']);
    expect(life.session.running).toBe(0);
  });
});
