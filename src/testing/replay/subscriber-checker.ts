/**
 * What a subscriber is promised: every message in order, or the word that it is lost; nothing twice, nothing
 * that was not published, and no other publisher unseen.
 */
import type { FollowerInput } from '../../clone/commands.ts';
import type { KvSubscriberInput } from '../../clone/replay/commands.ts';
import type {
  ReceivedMessage,
  ReplaySubscriberCall,
  ReplaySubscriberEvent,
  ReplaySubscriberStatus,
  SequenceRange,
} from '../../clone/replay/events.ts';
import type { ReplayStart } from '../../clone/replay/options.ts';
import type { Instant } from '../../core/machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import type { ReplayStage } from './stage.ts';
import { toldBy, type Told } from './truth.ts';

/** What one message weighs at most beside what a plan adds to it. */
const SMALL = 200;

type Heard = FollowerInput | KvSubscriberInput;

export class SubscriberChecker<Port> implements MachineChecker<
  Port,
  Heard,
  unknown,
  ReplaySubscriberCall,
  ReplaySubscriberEvent
> {
  readonly #name: string;
  readonly #stage: ReplayStage;
  readonly #settings: { readonly from: ReplayStart; readonly topics: readonly string[] };
  readonly #machine: () => { status(): ReplaySubscriberStatus };
  /** The number that must come next, and of which life the last one was; undefined: any. */
  #expected: number | undefined;
  #last: Told | undefined;
  /** Told lost since the last message. */
  #lost: SequenceRange | undefined;
  /** The last live number of `kv-events`; and whether a restart was told in this step. */
  #live = -1;
  #wasRestarted = false;
  /** Where the stream begins of which the present input says so. */
  #begun: number | undefined;

  constructor(
    name: string,
    stage: ReplayStage,
    settings: { readonly from: ReplayStart; readonly topics: readonly string[] },
    machine: () => { status(): ReplaySubscriberStatus },
  ) {
    this.#name = name;
    this.#stage = stage;
    this.#settings = settings;
    this.#machine = machine;
    const { from } = settings;
    if (typeof from === 'number') this.#expected = Math.max(this.#firstNumber, from);
    else if (typeof from === 'object') this.#expected = from.sequence + 1;
  }

  before(_now: Instant, input: Input<Port, Heard, ReplaySubscriberCall>): void {
    this.#wasRestarted = false;
    const isBegin = input.kind === 'command' && input.command.type === 'begin';
    this.#begun = isBegin ? input.command.sequence : undefined;
  }

  after(_now: Instant, input: Input<Port, Heard, ReplaySubscriberCall>): void {
    if (input.kind === 'command') this.#checkHeard(input.command);
    const { window } = this.#stage.plan.settings;
    const { waiting } = this.#machine().status();
    const limit = 2 * window + 2 * (this.#stage.plan.size + SMALL);
    requireThat(waiting <= limit, 'buffers are bounded', () => {
      return `${waiting} bytes wait at ${this.#name}, ${limit} may`;
    });
  }

  told(event: ReplaySubscriberEvent): void {
    if (event.type === 'message') this.#checkMessage(event);
    else if (event.type === 'connected' && this.#begun !== undefined) {
      // From now on it is to get everything, if it asked for what is new.
      const isNew = this.#settings.from === 'newest' && this.#last === undefined;
      if (isNew) this.#expected ??= this.#begun + 1;
    } else if (event.type === 'publisherRestarted') {
      this.#wasRestarted = true;
      this.#live = -1;
      if (!event.isContinued) this.#lost = undefined;
    } else if (event.type === 'historyLost') {
      if (event.reason === 'gone') this.#checkLoss(event);
      this.#lost = { from: this.#lost?.from ?? event.from, to: event.to };
    }
  }

  get #firstNumber(): number {
    return this.#stage.isStream ? 1 : 0;
  }

  /** Where a link brings a lower number than before, another publisher counts. */
  #checkHeard(command: Heard): void {
    if (command.type !== 'event' || this.#machine().status().state === 'closed') return;
    const { sequence } = command;
    requireThat(sequence >= this.#live || this.#wasRestarted, 'restarts are told', () => {
      return `${this.#name} heard ${sequence} after ${this.#live}, and told no restart`;
    });
    this.#live = sequence;
  }

  #checkMessage(message: ReceivedMessage): void {
    const told = this.#checkReal(message);
    const { sequence, lost, isRestart } = message;
    const { truth, isStream } = this.#stage;
    requireThat(sameRange(lost, this.#lost), 'history lost is told', () => {
      return `${this.#name} got ${sequence} with ${show(lost)} lost, and was told ${show(this.#lost)}`;
    });
    this.#lost = undefined;
    const former = this.#last;
    const isOther =
      former !== undefined && truth.numberOf(former.life) !== truth.numberOf(told.life);
    if (isOther && isStream) {
      requireThat(isRestart, 'restarts are told', () => {
        return `${this.#name} got ${sequence} of life ${told.life} after one of ${former.life}`;
      });
    } else if (isOther && !isRestart) this.#stage.count('subscriber.hiddenRestart');
    requireThat(former === undefined || told.life >= former.life, 'in order without holes', () => {
      return `${this.#name} got ${sequence} of life ${told.life} after one of ${former?.life}`;
    });
    const expected = isRestart ? this.#firstNumber : this.#expected;
    if (expected !== undefined) this.#checkOrder(told, expected, lost);
    this.#expected = sequence + 1;
    this.#last = told;
  }

  #checkReal({ body, sequence, topic }: ReceivedMessage): Told {
    const told = toldBy(body);
    const isReal = told?.sequence === sequence && this.#stage.truth.has(told);
    requireThat(isReal, 'nothing is invented', () => {
      return `${this.#name} got ${sequence} '${topic}', and nobody published that`;
    });
    // An answer in the plain layout does not say.
    const isUnsaid = topic === '' && !this.#stage.isStream;
    const isRight = topic === told.topic && this.#concerns(topic);
    requireThat(isRight || isUnsaid, 'nothing is invented', () => {
      return `${this.#name} got ${sequence} under '${topic}', it was published under '${told.topic}'`;
    });
    return told;
  }

  #checkOrder(told: Told, expected: number, lost: SequenceRange | undefined): void {
    const { sequence, life } = told;
    const { messages } = this.#stage.truth.numbering(life);
    requireThat(sequence >= expected, 'in order without holes', () => {
      return `${this.#name} got ${sequence} where ${expected} was to come`;
    });
    for (let number = expected; number < sequence; number++) {
      if (lost !== undefined && lost.from <= number && number <= lost.to) continue;
      const missing = messages.get(number);
      const isMissing = missing !== undefined && this.#concerns(missing.topic);
      requireThat(!isMissing, 'in order without holes', () => {
        return `${this.#name} got ${sequence}, and never ${number} '${missing?.topic}'`;
      });
    }
  }

  /** What is called gone is in no history, unless a link has lost an answer without a word. */
  #checkLoss({ to }: SequenceRange): void {
    const { truth, world, isStream } = this.#stage;
    if (!isStream && world.effects.dropped > 0) return;
    const { first, newest } = truth.numbering(truth.life);
    const life = this.#last?.life;
    if (life === undefined || truth.numberOf(life) !== truth.numberOf(truth.life)) return;
    requireThat(first > to || newest < to, 'losses are real', () => {
      return `${this.#name} was told that ${to} is gone, and the history begins with ${first}`;
    });
  }

  #concerns(topic: string): boolean {
    return this.#settings.topics.some((beginning) => topic.startsWith(beginning));
  }
}

function sameRange(one: SequenceRange | undefined, other: SequenceRange | undefined): boolean {
  return one?.from === other?.from && one?.to === other?.to;
}

function show(range: SequenceRange | undefined): string {
  return range === undefined ? 'nothing' : `${range.from} to ${range.to}`;
}
