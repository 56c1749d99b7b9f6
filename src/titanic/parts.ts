/** What the parts of a Titanic's machine share: each of them knows one thing. */
import type { Random } from '../core/retry.ts';
import type { Completed } from '../core/options.ts';
import { Answers } from './answers.ts';
import { Attempts } from './attempts.ts';
import type { RequestId } from './commands.ts';
import type { titanicMachineRules } from './options.ts';
import { Requests } from './requests.ts';
import { Retention } from './retention.ts';
import { ServiceLines } from './service-lines.ts';
import { Writes, type TitanicOutbox } from './writes.ts';
import type { Instant } from '../core/machine.ts';

export type TitanicSettings = Completed<typeof titanicMachineRules> & {
  readonly random: Random;
  /** 32 hexadecimal digits that nobody has used before. */
  readonly newId: () => RequestId;
  /** What the wall clock shows more than the monotonic one, in milliseconds. */
  readonly wallClock: number;
};

export class Parts {
  readonly outbox: TitanicOutbox;
  readonly settings: TitanicSettings;
  readonly requests: Requests;
  readonly services: ServiceLines;
  readonly writes: Writes;
  readonly attempts: Attempts;
  readonly answers: Answers;
  readonly retention: Retention;

  constructor(outbox: TitanicOutbox, settings: TitanicSettings) {
    this.outbox = outbox;
    this.settings = settings;
    this.requests = new Requests(settings);
    this.services = new ServiceLines(settings);
    this.writes = new Writes(outbox);
    this.attempts = new Attempts(outbox, settings, this.requests, this.services, this.writes);
    this.answers = new Answers(outbox, settings.waiterLimit);
    this.retention = new Retention(settings, this.writes);
  }

  /** Milliseconds since 1970, whole ones. */
  wall(now: Instant): number {
    return Math.round(now + this.settings.wallClock);
  }
}
