/** One call of a simulated Freelance client, as its caller and the checkers see it. */
import type { Instant } from '../../core/machine.ts';
import type { ServerPort } from '../../freelance/servers.ts';
import type { PlannedOperation } from './plan.ts';
import type { Work } from '../work.ts';

/** A copy of a request under way at a server. */
export interface Attempt {
  readonly call: Call;
  readonly port: ServerPort;
  /** Its control frame. */
  readonly control: string;
  readonly sentAt: Instant;
}

/** What a call was sent in one step: one copy, or one to each server. */
export interface Round {
  /** It had none under way before. */
  readonly isStart: boolean;
  /** It had never been sent before: nobody is told. */
  readonly isFirst: boolean;
  /** Why it had none. */
  readonly lostBy: 'serverLost' | 'refused' | undefined;
  /** A server that a try of it was already under way at. */
  readonly isSecondThere: boolean;
  readonly ports: ServerPort[];
  told: number;
}

export class Call {
  readonly work: Work;
  readonly operation: PlannedOperation;
  /** Bytes of its body. */
  readonly bytes: number;
  readonly deadlineAt: Instant;
  /** Under way, the oldest first. */
  attempts: Attempt[] = [];
  /** Every server that it was ever sent to, by endpoint. */
  readonly asked = new Set<string>();
  /** Servers that were full, since a try took too long. */
  readonly refusedBy = new Set<ServerPort>();
  /** How often it was sent again; a round to all servers counts once. */
  repeats = 0;
  isHedged = false;
  /** When a further copy is due, for want of an answer; for comparison with most answers. */
  attemptAt: Instant = Infinity;
  hedgeAt: Instant = Infinity;
  /** Why it has no copy under way. */
  lostBy: Round['lostBy'];
  /** What it was sent last in this step. */
  round: Round | undefined;
  outcome: string | undefined;

  constructor(now: Instant, work: Work, bytes: number, operation: PlannedOperation) {
    this.work = work;
    this.bytes = bytes;
    this.operation = operation;
    this.deadlineAt = now + operation.timeout;
  }

  /** Milliseconds that one try gets. */
  get tryTime(): number {
    const { attemptTimeout, timeout, retries } = this.operation;
    return attemptTimeout ?? Math.max(10, timeout / (retries + 1));
  }

  get mayRepeat(): boolean {
    return this.repeats < this.operation.retries;
  }

  /** True if it was sent, now or earlier. */
  get wasSent(): boolean {
    return this.asked.size > 0;
  }

  /** True if a copy of it is under way there. */
  isAt(port: ServerPort): boolean {
    return this.attempts.some((attempt) => attempt.port === port);
  }

  /** Forgets what is under way at a server whose socket is closed; false if nothing was. */
  forgetAt(port: ServerPort): boolean {
    if (!this.isAt(port)) return false;
    this.attempts = this.attempts.filter((attempt) => attempt.port !== port);
    return true;
  }

  forget(attempt: Attempt): void {
    this.attempts = this.attempts.filter((other) => other !== attempt);
  }
}
