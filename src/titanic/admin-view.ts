/** What clients and operators are told of requests, in the order of submission. */
import { encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { Question, RequestSummary } from './commands.ts';
import type { Parts } from './parts.ts';
import { isShown, type StateCounts, type StoredRequest } from './requests.ts';

/** What a Titanic says of itself. */
export interface TitanicMachineStatus extends StateCounts {
  /** Ids that are remembered as closed. */
  readonly closed: number;
  /** Bytes of the bodies of requests that are not done, and of replies and dead letters that are kept. */
  readonly pendingBytes: number;
  readonly retainedBytes: number;
  /** Bytes of replies that the store has not taken yet. */
  readonly keptBytes: number;
  /** Fetches that wait, attempts that run, batches that are being written. */
  readonly waiters: number;
  readonly executing: number;
  readonly writing: number;
  readonly services: Readonly<Record<string, ServiceStatus>>;
}

export interface ServiceStatus extends StateCounts {
  /** Nobody offered it lately. */
  readonly isAbsent: boolean;
}

/** Some of the requests. */
export interface RequestPage {
  readonly requests: readonly RequestSummary[];
  /** More may be behind this one; absent at the end. */
  readonly after?: string;
}

/** Services that a status lists, and requests that are looked at for one page: more take too long. */
const SERVICE_LIMIT = 1000;
const GLANCE = 10_000;

export function statusOf(parts: Parts, keptBytes: number): TitanicMachineStatus {
  const { answers, attempts, requests, retention, services, writes } = parts;
  const listed: [string, ServiceStatus][] = [];
  for (const service of services.services.values()) {
    if (listed.length === SERVICE_LIMIT) break;
    listed.push([service.name, { ...service.counts, isAbsent: service.absences > 0 }]);
  }
  return {
    ...requests.counts,
    pendingBytes: requests.pending.bytes,
    retainedBytes: retention.bytes,
    keptBytes,
    waiters: answers.waiters.size,
    executing: attempts.running,
    writing: writes.size,
    // Not assigned one by one: a service may be called `__proto__`.
    services: Object.fromEntries(listed),
  };
}

/** @returns undefined unless clients may know of it */
export function summaryOf(
  { settings }: Parts,
  request: StoredRequest | undefined,
): RequestSummary | undefined {
  if (request === undefined || !isShown(request.state)) return undefined;
  const { id, service, state, attempts, submitted, finished, pending, dead } = request;
  const due = state === 'delayed' && pending !== undefined ? pending.dueAt : undefined;
  return {
    id,
    service: service?.name ?? '',
    state,
    attempts,
    submitted,
    due: due === undefined ? undefined : Math.round(due + settings.wallClock),
    finished: state === 'done' || state === 'dead' ? finished : undefined,
    code: dead?.code,
    message: dead?.message,
  };
}

/** @returns undefined if the one before the page is not known any more */
export function pageOf(
  parts: Parts,
  { state, service, after, limit }: Extract<Question, { type: 'list' }>,
): RequestPage | undefined {
  const before = after === undefined ? undefined : parts.requests.get(after);
  if (after !== undefined && before === undefined) return undefined;
  const requests: RequestSummary[] = [];
  let glances = 0;
  for (const request of parts.requests.after(before)) {
    const isWanted = state === undefined || request.state === state;
    if (isWanted && (service === undefined || request.service?.name === service)) {
      const summary = summaryOf(parts, request);
      if (summary !== undefined) requests.push(summary);
    }
    glances++;
    if (requests.length >= limit || glances >= GLANCE) return { requests, after: request.id };
  }
  return { requests };
}

export function jsonBody(value: unknown): Frames {
  return [encodeText(JSON.stringify(value))];
}
