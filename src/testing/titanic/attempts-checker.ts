/**
 * What must hold of attempts: never after a close, never one beside another of the same request, never
 * more than were asked for, not before their time nor after it, and none for nothing; and no service
 * waits for another.
 *
 * The book of attempts outlives the process: a restart makes nothing undone.
 */
import type { Instant } from '../../core/machine.ts';
import type { TitanicErrorCode } from '../../core/errors.ts';
import type { AttemptEnd, ExecutionToken, TitanicOrder } from '../../titanic/titanic-events.ts';
import { requireThat } from '../violation.ts';
import type { Moment, RequestTruth, Truth } from './truth.ts';

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

/** By how much of the time a clock goes wrong, as plans make it. */
const DRIFT = 0.06;

type Execute = Extract<TitanicOrder, { readonly type: 'execute' }>;

/** What the book knows of one request. */
interface Account {
  /** Attempts that count, of those that were begun since it was last resubmitted. */
  begun: number;
  /** Those that crashes may have cost, though nobody began them. */
  phantoms: number;
  /** One more is stored, or may be, than was begun: it is about to begin, or to be taken back. */
  isOwed: boolean;
  /** That is being taken back. */
  isReturning: boolean;
  /** The number of the last attempt that counts. */
  last: number;
  era: number;
  running: ExecutionToken | undefined;
  /** When its next attempt was given to the store; undefined: what was handed back is stored already. */
  writtenAt: Instant | undefined;
  end: AttemptEnd | 'replied' | undefined;
  endAt: Instant;
  endLife: number;
  /** Milliseconds from its submit to its reply, at least. */
  repliedAfter: number;
  failures: number;
  key: string | undefined;
  /** An attempt under the present key has failed for sure. */
  keyFailed: boolean;
  wasPoisoned: boolean;
}

interface ServiceView {
  running: number;
  /** Since when nobody offers it; undefined: as far as is known somebody does. */
  restingSince: Instant | undefined;
  /** Only what was damaged may still be of it: then it may be forgotten, and begin anew. */
  isDoubtful: boolean;
  /** Attempts begun since then. */
  probes: Set<ExecutionToken>;
}

export interface AttemptSettings {
  readonly concurrency: number;
  readonly absence: number;
  readonly backoffLimit: number;
}

export class AttemptsChecker {
  readonly #truth: Truth;
  readonly #settings: AttemptSettings;
  readonly #accounts = new Map<string, Account>();
  /** Of the present life. */
  #running = new Map<ExecutionToken, RequestTruth>();
  #services = new Map<string, ServiceView>();
  #closing = new Map<string, number>();
  /** Acknowledged in this life, without a delay, and never begun. */
  #fresh = new Set<RequestTruth>();
  #life = 0;
  /** The clock on the wall was set meanwhile: spans across lives mean nothing. */
  wallJumped = false;
  /** While no broker is there nobody can be found, which says nothing of a service. */
  isLinked = false;

  constructor(truth: Truth, settings: AttemptSettings) {
    this.#truth = truth;
    this.#settings = settings;
  }

  get running(): number {
    return this.#running.size;
  }

  /** A new process begins: what it had begun before counts. */
  begin(life: number): void {
    this.#life = life;
    this.#running = new Map();
    this.#services = new Map();
    this.#closing = new Map();
    this.#fresh = new Set();
    for (const request of this.#truth.all) {
      const account = this.#accountOf(request);
      account.running = undefined;
      // What was not stored of it is forgotten.
      account.wasPoisoned = false;
      const isStored = (): boolean =>
        this.#truth.attemptsOf(request) > account.begun + account.phantoms;
      if (request.state === 'pending' && account.isOwed && isStored()) account.phantoms++;
      account.isOwed = false;
      account.isReturning = false;
    }
  }

  askedToClose(id: string): void {
    this.#closing.set(id, (this.#closing.get(id) ?? 0) + 1);
  }

