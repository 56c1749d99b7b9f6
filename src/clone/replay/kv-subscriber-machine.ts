/**
 * A subscriber to key-value cache events as a pure machine: SUB for what is new, DEALER for what was missed.
 *
 *              event ──► in order? ──► delivered ──► next
 *                          │ no                      ▲
 *                          ▼                         │
 *                   kept ahead, asked for ──► answers in order
 *
 * `next` is the whole secret: all before it is delivered, or was told lost. What comes beyond it is kept as
 * far as there is room, and the rest is asked for, one question at a time. The format says little, so two
 * things are asked beside what is missing. The message before `next` comes again with each answer: if it
 * is another one than before, the publisher counts anew. And what the answer lacks is lost only if a second
 * answer lacks it too, as a link may lose some.
 */
import { fingerprintOf } from '../../core/fingerprint.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { Random } from '../../core/retry.ts';
import type { Digest, Sequence } from '../commands.ts';
import { digestOf } from '../digest.ts';
import { Ahead } from './ahead.ts';
import type {
  AnswerCommand,
  EventCommand,
  KvSubscriberInput,
  KvSubscriberOutput,
  KvSubscriberPort,
} from './commands.ts';
import { Delivery } from './delivery.ts';
import type {
  HistoryLossReason,
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
} from './events.ts';
import { LifeWatch } from './life.ts';
import type { ReplayStart } from './options.ts';
import { Questions } from './questions.ts';

export interface KvSubscriberSettings {
  readonly topics: readonly string[];
  readonly from: ReplayStart;
  readonly window: number;
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly replayTimeout: number;
  readonly replayRetries: number;
  readonly pollInterval: number;
  readonly random: Random;
}

/** Asks for nothing, and tells that there is somebody to ask. */
const BEYOND = Number.MAX_SAFE_INTEGER - 1;

export class KvSubscriberMachine implements Machine<
  KvSubscriberPort,
  KvSubscriberInput,
  ReplaySubscriberCall
