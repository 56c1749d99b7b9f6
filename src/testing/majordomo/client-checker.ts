/**
 * What must hold at a Majordomo client: each call ends once, within its time, with the reply that
 * belongs to it; at most one try at a time is under way, and nothing is sent after the end.
 */
import type { Instant } from '../../core/machine.ts';
import type { ClientEvent, ClientPort, RequestId } from '../../majordomo/client-machine.ts';
import type { RequestCommand } from '../../majordomo/commands.ts';
import type { PlannedOperation } from './plan.ts';
import { requireThat, Violation } from '../violation.ts';
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
  /** Undefined while there is none. */
  outcome: string | undefined;
}

export class ClientChecker {
  readonly calls = new Map<RequestId, Call>();
  readonly #mayMissParts: boolean;
  readonly #byWork = new Map<string, Call>();
  /** The lanes whose socket is open, and the work it was last used for. */
  readonly #lanes = new Map<ClientPort, string | undefined>();

  /**
   * @param mayMissParts stock MDP numbers no partials: where a live link silently loses messages, a
   * reply in parts can arrive with a hole. Whole replies never do.
   */
  constructor(mayMissParts: boolean) {
    this.#mayMissParts = mayMissParts;
  }

  issued(now: Instant, id: RequestId, operation: PlannedOperation, work: Work): void {
    const call = { work, operation, issuedAt: now, sends: 0, parts: 0, outcome: undefined };
    this.calls.set(id, call);
    this.#byWork.set(work.id, call);
  }

  opened(port: ClientPort): void {
    this.#lanes.set(port, undefined);
  }

  closed(port: ClientPort): void {
    this.#lanes.delete(port);
  }

  sent(port: ClientPort, command: RequestCommand): void {
    const work = decodeWork(command.body);
    const call = work === undefined ? undefined : this.#byWork.get(work.id);
    requireThat(work !== undefined && call !== undefined, 'requests leave intact', () => port);
    requireThat(call.outcome === undefined, 'nothing is sent after the end', () => {
      return `${work.id} ended with ${call.outcome}, and is sent on ${port}`;
    });
    requireThat(this.#lanes.has(port), 'lanes are open when used', () => port);
    for (const [lane, earlier] of this.#lanes) {
      requireThat(earlier !== work.id, 'one try at a time', () => {
        return `${work.id} is sent on ${port} while its try on ${lane} may still be answered`;
      });
    }
    this.#lanes.set(port, work.id);
    call.sends++;
    requireThat(call.sends <= call.operation.retries + 1, 'retries are capped', () => {
      return `${work.id} is sent ${call.sends} times with ${call.operation.retries} retries`;
    });
    requireThat(
      call.parts === 0 || !call.operation.streaming,
      'no repetition after a partial',
      () => {
        return `${work.id} is sent again after a part of its reply was told`;
      },
    );
  }

  /** A reply ends its try: the lane is free for another request. */
  event(event: ClientEvent): void {
    if (event.type === 'partial') this.#checkPart(event.id, textOf(event.body));
    else if (event.type === 'reply') this.#checkReply(event.id, textOf(event.body));
    else if (event.type === 'failed') {
      const call = this.#end(event.id, event.code);
      const { behaviour } = call.work;
      requireThat(
        event.code !== 'ERR_HANDLER_FAILED' || fails(behaviour),
        'reply integrity',
        () => {
          return `${call.work.id}, whose handler does not fail, is told: ${event.message}`;
        },
      );
    }
  }

  get unsettled(): number {
    let count = 0;
    for (const call of this.calls.values()) if (call.outcome === undefined) count++;
    return count;
  }

  #checkPart(id: RequestId, text: string): void {
    const call = this.#callOf(id);
    requireThat(call.outcome === undefined, 'one outcome', () => `a part after ${call.outcome}`);
    const { work } = call;
    const rest = Array.from({ length: PARTS - call.parts }, (_, index) => call.parts + index);
    const next = rest.find((index) => text === textOf(partOf(work, index)));
    const isInOrder = next === call.parts || (next !== undefined && this.#mayMissParts);
    requireThat(
      isInOrder,
      'partials in order',
      () => `'${text.slice(0, 80)}' as part ${call.parts} of ${work.id}`,
    );
    call.parts = next + 1;
  }

  #checkReply(id: RequestId, text: string): void {
    const call = this.#end(id, 'reply');
    const whole = textOf(wholeReplyTo(call.work));
    const final = `reply to ${call.work.id}`;
    const isWhole = text === whole && call.parts === 0;
    const isEnd = text === final && call.parts === partsOf(call.work.behaviour);
    const isPart = this.#mayMissParts && isSubsequence(text.split('|'), whole.split('|'));
    requireThat(isWhole || isEnd || isPart, 'reply integrity', () => {
      return `${call.work.id} got '${text.slice(0, 200)}' after ${call.parts} parts`;
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