  closeAnswered(id: string): void {
    const left = (this.#closing.get(id) ?? 0) - 1;
    if (left > 0) this.#closing.set(id, left);
    else this.#closing.delete(id);
  }

  acknowledged(request: RequestTruth): void {
    const { id, terms, submitted, state } = request;
    if (state !== 'pending' || submitted?.life !== this.#life || terms?.delay !== 0) return;
    if (this.#accountOf(request).last === 0 && !this.#closing.has(id)) this.#fresh.add(request);
  }

  // Attempts

  /**
   * So many attempts are given to the store: one that is to begin, or one less, as it did not.
   * @param isNew with the request itself
   */
  written(now: Instant, id: string, attempts: number, isNew: boolean): void {
    const account = this.#accountOf(this.#truth.of(id));
    account.isReturning = !isNew && attempts <= account.begun + account.phantoms;
    account.writtenAt = now;
    account.isOwed ||= attempts > 0;
  }

  /** The store has taken that. */
  stored(id: string): void {
    const account = this.#accountOf(this.#truth.of(id));
    if (account.isReturning) account.isOwed = false;
    account.isReturning = false;
  }

  executed(now: Instant, at: Instant, order: Execute): void {
    const { execution, id, service, attempt, idempotencyKey } = order;
    const request = this.#truth.of(id);
    const account = this.#accountOf(request);
    this.#fresh.delete(request);
    this.#checkState(request, account);
    requireThat(account.running === undefined, 'one attempt at a time', () => {
      return `${id} is executed while attempt ${account.last} runs`;
    });
    if (request.damage === 'none') {
      this.#checkCount(request, account, attempt);
      this.#checkTime(request, account, now, at);
      this.#checkKey(request, account, idempotencyKey);
    }
    const { writtenAt = now } = account;
    account.writtenAt = undefined;
    const view = this.#serviceOf(service);
    view.running++;
    this.#checkService(now, service, view, writtenAt);
    account.begun++;
    account.isOwed = false;
    account.last = attempt;
    account.running = execution;
    if (view.restingSince !== undefined && writtenAt > view.restingSince) {
      view.probes.add(execution);
    }
    this.#running.set(execution, request);
  }

  #checkState(request: RequestTruth, { running, wasPoisoned }: Account): void {
    const { id, state } = request;
    requireThat(request.damage !== 'none' || state !== 'closed', 'closed stays closed', () => {
      return `${id} is closed, and is executed`;
    });
    requireThat(!wasPoisoned, 'poison is final', () => `${id} was poison, and is executed`);
    requireThat(!this.#closing.has(id), 'a close stops attempts', () => {
      return `${id} is being closed, and is executed`;
    });
    const isPending = request.may('pending') && (state === 'pending' || request.damage !== 'none');
    requireThat(isPending, 'only what is pending runs', () => {
      return `${id} is ${state} on the disk, and is executed (${running})`;
    });
  }

  #checkCount({ id, terms }: RequestTruth, account: Account, attempt: number): void {
    const limit = (terms?.retries ?? 0) + 1;
    requireThat(attempt <= limit && account.begun < limit, 'attempts are bounded', () => {
      return `${id} has attempt ${attempt} of ${limit}, after ${account.begun}`;
    });
    requireThat(attempt > account.begun, 'attempts are bounded', () => {
      return `${id} has attempt ${attempt}, though ${account.begun} were begun`;
    });
    requireThat(
      attempt <= account.begun + account.phantoms + 1,
      'an unstarted attempt is free',
      () => {
        return `${id} has attempt ${attempt}, though only ${account.begun} were begun`;
      },
    );
  }

  #checkTime(request: RequestTruth, account: Account, now: Instant, at: Instant): void {
    const { id, terms, submitted } = request;
    if (terms === undefined || submitted === undefined) return;
    // Who submits again wants it at once.
    if (!request.isAgain) {
      const passed = this.#passed(request, now, at);
      requireThat(passed.most >= terms.delay - ROUNDING, 'delays are kept', () => {
        return `${id} runs after ${passed.most} ms, not ${terms.delay}`;
      });
      requireThat(passed.least < terms.deadline + ROUNDING, 'deadlines are kept', () => {
        return `${id} runs after ${passed.least} ms, and had ${terms.deadline}`;
      });
    }
    const { end, endAt, endLife, begun } = account;
    if (endLife !== this.#life || begun === 0 || (end !== 'failed' && end !== 'lost')) return;
    const { backoffLimit } = this.#settings;
    const least = Math.min(backoffLimit, terms.backoff * 2 ** (begun - 1)) / 2;
    requireThat(now >= endAt + least - ROUNDING, 'back-off', () => {
      return `${id} is tried again after ${now - endAt} ms, not ${least}`;
    });
  }

