/**
 * The checker for requests that are kept: judges what clients and workers wrote down about a Titanic.
 *
 * Whatever was acknowledged holds from then on: a submitted request is there until it is closed, its reply
 * is the same each time, and once its close was acknowledged nobody sees it again. All instants are
 * milliseconds of one clock that all processes share. The entries may come in any order.
 */
import { Violation } from './violation.ts';

/** One line of a history. `id` is that of the request, `askedAt` when the question was asked. */
export type TitanicHistoryEntry =
  /** A client is about to submit it; again, if it repeats itself. */
  | {
      readonly type: 'submitting';
      readonly id: string;
      readonly at: number;
      /** Milliseconds before it may be executed. */
      readonly delay: number;
      /** How it has to end: `dead` if its handler always fails. */
      readonly fate: 'reply' | 'dead';
      /** Attempts that its handler fails. */
      readonly failures: number;
    }
  /** That was acknowledged. */
  | { readonly type: 'submitted'; readonly id: string; readonly at: number }
  /** A worker has begun an attempt. */
  | { readonly type: 'handled'; readonly id: string; readonly at: number; readonly worker: string }
  /** A client got its reply: a short name of all its bytes, and whether it is the right one. */
  | {
      readonly type: 'fetched';
      readonly id: string;
      readonly at: number;
      readonly askedAt: number;
      readonly reply: string;
      readonly intact: boolean;
    }
  /** A client was told that it is pending, is a dead letter, or is unknown. */
  | {
      readonly type: 'pending' | 'dead' | 'unknown';
      readonly id: string;
      readonly at: number;
      readonly askedAt: number;
    }
  /** A client is about to close it. */
  | { readonly type: 'closing'; readonly id: string; readonly at: number }
  /** That was acknowledged. */
  | { readonly type: 'closed'; readonly id: string; readonly at: number }
  /** What was asked about it failed otherwise: it may have been done, or not. */
  | { readonly type: 'failed'; readonly id: string; readonly at: number; readonly code: string }
  /** In the end: all that the Titanic lists. */
  | { readonly type: 'listed'; readonly ids: readonly string[] }
  /** A process was killed or stopped: attempts may be repeated. */
  | { readonly type: 'killed'; readonly at: number; readonly name: string };

/** What a history says, in numbers, and what is wrong with it. */
export interface TitanicHistoryReport {
  /** Requests whose submit was acknowledged. */
  readonly submitted: number;
  readonly fetched: number;
  readonly dead: number;
  readonly closed: number;
  /** Executions begun, and how many of them were not the first of their request. */
  readonly executed: number;
  readonly repeated: number;
  /** Executions that were on their way to a worker when the close was acknowledged. */
  readonly overtaken: number;
  readonly kills: number;
  /** Failures by their code. */
  readonly failed: Readonly<Record<string, number>>;
  /**
   * `lost`: unknown or unlisted, although acknowledged and not closed. `unanswered`: no outcome in the end.
   * `changed`: a second outcome other than the first. `corrupt`: not the reply to this request. `forged`:
   * a reply to what no worker has begun. `wrongFate`: a dead letter that should have a reply, or the
   * other way round. `regressed`: pending after it was done. `early`: executed before its delay was over.
   * `resurrected`: seen after its close was acknowledged. `executedAfterClose`. `excess`: executed more
   * often than kills and failures explain. `unexpected`: nobody submitted it. `duplicated`: listed twice.
   * `empty`: no reply at all, so that the history proves nothing.
   */
  readonly violations: readonly Violation[];
}

type Of<Type> = TitanicHistoryEntry & { readonly type: Type };
type About = Extract<TitanicHistoryEntry, { readonly id: string }>;

/** Milliseconds by which a Titanic's wall clock may be wrong from one of its lives to the next. */
const CLOCK_ERROR = 10;

/** Milliseconds within which an execution may begin that was under way when its close was acknowledged. */
const UNDER_WAY = 2000;

/** All that was written down about one id, each kind in the order of time. */
class Trail {
  readonly id: string;
  readonly #entries: About[] = [];

