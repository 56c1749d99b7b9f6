/**
 * A subscriber to our own stream as a pure machine: the follower half of a stream, with messages in the
 * place of a map.
 *
 * What the user has not taken yet gives the publisher no credit: so a slow user costs nobody anything, and
 * what waits here is bounded. The publisher goes on from its history later, or says what is lost.
 */
import { fingerprintOf } from '../../core/fingerprint.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { Random } from '../../core/retry.ts';
import type {
  BeginCommand,
  FollowerInput,
  FollowerOutput,
  Position,
  UpdateCommand,
  WriterId,
} from '../commands.ts';
import { EMPTY_DIGEST } from '../digest.ts';
import {
  Follower,
  type FollowerEvent,
  type FollowerOwner,
  type FollowerSettings,
} from '../stream/follower.ts';
import { Delivery } from './delivery.ts';
import type {
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
} from './events.ts';
import type { ReplayStart } from './options.ts';

/** DEALER to the publisher: the same as a Clone client's. */
export type StreamSubscriberPort = 'server';

export interface StreamSubscriberSettings {
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  readonly topics: readonly string[];
  readonly from: ReplayStart;
  readonly window: number;
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  /** Who it is: 8 characters, its own. */
  readonly writer: WriterId;
  readonly random: Random;
}

const STATES = {
  disconnected: 'disconnected',
  connecting: 'connecting',
  loading: 'catchingUp',
  catchingUp: 'catchingUp',
  synchronised: 'live',
  closed: 'closed',
} as const;

export class StreamSubscriberMachine implements Machine<
  StreamSubscriberPort,
  FollowerInput,
  ReplaySubscriberCall
