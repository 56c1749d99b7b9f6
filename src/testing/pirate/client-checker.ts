/**
 * What must hold at a Lazy Pirate client: each call ends once, within its time, with the reply that
 * belongs to it; one try at a time is under way, each on a socket that no other try has used.
 */
import { decodeFailure } from '../../core/error-body.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { ClientCall, ClientEvent, ClientPort } from '../../pirate/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../pirate/commands.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat, Violation } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { decodeAnswer, decodeWork, echoedBy, type Work } from '../work.ts';
import type { PlannedOperation } from './plan.ts';
import type { PirateStage } from './stage.ts';
import { ROUNDING } from './workers-checker.ts';

/** Milliseconds of the first rest at most, and of the longest. */
export const BACKOFF = 20;
export const BACKOFF_LIMIT = 200;

/** One call, from the caller's point of view. */
export interface Call {
  readonly work: Work;
  readonly operation: PlannedOperation;
  readonly deadlineAt: Instant;
  sends: number;
  /** How often a queue that closed turned it away: that costs no try. */
  refusals: number;
  /** When it may be tried again. */
  restsUntil: Instant;
  /** Where it was tried. */
  readonly endpoints: Set<string>;
  /** Undefined while there is none. */
  outcome: string | undefined;
}

/** An open socket. */
interface LaneView {
  readonly endpoint: string;
  /** What was last sent on it, and not answered. */
  asked: Call | undefined;
  /** When that try is over. */
  overAt: Instant;
}

