/**
 * What must hold of a client's express session: each number is used once, each answer goes to the
 * request that asked, and the broker is told the truth about what is waited for.
 */
import type { Instant } from '../../core/machine.ts';
import type { ClientLossReason } from '../../majordomo/client/client-machine.ts';
import type {
  ClientInput,
  ClientOutput,
  ReplyCommand,
  RequestCommand,
  RequestNumber,
  SessionId,
} from '../../majordomo/wire/commands.ts';
import { requireThat } from '../violation.ts';
import type { Call } from './client-checker.ts';
import { Announcements, listed, lostBy, Patience } from './peer-view.ts';

interface UnderWay {
  readonly call: Call;
  /** Heartbeats that had been sent before. */
  readonly sentAfter: number;
}

/** Time left is told in whole milliseconds. */
const WHOLE = 1.001;

export class LinkChecker {
  readonly #name: string;
  readonly #count: (what: string) => void;
  readonly #underWay = new Map<RequestNumber, UnderWay>();
  readonly #announcements = new Announcements();
  readonly #patience = new Patience();
  #session = '';
  #isWelcome = false;
  #lastNumber = 0;
  #beats = 0;
  /** What the command of this step answers. */
  #answered: Call | undefined;
  #isReply = false;

  /** @param count is told of what must have happened now and then */
  constructor(name: string, count: (what: string) => void) {
    this.#name = name;
    this.#count = count;
  }

  /** Of the session; empty without one. */
  get session(): SessionId {
    return this.#session;
  }

  /** What is under way. */
  numbers(): Iterable<RequestNumber> {
    return this.#underWay.keys();
  }

  begin(): void {
    this.#answered = undefined;
    this.#isReply = false;
  }

  /** The link broke; the session may go on. */
  broken(): void {
    this.#isWelcome = false;
    this.#patience.forget();
  }

  note(now: Instant, command: ClientInput): void {
    // Before WELCOME nothing is promised.
    if (command.type === 'welcome') this.#isWelcome = true;
    if (this.#isWelcome) this.#patience.heard(now, command);
    if (command.type === 'reply') this.#noteReply(command);
    else if (command.type === 'heartbeat') {
      const underWay = [...this.#underWay].map(
        ([number, { sentAfter }]) => [number, sentAfter] as const,
      );
      const lost = lostBy(command, this.#beats, underWay);
      for (const number of lost) this.#underWay.delete(number);
      if (lost.length > 0) this.#count('client.lossFound');
    } else if (command.type === 'welcome') {
      if (command.resumed) this.#count('client.resumed');
      else this.#forget();
    }
  }

  #noteReply({ number = 0, final, failure }: ReplyCommand): void {
    this.#isReply = true;
    this.#answered = this.#underWay.get(number)?.call;
    if (!final || this.#answered === undefined) return;
    this.#underWay.delete(number);
    // A broker that closes has not taken it: that was no try.
    if (failure?.code === 'ERR_BROKER_CLOSING') this.#answered.sends--;
  }

  /** The session is over, or the broker knows nothing of it. */
  #forget(): void {
    this.#underWay.clear();
    this.#beats = 0;
  }

  /** The session ended, perhaps as nothing was heard. */
  lost(now: Instant, reason: ClientLossReason): void {
    if (reason === 'silent') this.#patience.check(now, this.#name);
    this.#forget();
    this.#session = '';
    this.#isWelcome = false;
  }

  /** True if a try of this call is under way. */
  has(call: Call): boolean {
    for (const under of this.#underWay.values()) if (under.call === call) return true;
    return false;
  }

  said(command: ClientOutput): void {
    this.#announcements.sent('', command);
    if (command.type === 'announce') this.#count('client.large');
    if (command.type === 'hello' && command.session !== this.#session) {
      this.#forget();
      this.#session = command.session;
      this.#lastNumber = 0;
    } else if (command.type === 'cancel') this.#underWay.delete(command.number);
    else if (command.type === 'heartbeat') {
      this.#beats = command.beat ?? 0;
      const held = command.held ?? [];
      const isTrue =
        held.length === this.#underWay.size && held.every((it) => this.#underWay.has(it));
      requireThat(isTrue, 'heartbeats tell the truth', () => {
        return `${this.#name} says that it waits for ${listed(held)}, and does for ${listed(this.#underWay.keys())}`;
      });
    }
  }

  requested(now: Instant, call: Call, { number = 0, timeLeft = Infinity }: RequestCommand): void {
    requireThat(number > this.#lastNumber, 'correlation', () => {
      return `${this.#name} uses number ${number} after ${this.#lastNumber}`;
    });
    this.#lastNumber = number;
    this.#underWay.set(number, { call, sentAfter: this.#beats });
    const { timeout, broadcast } = call.operation;
    const left = call.issuedAt + timeout - now;
    // Of a broadcast the answers must be back in time, those of the slowest workers too.
    const least = broadcast ? left / 2 : left - WHOLE;
    requireThat(timeLeft >= least && timeLeft <= left + WHOLE, 'deadlines travel', () => {
      return `${call.work.id} has ${left} ms left, and the broker is told ${timeLeft}`;
    });
  }

  /** An answer is told: to the one whom it was for. */
  checkAnswer(call: Call): void {
    requireThat(!this.#isReply || this.#answered === call, 'correlation', () => {
      return `${call.work.id} is told what answers ${this.#answered?.work.id}`;
    });
  }

  end(): void {
    for (const [number, { call }] of this.#underWay) {
      requireThat(call.outcome === undefined, 'cancels reach the worker', () => {
        return `${call.work.id} ended with ${call.outcome}, and the broker works on ${number}`;
      });
    }
  }
}