> {
  readonly #outbox: Outbox<StreamSubscriberPort, FollowerOutput, ReplaySubscriberEvent>;
  readonly #delivery: Delivery;
  readonly #follower: Follower;
  readonly #window: number;
  /** Plain data. */
  readonly #state = {
    isClosed: false,
    isConnected: false,
    /** The publisher's life, 0 before the first. */
    epoch: 0,
    /** Up to here all is delivered, or was told lost; undefined before the first. */
    last: undefined as number | undefined,
    /** It begins with the oldest there is: what was before that nobody asked for. */
    isOpenStart: false,
  };

  constructor(
    outbox: Outbox<StreamSubscriberPort, FollowerOutput, ReplaySubscriberEvent>,
    settings: StreamSubscriberSettings,
  ) {
    this.#outbox = outbox;
    this.#delivery = new Delivery((event) => this.#outbox.emit(event), settings);
    const socket = {
      open: (endpoint: string) => this.#outbox.open('server', endpoint),
      close: (flush: boolean) => this.#outbox.close('server', flush),
      send: (command: FollowerOutput) => this.#outbox.send('server', '', command),
    };
    const { topics, from, window } = settings;
    this.#window = window;
    const delivery = this.#delivery;
    const following: FollowerSettings = {
      ...settings,
      kind: 'messages',
      subtree: commonBeginning(topics),
      // What waits here already is not asked for once more by a new stream.
      get window() {
        return Math.max(Math.ceil(window / 4), window - delivery.waiting);
      },
    };
    this.#follower = new Follower(socket, following, this.#owner());
    const start = positionOf(from);
    this.#follower.startFrom(start);
    this.#state.last = start?.sequence;
    this.#state.epoch = start?.epoch ?? 0;
    this.#state.isOpenStart = from === 'oldest';
  }

  get nextTimeout(): Instant {
    return this.#follower.nextTimeout;
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#state, this.#follower.states, this.#delivery.state], now);
  }

  status(): ReplaySubscriberStatus {
    const { epoch, last = 0, isClosed } = this.#state;
    return {
      state: isClosed ? 'closed' : STATES[this.#follower.phase],
      endpoint: this.#follower.endpoint,
      position: { epoch, sequence: last },
      waiting: this.#delivery.waiting,
      events: this.#delivery.counts,
    };
  }

  handleCommand(
    now: Instant,
    _port: StreamSubscriberPort,
    _from: Address,
    command: FollowerInput,
  ): void {
    if (this.#state.isClosed) return;
    if (command.type === 'result' || command.type === 'expected') {
      return this.#delivery.tell({ type: 'ignored', reason: 'unexpected' });
    }
    this.#follower.handleCommand(now, command);
    this.#notePosition();
  }

  handleMalformed(
    _now: Instant,
    _port: StreamSubscriberPort,
    _from: Address,
    reason: string,
  ): void {
    this.#delivery.tell({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ReplaySubscriberCall): void {
    const state = this.#state;
    if (call.type === 'drain' || call.type === 'stop') return this.#end(now);
    if (state.isClosed) return;
    if (call.type === 'consumed') {
      this.#delivery.consumed(call.weight);
      this.#follower.release(now, call.weight);
    } else if (!state.isConnected) {
      state.isConnected = true;
      this.#follower.connect(now, [call.endpoint]);
    }
  }

  handlePeerGone(now: Instant, _port: StreamSubscriberPort, _from: Address): void {
    if (!this.#state.isClosed) this.#follower.handlePeerGone(now);
  }

  handleWritable(now: Instant, _port: StreamSubscriberPort, _to: Address): void {
    if (!this.#state.isClosed) this.#follower.handleWritable(now);
  }

  handleStored(): void {}

  handleTimeout(now: Instant): void {
    if (this.nextTimeout <= now) this.#follower.handleTimeout(now);
  }

  /** What the follower hears of. There is no map: the rest of what it might ask does not come. */
  #owner(): FollowerOwner {
    return {
      digest: EMPTY_DIGEST,
      handleBegin: (_now, begin) => this.#begin(begin),
      handleUpdate: (_now, update) => this.#take(update),
      handleItem: () => false,
      handleWriter: () => undefined,
      handleLineage: () => undefined,
      handleEnd: () => false,
      handleDiscard: () => undefined,
      handleEvent: (_now, event) => this.#tell(event),
    };
  }

  #begin({ mode, epoch, sequence }: BeginCommand): void {
    const state = this.#state;
    const { epoch: former, last = 0 } = state;
    const isContinued = mode === 'continue';
    const isOther = former !== 0 && former !== epoch;
    // Whoever counts less than what was asked for is another one, too.
    const isRestart = !isContinued && !state.isOpenStart && (isOther || sequence < last);
    state.epoch = epoch;
    if (isOther || isRestart) this.#delivery.restart(epoch, isContinued);
    if (mode === 'lost' && !state.isOpenStart) {
      const from = isRestart ? 1 : last + 1;
      if (from <= sequence) this.#delivery.lose(from, sequence, 'gone');
    }
    state.last = sequence;
    state.isOpenStart = false;
  }

  /** False: more waits than may, which a new stream might bring about. */
  #take({ key: topic, sequence, value }: UpdateCommand): boolean {
    const delivery = this.#delivery;
    if (!delivery.concerns(topic)) return true;
    if (delivery.waiting >= 2 * this.#window) {
      delivery.fallBehind(sequence);
      return false;
    }
    const body = keepFrames(value);
    delivery.deliver({ sequence, epoch: this.#state.epoch, topic, body });
    this.#follower.withhold(delivery.weightOf(topic, body));
    return true;
  }

  /** Beats tell that there was nothing in between. */
  #notePosition(): void {
    const { sequence } = this.#follower.position;
    if (this.#state.last !== undefined) this.#state.last = Math.max(this.#state.last, sequence);
  }

  #tell(event: FollowerEvent): void {
    switch (event.type) {
      case 'gapDetected':
        return this.#delivery.tell({
          type: 'gapDetected',
          expected: event.expected + 1,
          got: event.got + 1,
        });
      case 'gapRepaired':
        return this.#delivery.tell({ type: 'gapRepaired', milliseconds: event.milliseconds });
      case 'ignored':
        return this.#delivery.tell({
          type: 'ignored',
          reason: event.reason === 'unexpected' ? 'unexpected' : 'stale',
        });
      case 'connected':
      case 'disconnected':
        return this.#delivery.tell(event);
      default:
        // Its own business, or told already when the stream began.
        return undefined;
    }
  }

  #end(now: Instant): void {
    if (this.#state.isClosed) return;
    this.#state.isClosed = true;
    this.#follower.stop(now, true);
    this.#delivery.tell({ type: 'drained' });
  }
}

/** What a follower begins with. A life of 0 is whichever there is. */
function positionOf(from: ReplayStart): Position | undefined {
  if (from === 'newest') return undefined;
  if (from === 'oldest') return { epoch: 0, sequence: 0 };
  if (typeof from === 'object') return from;
  return { epoch: 0, sequence: Math.max(0, from - 1) };
}

/** What all of these begin with. */
function commonBeginning(texts: readonly string[]): string {
  const [first = '', ...others] = texts;
  let length = first.length;
  for (const other of others) {
    while (!other.startsWith(first.slice(0, length))) length--;
  }
  // Half a character is no text.
  const isSplit = length > 0 && length < first.length && /[\uD800-\uDBFF]/.test(first[length - 1]!);
  return first.slice(0, isSplit ? length - 1 : length);
}