export class ClientChecker implements MachineChecker<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent
> {
  readonly calls: Call[] = [];
  readonly #stage: PirateStage;
  readonly #name: string;
  readonly #byWork = new Map<string, Call>();
  readonly #open = new Map<number, Call>();
  readonly #lanes = new Map<ClientPort, LaneView>();
  #now: Instant = 0;
  /** Of the command of this step: the socket, and what it may answer. */
  #answered: Call | undefined;
  #heardOn: ClientPort | undefined;

  constructor(stage: PirateStage, name: string) {
    this.#stage = stage;
    this.#name = name;
  }

  /** Calls without an outcome. */
  get unsettled(): number {
    return this.#open.size;
  }

  issued(now: Instant, id: number, operation: PlannedOperation, work: Work): void {
    const deadlineAt = now + operation.timeout;
    const call: Call = {
      work,
      operation,
      deadlineAt,
      sends: 0,
      refusals: 0,
      restsUntil: -Infinity,
      endpoints: new Set(),
      outcome: undefined,
    };
    this.calls.push(call);
    this.#open.set(id, call);
    this.#byWork.set(work.id, call);
  }

  before(now: Instant, input: Input<ClientPort, ClientInput, ClientCall>): void {
    this.#now = now;
    this.#answered = undefined;
    this.#heardOn = undefined;
    if (input.kind !== 'command') return;
    this.#heardOn = input.port;
    const asked = this.#lanes.get(input.port)?.asked;
    this.#answered = asked;
    const isRefusal = decodeFailure(input.command.body)?.code === 'ERR_SERVER_CLOSING';
    if (asked !== undefined && isRefusal && asked.operation.retries > 0) asked.refusals++;
  }

  after(now: Instant): void {
    for (const { work, deadlineAt } of this.#open.values()) {
      requireThat(now < deadlineAt + ROUNDING, 'deadlines are kept', () => {
        return `${work.id} has no outcome at ${now}, its time was over at ${deadlineAt}`;
      });
    }
    for (const [port, { asked, overAt }] of this.#lanes) {
      requireThat(asked === undefined || now < overAt + ROUNDING, 'deadlines are kept', () => {
        return `${asked?.work.id} is still tried on ${port} at ${now}, its try was over at ${overAt}`;
      });
    }
  }

  // Sockets

  opened(port: ClientPort, endpoint: string): void {
    this.#lanes.set(port, { endpoint, asked: undefined, overAt: Infinity });
  }

  /** A try that is given up is followed by a rest. */
  closed(port: ClientPort): void {
    const call = this.#lanes.get(port)?.asked;
    this.#lanes.delete(port);
    if (call === undefined) return;
    const ceiling = Math.min(BACKOFF_LIMIT, BACKOFF * 2 ** (call.sends - 1));
    call.restsUntil = this.#now + ceiling / 2;
  }

  said(port: ClientPort, _to: Address, command: ClientOutput): void {
    const lane = this.#lanes.get(port);
    requireThat(lane !== undefined, 'lanes are open when used', () => `${this.#name}, ${port}`);
    const work = decodeWork(command.body);
    const call = work === undefined ? undefined : this.#byWork.get(work.id);
    requireThat(call !== undefined, 'requests leave intact', () => `${this.#name}, ${port}`);
    const { id } = call.work;
    requireThat(call.outcome === undefined, 'nothing is sent after the end', () => {
      return `${id} ended with ${call.outcome}, and is sent on ${port}`;
    });
    requireThat(lane.asked === undefined, 'no try on an old socket', () => {
      return `${id} is sent on ${port}, where ${lane.asked?.work.id} may still be answered`;
    });
    for (const [other, { asked }] of this.#lanes) {
      requireThat(asked !== call, 'one try at a time', () => {
        return `${id} is sent on ${port} while its try on ${other} may still be answered`;
      });
    }
    requireThat(this.#now >= call.restsUntil - ROUNDING, 'back-off', () => {
      return `${id} is tried again at ${this.#now}, and should rest until ${call.restsUntil}`;
    });
    const { timeout, attemptTimeout, retries } = call.operation;
    lane.asked = call;
    lane.overAt = this.#now + (attemptTimeout ?? timeout / (retries + 1));
    call.sends++;
    call.endpoints.add(lane.endpoint);
    requireThat(call.sends <= retries + 1 + call.refusals, 'retries are capped', () => {
      return `${id} is sent ${call.sends} times with ${retries} retries`;
    });
  }

  // Events

  told(event: ClientEvent): void {
    switch (event.type) {
      case 'reply':
        return this.#checkReply(event);
      case 'failed': {
        const { work } = this.#end(event.id, event.code);
        const isOwn = event.code !== 'ERR_HANDLER_FAILED' || work.behaviour === 'fail';
        requireThat(isOwn, 'reply integrity', () => {
          return `${work.id}, whose handler does not fail, is told: ${event.message}`;
        });
        return;
      }
      case 'replyRefused': {
        // Whatever else comes on that socket must not be taken for a reply.
        const asked = this.#answered;
        requireThat(asked === undefined, 'reply integrity', () => {
          return `a reply on ${this.#heardOn} is refused, ${asked?.work.id} waits there`;
        });
        return;
      }
      default:
    }
  }

  #checkReply({ id, body }: Extract<ClientEvent, { type: 'reply' }>): void {
    const call = this.#end(id, 'reply');
    const { work, endpoints } = call;
    requireThat(call === this.#answered, 'reply integrity', () => {
      return `${work.id} is answered on ${this.#heardOn}, where it was not asked`;
    });
    const answer = decodeAnswer(body);
    const execution = answer === undefined ? undefined : this.#stage.executions[answer.execution];
    const isOwn =
      answer?.id === work.id &&
      answer.size === echoedBy(work) &&
      execution?.work === work.id &&
      execution.server === answer.server;
    requireThat(isOwn, 'reply integrity', () => {
      return `${work.id} got the reply to ${answer?.id ?? 'nothing'} of ${answer?.server ?? 'nobody'}`;
    });
    if (endpoints.size > 1) this.#stage.count('client.failedOver');
  }

  #end(id: number, outcome: string): Call {
    const call = this.#open.get(id);
    if (call === undefined) {
      throw new Violation('one outcome', `${this.#name}: ${outcome} for ${id}, which has ended`);
    }
    call.outcome = outcome;
    this.#open.delete(id);
    // A reply ends its try: the lane is free for another. Anything else leaves it with a reply to come.
    const lane = this.#heardOn === undefined ? undefined : this.#lanes.get(this.#heardOn);
    if (lane?.asked === call) lane.asked = undefined;
    return call;
  }
}
