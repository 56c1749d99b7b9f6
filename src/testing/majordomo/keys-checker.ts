/**
 * What must hold at a broker about idempotency keys: while a request under a key is queued, running or
 * remembered, none is begun under the same one, and what is remembered is bounded.
 */
import { byteLength } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { requireThat } from '../violation.ts';
import type { OpenDispatch, Returned } from './worker-view.ts';

/** What a kept reply may cost beside its body, at most. */
const OVERHEAD = 256 + 6 * 200;

interface Answer {
  readonly at: Instant;
  readonly bytes: number;
}

export class KeysChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #answers = new Map<string, Answer>();

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  /** A dispatch leaves; `open` are those before it. */
  dispatched(now: Instant, request: PendingRequest, open: Iterable<OpenDispatch>): void {
    const name = nameOf(request);
    if (name === undefined) return;
    for (const { request: other } of open) {
      const isRunning = nameOf(other) === name && other.state === 'inFlight';
      requireThat(!isRunning || other === request, 'a key executes once', () => {
        return `request ${request.id} is begun while ${other.id} runs under ${name}`;
      });
    }
    const answer = this.#answers.get(name);
    const isKept = answer !== undefined && now < answer.at + this.#settings.idempotencyTtl;
    requireThat(!isKept || this.#mayBeForgotten(), 'a key executes once', () => {
      return `request ${request.id} is begun at ${now}; ${name} was answered at ${answer?.at}`;
    });
  }

  noteReturned(now: Instant, { dispatch, how, bytes, failure }: Returned): void {
    const { request } = dispatch;
    const name = nameOf(request);
    if (name === undefined || how !== 'answered' || request.state !== 'replied') return;
    // That it was cancelled, or too late, says nothing about what was asked.
    if (failure !== undefined && failure.code !== 'ERR_HANDLER_FAILED') return;
    this.#answers.delete(name);
    this.#answers.set(name, { at: now, bytes: bytes + OVERHEAD });
  }

  /** The broker serves no more: what it promised is for the next one to keep. */
  forget(): void {
    this.#answers.clear();
  }

  /** True if all answers together are more than the broker has to remember. */
  #mayBeForgotten(): boolean {
    let bytes = 0;
    for (const answer of this.#answers.values()) bytes += answer.bytes;
    return bytes > this.#settings.idempotencyBytes;
  }

  /** After each step. */
  end(): void {
    const { replies, bytes, open } = this.#machine().keys.state;
    let kept = 0;
    for (const reply of replies.values()) {
      kept += reply.bytes;
      const { code = '' } = reply.failure ?? {};
      requireThat(code === '' || code === 'ERR_HANDLER_FAILED', 'kept replies are answers', () => {
        return `${code} is kept`;
      });
      requireThat(reply.bytes >= byteLength(reply.body), 'kept replies are bounded', () => {
        return `a reply of ${byteLength(reply.body)} bytes counts as ${reply.bytes}`;
      });
    }
    const { idempotencyBytes } = this.#settings;
    requireThat(bytes === kept && kept <= idempotencyBytes, 'kept replies are bounded', () => {
      return `${replies.size} replies of ${kept} bytes (counted ${bytes}) are kept; ${idempotencyBytes} are allowed`;
    });
    for (const request of open.values()) {
      const isOpen = request.state === 'queued' || request.state === 'inFlight';
      requireThat(isOpen, 'a key executes once', () => {
        return `${nameOf(request)} stands for a request that is ${request.state}`;
      });
    }
  }
}

function nameOf({ service, key }: PendingRequest): string | undefined {
  return key === undefined ? undefined : `${service} ${key}`;
}