  /** Milliseconds since its submit, by the clocks of the process. */
  #passed(
    { submittedFirst, submitted }: RequestTruth,
    now: Instant,
    at: Instant,
  ): { readonly least: number; readonly most: number } {
    const most = this.#since(submittedFirst, now, at, 1);
    return { least: this.#since(submitted, now, at, -1), most };
  }

  /** @param sign whether the clock is to have gone too fast or too slow */
  #since(moment: Moment | undefined, now: Instant, at: Instant, sign: 1 | -1): number {
    const unknown = sign > 0 ? Infinity : 0;
    if (moment === undefined) return unknown;
    if (moment.life === this.#life) return now - moment.now;
    // A clock may have gone wrong since its process began.
    return this.wallJumped ? unknown : at - moment.at + sign * (at * DRIFT + 1);
  }

  #checkKey({ id }: RequestTruth, account: Account, key: string): void {
    requireThat(key.startsWith(id), 'keys are its own', () => `${id} is executed under ${key}`);
    const mayChange = account.key === undefined || account.keyFailed || account.end === 'unstarted';
    requireThat(key === account.key || mayChange, 'what may run is joined', () => {
      return `${id} is executed under ${key}, while ${account.key} may still run`;
    });
    if (key === account.key) return;
    account.key = key;
    account.keyFailed = false;
  }

  #checkService(now: Instant, service: string, view: ServiceView, writtenAt: Instant): void {
    const { concurrency, absence } = this.#settings;
    requireThat(view.running <= concurrency, 'concurrency is kept', () => {
      return `${view.running} requests of ${service} run`;
    });
    // It was begun before that was known.
    if (view.restingSince === undefined || writtenAt <= view.restingSince) return;
    if (view.isDoubtful) return;
    requireThat(view.probes.size === 0, 'an absent service is left alone', () => {
      return `${service} is absent, and gets a second request`;
    });
    requireThat(
      now >= view.restingSince + absence / 2 - ROUNDING,
      'an absent service is left alone',
      () => {
        return `${service} is tried again ${now - view.restingSince!} ms after nobody was there`;
      },
    );
  }

  /** The request that an attempt is of; undefined if it has ended. */
  requestOf(execution: ExecutionToken): string | undefined {
    return this.#running.get(execution)?.id;
  }

  isClosing(id: string): boolean {
    return this.#closing.has(id);
  }

  /** The shell says how an attempt ended. */
  ended(now: Instant, at: Instant, execution: ExecutionToken, end: AttemptEnd | 'replied'): void {
    const request = this.#running.get(execution);
    if (request === undefined) return;
    const account = this.#accountOf(request);
    const view = request.terms === undefined ? undefined : this.#serviceOf(request.terms.service);
    const isNews = view?.restingSince === undefined || view.probes.has(execution);
    this.#leave(execution, request, account);
    account.end = end;
    account.endAt = now;
    account.endLife = this.#life;
    if (end === 'replied') account.repliedAfter = this.#passed(request, now, at).least;
    if (end === 'failed') {
      account.failures++;
      account.keyFailed = true;
    }
    if (end === 'poison') account.wasPoisoned = true;
    if (end !== 'unstarted') {
      if (view !== undefined) view.restingSince = undefined;
      return;
    }
    account.begun--;
    account.isOwed = true;
    if (account.phantoms === 0) account.last = account.begun;
    if (view === undefined || !isNews || !this.isLinked) return;
    view.restingSince = now;
    view.isDoubtful = false;
  }

  abandoned(execution: ExecutionToken): void {
    const request = this.#running.get(execution);
    if (request !== undefined) this.#leave(execution, request, this.#accountOf(request));
  }

  /** Its record could not be read: the attempt is over, without an end. */
  unreadable(id: string): void {
    const { running } = this.#accountOf(this.#truth.of(id));
    if (running !== undefined) this.abandoned(running);
  }

  #leave(execution: ExecutionToken, request: RequestTruth, account: Account): void {
    this.#running.delete(execution);
    account.running = undefined;
    account.end = undefined;
    if (request.terms === undefined) return;
    const view = this.#serviceOf(request.terms.service);
    view.running--;
    view.probes.delete(execution);
  }

  // The end of all attempts

  dead(now: Instant, at: Instant, id: string, code: TitanicErrorCode): void {
    const request = this.#truth.of(id);
    this.#fresh.delete(request);
    const { terms } = request;
    if (request.damage !== 'none' || terms === undefined) return;
    const { begun, phantoms, wasPoisoned } = this.#accountOf(request);
    if (code === 'ERR_REQUEST_EXPIRED') {
      const { most } = this.#passed(request, now, at);
      return requireThat(most >= terms.deadline - ROUNDING, 'dead for a reason', () => {
        return `${id} is given up after ${most} ms, and had ${terms.deadline}`;
      });
    }
    const isKnown = code === 'ERR_HANDLER_FAILED' || code === 'ERR_ATTEMPTS_EXHAUSTED';
    requireThat(isKnown, 'dead for a reason', () => `${id} is dead: ${code}`);
    const isSpent = begun + phantoms > terms.retries;
    requireThat(isSpent || wasPoisoned, 'dead for a reason', () => {
      return `${id} is dead after ${begun} of ${terms.retries + 1} attempts: ${code}`;
    });
  }

  /** Its reply came in time, however long it took to make that durable. */
  done(id: string): void {
    const request = this.#truth.of(id);
    this.#fresh.delete(request);
    if (request.damage !== 'none' || request.isAgain || request.terms === undefined) return;
    const { deadline } = request.terms;
    const { repliedAfter: least } = this.#accountOf(request);
    requireThat(least < deadline + ROUNDING, 'deadlines are kept', () => {
      return `${id} is done after ${least} ms, and had ${deadline}`;
    });
  }

  /**
   * After each step: whoever may begin has begun.
   * @param writes how many writes of requests of a service are under way
   */
  checkFresh(writes: (service: string) => number, isBeingWritten: (id: string) => boolean): void {
    for (const request of this.#fresh) {
      const { id, terms, state, former } = request;
      if (state !== 'pending' || former !== undefined || this.#closing.has(id)) continue;
      const { service } = terms!;
      const view = this.#serviceOf(service);
      if (view.restingSince !== undefined || isBeingWritten(id)) continue;
      requireThat(
        view.running + writes(service) >= this.#settings.concurrency,
        'services are independent',
        () => `${id} waits for ${service}, of which ${view.running} run`,
      );
    }
  }

  /** A service of which no request is left is forgotten: whether it is there, too. */
  forgetServices(isBeingWritten: (id: string) => boolean): void {
    for (const [service, view] of this.#services) {
      if (view.restingSince === undefined) continue;
      const presence = this.#truth.presenceOf(service, isBeingWritten);
      if (presence === 'possible') view.isDoubtful = true;
      if (presence !== 'none') continue;
      view.restingSince = undefined;
      view.probes.clear();
    }
  }

  /** Nothing runs that the machine has forgotten. */
  get open(): readonly string[] {
    return [...this.#running.values()].map(({ id }) => id);
  }

  #accountOf({ id, era }: RequestTruth): Account {
    const account = this.#accounts.get(id);
    if (account?.era === era) return account;
    const fresh: Account = {
      begun: 0,
      phantoms: 0,
      isOwed: account?.isOwed ?? true,
      isReturning: account?.isReturning ?? false,
      last: 0,
      era,
      running: account?.running,
      writtenAt: account?.writtenAt,
      end: undefined,
      endAt: -Infinity,
      endLife: -1,
      repliedAfter: 0,
      failures: 0,
      key: undefined,
      keyFailed: true,
      wasPoisoned: false,
    };
    this.#accounts.set(id, fresh);
    return fresh;
  }

  #serviceOf(service: string): ServiceView {
    const view = this.#services.get(service) ?? {
      running: 0,
      restingSince: undefined,
      isDoubtful: false,
      probes: new Set(),
    };
    this.#services.set(service, view);
    return view;
  }
}
