/**
 * What must hold at a Majordomo client: each call ends once, within its time, with the reply that
 * belongs to it; at most one try at a time is under way, and nothing is sent after the end.
 */
import { decodeFailure } from '../../core/error-body.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type {
  ClientCall,
  ClientEvent,
  ClientPort,
  RequestId,
} from '../../majordomo/client/client-machine.ts';
import type { ClientInput, ClientOutput, RequestCommand } from '../../majordomo/wire/commands.ts';
import { EXPRESS_QUERY } from '../../majordomo/wire/mmi.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat, Violation } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { LinkChecker } from './link-checker.ts';
import type { PlannedOperation } from './plan.ts';
import {
  decodeWork,
  fails,
  partOf,
  PARTS,
  partsOf,
  textOf,
  wholeReplyTo,
  type Work,
} from './work.ts';

/** One call, from the caller's point of view. */
export interface Call {
  readonly work: Work;
  readonly operation: PlannedOperation;
  readonly issuedAt: Instant;
  sends: number;
  parts: number;
  /** Bytes of parts that its reader has not taken. */
  unread: number;
  largestPart: number;
  /** Undefined while there is none. */
  outcome: string | undefined;
}

/** What a checker knows of the run that it is part of. */
export interface ClientSurroundings {
  /**
   * Stock MDP numbers no partials: where a live link silently loses messages, a reply in parts can
   * arrive with a hole. Whole replies never do.
   */
  readonly mayMissParts: boolean;
  /** Bytes of parts that may be under way to a stream; `Infinity` if nobody keeps to it. */
  readonly streamWindow: number;
  /** How often some worker came back to a broken link: credit may be lost with it, and is given anew. */
  readonly reattachments: number;
  /** Takes down that something happened. */
  count(what: string): void;
}

