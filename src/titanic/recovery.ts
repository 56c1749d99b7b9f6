/**
 * What a former life left in the store, and what it means.
 *
 * Records come in any order. Of those of one id the strongest counts: closed, then reply, then dead
 * letter, then request; what else is left is deleted with it one day. What cannot be read is never
 * skipped: its request is dead until somebody closes it, and an id whose `closed:` is there stays closed.
 */
import { byteLength } from '../core/frames.ts';
import type { Frames, Instant } from '../core/machine.ts';
import type { RequestId } from './commands.ts';
import { newPending } from './intake.ts';
import type { Parts } from './parts.ts';
import {
  decodeRecord,
  readKey,
  RECORD_BITS,
  type AttemptsMeta,
  type DeadMeta,
  type RecordMeta,
  type ReplyMeta,
  type RequestMeta,
} from './records.ts';
import type { StoredRequest } from './requests.ts';

/** What was found of one id. */
interface Find {
  readonly id: RequestId;
  stored: number;
  bytes: number;
  request: RequestMeta | undefined;
  attempts: AttemptsMeta | undefined;
  reply: ReplyMeta | undefined;
  dead: DeadMeta | undefined;
  /** When it was closed; 0 if nobody can read it. */
  closed: number;
  /** Bits of the records that cannot be read, and why. */
  unreadable: number;
  reason: string;
}

export class Recovery {
  readonly #finds = new Map<RequestId, Find>();
  /** Keys that are not ours, or cannot be read: whose they are, and why. */
  readonly #reports: { readonly id: string; readonly reason: string }[] = [];

  /** A record that the storage found sound. */
  add(key: string, frames: Frames): void {
    const named = readKey(key);
    if (named === undefined) return void this.#reports.push(unknownKey(key));
    const { kind, id } = named;
    const find = this.#find(id);
    find.stored |= RECORD_BITS[kind];
    const meta = decodeRecord(kind, frames);
    if (typeof meta === 'string') this.#fail(find, RECORD_BITS[kind], `${key}: ${meta}`);
    else note(find, meta, byteLength(frames) - frames[0]!.byteLength);
  }

  /** A record that the storage could not read. */
  unreadable(key: string, reason: string): void {
    const named = readKey(key);
    if (named === undefined) return void this.#reports.push(unknownKey(key));
    const find = this.#find(named.id);
    find.stored |= RECORD_BITS[named.kind];
    this.#fail(find, RECORD_BITS[named.kind], `${key}: ${reason}`);
  }

  /**
   * Makes of it what the parts of a machine know, and empties itself.
   * @returns requests whose last attempt was under way when the former life ended
   */
  restore(now: Instant, parts: Parts): StoredRequest[] {
    const { outbox } = parts;
    for (const { id, reason } of this.#reports.splice(0)) {
      outbox.emit({ type: 'recordUnreadable', id, reason });
    }
    const finds = Array.from(this.#finds.values()).toSorted((a, b) => timeOf(a) - timeOf(b));
    this.#finds.clear();
    const requests = finds.map((find) => restoreOne(now, parts, find));
    keepEnded(parts, requests);
    const { delayed, waiting, done, dead } = parts.requests.counts;
    outbox.emit({ type: 'recovered', pending: delayed + waiting, done, dead });
    return requests.filter(({ pending, attempts }) => {
      return pending !== undefined && attempts > pending.retries;
    });
  }

  #find(id: RequestId): Find {
    const known = this.#finds.get(id);
    if (known !== undefined) return known;
    const find: Find = {
      id,
      stored: 0,
      bytes: 0,
      request: undefined,
      attempts: undefined,
      reply: undefined,
      dead: undefined,
      closed: 0,
      unreadable: 0,
      reason: '',
    };
    this.#finds.set(id, find);
    return find;
  }

  #fail(find: Find, bit: number, reason: string): void {
    find.unreadable |= bit;
    find.reason = reason;
    this.#reports.push({ id: find.id, reason });
  }
}

function unknownKey(key: string): { id: string; reason: string } {
  return { id: '', reason: `${key}: no key of a Titanic` };
}