  constructor(id: string) {
    this.id = id;
  }

  add(entry: About): void {
    this.#entries.push(entry);
  }

  all<Type extends About['type']>(...types: Type[]): (About & { readonly type: Type })[] {
    const isWanted = (entry: About): entry is About & { readonly type: Type } =>
      (types as readonly string[]).includes(entry.type);
    return this.#entries.filter(isWanted).toSorted((a, b) => a.at - b.at);
  }

  /** Whether the Titanic had promised to keep it. */
  get isAcknowledged(): boolean {
    return this.all('submitted').length > 0;
  }

  /** When its close was asked for, and acknowledged. */
  get closingAt(): number {
    return this.all('closing')[0]?.at ?? Infinity;
  }

  get closedAt(): number {
    return this.all('closed')[0]?.at ?? Infinity;
  }
}

type Complaint = readonly [invariant: string, details: string];

/** Judges a history. It is sound if the report has no violations. */
export function checkTitanicHistory(entries: Iterable<TitanicHistoryEntry>): TitanicHistoryReport {
  const trails = new Map<string, Trail>();
  const kills: number[] = [];
  const lists: Of<'listed'>[] = [];
  for (const entry of entries) {
    if (entry.type === 'killed') kills.push(entry.at);
    else if (entry.type === 'listed') lists.push(entry);
    else {
      const trail = trails.get(entry.id) ?? new Trail(entry.id);
      trails.set(entry.id, trail);
      trail.add(entry);
    }
  }
  const violations: Violation[] = [];
  const complain = (id: string, [invariant, details]: Complaint): void => {
    violations.push(new Violation(invariant, `request ${id}: ${details}`));
  };
  for (const trail of trails.values()) {
    for (const complaint of complaints(trail, kills)) complain(trail.id, complaint);
  }
  for (const list of lists) {
    for (const [id, complaint] of listComplaints(list, trails)) complain(id, complaint);
  }
  const figures = count([...trails.values()], kills);
  if (figures.fetched === 0) violations.push(new Violation('empty', 'no reply was fetched'));
  return { ...figures, violations };
}

function* complaints(trail: Trail, kills: readonly number[]): Generator<Complaint> {
  const [submitting] = trail.all('submitting');
  if (submitting === undefined) {
    yield ['unexpected', 'seen, but nobody submitted it'];
    return;
  }
  yield* outcomeComplaints(trail, submitting);
  yield* answerComplaints(trail);
  yield* executionComplaints(trail, submitting, kills);
}

/** One outcome at most, the right one, and one at least unless somebody wanted none. */
function* outcomeComplaints(trail: Trail, { fate }: Of<'submitting'>): Generator<Complaint> {
  const replies = trail.all('fetched');
  const isDead = trail.all('dead').length > 0;
  const different = new Set(replies.map(({ reply }) => reply)).size;
  if (different + (isDead ? 1 : 0) > 1) {
    yield [
      'changed',
      `${different} different replies${isDead ? ', and it was a dead letter' : ''}`,
    ];
  }
  if (replies.some(({ intact }) => !intact)) yield ['corrupt', 'the reply is not the one to it'];
  if (replies.length > 0 && trail.all('handled').length === 0) {
    yield ['forged', 'a reply, but no worker has begun it'];
  }
  if (isDead && fate === 'reply') yield ['wrongFate', 'a dead letter, though its handler is sound'];
  if (replies.length > 0 && fate === 'dead') yield ['wrongFate', 'a reply of a handler that fails'];
  const isOpen = trail.isAcknowledged && trail.closingAt === Infinity;
  if (isOpen && replies.length === 0 && !isDead) yield ['unanswered', 'no outcome'];
}

