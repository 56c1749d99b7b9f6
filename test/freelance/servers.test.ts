/** A server's life as its client sees it, and who is asked first. */
import { describe, expect, test } from 'vitest';
import type { FreelanceStrategy } from '../../src/freelance/options.ts';
import type { ServerEvent, ServerPort, ServerSettings } from '../../src/freelance/servers.ts';
import { Servers } from '../../src/freelance/servers.ts';

interface Held {
  readonly name: string;
}

/** Servers on a recording outbox, driven by hand. */
class Fleet {
  now = 1000;
  /** `open a`, `ping a`, `close a`. */
  readonly done: string[] = [];
  readonly events: ServerEvent[] = [];
  readonly full = new Set<string>();
  readonly servers: Servers<Held>;
  readonly #endpoints = new Map<ServerPort, string>();

  constructor(settings: Partial<ServerSettings> = {}) {
    this.servers = new Servers<Held>(
      {
        open: (port, endpoint) => {
          this.#endpoints.set(port, endpoint);
          this.done.push(`open ${endpoint}`);
        },
        close: (port) => void this.done.push(`close ${this.#endpoints.get(port)}`),
        send: (port, _to, command) => {
          const name = this.#endpoints.get(port)!;
          if (this.full.has(name)) return false;
          this.done.push(`${command.type} ${name}`);
          return true;
        },
        store: () => {},
        emit: (event) => void this.events.push(event),
      },
      {
        heartbeatInterval: 100,
        heartbeatLiveness: 3,
        reconnectInterval: 40,
        reconnectLimit: 100,
        random: () => 1,
        ...settings,
      },
    );
  }

  connect(...endpoints: string[]): void {
    this.servers.connect(this.now, endpoints);
  }
  of(endpoint: string) {
    for (const [port, name] of this.#endpoints) {
      if (name === endpoint) return this.servers.of(port)!;
    }
    throw new Error(`nobody connected to ${endpoint}`);
  }
  pong(...endpoints: string[]): void {
    for (const endpoint of endpoints) this.servers.handlePong(this.now, this.of(endpoint));
  }
  gone(endpoint: string): readonly Held[] {
    return this.servers.handlePeerGone(this.now, this.of(endpoint).port);
  }
  /** Time passes; returns what was lost on the way. */
  wait(milliseconds: number): Held[] {
    const lost: Held[] = [];
    const until = this.now + milliseconds;
    while (this.servers.nextTimeout <= until) {
      this.now = this.servers.nextTimeout;
      lost.push(...this.servers.handleTimeout(this.now));
      if (this.servers.nextTimeout <= this.now) throw new Error('it is due for ever');
    }
    this.now = until;
    return lost;
  }
  /** Time passes, and these answer each ping. */
  waitWith(endpoints: readonly string[], milliseconds: number): void {
    for (let waited = 0; waited < milliseconds; waited += 100) {
      this.wait(Math.min(100, milliseconds - waited));
      this.pong(...endpoints);
    }
  }
  /** What was done since it was last asked. */
  took(): string[] {
    return this.done.splice(0);
  }
  hold(endpoint: string, name: string): void {
    const server = this.of(endpoint);
    server.tries.set(++server.lastTry, { name });
  }
  get states(): string[] {
    return this.servers.status().map(({ endpoint, state }) => `${endpoint} ${state}`);
  }
}

function fleetOf(...endpoints: string[]): Fleet {
  const fleet = new Fleet();
  fleet.connect(...endpoints);
  fleet.pong(...endpoints);
  fleet.took();
  fleet.events.length = 0;
  return fleet;
}

const best = (fleet: Fleet, strategy: FreelanceStrategy): string | undefined =>
  fleet.servers.best(strategy)?.endpoint;

