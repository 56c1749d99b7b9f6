/** A broker that is one of several, driven by hand: who decides is played, and so is the other broker. */
import type { Epoch, Guard } from '../../src/core/election.ts';
import type { Address, Instant } from '../../src/core/machine.ts';
import type { BrokerSettings } from '../../src/majordomo/broker/broker-machine.ts';
import type { BrokerEvent, FailoverStatus } from '../../src/majordomo/broker/broker-events.ts';
import type {
  FinishedCommand,
  ReadyCommand,
  RecordCommand,
  ReplicaRecord,
} from '../../src/majordomo/wire/commands.ts';
import { ExpressBroker } from './express-stories.ts';
import { body } from './stories.ts';

/** Events that a broker without failover never tells. */
export const ONLY_IN_A_PAIR: readonly BrokerEvent['type'][] = [
  'becameActive',
  'becamePassive',
  'takeoverComplete',
  'requestParked',
  'followerSynchronised',
  'followerLost',
  'synchronised',
  'holds',
  'alone',
];

/** Who decides, as the story says. */
export class PlayedGuard implements Guard {
  epoch: Epoch = 0;
  until: Instant = Infinity;
  highestEpoch: Epoch = 0;
  activeEndpoint = '';
  votes = 0;

  epochAt(now: Instant): Epoch {
    return now < this.until ? this.epoch : 0;
  }

  seen(_now: Instant, epoch: Epoch): void {
    if (epoch > this.epoch) this.epoch = 0;
    this.highestEpoch = Math.max(this.highestEpoch, epoch);
  }

  asked(): void {
    this.votes++;
  }
}

const express = 'express';

export class PairBroker extends ExpressBroker {
  readonly guard: PlayedGuard;

  constructor(settings: Partial<BrokerSettings> = {}, guard = new PlayedGuard()) {
    super({ ...settings, guard });
    this.guard = guard;
  }

  /** It is decided that it serves, and that nobody else may, unless `isAlone` says otherwise. */
  rise(epoch: Epoch, isAlone = true): void {
    this.guard.epoch = epoch;
    this.guard.highestEpoch = Math.max(this.guard.highestEpoch, epoch);
    this.guard.activeEndpoint = '';
    this.call({ type: 'activate', epoch });
    if (isAlone) this.call({ type: 'servesAlone', epoch });
  }

  /** It is decided that another serves, who is there. */
  fall(highest: Epoch, endpoint = ''): void {
    const { epoch } = this.guard;
    this.guard.epoch = 0;
    this.guard.highestEpoch = highest;
    this.guard.activeEndpoint = endpoint;
    this.call({ type: 'standBy', epoch });
  }

  /** A worker that knows pairs begins or goes on with a session. */
  serveIn(worker: Address, credit = 1, more: Partial<ReadyCommand> = {}): void {
    this.serve(worker, credit, { worker: `id of ${worker}`, ...more });
  }

  report(
    worker: Address,
    running: readonly string[] = [],
    epoch = this.guard.epoch,
    finished: readonly string[] = [],
  ): void {
    this.hear(worker, { type: 'report', dialect: express, epoch, running, finished });
  }

  finished(worker: Address, key: string, text: string, more: Partial<FinishedCommand> = {}): void {
    this.hear(worker, { type: 'finished', dialect: express, key, body: body(text), ...more });
  }

  // As the active one: the passive one

  follow(from: Address = 'follower', session: string = from): void {
    const { epoch } = this.guard;
    this.hear(from, { type: 'follow', dialect: express, session, epoch });
  }

  /** It has all up to this number, or all that it was told. */
  record(number = this.told, from: Address = 'follower', session: string = from): void {
    this.hear(from, { type: 'recorded', dialect: express, session, number });
  }

  /** The number of the last record that was told. */
  get told(): number {
    const last = this.sent.findLast(({ command }) => command.type === 'record')?.command;
    return (last as RecordCommand | undefined)?.number ?? 0;
  }

  /** It follows and has all: from now on nothing is told before it has it. */
  synchronise(): void {
    this.follow();
    this.record();
  }

  // As the passive one: the active one

  /** The session of its last attempt to follow. */
  get session(): string {
    const last = this.sent.findLast(({ command }) => command.type === 'follow')?.command;
    return last?.type === 'follow' ? last.session : '';
  }

  /** The active one tells this as its record of that number. */
  tell(number: number, record: ReplicaRecord, session = this.session): void {
    const command = { type: 'record', dialect: express, session, number, record } as const;
    this.machine.handleCommand(this.now, 'active', '', command);
  }

  get failover(): FailoverStatus {
    const { failover } = this.machine.status();
    if (failover === undefined) throw new Error('this broker is the only one');
    return failover;
  }

  /** `becameActive 1`, `holds 3`, … since it was last asked. */
  stood(): string[] {
    return this.events.splice(0).flatMap((event) => {
      switch (event.type) {
        case 'becameActive':
        case 'becamePassive':
        case 'followerSynchronised':
        case 'holds':
          return [`${event.type} ${event.epoch}`];
        case 'synchronised':
          return [`${event.type} ${event.epoch}: ${event.replies} ${event.workers}`];
        case 'alone':
          return [`alone ${event.alone}`];
        case 'followerLost':
          return [`followerLost ${event.reason}`];
        case 'takeoverComplete':
          return [`complete ${event.waited}: ${event.workers} ${event.adopted}`];
        default:
          return [];
      }
    });
  }
}

export const reply = (key: string, text: string, ttl = 1000): ReplicaRecord => ({
  kind: 'reply',
  service: 'echo',
  key,
  ttl,
  body: body(text),
});

export const roster = (worker: Address): ReplicaRecord => ({
  kind: 'worker',
  service: 'echo',
  worker: `id of ${worker}`,
});
