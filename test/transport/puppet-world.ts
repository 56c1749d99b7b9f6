/**
 * A driver with nothing real around it: a machine that does what the test says, sockets that answer
 * what the test says, and a clock that the test turns.
 */
import type { Codec, Outgoing } from '../../src/core/codec.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../../src/core/machine.ts';
import { Driver, type Store } from '../../src/transport/driver.ts';
import type {
  Clock,
  SendOutcome,
  SocketHandler,
  Transport,
  TransportSocket,
} from '../../src/transport/transport.ts';

export type Port = 'left' | 'right';
export type PuppetOutbox = Outbox<Port, string, string>;

/** Notes each input as a line, and lets the test react to it. */
class Puppet implements Machine<Port, string, string> {
  readonly log: string[] = [];
  readonly outbox: PuppetOutbox;
  nextTimeout: Instant = Infinity;
  react: (line: string, now: Instant) => void = () => {};

  constructor(outbox: PuppetOutbox) {
    this.outbox = outbox;
  }

  handleCommand(now: Instant, port: Port, from: Address, command: string): void {
    this.#note(`${port} ${from}: ${command}`, now);
  }
  handleMalformed(now: Instant, port: Port, from: Address, reason: string): void {
    this.#note(`${port} ${from} malformed: ${reason}`, now);
  }
  handleCall(now: Instant, call: string): void {
    this.#note(`call ${call}`, now);
  }
  handlePeerGone(now: Instant, port: Port, from: Address): void {
    this.#note(`${port} ${from} gone`, now);
  }
  handleWritable(now: Instant, port: Port, to: Address): void {
    this.#note(`${port} ${to} writable`, now);
  }
  handleStored(now: Instant, token: number, error?: Error): void {
    this.#note(`stored ${token} ${error?.message ?? 'well'}`, now);
  }
  handleTimeout(now: Instant): void {
    this.nextTimeout = Infinity;
    this.#note('timeout', now);
  }
  fingerprint(): string {
    return this.log.join();
  }

  #note(line: string, now: Instant): void {
    this.log.push(line);
    this.react(line, now);
  }
}

/** Answers each send by `answer`; undefined leaves it open until `settle`. */
export class FakeSocket implements TransportSocket {
  readonly sent: string[] = [];
  readonly open: ((outcome: SendOutcome) => void)[] = [];
  readonly handler: SocketHandler;
  endpoint = '';
  linger: number | undefined;
  answer: (to: Address, text: string) => SendOutcome | undefined = () => 'sent';

  constructor(handler: SocketHandler) {
    this.handler = handler;
  }

  bind(endpoint: string, done: (error: Error | undefined, endpoint: string) => void): void {
    this.endpoint = endpoint;
    done(undefined, endpoint);
  }
  connect(endpoint: string): void {
    this.endpoint = endpoint;
  }
  send(to: Address, frames: Frames, done: (outcome: SendOutcome) => void): void {
    if (this.linger !== undefined) return done('closed');
    const text = frames.map(decodeText).join('|');
    const outcome = this.answer(to, text);
    if (outcome === 'sent' || outcome === undefined) this.sent.push(`${to}: ${text}`);
    if (outcome === undefined) this.open.push(done);
    else done(outcome);
  }
  close(linger: number): void {
    this.linger = linger;
  }

  /** Settles the oldest send that was left open. */
  settle(outcome: SendOutcome): void {
    this.open.shift()!(outcome);
  }
  receive(from: Address, text: string): void {
    this.handler.onMessage(from, [encodeText(text)]);
  }
}

/** Time stands still until `advance`, and a turn goes on until `endTurn`. */
export class FakeClock implements Clock {
  time: Instant = 0;
  readonly #timers = new Map<() => void, Instant>();
  #turnEnds: (() => void)[] = [];

