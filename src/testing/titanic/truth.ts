/**
 * What is true of every request: what the disk holds of it, judged by its keys alone, and what a disk
 * that was damaged may have forgotten.
 *
 * Every commit that reaches the disk is a step of the requests in it, and only some steps are lawful.
 * The machine lags behind: until it is told of a commit, it may speak of the state before.
 */
import { decodeText } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { Operation } from '../../storage/engine.ts';
import { decodeRecord } from '../../storage/record.ts';
import type { SimDisk } from '../sim-disk.ts';
import { requireThat } from '../violation.ts';
import { textOf } from '../work.ts';

export type TrueState = 'unknown' | 'pending' | 'done' | 'dead' | 'closed';

/** What was asked for when a request was made. */
export interface Terms {
  readonly service: string;
  /** Its body in words. */
  readonly body: string;
  readonly delay: number;
  readonly deadline: number;
  readonly retries: number;
  readonly backoff: number;
}

/** When, by all clocks. */
export interface Moment {
  readonly life: number;
  readonly now: Instant;
  readonly at: Instant;
}

export interface Draft {
  readonly terms: Terms;
  readonly submitted: Moment;
}

export class RequestTruth {
  readonly id: string;
  state: TrueState = 'unknown';
  /** Before a commit that the machine has not been told of; undefined: there is none. */
  former: TrueState | undefined;
  terms: Terms | undefined;
  /** When: between these two, if it was submitted again before anybody knew. */
  submittedFirst: Moment | undefined;
  submitted: Moment | undefined;
  /** What was given to the store under this id while nothing was on the disk. */
  drafts: Draft[] = [];
  /** `200` was answered to its submit, and it was not closed or discarded since. */
  isAcknowledged = false;
  /** It was closed, once at least. */
  wasClosed = false;
  /** Whatever was lost of it before, this is another one, as soon as the machine knows. */
  isAnother = false;
  /** What damage was done to its records: then much is excused, but nothing wrong may be served. */
  damage: 'none' | 'flipped' | 'lost' = 'none';
  /** The reply that was served. */
  reply: string | undefined;
  /** When it was done or dead, by the order of those that were, and by the commit that made it so. */
  finishedOrder = 0;
  commit = 0;
  /** It is pending again because an operator wanted it: delay and deadline are void. */
  isAgain = false;
  /** How often it became pending: by a submit, or by an operator. */
  era = 0;

  constructor(id: string) {
    this.id = id;
  }

  /** True if the machine may say that the request is in one of these states. */
  may(...states: readonly TrueState[]): boolean {
    return (
      this.damage !== 'none' ||
      states.includes(this.state) ||
      (this.former !== undefined && states.includes(this.former))
    );
  }
}

/** From each state, where a commit may lead. `unknown` out of done, dead and closed: retention. */
const STEPS: Readonly<Record<TrueState, readonly TrueState[]>> = {
  unknown: ['pending', 'closed'],
  pending: ['done', 'dead', 'closed'],
  done: ['closed', 'unknown'],
  dead: ['pending', 'closed', 'unknown'],
  closed: ['unknown'],
};

export class Truth {
  readonly #disk: SimDisk;
  readonly #requests = new Map<string, RequestTruth>();
  #ended = 0;
  #commits = 0;
  /** Something was lost that the storage must not overlook when it is opened. */
  mustRefuse = false;
  /** Something was lost or changed that it may overlook. */
  mayRefuse = false;
  /** How often something was done to what is stored. */
  damages = 0;
  /** The disk was full, or failed, so recently that the machine may still say so. */
  hasFailed = false;

  constructor(disk: SimDisk) {
    this.#disk = disk;
  }

  /** Whether the machine has requests of a service; of what was damaged nobody can say. */
  presenceOf(
    service: string,
    isBeingWritten: (id: string) => boolean,
  ): 'none' | 'possible' | 'certain' {
    let presence: 'none' | 'possible' = 'none';
    for (const request of this.#requests.values()) {
      const { id, terms, drafts, damage } = request;
      if (terms?.service === service && request.may('pending', 'done', 'dead')) {
        if (damage === 'none') return 'certain';
        presence = 'possible';
      }
      const isDrafted = drafts.some((draft) => draft.terms.service === service);
      if (isDrafted && isBeingWritten(id)) return 'certain';
    }
    return presence;
  }

  /** How many requests have been done or dead. */
  get ended(): number {
    return this.#ended;
  }

  get all(): Iterable<RequestTruth> {
    return this.#requests.values();
  }

  of(id: string): RequestTruth {
    let request = this.#requests.get(id);
    if (request === undefined) {
      request = new RequestTruth(id);
      this.#requests.set(id, request);
    }
    return request;
  }