function note(find: Find, meta: RecordMeta, bytes: number): void {
  if (meta.kind === 'request') find.request = meta;
  else if (meta.kind === 'attempts') find.attempts = meta;
  else if (meta.kind === 'reply') find.reply = meta;
  else if (meta.kind === 'dead') find.dead = meta;
  else find.closed = meta.closed;
  // Once there is a reply, the body of the request counts no more.
  if (meta.kind === 'reply' || (meta.kind === 'request' && find.reply === undefined)) {
    find.bytes = bytes;
  }
}

/** When it was submitted; what cannot be dated comes first. */
function timeOf({ request, reply }: Find): number {
  return reply?.submitted ?? request?.submitted ?? 0;
}

function restoreOne(now: Instant, parts: Parts, find: Find): StoredRequest {
  const { requests, services } = parts;
  const { id, stored, bytes, reply } = find;
  const request = requests.create(id);
  request.stored = stored;
  const wall = parts.wall(now);
  if ((stored & RECORD_BITS.closed) !== 0) {
    request.finished = Math.min(find.closed === 0 ? wall : find.closed, wall);
    requests.show(request, 'closed');
    return request;
  }
  request.bytes = bytes;
  const meta = reply ?? find.request;
  if (meta !== undefined) {
    request.submitted = meta.submitted;
    request.check = meta.check;
    services.join(request, meta.service);
  }
  if (reply !== undefined) {
    request.attempts = reply.attempts;
    // A wall clock that was set back lets nothing be older than it is, nor younger.
    request.finished = Math.min(reply.finished, wall);
    requests.show(request, 'done');
  } else if (find.unreadable !== 0 || find.request === undefined) {
    restoreUnreadable(wall, parts, request, find);
  } else if (find.dead !== undefined) restoreDead(wall, parts, request, find.dead, find.request);
  else restorePending(now, parts, request, find.request, find.attempts);
  return request;
}

/** What a request needs is not all there: it is dead, and nobody executes or serves it. */
function restoreUnreadable(
  wall: number,
  { outbox, requests }: Parts,
  request: StoredRequest,
  { id, request: meta, reason, unreadable }: Find,
): void {
  // With its own record at hand it can be tried again.
  const isWhole = meta !== undefined && (unreadable & RECORD_BITS.reply) === 0;
  const policy = isWhole ? { retries: meta.retries, backoff: meta.backoff } : undefined;
  const message = reason === '' ? `request:${id} is missing` : reason;
  if (reason === '') outbox.emit({ type: 'recordUnreadable', id, reason: message });
  request.dead = { code: 'ERR_STORAGE_CORRUPT', message, failures: 0, policy };
  request.finished = wall;
  request.bytes += message.length;
  requests.show(request, 'dead');
}

function restoreDead(
  wall: number,
  { requests }: Parts,
  request: StoredRequest,
  { finished, attempts, failures, code, message }: DeadMeta,
  { retries, backoff }: RequestMeta,
): void {
  request.attempts = attempts;
  request.finished = Math.min(finished, wall);
  request.dead = { code, message, failures, policy: { retries, backoff } };
  request.bytes += message.length;
  requests.show(request, 'dead');
}

function restorePending(
  now: Instant,
  parts: Parts,
  request: StoredRequest,
  { submitted, delay = 0, deadline = Infinity, retries, backoff, begun }: RequestMeta,
  met: AttemptsMeta | undefined,
): void {
  const { attempts: desk, requests } = parts;
  const { attempts, failures, again } = met ?? { attempts: begun, failures: 0, again: 0 };
  const pending = newPending(request, { retries, backoff, failures, again });
  // Nobody knows how what was begun has ended: it counts.
  request.attempts = attempts;
  pending.begun = attempts;
  const age = now - (submitted - parts.settings.wallClock);
  if (again === 0) {
    pending.dueAt = attempts > 0 ? now : remaining(now, delay, age);
    pending.deadlineAt = remaining(now, deadline, age);
  }
  requests.begin(request, pending);
  desk.place(now, pending);
}

/** When a time is over that began so long ago; if the wall clock was set back, no later than asked for. */
function remaining(now: Instant, time: number, age: number): Instant {
  return now + time - Math.max(0, age);
}

/** Those that have ended are kept in the order in which they did. */
function keepEnded({ retention }: Parts, requests: readonly StoredRequest[]): void {
  const ended = requests.filter(({ pending }) => pending === undefined);
  for (const request of ended.toSorted((a, b) => a.finished - b.finished)) {
    if (request.state === 'closed') retention.bury(request);
    else retention.keep(request);
  }
}