describe('a server', () => {
  test('is connected and pinged, and live when it answers', () => {
    const fleet = new Fleet();
    fleet.connect('a');
    expect(fleet.took()).toEqual(['open a', 'ping a']);
    expect(fleet.states).toEqual(['a connecting']);
    expect(fleet.servers.hasRoom).toBe(false);
    expect(fleet.servers.handlePong(fleet.now, fleet.of('a'))).toBe(true);
    expect(fleet.servers.handlePong(fleet.now, fleet.of('a'))).toBe(false);
    expect(fleet.states).toEqual(['a live']);
    expect(fleet.servers.hasRoom).toBe(true);
    expect(fleet.events).toEqual([{ type: 'serverLive', endpoint: 'a' }]);
  });

  test('is connected once, however often it is named', () => {
    const fleet = new Fleet();
    fleet.connect('a', 'b', 'a');
    fleet.connect('b', 'c');
    expect(fleet.states).toEqual(['a connecting', 'b connecting', 'c connecting']);
    expect(fleet.servers.count).toBe(3);
  });

  test('is pinged at each interval, connecting or live', () => {
    const fleet = new Fleet();
    fleet.connect('a');
    fleet.took();
    fleet.wait(250);
    expect(fleet.took()).toEqual(['ping a', 'ping a']);
    fleet.pong('a');
    fleet.waitWith(['a'], 500);
    expect(fleet.took()).toEqual(Array.from({ length: 5 }, () => 'ping a'));
    expect(fleet.states).toEqual(['a live']);
  });

  test('is lost after interval × liveness of silence, and whatever it says is a sign of life', () => {
    const fleet = fleetOf('a');
    fleet.wait(299);
    fleet.servers.heard(fleet.now, fleet.of('a'));
    fleet.wait(299);
    expect(fleet.states).toEqual(['a live']);
    fleet.wait(1);
    expect(fleet.states).toEqual(['a lost']);
    expect(fleet.events).toEqual([{ type: 'serverLost', endpoint: 'a', reason: 'silent' }]);
    expect(fleet.took().at(-1)).toBe('close a');
  });

  test('is lost at once when its link breaks, with all that it held, in order', () => {
    const fleet = fleetOf('a', 'b');
    for (const name of ['one', 'two', 'three']) fleet.hold('a', name);
    fleet.of('a').tries.delete(2);
    fleet.hold('b', 'other');
    expect(fleet.gone('a').map(({ name }) => name)).toEqual(['one', 'three']);
    expect(fleet.gone('a')).toEqual([]);
    expect(fleet.states).toEqual(['a lost', 'b live']);
    expect(fleet.events).toEqual([{ type: 'serverLost', endpoint: 'a', reason: 'linkBroken' }]);
    expect(fleet.took()).toEqual(['close a']);
    expect(fleet.servers.status().map(({ inFlight }) => inFlight)).toEqual([0, 1]);
  });

  test('silent at the same time as another is lost with it, before anything is sent on', () => {
    const fleet = fleetOf('a', 'b');
    fleet.hold('a', 'one');
    fleet.hold('b', 'two');
    expect(fleet.wait(300).map(({ name }) => name)).toEqual(['one', 'two']);
    expect(fleet.servers.live).toEqual([]);
  });

  test('that never answers is connected anew, ever slower, and nobody is told', () => {
    const fleet = new Fleet();
    fleet.connect('a');
    const openedAt: number[] = [];
    for (let passed = 0; passed < 2000; passed += 10) {
      if (fleet.took().includes('open a')) openedAt.push(fleet.now);
      fleet.wait(10);
    }
    // Silent for 300 each time, then 40, 80, 100 and 100.
    expect(openedAt).toEqual([1000, 1340, 1720, 2120, 2520, 2920]);
    expect(fleet.events).toEqual([]);
  });

  test('has its first back-off again once it was live', () => {
    const fleet = new Fleet();
    fleet.connect('a');
    fleet.wait(1200);
    expect(fleet.of('a').failures).toBe(3);
    fleet.pong('a');
    fleet.gone('a');
    expect(fleet.of('a').reconnectAt).toBe(fleet.now + 40);
    fleet.wait(40);
    fleet.gone('a');
    expect(fleet.of('a').reconnectAt).toBe(fleet.now + 80);
  });

  test('comes back on a fresh socket, writable and open', () => {
    const fleet = fleetOf('a');
    Object.assign(fleet.of('a'), { isWritable: false, isClosing: true });
    expect(fleet.servers.hasRoom).toBe(false);
    fleet.gone('a');
    fleet.wait(40);
    expect(fleet.took()).toEqual(['close a', 'open a', 'ping a']);
    expect(fleet.servers.hasRoom).toBe(false);
    fleet.pong('a');
    expect(fleet.servers.hasRoom).toBe(true);
  });

  test('is not blamed for a time in which this process was stopped', () => {
    const fleet = fleetOf('a');
    fleet.now += 5000;
    expect(fleet.servers.handleTimeout(fleet.now)).toEqual([]);
    expect(fleet.states).toEqual(['a live']);
    fleet.wait(99);
    expect(fleet.states).toEqual(['a live']);
    fleet.wait(1);
    expect(fleet.states).toEqual(['a lost']);
  });

  test('is pinged no more after the end', () => {
    const fleet = fleetOf('a', 'b');
    fleet.gone('b');
    fleet.took();
    fleet.servers.close();
    expect(fleet.took()).toEqual(['close a']);
    expect(fleet.servers.nextTimeout).toBe(Infinity);
    expect(fleet.servers.status()).toEqual([]);
    fleet.gone('a');
    fleet.pong('a');
    expect(fleet.servers.live).toEqual([]);
  });
});

