/**
 * The broker and the services behind it: executions that reply, fail, are lost, are refused, hang, are
 * given up, or are joined to one that runs already. It outlives the Titanic, and dies on its own.
 */
import type { Frames } from '../../core/machine.ts';
import type { AttemptEnd } from '../../titanic/titanic-events.ts';
import type { Role } from '../roles.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { decodeWork, replyTo, textOf, type Work } from '../work.ts';
import { SERVICES } from './plan.ts';
import { HUGE, type TitanicStage } from './stage.ts';

/** What an attempt asks of a service. */
export interface Attempt {
  readonly id: string;
  readonly service: string;
  readonly idempotencyKey: string;
  readonly body: Frames;
}

/** How an attempt ended, as a client of Majordomo learns it. */
export type AttemptOutcome =
  | { readonly end: 'replied'; readonly body: Frames }
  | { readonly end: AttemptEnd; readonly body?: undefined };

type Listener = (outcome: AttemptOutcome) => void;

/** How often a broker that knows a key joins what comes under it. */
const JOINS = 0.8;

/** How many times as long a slow service takes. */
const SLOWNESS = 12;

export class BrokerRole implements Role {
  readonly name = 'broker';
  readonly isDraining = false;
  readonly #stage: TitanicStage;
  #process!: SimProcess;
  readonly #absent = new Set<string>();
  readonly #slow = new Set<string>();
  /** What is under way, and what has ended, by idempotency key; those who wait for it. */
  #known = new Map<string, Listener[] | AttemptOutcome>();
  #running = 0;
  /** How often each request was executed, whatever came of it. */
  readonly #executed = new Map<string, number>();
  /** Every reply that any handler ever gave to a request. */
  readonly #replies = new Map<string, Set<string>>();

  constructor(stage: TitanicStage) {
    this.#stage = stage;
    stage.isBrokerUp = () => !this.#process.isOver;
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  get state(): string {
    return this.#running > 0 ? 'busy' : 'idle';
  }

  start(): void {
    const { world, onLink } = this.#stage;
    this.#process = world.start(this.name, this.#stage.processOptions());
    this.forget();
    onLink();
    this.#process.watch({
      processCrashed: onLink,
      processExited: onLink,
      processResumed: () => undefined,
    });
  }

  drain(): void {
    this.#process.exit();
  }

  stop(): void {
    this.#process.exit();
  }

  /** All that runs, and all keys. */
  forget(): void {
    this.#known = new Map();
    this.#running = 0;
  }

  setAbsent(number: number, isAbsent: boolean): void {
    set(this.#absent, number, isAbsent);
  }

  setSlow(number: number, isSlow: boolean): void {
    set(this.#slow, number, isSlow);
  }

  isAbsent(service: string): boolean {
    return this.#absent.has(service);
  }

  /** Everybody is there, and in good health. */
  heal(): void {
    this.#absent.clear();
    this.#slow.clear();
    // What hangs would hang for ever.
    this.forget();
  }

  /** True if a handler gave this reply to this request. */
  hasReplied(id: string, reply: string): boolean {
    return this.#replies.get(id)?.has(reply) === true;
  }

  /** In a turn of this process. */
  receive(attempt: Attempt, done: Listener): void {
    if (this.#absent.has(attempt.service)) {
      this.#stage.count('broker.absent');
      return done({ end: 'unstarted' });
    }
    const known = this.#known.get(attempt.idempotencyKey);
    if (known !== undefined && this.#stage.world.random() < JOINS) {
      this.#stage.count('broker.joined');
      if (Array.isArray(known)) known.push(done);
      else done(known);
      return;
    }
    this.#execute(attempt, done);
  }

  #execute(attempt: Attempt, done: Listener): void {
    const { id, service, idempotencyKey, body } = attempt;
    const stage = this.#stage;
    const work = decodeWork(body);
    requireThat(work !== undefined, 'requests arrive intact', () => {
      return `${service} got ${textOf(body).slice(0, 80)}`;
    });
    const times = (this.#executed.get(id) ?? 0) + 1;
    this.#executed.set(id, times);
    const outcome = this.#outcomeOf(work, id, times);
    if (outcome === undefined) return;
    if (outcome.end === 'unstarted') return done(outcome);
    const listeners = [done];
    const known = this.#known;
    known.set(idempotencyKey, listeners);
    this.#running++;
    const duration = work.duration * (this.#slow.has(service) ? SLOWNESS : 1);
    const process = this.#process;
    process.wakeAt(process.now() + duration, () => {
      if (this.#known !== known) return;
      this.#running--;
      known.set(idempotencyKey, outcome);
      stage.count(`broker.${outcome.end}`);
      if (outcome.end === 'replied') this.#remember(id, textOf(outcome.body));
      for (const listener of listeners) listener(outcome);
    });
  }

  /** Undefined: never. */
  #outcomeOf(work: Work, id: string, times: number): AttemptOutcome | undefined {
    const isFirst = times === 1 && !this.#stage.isHealed;
    switch (work.behaviour) {
      case 'fail':
        return { end: 'failed' };
      case 'poison':
        return { end: 'poison' };
      case 'flaky':
        if (isFirst) return { end: 'failed' };
        break;
      case 'lose':
        if (isFirst) return { end: 'lost' };
        break;
      case 'shy':
        if (isFirst) return { end: 'unstarted' };
        break;
      case 'never':
        if (isFirst) return undefined;
        break;
    }
    const { behaviour, size } = work;
    const sent = behaviour === 'huge' ? { ...work, behaviour: 'echo', size: HUGE + size } : work;
    return { end: 'replied', body: replyTo(sent, id, this.#stage.execute()) };
  }

  #remember(id: string, reply: string): void {
    const replies = this.#replies.get(id) ?? new Set<string>();
    this.#replies.set(id, replies.add(reply));
  }
}

function set(names: Set<string>, number: number, isIn: boolean): void {
  const name = SERVICES[number % SERVICES.length]!;
  if (isIn) names.add(name);
  else names.delete(name);
}