  get wakeAts(): Instant[] {
    return [...this.#timers.values()];
  }
  now(): Instant {
    return this.time;
  }
  wakeAt(at: Instant, callback: () => void): () => void {
    const timer = (): void => callback();
    this.#timers.set(timer, at);
    return () => this.#timers.delete(timer);
  }
  atTurnEnd(callback: () => void): void {
    this.#turnEnds.push(callback);
  }

  endTurn(): void {
    while (this.#turnEnds.length > 0) {
      for (const callback of this.#turnEnds.splice(0)) callback();
    }
  }
  advance(milliseconds: number): void {
    this.endTurn();
    const until = this.time + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].toSorted(([, a], [, b]) => a - b);
      if (next === undefined || next[1] > until) break;
      const [timer, at] = next;
      this.time = Math.max(this.time, at);
      this.#timers.delete(timer);
      timer();
      this.endTurn();
    }
    this.time = until;
  }
}

/** Texts that begin with `+` share a message, three at most. */
class PuppetPack implements Outgoing {
  readonly texts: string[] = [];

  get frames(): Uint8Array[] {
    return [encodeText(this.texts.join(''))];
  }

  get bytes(): number {
    return this.texts.join('').length;
  }

  get isFull(): boolean {
    return this.texts.length === 3;
  }
}

/** One text, one frame; a message costs its bytes. Empty text is malformed. */
export const plainCodec: Codec<Port, string> = {
  decode: (_port, frames, deliver) => {
    const text = decodeText(frames[0]!);
    if (text === '') return 'empty';
    deliver(text);
    return undefined;
  },
  encode: (_port, text, open) => {
    if (!text.startsWith('+')) return { frames: [encodeText(text)], bytes: text.length };
    const pack = open instanceof PuppetPack && !open.isFull ? open : new PuppetPack();
    pack.texts.push(text);
    return pack;
  },
};

export interface PuppetOptions {
  readonly codec?: Codec<Port, string>;
  readonly peerQueueBytes?: number;
  readonly store?: Store;
}

export class PuppetWorld {
  readonly clock = new FakeClock();
  readonly sockets: FakeSocket[] = [];
  readonly events: string[] = [];
  readonly driver: Driver<Port, string, string, string, string>;
  onEvent: (event: string) => void = () => {};
  #puppet!: Puppet;

  constructor({ codec = plainCodec, peerQueueBytes = 100, store }: PuppetOptions = {}) {
    const transport: Transport = {
      open: (_kind, handler) => {
        const socket = new FakeSocket(handler);
        this.sockets.push(socket);
        return socket;
      },
    };
    this.driver = new Driver<Port, string, string, string, string>({
      machine: (outbox) => (this.#puppet = new Puppet(outbox)),
      codec,
      kindOf: () => 'router',
      transport,
      clock: this.clock,
      peerQueueBytes,
      onEvent: (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
      ...(store === undefined ? {} : { store }),
    });
  }

  get puppet(): Puppet {
    return this.#puppet;
  }
  get outbox(): PuppetOutbox {
    return this.#puppet.outbox;
  }
  get log(): readonly string[] {
    return this.#puppet.log;
  }

  /** Opens a port from inside the machine, as it would itself. */
  open(port: Port): FakeSocket {
    this.inside(() => this.outbox.open(port, `tcp://${port}`));
    return this.sockets.at(-1)!;
  }
  /** Runs `action` as the machine, in answer to a call. */
  inside(action: () => void): void {
    const { react } = this.#puppet;
    this.#puppet.react = (line, now) => {
      if (line === 'call inside') action();
      else react(line, now);
    };
    this.driver.call('inside');
    this.#puppet.react = react;
    this.#puppet.log.splice(this.#puppet.log.lastIndexOf('call inside'), 1);
  }
  /** The machine sends texts to one peer; returns what the outbox answered. */
  send(port: Port, to: Address, ...texts: string[]): boolean[] {
    const answers: boolean[] = [];
    this.inside(() => {
      for (const text of texts) answers.push(this.outbox.send(port, to, text));
    });
    return answers;
  }
}
