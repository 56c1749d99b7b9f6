/**
 * What must hold at a queue about its workers: nobody has more than one request, nobody is given up
 * without a reason or kept without one, a heartbeat gives no work, and idle workers are used in turn.
 */
import { toAddress } from '../../core/frames.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type { DispatchCommand, QueueInput, QueueOutput } from '../../pirate/commands.ts';
import type { QueueEvent, WorkerLossReason } from '../../pirate/queue-events.ts';
import type { QueueMachine, QueueSettings } from '../../pirate/queue-machine.ts';
import type { PendingRequest } from '../../pirate/queue-requests.ts';
import { requireThat } from '../violation.ts';

/** Milliseconds by which two sums of the same instants may differ. */
export const ROUNDING = 1e-3;

/** What a worker was given and has not answered. */
interface OpenDispatch {
  readonly tag: string;
  readonly request: PendingRequest;
  timeoutAt: Instant;
  /** It had its time: the request is not its own any more. */
  overdue: boolean;
}

/** A registered worker, as it can be told from what it said. */
interface WorkerView {
  readonly address: Address;
  expiresAt: Instant;
  /** When the next heartbeat to it is due at the latest. */
  beatAt: Instant;
  /** When the notice of its broken link becomes its end. */
  goneAt: Instant;
  open: OpenDispatch | undefined;
  writable: boolean;
  /** Its place in the order of those who became idle; undefined: it is not. */
  idleSince: number | undefined;
}

export class WorkersChecker {
  readonly #settings: QueueSettings;
  readonly #machine: () => QueueMachine;
  readonly #views = new Map<Address, WorkerView>();
  /** Of all dispatches. */
  readonly #tags = new Set<string>();
  #now: Instant = 0;
  #idleCount = 0;
  #isClosing = false;
  /** What came in this step: a READY, a result that counts, one that does not. */
  #input: QueueInput | undefined;
  #from: Address = '';
  /** What the result of this step answers. */
  answered: PendingRequest | undefined;

  constructor(settings: QueueSettings, machine: () => QueueMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  /** What is in the hands of workers who may still answer it. */
  *held(): Generator<PendingRequest> {
    for (const { open } of this.#views.values()) {
      if (open !== undefined && !open.overdue) yield open.request;
    }
  }

  // Inputs

  /** A step begins; `overslept`: the queue itself was stopped, and forgives for so long. */
  begin(now: Instant, overslept: number): void {
    this.#now = now;
    this.#input = undefined;
    this.answered = undefined;
    if (overslept === 0) return;
    for (const view of this.#views.values()) {
      view.expiresAt = Math.max(view.expiresAt, now + this.#settings.heartbeatInterval);
      view.goneAt = Math.max(view.goneAt, now + overslept);
      const { open } = view;
      if (open !== undefined) open.timeoutAt = Math.max(open.timeoutAt, now + overslept);
    }
  }

  noteClosing(): void {
    this.#isClosing = true;
  }

  noteGone(now: Instant, from: Address): void {
    const view = this.#views.get(from);
    if (view === undefined) return;
    view.goneAt = Math.min(view.goneAt, now + this.#settings.noticeGrace);
  }

  noteWritable(to: Address): void {
    const view = this.#views.get(to);
    if (view !== undefined) view.writable = true;
  }

  noteCommand(now: Instant, from: Address, command: QueueInput): void {
    this.#input = command;
    this.#from = from;
    const view = this.#views.get(from);
    if (view === undefined) return;
    view.expiresAt = now + expiryOf(this.#settings);
    view.goneAt = Infinity;
    if (command.type === 'ready' && view.open !== undefined) {
      // It has begun anew: the session that held the request is over.
      view.open = undefined;
      view.beatAt = now + this.#settings.heartbeatInterval;
    } else if (command.type === 'result' && view.open !== undefined) {
      const { tag, request, overdue } = view.open;
      const isAnswer = tag === tagOf(command.stack);
      if (isAnswer && !overdue) this.answered = request;
      if (isAnswer) view.open = undefined;
    }
    this.#queueUp(view);
  }

  // Outputs

  said(to: Address, command: QueueOutput, accepted: boolean): void {
    const view = this.#views.get(to);
    if (command.type === 'heartbeat') {
      requireThat(view !== undefined, 'sessions', () => `a heartbeat to ${to}, who is no worker`);
      view.beatAt = this.#now + this.#settings.heartbeatInterval;
    }
    if (view === undefined || command.type !== 'dispatch' || accepted) return;
    view.writable = false;
    view.idleSince = undefined;
  }

  /** A dispatch leaves, of this request. */
  dispatched(to: Address, { stack }: DispatchCommand, request: PendingRequest): void {
    const view = this.#views.get(to);
    requireThat(view !== undefined, 'sessions', () => `a dispatch to ${to}, who is no worker`);
    const { open, goneAt, expiresAt, idleSince = Infinity } = view;
    requireThat(open === undefined, 'credit', () => {
      return `a dispatch to ${to}, who ${open?.overdue === true ? 'is overdue with' : 'holds'} ${open?.request.id}`;
    });
    requireThat(this.#now < expiresAt, 'silent workers expire', () => {
      return `a dispatch to ${to} at ${this.#now}, who expired at ${expiresAt}`;
    });
    requireThat(goneAt === Infinity, 'a break is graced', () => {
      return `a dispatch to ${to}, whose link broke and who is gone at ${goneAt}`;
    });
    for (const other of this.#views.values()) {
      // One that is lost by now is out of line before it is told.
      const isLost = Math.min(other.expiresAt, other.goneAt) <= this.#now;
      const waitsLonger = other.idleSince !== undefined && other.idleSince < idleSince;
      requireThat(isLost || !waitsLonger, 'least recently used first', () => {
        return `a dispatch to ${to} while ${other.address} has been idle for longer`;
      });
    }
    const tag = tagOf(stack);
    requireThat(tag !== undefined && !this.#tags.has(tag), 'tags are unique', () => {
      return `a dispatch to ${to} under a tag that another one had`;
    });
    this.#tags.add(tag);
    const timeoutAt = this.#now + this.#settings.attemptTimeout;
    view.open = { tag, request, timeoutAt, overdue: false };
    view.idleSince = undefined;
  }

  told(event: QueueEvent): void {
    switch (event.type) {
      case 'workerReady':
        return this.#register(event.worker);
      case 'workerLost':
        return this.#lose(event.worker, event.reason);
      case 'workerOverdue': {
        const open = this.#views.get(event.worker)?.open;
        requireThat(
          open !== undefined && this.#now >= open.timeoutAt - ROUNDING,
          'attempts time out',
          () => `${event.worker} is called overdue at ${this.#now}`,
        );
        open.overdue = true;
        return;
      }
      default:
    }
  }

  #register(address: Address): void {
    const type = this.#input?.type;
    const { protocol, workerLimit, heartbeatInterval } = this.#settings;
    // A REQ socket that has sent anything waits for a request.
    const hasSaidSo = type === 'ready' || (type === 'result' && protocol === 'simple');
    requireThat(hasSaidSo && address === this.#from, 'sessions', () => {
      return `${address} is registered, and did not say READY`;
    });
    requireThat(!this.#isClosing, 'sessions', () => `${address} is registered in the end`);
    const view: WorkerView = {
      address,
      expiresAt: this.#now + expiryOf(this.#settings),
      beatAt: this.#now + heartbeatInterval,
      goneAt: Infinity,
      open: undefined,
      writable: true,
      idleSince: undefined,
    };
    this.#views.set(address, view);
    this.#queueUp(view);
    requireThat(this.#views.size <= workerLimit, 'bounded workers', () => {
      return `${this.#views.size} workers, ${workerLimit} are allowed`;
    });
  }