> {
  readonly #outbox: Outbox<KvSubscriberPort, KvSubscriberOutput, ReplaySubscriberEvent>;
  readonly #settings: KvSubscriberSettings;
  readonly #delivery: Delivery;
  readonly #questions: Questions;
  readonly #ahead = new Ahead();
  readonly #life = new LifeWatch();
  /** Plain data. */
  readonly #state = {
    phase: 'idle' as 'idle' | 'open' | 'closed',
    endpoint: '',
    isHeard: false,
    /** The one to deliver next; undefined: whichever comes first. */
    next: undefined as Sequence | undefined,
    /** It begins with the oldest there is, and nothing has come yet. */
    isOpenStart: false,
    /** The highest that is known to exist. */
    highest: -1,
    /** What the last topic was: answers in the plain layout do not say. */
    topic: undefined as string | undefined,
    /** It must be asked what there is: at the beginning, after a silence, after a broken link. */
    isUnsure: false,
    /** An answer lacked this one: if the next one does too, it is gone. */
    suspect: -1,
    /** The highest that was known when the present question was asked: the answer must have it. */
    mustHave: -1,
    /** What is heard is below where it was to begin. */
    isBelow: false,
    /** An answer had less: if the next one has, too, it is of somebody else. */
    isShort: false,
    /** What is kept ahead is of the publisher that answers. */
    isSure: false,
    gapAt: Infinity,
    pollAt: Infinity,
  };

  constructor(
    outbox: Outbox<KvSubscriberPort, KvSubscriberOutput, ReplaySubscriberEvent>,
    settings: KvSubscriberSettings,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#delivery = new Delivery((event) => this.#outbox.emit(event), settings);
    this.#questions = new Questions(settings, {
      open: (endpoint) => this.#outbox.open('replay', endpoint),
      close: () => this.#outbox.close('replay'),
      ask: (from) => this.#outbox.send('replay', '', { type: 'ask', from }),
    });
    const { from } = settings;
    this.#state.isOpenStart = from === 'oldest';
    if (typeof from === 'number') this.#state.next = from;
    else if (from === 'oldest') this.#state.next = 0;
    else if (typeof from === 'object') this.#state.next = from.sequence + 1;
    this.#state.isUnsure = true;
  }

  get nextTimeout(): Instant {
    return Math.min(this.#questions.nextDue, this.#state.pollAt);
  }

  fingerprint(now: Instant): string {
    const parts = [this.#life.state, this.#questions.state, this.#delivery.state];
    return fingerprintOf([this.#state, this.#ahead, parts], now);
  }

  status(): ReplaySubscriberStatus {
    const { phase, endpoint, isHeard, next = 0 } = this.#state;
    const isBehind = this.#isBehind || this.#state.isUnsure;
    const open = !isHeard ? 'connecting' : isBehind ? 'catchingUp' : 'live';
    return {
      state: phase === 'open' ? open : phase === 'idle' ? 'disconnected' : 'closed',
      endpoint,
      position: { epoch: 0, sequence: next - 1 },
      waiting: this.#delivery.waiting + this.#ahead.weight,
      events: this.#delivery.counts,
    };
  }

  handleCommand(
    now: Instant,
    port: KvSubscriberPort,
    _from: Address,
    command: KvSubscriberInput,
  ): void {
    const state = this.#state;
    if (state.phase !== 'open') return;
    this.#hear(now);
    if (port === 'publisher') {
      if (command.type === 'event') this.#takeLive(now, command);
    } else if (!this.#questions.isOpen) {
      this.#delivery.tell({ type: 'ignored', reason: 'unexpected' });
    } else if (command.type === 'answer') this.#takeAnswer(now, command);
    else if (command.type === 'end') this.#takeEnd(now);
    this.#review(now);
  }

  handleMalformed(_now: Instant, _port: KvSubscriberPort, _from: Address, reason: string): void {
    this.#delivery.tell({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ReplaySubscriberCall): void {
    const state = this.#state;
    if (call.type === 'drain' || call.type === 'stop') return this.#end();
    if (state.phase === 'closed') return;
    if (call.type === 'consumed') {
      this.#delivery.consumed(call.weight);
      this.#catchUp();
    } else if (state.phase === 'idle') {
      state.phase = 'open';
      state.endpoint = call.endpoint;
      this.#questions.endpoint = call.replay;
      // Nobody can say what was: it begins with what comes.
      if (call.replay === '') state.isUnsure = false;
      this.#outbox.open('publisher', call.endpoint);
      this.#quiet(now);
    }
    this.#review(now);
  }

  /** Of a SUB nobody is told. Whoever answers may be another from now on. */
  handlePeerGone(now: Instant, port: KvSubscriberPort, _from: Address): void {
    if (port !== 'replay' || this.#state.phase !== 'open') return;
    if (this.#questions.isOpen) this.#fail(now, 'linkBroken');
    else if (this.#state.next !== undefined) this.#state.isUnsure = true;
    this.#review(now);
  }

  /** Questions are asked again in their own time. */
  handleWritable(): void {}

  handleStored(): void {}

  handleTimeout(now: Instant): void {
    const state = this.#state;
    if (this.#questions.isOverdue(now)) this.#fail(now, 'silent');
    if (state.pollAt <= now) {
      // Without a number there is nothing to ask for yet.
      state.isUnsure ||= state.next !== undefined && this.#questions.canAsk;
      this.#quiet(now);
    }
    this.#review(now);
  }

  // What comes

  #takeLive(now: Instant, event: EventCommand): void {
    const state = this.#state;
    const { sequence, topic } = event;
    const digest = digestOf('', sequence, event.body);
    if (this.#life.isOther(sequence, digest, state.next)) this.#restart();
    state.topic = topic;
    state.next ??= sequence;
    state.highest = Math.max(state.highest, sequence);
    const isNew = this.#life.heardLive(sequence, digest);
    if (!isNew || sequence < state.next) {
      if (!this.#delivery.hasBegun) this.#noteBelow();
      return this.#delivery.tell({ type: 'ignored', reason: 'duplicate' });
    }
    this.#take(sequence, topic, event.body, digest);
    if (sequence > state.next) this.#noteGap(now, sequence);
    if (sequence >= state.next && !this.#questions.canAsk) this.#giveUp('noReplay');
  }

  /** It is below all that was asked for: either that is still to come, or it was another's. */
  #noteBelow(): void {
    if (!this.#questions.canAsk) return this.#restart();
    this.#state.isBelow = true;
    this.#state.isUnsure = true;
  }

  #takeAnswer(now: Instant, { sequence, topic, body }: AnswerCommand): void {
    const state = this.#state;
    if (!this.#questions.heard(now, sequence)) {
      return this.#delivery.tell({ type: 'ignored', reason: 'unexpected' });
    }
    if (topic !== undefined) state.topic = topic;
    state.next ??= sequence;
    state.highest = Math.max(state.highest, sequence);
    const digest = digestOf('', sequence, body);
    if (sequence < state.next) {
      if (this.#life.isOtherThanFormer(sequence, digest, state.next)) this.#restart();
      return;
    }
    if (this.#ahead.hasOther(sequence, body)) return this.#restart();
    if (sequence > state.next && !this.#questions.hasProgress) this.#suspect(sequence);
    this.#questions.progress();
    if (!this.#take(sequence, topic ?? state.topic, body, digest)) this.#questions.drop();
  }

  /** An answer has nothing between `next` and this one. */
  #suspect(sequence: Sequence): void {
    const state = this.#state;
    if (state.suspect !== state.next) state.suspect = state.next!;
    else this.#lose(sequence - 1, 'gone');
  }

  #takeEnd(now: Instant): void {
    const state = this.#state;
    const { asked, last, hasProgress } = this.#questions;
    const mustHave = state.isBelow ? Math.max(asked, state.mustHave) : state.mustHave;
    state.isUnsure = false;
    // The newest message is always kept: so one who has none as new as what was heard is somebody else.
    const isShort = mustHave >= asked && last < mustHave;
    const wasShort = state.isShort;
    state.isShort = isShort && !wasShort;
    state.isUnsure = state.isShort;
    if (!isShort) state.isBelow = false;
    const isWanting = this.#isBehind || isShort;
    const wasAboutIt = state.next !== undefined && asked <= state.next;
    const fruitless = this.#questions.end(now, isWanting && wasAboutIt && !hasProgress);
    if (isShort) {
      if (wasShort) this.#takeShort(last < 0);
    } else if (fruitless >= this.#settings.replayRetries && this.#isBehind) this.#giveUp('gone');
    else this.#trustAhead();
  }

  /** Two answers in a row had less than was heard. Who had nothing at all is asked no more for what he lacks. */
  #takeShort(isEmpty: boolean): void {
    if (isEmpty && this.#isBehind) this.#giveUp('gone');
    else this.#restart();
  }

  /** Delivers it, or keeps it for later. False if there is no room. */
  #take(sequence: Sequence, topic: string | undefined, body: Uint8Array, digest: Digest): boolean {
    const state = this.#state;
    if (sequence === state.next) {
      if (!this.#hasRoom) {
        this.#delivery.fallBehind(sequence);
        return false;
      }
      this.#ahead.take(sequence);
      this.#deliver(sequence, topic, keepFrames([body]), digest);
      this.#catchUp();
      return true;
    }
    if (this.#ahead.has(sequence)) return true;
    if (this.#ahead.weight * 2 >= this.#settings.window) return false;
    if (this.#ahead.size === 0) state.isSure = false;
    this.#ahead.keep(sequence, topic, body, this.#delivery.weightOf(topic, [body]));
    return true;
  }

  /** What was kept is of the publisher that answers now, or nobody can say. */
  #trustAhead(): void {
    const state = this.#state;
    state.isSure = true;
    this.#catchUp();
    // What is behind another gap may be of somebody else by the time that one is closed.
    state.isSure = this.#ahead.has(state.next!);
  }

  #deliver(sequence: Sequence, topic: string | undefined, body: Frames, digest: Digest): void {
    const state = this.#state;
    state.next = sequence + 1;
    this.#life.delivered(digest);
    state.isOpenStart = false;
    state.suspect = -1;
    this.#delivery.deliver({ sequence, epoch: 0, topic, body });
  }

  /** What was kept is delivered as far as nothing is missing, and there is room. */
  #catchUp(): void {
    const state = this.#state;
    while (state.isSure && this.#hasRoom && this.#ahead.size > 0) {
      const sequence = state.next!;
      const kept = this.#ahead.take(sequence);
      if (kept === undefined) return;
      this.#deliver(sequence, kept.topic, kept.body, digestOf('', sequence, kept.body[0]!));
    }
  }

  // What is missing

  get #hasRoom(): boolean {
    return this.#delivery.waiting < this.#settings.window;
  }

  get #isBehind(): boolean {
    const { next, highest } = this.#state;
    return next !== undefined && highest >= next;
  }

  /** Asks if there is something to ask for, and it is time. */
  #review(now: Instant): void {
    const state = this.#state;
    if (!this.#isBehind && state.gapAt < Infinity) {
      this.#delivery.tell({ type: 'gapRepaired', milliseconds: now - state.gapAt });
      state.gapAt = Infinity;
    }
    const hasRoom = this.#delivery.waiting * 2 <= this.#settings.window;
    const isWanted = state.phase === 'open' && hasRoom && (this.#isBehind || state.isUnsure);
    const { next = BEYOND } = state;
    // One more than is missing, to see that it is the same publisher still.
    const from = this.#life.hasFormer ? next - 1 : next;
    if (this.#questions.review(now, isWanted, from)) state.mustHave = state.highest;
  }

  /** Once for each gap. What a slow user left for later is none. */
  #noteGap(now: Instant, got: Sequence): void {
    const state = this.#state;
    if (state.gapAt < Infinity || state.isOpenStart || this.#delivery.isBehind) return;
    state.gapAt = now;
    this.#delivery.tell({ type: 'gapDetected', expected: state.next!, got });
  }

  #fail(now: Instant, reason: 'silent' | 'linkBroken'): void {
    const failures = this.#questions.fail(now);
    this.#delivery.tell({ type: 'replayFailed', reason, failures });
    if (failures >= this.#settings.replayRetries && this.#isBehind) this.#giveUp('unanswered');
  }

  /** All that is missing before the first that is here is lost; if nothing is here, all that is known of. */
  #giveUp(reason: HistoryLossReason): void {
    this.#lose(Math.min(this.#ahead.first - 1, this.#state.highest), reason);
    this.#trustAhead();
  }

  /** All up to there, from the next on, will not come any more. */
  #lose(to: Sequence, reason: HistoryLossReason): void {
    const state = this.#state;
    const from = state.next!;
    if (to < from) return;
    // What was before the oldest there is nobody has asked for.
    if (!state.isOpenStart) this.#delivery.lose(from, to, reason);
    state.isOpenStart = false;
    state.next = to + 1;
    this.#life.forget();
    state.suspect = -1;
    state.isShort = false;
    this.#catchUp();
  }

  /** The publisher counts anew: what it had is over, what it has now begins with the number 0. */
  #restart(): void {
    const state = this.#state;
    if (this.#isBehind) this.#lose(state.highest, 'restarted');
    this.#ahead.clear();
    this.#delivery.restart(0, false);
    state.isBelow = false;
    this.#life.restart();
    state.next = 0;
    state.highest = -1;
    state.suspect = -1;
    state.isShort = false;
    state.isOpenStart = false;
    state.isUnsure = this.#questions.canAsk;
    state.gapAt = Infinity;
    this.#questions.restart();
  }

  // Comings and goings

  #hear(now: Instant): void {
    const state = this.#state;
    this.#quiet(now);
    if (state.isHeard) return;
    state.isHeard = true;
    this.#delivery.tell({ type: 'connected', endpoint: state.endpoint, epoch: 0 });
  }

  /** From now on a silence counts. */
  #quiet(now: Instant): void {
    const { pollInterval } = this.#settings;
    this.#state.pollAt = this.#questions.canAsk ? now + pollInterval : Infinity;
  }

  #end(): void {
    const state = this.#state;
    if (state.phase === 'closed') return;
    if (state.phase === 'open') this.#outbox.close('publisher');
    this.#questions.drop();
    state.phase = 'closed';
    state.pollAt = Infinity;
    this.#delivery.tell({ type: 'drained' });
  }
}
