/**
 * What must hold at a queue about its requests: who asks is answered once, under the stack that it wrote;
 * a request costs as many attempts as it may, and goes to nobody when it is too late.
 */
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type {
  DispatchCommand,
  QueueInput,
  QueueOutput,
  RequestCommand,
} from '../../pirate/commands.ts';
import type { QueueEvent } from '../../pirate/queue-events.ts';
import type { QueueMachine, QueueSettings } from '../../pirate/queue-machine.ts';
import type { PendingRequest } from '../../pirate/queue-requests.ts';
import { checkConservation, OrderChecker } from '../book-checker.ts';
import { requireThat, Violation } from '../violation.ts';
import { ROUNDING, type WorkersChecker } from './workers-checker.ts';

/** What left for a client in this step. */
interface Reply {
  readonly to: Address;
  readonly stack: Frames | undefined;
  readonly body: Frames;
}

/** What the checker knows of one accepted request. */
interface History {
  attempts: number;
  readonly expiresAt: Instant;
}

export class RequestsChecker {
  readonly #settings: QueueSettings;
  readonly #machine: () => QueueMachine;
  readonly #workers: WorkersChecker;
  readonly #order: OrderChecker<PendingRequest>;
  readonly #histories = new Map<PendingRequest, History>();
  /** When clients whose link broke are gone. */
  readonly #goneAt = new Map<Address, Instant>();
  #now: Instant = 0;
  #input: QueueInput | undefined;
  #asked: { readonly from: Address; readonly command: RequestCommand } | undefined;
  #replies: Reply[] = [];
  #accepted = 0;

  constructor(settings: QueueSettings, machine: () => QueueMachine, workers: WorkersChecker) {
    this.#settings = settings;
    this.#machine = machine;
    this.#workers = workers;
    this.#order = new OrderChecker(settings, () => machine().requests);
  }

  // Inputs

  begin(now: Instant, overslept: number): void {
    this.#now = now;
    this.#input = undefined;
    this.#asked = undefined;
    this.#replies = [];
    if (overslept === 0) return;
    for (const [client, goneAt] of this.#goneAt) {
      this.#goneAt.set(client, Math.max(goneAt, now + overslept));
    }
  }

  noteGone(now: Instant, client: Address): void {
    if (!this.#machine().requests.clients.has(client)) return;
    const goneAt = this.#goneAt.get(client) ?? Infinity;
    this.#goneAt.set(client, Math.min(goneAt, now + this.#settings.noticeGrace));
  }

  noteCommand(from: Address, command: QueueInput): void {
    this.#input = command;
    if (command.type !== 'request') return;
    this.#asked = { from, command };
    this.#goneAt.delete(from);
  }

  // Outputs

  said(to: Address, command: QueueOutput): void {
    if (command.type === 'reply') this.#replies.push({ to, ...command });
  }

  /** A dispatch leaves; returns its request. */
  dispatched(command: DispatchCommand): PendingRequest {
    const request = this.#requestOf(command);
    const history = this.#historyOf(request);
    history.attempts++;
    const { maxAttempts } = this.#settings;
    requireThat(history.attempts <= maxAttempts, 'attempts are capped', () => {
      return `request ${request.id} was given to ${history.attempts} workers of ${maxAttempts}`;
    });
    requireThat(this.#now < history.expiresAt, 'nothing expired is dispatched', () => {
      return `request ${request.id} expired at ${history.expiresAt}, dispatched at ${this.#now}`;
    });
    this.#order.taken(request);
    return request;
  }