  /** How many requests are in one of these states. */
  count(...states: readonly TrueState[]): number {
    let count = 0;
    for (const { state } of this.#requests.values()) if (states.includes(state)) count++;
    return count;
  }

  /** These changes have reached the disk. */
  durable(now: Instant, operations: readonly Operation[]): void {
    this.#commits++;
    const touched = new Set<string>();
    for (const { key, value } of operations) {
      const id = idIn(key);
      if (id === undefined) continue;
      touched.add(id);
      const { state, damage } = this.of(id);
      requireThat(
        value === undefined || !key.startsWith('reply:') || state !== 'done' || damage !== 'none',
        'replies are identical',
        () => `the reply of ${id} is written once more`,
      );
    }
    for (const id of touched) this.#step(now, this.of(id));
    for (const { key, value } of operations) {
      if (value !== undefined && key.startsWith('request:'))
        this.#settle(this.of(idIn(key)!), value);
    }
  }

  /** Which of the submits it was that has become durable. */
  #settle(request: RequestTruth, value: Uint8Array): void {
    const body = textOf(decodeRecord(value).slice(1));
    const drafts = request.drafts.filter(({ terms }) => terms.body === body);
    const draft = drafts.at(-1);
    request.drafts = [];
    requireThat(draft !== undefined, 'a refusal leaves nothing', () => {
      return `${request.id} is stored with ${body.slice(0, 80)}`;
    });
    request.terms = draft.terms;
    request.submitted = draft.submitted;
    request.submittedFirst = drafts[0]!.submitted;
  }

  #step(now: Instant, request: RequestTruth): void {
    const { id, state: former } = request;
    const state = this.#look(id);
    if (request.former === undefined) request.former = former;
    if (state === former) return;
    request.state = state;
    const isLawful = STEPS[former].includes(state) || request.damage !== 'none';
    requireThat(isLawful || former !== 'pending', 'pending is never discarded', () => {
      return `${id} was pending, and is ${state} on the disk at ${now}`;
    });
    requireThat(isLawful || former !== 'closed', 'closed stays closed', () => {
      return `${id} was closed, and is ${state} on the disk at ${now}`;
    });
    requireThat(isLawful, 'status is monotone', () => {
      return `${id} was ${former}, and is ${state} on the disk at ${now}`;
    });
    if (state === 'closed') request.wasClosed = true;
    if (state === 'done' || state === 'dead') {
      request.finishedOrder = ++this.#ended;
      request.commit = this.#commits;
    }
    if (former === 'unknown') request.isAnother = true;
    if (state === 'pending') {
      request.era++;
      request.isAgain = former === 'dead';
    }
    if (state === 'closed' || state === 'unknown') {
      request.isAcknowledged = false;
      if (request.damage === 'none') request.reply = undefined;
    }
  }

  /** The machine has been told of the last change of this request. */
  told(id: string): void {
    this.#told(this.of(id));
  }

  #told(request: RequestTruth): void {
    request.former = undefined;
    if (!request.isAnother) return;
    request.isAnother = false;
    request.damage = 'none';
    request.reply = undefined;
  }

  /** How many attempts of a sound request were begun, by what is on the disk. */
  attemptsOf({ id, damage }: RequestTruth): number {
    const { records } = this.#disk;
    const record = records.get(`attempts:${id}`) ?? records.get(`request:${id}`);
    return record === undefined || damage !== 'none' ? 0 : attemptsIn(decodeRecord(record));
  }

  /** A machine begins that knows what is on the disk. */
  begin(): void {
    for (const request of this.#requests.values()) this.#told(request);
  }

  /** Something was done to these records. */
  damage(keys: Iterable<string>, damage: 'flipped' | 'lost'): void {
    this.damages++;
    for (const key of keys) {
      const id = idIn(key);
      if (id === undefined) continue;
      const request = this.of(id);
      request.isAnother = false;
      if (damage === 'flipped') {
        if (request.damage === 'none') request.damage = 'flipped';
        continue;
      }
      request.damage = 'lost';
      request.state = this.#look(id);
    }
  }

  #look(id: string): TrueState {
    const { records } = this.#disk;
    if (records.has(`closed:${id}`)) return 'closed';
    if (records.has(`reply:${id}`)) return 'done';
    if (records.has(`dead:${id}`)) return 'dead';
    return records.has(`request:${id}`) ? 'pending' : 'unknown';
  }
}

/** How many attempts were begun, as a record of a request or of its attempts says. */
export function attemptsIn([meta]: Frames): number {
  const { attempts, begun }: { attempts?: number; begun?: number } = JSON.parse(decodeText(meta!));
  return attempts ?? begun ?? 0;
}

/** The request that a record is of; undefined: the storage's own. */
export function idIn(key: string): string | undefined {
  return key.startsWith('!') ? undefined : key.slice(key.indexOf(':') + 1);
}