/** What is known stays known, until the close; and then no more. */
function* answerComplaints(trail: Trail): Generator<Complaint> {
  const { closingAt, closedAt } = trail;
  const acknowledgedAt = trail.all('submitted')[0]?.at ?? Infinity;
  const doneAt = trail.all('fetched', 'dead')[0]?.at ?? Infinity;
  for (const { at, askedAt } of trail.all('unknown')) {
    if (askedAt > acknowledgedAt && at < closingAt) {
      yield ['lost', `unknown ${since(at, acknowledgedAt)} it was acknowledged`];
    }
  }
  for (const { type, at, askedAt } of trail.all('fetched', 'dead', 'pending')) {
    if (askedAt > closedAt) yield ['resurrected', `${type} ${since(at, closedAt)} its close`];
    if (type === 'pending' && askedAt > doneAt) {
      yield ['regressed', `pending ${since(at, doneAt)} it was done`];
    }
  }
}

/** When it may be executed, and how often. */
function* executionComplaints(
  trail: Trail,
  { at: submittedAt, delay, failures }: Of<'submitting'>,
  kills: readonly number[],
): Generator<Complaint> {
  const handled = trail.all('handled');
  const { closedAt } = trail;
  for (const { at, worker } of handled) {
    if (at < submittedAt + delay - CLOCK_ERROR) {
      yield [
        'early',
        `by ${worker} ${since(at, submittedAt)} its submit, with a delay of ${delay}`,
      ];
    }
    if (at > closedAt && !isUnderWay(trail, at)) {
      yield ['executedAfterClose', `by ${worker} ${since(at, closedAt)} its close`];
    }
  }
  const last = handled.at(-1)?.at ?? submittedAt;
  const explained = kills.filter((at) => submittedAt < at && at < last).length + failures;
  const repeated = handled.length - 1;
  if (repeated > explained) {
    yield ['excess', `executed ${handled.length} times, with ${explained} kills and failures`];
  }
}

/**
 * Whether an execution that began after the close may have left the Titanic before: only if the request
 * was due by then, and nobody had seen it done.
 */
function isUnderWay(trail: Trail, at: number): boolean {
  const { closingAt, closedAt } = trail;
  const [submitting] = trail.all('submitting');
  const dueAt = (submitting?.at ?? 0) + (submitting?.delay ?? 0);
  const [done] = trail.all('fetched', 'dead');
  const isDone = done !== undefined && done.at < closingAt;
  return dueAt < closedAt && !isDone && at - closedAt < UNDER_WAY;
}

function* listComplaints(
  { ids }: Of<'listed'>,
  trails: ReadonlyMap<string, Trail>,
): Generator<[id: string, Complaint]> {
  const listed = new Set(ids);
  for (const id of listed) {
    const trail = trails.get(id);
    if (trail === undefined) yield [id, ['unexpected', 'listed, but nobody submitted it']];
    else if (trail.closedAt < Infinity) yield [id, ['resurrected', 'listed after its close']];
  }
  if (listed.size < ids.length) {
    const twice = ids.find((id, index) => ids.indexOf(id) !== index)!;
    yield [twice, ['duplicated', 'listed more than once']];
  }
  for (const [id, trail] of trails) {
    if (trail.isAcknowledged && trail.closingAt === Infinity && !listed.has(id)) {
      yield [id, ['lost', 'acknowledged, not closed, and not listed']];
    }
  }
}

function count(
  trails: readonly Trail[],
  kills: readonly number[],
): Omit<TitanicHistoryReport, 'violations'> {
  const having = (type: About['type']): number =>
    trails.filter((trail) => trail.all(type).length > 0).length;
  const handled = trails.map((trail) => ({ trail, times: trail.all('handled') }));
  const failed: Record<string, number> = {};
  for (const { code } of trails.flatMap((trail) => trail.all('failed'))) {
    failed[code] = (failed[code] ?? 0) + 1;
  }
  const executed = handled.reduce((sum, { times }) => sum + times.length, 0);
  return {
    submitted: trails.filter((trail) => trail.isAcknowledged).length,
    fetched: having('fetched'),
    dead: having('dead'),
    closed: having('closed'),
    executed,
    repeated: executed - having('handled'),
    overtaken: handled.flatMap(({ trail, times }) => times.filter(({ at }) => at > trail.closedAt))
      .length,
    kills: kills.length,
    failed,
  };
}

function since(at: number, before: number): string {
  return `${(at - before).toFixed(1)} ms after`;
}