  #lose(address: Address, reason: WorkerLossReason): void {
    const view = this.#views.get(address);
    requireThat(view !== undefined, 'sessions', () => `${address} is lost, and was no worker`);
    const now = this.#now + ROUNDING;
    const isTrue =
      (reason === 'expired' && now >= view.expiresAt) ||
      (reason === 'gone' && now >= view.goneAt) ||
      (reason === 'replaced' && this.#input?.type === 'ready' && this.#from === address) ||
      (reason === 'closing' && this.#isClosing);
    requireThat(isTrue, 'a break is graced', () => {
      return `${address} is given up as ${reason} at ${this.#now}; it expires at ${view.expiresAt} and is gone at ${view.goneAt}`;
    });
    this.#views.delete(address);
  }

  // After each step

  end(now: Instant): void {
    const { workers } = this.#machine();
    requireThat(workers.size === this.#views.size, 'sessions', () => {
      return `${workers.size} workers are registered, ${this.#views.size} should be`;
    });
    let idle = 0;
    for (const view of this.#views.values()) {
      this.#checkDue(now, view);
      this.#queueUp(view);
      if (view.idleSince !== undefined) idle++;
    }
    if (this.#isClosing) return;
    const { queued } = this.#machine().requests.state;
    requireThat(queued === 0 || idle === 0, 'idle workers are used', () => {
      return `${queued} requests wait, and ${idle} workers have nothing to do`;
    });
  }

  #checkDue(now: Instant, { address, expiresAt, goneAt, beatAt, open }: WorkerView): void {
    requireThat(now < Math.min(expiresAt, goneAt) + ROUNDING, 'silent workers expire', () => {
      const state = open === undefined ? 'idle' : 'busy';
      return `${address} (${state}) is registered at ${now}, and should be lost since ${Math.min(expiresAt, goneAt)}`;
    });
    requireThat(now < beatAt + ROUNDING, 'heartbeats are steady', () => {
      return `${address} was due for a heartbeat at ${beatAt}, and it is ${now}`;
    });
    if (open === undefined || open.overdue) return;
    requireThat(now < open.timeoutAt + ROUNDING, 'attempts time out', () => {
      return `${address} holds request ${open.request.id} at ${now}, which timed out at ${open.timeoutAt}`;
    });
  }

  /** In the line of idle workers, or out of it. */
  #queueUp(view: WorkerView): void {
    const isIdle = view.open === undefined && view.writable && view.goneAt === Infinity;
    if (!isIdle) view.idleSince = undefined;
    else view.idleSince ??= ++this.#idleCount;
  }
}

/** The one frame that a queue writes into the stack, as a text; undefined for any other stack. */
export function tagOf(stack: Frames | undefined): string | undefined {
  const [tag] = stack ?? [];
  return stack?.length === 1 && tag !== undefined ? toAddress(tag) : undefined;
}