export class ClientChecker implements MachineChecker<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent
> {
  readonly calls = new Map<RequestId, Call>();
  readonly #surroundings: ClientSurroundings;
  readonly #byWork = new Map<string, Call>();
  /** Its express session. */
  readonly link: LinkChecker;
  /** What the machine takes for the present: after a pause its process may know better. */
  #now: Instant = 0;
  /** The lanes whose socket is open, and the work it was last used for. */
  readonly #lanes = new Map<ClientPort, string | undefined>();

  constructor(name: string, surroundings: ClientSurroundings) {
    this.#surroundings = surroundings;
    this.link = new LinkChecker(name, (what) => surroundings.count(what));
  }

  issued(now: Instant, id: RequestId, operation: PlannedOperation, work: Work): void {
    const call: Call = {
      work,
      operation,
      issuedAt: now,
      sends: 0,
      parts: 0,
      unread: 0,
      largestPart: 0,
      outcome: undefined,
    };
    this.calls.set(id, call);
    this.#byWork.set(work.id, call);
  }

  get unsettled(): number {
    let count = 0;
    for (const call of this.calls.values()) if (call.outcome === undefined) count++;
    return count;
  }

  before(now: Instant, input: Input<ClientPort, ClientInput, ClientCall>): void {
    this.#now = now;
    this.link.begin();
    if (input.kind === 'peerGone' && input.port === 'express') this.link.broken();
    if (input.kind === 'command' && input.port === 'express') this.link.note(now, input.command);
    if (input.kind === 'command' && input.port !== 'express') {
      this.#noteStock(input.port, input.command);
    }
    if (input.kind === 'call' && input.call.type === 'taken') {
      const call = this.calls.get(input.call.id);
      if (call !== undefined) call.unread -= input.call.bytes;
    }
  }

  /** A passive broker has not taken it: that was no try. */
  #noteStock(port: ClientPort, command: ClientInput): void {
    const work = this.#lanes.get(port);
    if (work === undefined || command.type !== 'reply') return;
    const call = this.#byWork.get(work);
    const isNotActive = decodeFailure(command.body)?.code === 'ERR_NOT_ACTIVE';
    if (isNotActive && call !== undefined) call.sends--;
  }

  after(): void {
    this.link.end();
  }

  // Sockets

  opened(port: ClientPort): void {
    if (port.startsWith('lane-')) this.#lanes.set(port, undefined);
  }

  closed(port: ClientPort): void {
    this.#lanes.delete(port);
  }

  said(port: ClientPort, _to: Address, command: ClientOutput, accepted: boolean): void {
    if (port === 'express') {
      // Of what is refused only the wish to cancel counts: the next heartbeat tells it.
      if (accepted || command.type === 'cancel' || command.type === 'heartbeat') {
        this.link.said(command);
      }
      if (!accepted) return;
    }
    if (command.type !== 'request' || command.service === EXPRESS_QUERY) return;
    this.#requested(port, command);
  }

  #requested(port: ClientPort, command: RequestCommand): void {
    const work = decodeWork(command.body);
    const call = work === undefined ? undefined : this.#byWork.get(work.id);
    requireThat(work !== undefined && call !== undefined, 'requests leave intact', () => port);
    requireThat(call.outcome === undefined, 'nothing is sent after the end', () => {
      return `${work.id} ended with ${call.outcome}, and is sent on ${port}`;
    });
    for (const [lane, earlier] of this.#lanes) {
      requireThat(earlier !== work.id, 'one try at a time', () => {
        return `${work.id} is sent on ${port} while its try on ${lane} may still be answered`;
      });
    }
    requireThat(!this.link.has(call), 'one try at a time', () => {
      return `${work.id} is sent on ${port} while the broker works on it`;
    });
    if (port === 'express') this.link.requested(this.#now, call, command);
    else {
      requireThat(this.#lanes.has(port), 'lanes are open when used', () => port);
      this.#lanes.set(port, work.id);
    }
    call.sends++;
    requireThat(call.sends <= call.operation.retries + 1, 'retries are capped', () => {
      return `${work.id} is sent ${call.sends} times with ${call.operation.retries} retries`;
    });
    const mayRepeat = call.parts === 0 || !call.operation.streaming;
    requireThat(mayRepeat, 'no repetition after a partial', () => {
      return `${work.id} is sent again after a part of its reply was told`;
    });
  }

  // Events

  /** A reply ends its try: the lane is free for another request. */
  told(event: ClientEvent): void {
    switch (event.type) {
      case 'partial':
        this.link.checkAnswer(this.#callOf(event.id));
        return this.#checkPart(event);
      case 'reply':
        this.link.checkAnswer(this.#callOf(event.id));
        return this.#checkReply(event.id, textOf(this.answerOf(event)));
      case 'failed': {
        const { work } = this.#end(event.id, event.code);
        const isOwn = event.code !== 'ERR_HANDLER_FAILED' || fails(work.behaviour);
        requireThat(isOwn, 'reply integrity', () => {
          return `${work.id}, whose handler does not fail, is told: ${event.message}`;
        });
        return;
      }
      case 'brokerLost':
        return this.link.lost(this.#now, event.reason);
      default:
    }
  }

  /** What the handler of the work says, of all that is in a reply. */
  protected answerOf({ body }: Extract<ClientEvent, { type: 'reply' }>): Frames {
    return body;
  }

  #checkPart({ id, body, failure }: Extract<ClientEvent, { type: 'partial' }>): void {
    const call = this.#callOf(id);
    requireThat(call.outcome === undefined, 'one outcome', () => `a part after ${call.outcome}`);
    const { work, operation } = call;
    const text = textOf(body);
    if (operation.broadcast) {
      const isWhole = failure !== undefined || text === textOf(wholeReplyTo(work));
      requireThat(isWhole, 'reply integrity', () => `${work.id} got '${text.slice(0, 80)}'`);
      this.#surroundings.count('client.broadcast');
      call.parts++;
      return;
    }
    const rest = Array.from({ length: PARTS - call.parts }, (_, index) => call.parts + index);
    const next = rest.find((index) => text === textOf(partOf(work, index)));
    const { mayMissParts } = this.#surroundings;
    const isInOrder = next === call.parts || (next !== undefined && mayMissParts);
    requireThat(isInOrder, 'partials in order', () => {
      return `'${text.slice(0, 80)}' as part ${call.parts} of ${work.id}`;
    });
    call.parts = next + 1;
    this.#checkWindow(call, sizeOf(body));
  }

  /** No more has come than the reader allowed. */
  #checkWindow(call: Call, bytes: number): void {
    call.unread += bytes;
    call.largestPart = Math.max(call.largestPart, bytes);
    const { streamWindow, reattachments } = this.#surroundings;
    if (!this.link.has(call)) return;
    const room = (streamWindow + call.largestPart) * (1 + reattachments);
    requireThat(call.unread <= room, 'windows are respected', () => {
      return `${call.unread} bytes of ${call.work.id} are unread; its window is ${streamWindow}`;
    });
  }

  #checkReply(id: RequestId, text: string): void {
    const { mayMissParts } = this.#surroundings;
    const call = this.#end(id, 'reply');
    const { work, operation } = call;
    const whole = textOf(wholeReplyTo(work));
    const end = whole.split('|').slice(partsOf(work.behaviour)).join('|');
    const isWhole = text === whole && call.parts === 0;
    const isEnd = text === end && call.parts === partsOf(work.behaviour);
    const isPart = mayMissParts && isSubsequence(text.split('|'), whole.split('|'));
    const isRound = operation.broadcast && text === '';
    requireThat(isWhole || isEnd || isPart || isRound, 'reply integrity', () => {
      return `${work.id} got '${text.slice(0, 200)}' after ${call.parts} parts`;
    });
  }

  #end(id: RequestId, outcome: string): Call {
    const call = this.#callOf(id);
    requireThat(call.outcome === undefined, 'one outcome', () => {
      return `${call.work.id} ended with ${call.outcome}, and again with ${outcome}`;
    });
    call.outcome = outcome;
    for (const [lane, work] of this.#lanes) {
      if (work === call.work.id) this.#lanes.set(lane, undefined);
    }
    return call;
  }

  #callOf(id: RequestId): Call {
    const call = this.calls.get(id);
    if (call === undefined) throw new Violation('one outcome', `nobody asked for request ${id}`);
    return call;
  }
}

/** True if `some` are among `all`, in their order, up to the very last. */
function isSubsequence(some: readonly string[], all: readonly string[]): boolean {
  let at = 0;
  for (const item of some) {
    at = all.indexOf(item, at) + 1;
    if (at === 0) return false;
  }
  return at === all.length;
}