  told(event: QueueEvent): void {
    if (event.type === 'drained') {
      const { size } = this.#machine().requests.state.open;
      requireThat(size === 0, 'one outcome', () => `${size} requests are left without a word`);
    }
    if (event.type !== 'deadLetter') return;
    const { attempts } = event;
    requireThat(attempts === this.#settings.maxAttempts, 'attempts are capped', () => {
      return `a request is given up after ${attempts} of ${this.#settings.maxAttempts} attempts`;
    });
  }

  /** The request that is being given away: no worker has it yet. */
  #requestOf({ body }: DispatchCommand): PendingRequest {
    for (const request of this.#machine().requests.state.open.values()) {
      if (request.state === 'inFlight' && request.body === body) return request;
    }
    throw new Violation('conservation', `a dispatch of no request at ${this.#now}`);
  }

  #historyOf(request: PendingRequest): History {
    let history = this.#histories.get(request);
    if (history === undefined) {
      history = { attempts: 0, expiresAt: this.#now + this.#settings.requestTtl };
      this.#histories.set(request, history);
    }
    return history;
  }

  // After each step

  end(now: Instant): void {
    const { requests } = this.#machine();
    const { state } = requests;
    const isNew = state.accepted !== this.#accepted;
    if (!isNew && state.open.size === 0 && this.#histories.size === 0) return this.#checkTold();
    this.#checkTaken(state.accepted);
    for (const request of state.open.values()) {
      const { expiresAt } = this.#historyOf(request);
      requireThat(now < expiresAt + ROUNDING, 'nothing outlives its time', () => {
        return `request ${request.id} is ${request.state} at ${now}, and expired at ${expiresAt}`;
      });
      const goneAt = this.#goneAt.get(request.owner.address) ?? Infinity;
      requireThat(now < goneAt + ROUNDING, 'nothing runs for nobody', () => {
        return `request ${request.id} is ${request.state} at ${now}, its client is gone since ${goneAt}`;
      });
    }
    for (const request of this.#histories.keys()) this.#checkEnd(request);
    this.#checkTold();
    for (const client of this.#goneAt.keys()) {
      if (!requests.clients.has(client)) this.#goneAt.delete(client);
    }
    checkConservation(requests, () => this.#workers.held());
    this.#order.end();
  }

  /** What is asked is taken in, or refused with a word. */
  #checkTaken(accepted: number): void {
    const taken = accepted - this.#accepted;
    this.#accepted = accepted;
    requireThat(taken === 0 || (taken === 1 && this.#asked !== undefined), 'conservation', () => {
      return `${taken} requests are accepted in one step`;
    });
    if (taken === 1) this.#asked = undefined;
  }

  /** Who waits is told the end of it, and only a worker that holds a request can reply to it. */
  #checkEnd(request: PendingRequest): void {
    const { id, state, owner, stack } = request;
    if (state === 'queued' || state === 'inFlight') return;
    this.#histories.delete(request);
    const { answered } = this.#workers;
    if (state === 'replied') {
      requireThat(request === answered, 'stale attempts are refused', () => {
        return `request ${id} is answered by a result that is not for it`;
      });
    }
    if (state === 'cancelled') {
      const goneAt = this.#goneAt.get(owner.address) ?? Infinity;
      requireThat(this.#now >= goneAt - ROUNDING, 'a break is graced', () => {
        return `request ${id} is cancelled at ${this.#now}; its client is gone at ${goneAt}`;
      });
      return;
    }
    const index = this.#replies.findIndex(
      (reply) => reply.to === owner.address && reply.stack === stack,
    );
    requireThat(index >= 0, 'one outcome', () => `request ${id} ${state}, and nobody is told`);
    const [reply] = this.#replies.splice(index, 1);
    const said = this.#input?.type === 'result' ? this.#input.body : undefined;
    requireThat(state !== 'replied' || reply?.body === said, 'reply integrity', () => {
      return `request ${id} is answered with something else than its worker said`;
    });
  }

  /** Nobody is told anything else. */
  #checkTold(): void {
    const { from, command } = this.#asked ?? {};
    if (command !== undefined) {
      const index = this.#replies.findIndex((it) => it.to === from && it.stack === command.stack);
      requireThat(
        index >= 0,
        'one outcome',
        () => `a request of ${from} is neither taken nor refused`,
      );
      this.#replies.splice(index, 1);
    }
    const [reply] = this.#replies;
    requireThat(reply === undefined, 'stale attempts are refused', () => {
      return `${reply?.to} is told what it did not ask, or a second time`;
    });
  }
}
