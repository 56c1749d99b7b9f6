/** What all of one Titanic run share, besides the world: the disk, the channel, and the truth about both. */
import type { Frames } from '../../core/machine.ts';
import { SimDisk, type DiskEvent, type SimDiskSettings } from '../sim-disk.ts';
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import { encodeWork } from '../work.ts';
import { Channel } from './channel.ts';
import { SERVICES, type PlannedRequest, type TitanicPlan } from './plan.ts';
import { Truth } from './truth.ts';

/** What clocks on the wall show at the beginning, in milliseconds since 1970. */
const WALL = 1_700_000_000_000;

/** After these the Titanic may refuse what it is asked. */
const FAILURES: ReadonlySet<DiskEvent> = new Set<DiskEvent>([
  'fullRefusal',
  'ioError',
  'failedFsync',
  'failedReopen',
]);

/** Bytes that the ballast has. */
const BALLAST = 6000;

/** Bytes of one body, of a request or a reply. */
export const BODY_LIMIT = 3000;

/** Ballast of a reply that is too large. */
export const HUGE = 4000;

export class TitanicStage extends Stage {
  readonly plan: TitanicPlan;
  readonly disk: SimDisk;
  readonly channel: Channel;
  readonly truth: Truth;
  /** Something is wrong with the way to the broker. */
  isCut = false;
  isBrokerUp: () => boolean = () => true;
  /** The way to the broker is another. */
  onLink: () => void = () => undefined;
  /** How far the clock on the wall was set wrong. */
  wallError = 0;
  /** How many commits have reached the disk. */
  commits = 0;
  /** How many messages have left the Titanic. */
  effects = 0;
  #executions = 0;
  #ids = 0;

  /** @param disk what is to be otherwise about the disk */
  constructor(plan: TitanicPlan, transcript?: Transcript, disk: Partial<SimDiskSettings> = {}) {
    super({ seed: plan.seed, lateTimers: plan.settings.lateTimers, network: {} }, transcript);
    this.plan = plan;
    const { world } = this;
    this.disk = new SimDisk(world, {
      commitTime: plan.settings.commitTime,
      ballast: BALLAST,
      onEvent: (event) => {
        this.count(`disk.${event}`);
        if (FAILURES.has(event)) this.truth.hasFailed = true;
      },
      onDurable: (operations) => {
        this.commits++;
        this.truth.durable(world.now, operations);
      },
      ...disk,
    });
    this.channel = new Channel(world, plan.settings, () => !this.isLinkUp);
    this.truth = new Truth(this.disk);
  }

  get isLinkUp(): boolean {
    return !this.isCut && this.isBrokerUp();
  }

  /** Milliseconds since 1970, as this machine believes. */
  get wallClock(): number {
    return WALL + this.world.now + this.wallError;
  }

  /** A handler begins; returns the number of this execution, of the whole run. */
  execute(): number {
    return this.#executions++;
  }

  /** An id that nobody has chosen. */
  newId(): string {
    return idOf(0x10000 + this.#ids++);
  }
}

/** The id of a planned request. */
export function idOf(number: number): string {
  return `${number.toString(16).padStart(8, '0')}${'0123456789abcdef'.repeat(2).slice(8)}`;
}

/** The body of a planned request. */
export function bodyOf(request: PlannedRequest, number: number, isOther = false): Frames {
  const { behaviour, work, size } = request;
  const id = `${isOther ? 'other' : 'request'}-${number}`;
  return encodeWork({ id, behaviour, duration: work, size });
}

export function serviceOf({ service }: PlannedRequest): string {
  return SERVICES[service % SERVICES.length]!;
}
