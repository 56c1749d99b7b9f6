/**
 * The total-queue checker: judges what clients and workers wrote down about their requests.
 *
 * Every request that went in comes out once: as the reply that belongs to it, or as one failure. The
 * entries may come in any order, so that the files of many processes are judged as they are.
 */
import { Violation } from './violation.ts';

/** One line of a history. `id` is unique over all clients and all of time. */
export type HistoryEntry =
  /** A client is about to ask. */
  | { readonly type: 'requested'; readonly id: string; readonly client: string }
  /** A worker has been given the request; more than once is allowed. */
  | { readonly type: 'handled'; readonly id: string; readonly worker: string }
  /** The client got a reply. The rest is what the reply says of itself. */
  | {
      readonly type: 'replied';
      readonly id: string;
      readonly client: string;
      /** The request that the reply answers, and the worker that made it. */
      readonly answers: string;
      readonly worker: string;
      /** Whether the payload came back as it was sent. */
      readonly intact: boolean;
    }
  /** The client was told that there will be no reply. */
  | { readonly type: 'failed'; readonly id: string; readonly client: string; readonly code: string }
  /** The client was killed: what it had open needs no outcome. */
  | { readonly type: 'killed'; readonly client: string };

/** What a history says, in numbers, and what is wrong with it. */
export interface HistoryReport {
  readonly requested: number;
  readonly replied: number;
  /** Failures by their code. */
  readonly failed: Readonly<Record<string, number>>;
  /** Requests whose client was killed before they ended. */
  readonly abandoned: number;
  /** How often a request was given to a worker after the first time. */
  readonly repeated: number;
  /**
   * `lost`: no outcome. `duplicated`: more than one. `unexpected`: an outcome or a handler of what
   * nobody asked. `misdelivered`: the reply, or the news, of another. `forged`: a reply of a worker
   * that never had the request. `corrupt`: another payload. `reusedId`: two requests of one id.
   * `empty`: no request was replied to, so that the history proves nothing.
   */
  readonly violations: readonly Violation[];
}

type Outcome = Extract<HistoryEntry, { readonly type: 'replied' | 'failed' }>;

/** All that was written down about one id. */
interface Trail {
  readonly askers: string[];
  readonly handlers: string[];
  readonly outcomes: Outcome[];
}

/** Judges a history. It is sound if the report has no violations. */
export function checkHistory(entries: Iterable<HistoryEntry>): HistoryReport {
  const { trails, killed } = collect(entries);
  const violations: Violation[] = [];
  const failed: Record<string, number> = {};
  let replied = 0;
  let requested = 0;
  let abandoned = 0;
  let repeated = 0;
  for (const [id, trail] of trails) {
    const { askers, handlers, outcomes } = trail;
    requested += askers.length;
    repeated += Math.max(0, handlers.length - 1);
    for (const outcome of outcomes) {
      if (outcome.type === 'replied') replied++;
      else failed[outcome.code] = (failed[outcome.code] ?? 0) + 1;
    }
    const isOpen = askers.length > 0 && outcomes.length === 0;
    const isAbandoned = isOpen && askers.every((client) => killed.has(client));
    if (isAbandoned) abandoned++;
    for (const [invariant, details] of complaints(id, trail, isAbandoned)) {
      violations.push(new Violation(invariant, `request ${id}: ${details}`));
    }
  }
  if (replied === 0) violations.push(new Violation('empty', 'no request was replied to'));
  return { requested, replied, failed, abandoned, repeated, violations };
}

function collect(entries: Iterable<HistoryEntry>): {
  trails: ReadonlyMap<string, Trail>;
  killed: ReadonlySet<string>;
} {
  const trails = new Map<string, Trail>();
  const killed = new Set<string>();
  for (const entry of entries) {
    if (entry.type === 'killed') {
      killed.add(entry.client);
      continue;
    }
    const trail = trails.get(entry.id) ?? { askers: [], handlers: [], outcomes: [] };
    trails.set(entry.id, trail);
    if (entry.type === 'requested') trail.askers.push(entry.client);
    else if (entry.type === 'handled') trail.handlers.push(entry.worker);
    else trail.outcomes.push(entry);
  }
  return { trails, killed };
}

function* complaints(
  id: string,
  { askers, handlers, outcomes }: Trail,
  isAbandoned: boolean,
): Generator<[invariant: string, details: string]> {
  const [client] = askers;
  if (client === undefined) {
    const seen = [...handlers, ...outcomes.map((outcome) => outcome.client)];
    yield ['unexpected', `seen by ${seen.join(', ')}, but nobody asked it`];
    return;
  }
  if (askers.length > 1) yield ['reusedId', `asked by ${askers.join(', ')}`];
  if (outcomes.length === 0 && !isAbandoned) yield ['lost', `${client} has no outcome`];
  if (outcomes.length > 1) {
    const ends = outcomes.map((it) => (it.type === 'replied' ? 'replied' : it.code));
    yield ['duplicated', `ended ${outcomes.length} times: ${ends.join(', ')}`];
  }
  for (const outcome of outcomes) {
    if (!askers.includes(outcome.client)) {
      yield ['misdelivered', `${client} asked, but ${outcome.client} has its outcome`];
    }
    if (outcome.type === 'failed') continue;
    const { answers, worker, intact } = outcome;
    if (answers !== id) yield ['misdelivered', `its reply answers ${answers}`];
    else if (!handlers.includes(worker)) yield ['forged', `${worker} replied, but never had it`];
    if (!intact) yield ['corrupt', 'the payload is another than was sent'];
  }
}