describe('the response time', () => {
  test('is measured from pongs, but not while it connects', () => {
    const fleet = new Fleet();
    fleet.connect('a');
    fleet.wait(250);
    fleet.pong('a', 'a', 'a');
    expect(fleet.of('a').responseTime).toBeUndefined();
    fleet.wait(108);
    fleet.pong('a');
    expect(fleet.of('a').responseTime).toBe(8);
    fleet.pong('a');
    expect(fleet.of('a').responseTime).toBe(8);
  });

  test('counts from the first ping without an answer', () => {
    const fleet = fleetOf('a');
    fleet.wait(250);
    fleet.pong('a');
    expect(fleet.of('a').responseTime).toBe(150);
  });

  test('is not measured by a ping that could not be sent', () => {
    const fleet = fleetOf('a');
    fleet.full.add('a');
    fleet.wait(150);
    fleet.pong('a');
    expect(fleet.of('a').responseTime).toBeUndefined();
  });

  test('rises with what is not answered in time, and does not fall', () => {
    const fleet = fleetOf('a');
    const server = fleet.of('a');
    fleet.servers.measured(server, 80);
    fleet.servers.exceeded(server, 40);
    expect(server.responseTime).toBe(80);
    fleet.servers.exceeded(server, 160);
    expect(server.responseTime).toBe(90);
  });

  test('is the same after a loss', () => {
    const fleet = fleetOf('a');
    fleet.servers.measured(fleet.of('a'), 80);
    fleet.gone('a');
    fleet.wait(40);
    expect(fleet.servers.status()[0]).toMatchObject({ state: 'connecting', responseTime: 80 });
  });
});

describe('the ranking', () => {
  test('first: a lost server is nobody, and has its old rank when it comes back', () => {
    const fleet = fleetOf('a', 'b', 'c');
    expect(best(fleet, 'first')).toBe('a');
    fleet.gone('a');
    expect(best(fleet, 'first')).toBe('b');
    fleet.gone('b');
    expect(best(fleet, 'first')).toBe('c');
    fleet.wait(40);
    fleet.pong('b');
    expect(best(fleet, 'first')).toBe('b');
    fleet.pong('a');
    expect(best(fleet, 'first')).toBe('a');
    expect(fleet.servers.live.map(({ endpoint }) => endpoint)).toEqual(['a', 'b', 'c']);
  });

  test('fastest: the smallest time, those not measured last, equal ones in their order', () => {
    const fleet = fleetOf('a', 'b', 'c');
    expect(best(fleet, 'fastest')).toBe('a');
    fleet.servers.measured(fleet.of('c'), 50);
    expect(best(fleet, 'fastest')).toBe('c');
    fleet.servers.measured(fleet.of('b'), 50);
    expect(best(fleet, 'fastest')).toBe('b');
    fleet.servers.measured(fleet.of('a'), 49);
    expect(best(fleet, 'fastest')).toBe('a');
    fleet.gone('a');
    expect(best(fleet, 'fastest')).toBe('b');
  });

  test('passes over those that are full, closing, or not wanted', () => {
    const fleet = fleetOf('a', 'b', 'c', 'd');
    fleet.of('a').isWritable = false;
    fleet.of('b').isClosing = true;
    expect(best(fleet, 'first')).toBe('c');
    const other = fleet.servers.best('first', ({ endpoint }) => endpoint !== 'c');
    expect(other?.endpoint).toBe('d');
    fleet.servers.handleWritable(fleet.of('a').port);
    expect(best(fleet, 'first')).toBe('a');
    expect(fleet.servers.best('all', () => false)).toBeUndefined();
  });
});
