/**
 * What must hold at a server: what it shows is what its updates make of it, it makes them only while it may,
 * keys die in their time and not before, and nobody is sent more than it has room for.
 */
import type { Epoch } from '../../core/election.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import {
  weightOf,
  type FollowerInput,
  type FollowerOutput,
  type Origin,
  type Position,
  type ServerInput,
  type ServerOutput,
  type StreamCommand,
  type WriteKind,
} from '../../clone/commands.ts';
import type { CloneServerEvent, ServerCall, ServerPort } from '../../clone/server-events.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { Flows } from './flows.ts';
import type { Server } from './plan.ts';
import type { CloneStage } from './stage.ts';
import { differenceOf, isIn, TrueReign, type Item, type Made, type ShownUpdate } from './truth.ts';

export type ServerMessage = ServerInput | FollowerInput;
export type ServerSaying = ServerOutput | FollowerOutput;
type Step = Input<ServerPort, ServerMessage, ServerCall>;

/** By how much two clocks of a plan may differ, and a little more. */
const CLOCK_ERROR = 0.06;

/** Milliseconds that a key may outlive its time: late timers. And by which it may die before: rounding. */
const TARDY = 60;
const EARLY = 3;

/** Of so many that may be under way it is not reached. */
const ROOMY = 100;

/** Milliseconds between two looks for those who have outlived their time. */
const GLANCE = 10;

/** An update, as a machine keeps it. */
export interface KeptUpdate {
  readonly sequence: number;
  readonly kind: WriteKind;
  readonly key: string;
  readonly ttl: number | undefined;
  readonly origin: Origin | undefined;
  readonly isExpiry: boolean;
  readonly value: Frames;
}

/** What a server's machine shows. */
export interface ServerShown {
  readonly position: Position;
  readonly size: number;
  entries(): Iterable<readonly [key: string, item: Item]>;
  /** Up to here it is public. */
  readonly published: number;
  /** Up to here it is made. */
  readonly accepted: number;
  update(sequence: number): KeptUpdate | undefined;
  /** What a key has. */
  item(key: string): (Item & { readonly ttl: number | undefined }) | undefined;
}

export class ServerChecker implements MachineChecker<
  ServerPort,
  ServerMessage,
  ServerSaying,
  ServerCall,
  CloneServerEvent
> {
  readonly #stage: CloneStage;
  readonly #name: Server;
  readonly #shown: () => ServerShown;
  readonly #flows: Flows;
  /** While it serves. */
  reign: TrueReign | undefined;
  #servesSince: Instant = 0;
  /** When it is looked again for who has outlived its time. */
  #lookAt: Instant = 0;
  /** No more could be made then. */
  #fullUntil: Instant = -Infinity;
  #isEnding = false;
  #from: Address = '';
  /** Before the present step. */
  #position: Position = { epoch: 0, sequence: 0 };
  #size = 0;

  constructor(stage: CloneStage, name: Server, shown: () => ServerShown) {
    this.#stage = stage;
    this.#name = name;
    this.#shown = shown;
    this.#flows = new Flows(stage.plan.settings.heartbeatLiveness);
  }

  get epoch(): Epoch {
    return this.reign?.epoch ?? 0;
  }

  /** Whose message it works on: `client`, `server`, or nobody that is known. */
  get speaker(): string {
    return this.#stage.processAt(this.#from)?.name.split('-', 1)[0] ?? 'nobody';
  }

  /** The machine is there. */
  built(): void {
    const { position, size } = this.#shown();
    this.#position = position;
    this.#size = size;
  }

  /** What it goes on with as it begins to serve. */
  get #ancestor(): TrueReign | undefined {
    const { isPair, plan, truth } = this.#stage;
    if (isPair) return truth.of(this.#position.epoch);
    return plan.isStored ? truth.latest : undefined;
  }

  before(_now: Instant, input: Step): void {
    this.#from = 'from' in input ? input.from : '';
    if (input.kind === 'call') {
      if (input.call.type === 'drain' || input.call.type === 'stop') this.#isEnding = true;
    } else if (input.kind === 'peerGone') {
      if (input.port === 'peers') this.#flows.gone(input.from);
    } else if (input.kind === 'command') this.#note(input.port, input.from, input.command);
  }

  #note(port: ServerPort, from: Address, command: ServerMessage): void {
    if (port === 'active') {
      if (command.type === 'item') {
        this.#stage.copies.arrived(this.#name, command.key, command.revision);
      } else if (command.type === 'update') {
        this.#stage.copies.arrived(this.#name, command.key, command.sequence);
      }
    } else if (command.type === 'follow') this.#flows.asked(from, command);
    else if (command.type === 'progress') this.#flows.received(from, command);
  }

  said(port: ServerPort, to: Address, command: ServerSaying, accepted: boolean): void {
    if (port !== 'peers' || !accepted) return;
    if (isOfStream(command)) this.#flows.sent(to, command, weightOf(command));
    if (command.type === 'begin' && command.mode === 'snapshot') this.#stage.loads(this.#name, to);
    if (command.type === 'result' && command.refusal === undefined) this.#acts('result');
    if (!this.#flows.isBackup(to)) return;
    if (command.type === 'item') {
      this.#stage.copies.left(this.#name, command.key, command.revision);
    } else if (command.type === 'update') {
      this.#stage.copies.left(this.#name, command.key, command.sequence);
      const made = { ...command, isExpiry: false, origin: command.origin, ttl: command.ttl };
      const isOwn = command.sequence > (this.reign?.base ?? Infinity);
      if (this.reign !== undefined && isOwn) this.#made(this.reign, made);
    }
  }

  told(event: CloneServerEvent): void {
    if (event.type === 'becameActive') {
      this.#begin(event.epoch, event.sequence, this.#ancestor);
    } else if (event.type === 'becamePassive') this.reign = undefined;
    else if (event.type === 'followerLost') this.#flows.gone(event.from);
    else if (event.type === 'published') this.#published(event);
  }

  // What it makes

  #begin(epoch: Epoch, base: number, parent: TrueReign | undefined): void {
    const { truth, writes, reigns, isPair } = this.#stage;
    const shown = this.#shown();
    const view = new Map(
      [...shown.entries()].map(([key, { value, revision }]) => {
        return [key, { value: value.slice(), revision }] as const;
      }),
    );
    const last = truth.latest;
    const isAnew = parent === undefined && last !== undefined;
    const generation = isPair
      ? (reigns.of(epoch)?.generation ?? 0)
      : (last?.generation ?? 0) + (isAnew ? 1 : 0);
    const reign = new TrueReign(epoch, this.#name, parent, base, view, generation);
    if (parent !== undefined) this.#checkBase(reign, parent);
    truth.began(reign);
    this.reign = reign;
    this.#servesSince = this.#stage.world.now;
    writes.begins(reign);
    if (parent === undefined) return;
    // What was not public yet is, as it were, from now on.
    for (let sequence = parent.head + 1; sequence <= base; sequence++) {
      const made = parent.made.get(sequence);
      if (made === undefined) continue;
      this.#stage.count('truth.inherited');
      writes.counts(reign, made);
    }
  }

  #checkBase({ epoch, base, baseView }: TrueReign, parent: TrueReign): void {
    const expected = parent.viewAt(base);
    if (expected === undefined) return this.#stage.count('truth.unknown');
    const difference = differenceOf(baseView, expected, '');
    requireThat(difference === undefined, 'acknowledged is kept', () => {
      return `${this.#name} begins ${epoch} at ${base} of ${parent.epoch}, but ${difference}`;
    });
  }

  #published({ sequence, kind, key, isExpiry }: CloneServerEvent & { type: 'published' }): void {
    const { reign } = this;
    if (reign === undefined) return;
    const update = this.#shown().update(sequence) ?? this.#tooLargeToKeep(sequence, key);
    requireThat(update?.kind === kind && update.key === key, 'updates in order', () => {
      return `${this.#name} publishes a ${kind} of ${key} as ${sequence}, which is another`;
    });
    const made = this.#made(reign, { ...update, isExpiry });
    this.#acts('update');
    if (isExpiry) this.#checkExpiry(reign, made);
    this.#stage.truth.published(made);
    this.#stage.writes.counts(reign, made);
    requireThat(isPath(key, kind), 'keys are paths', () => `${this.#name} publishes '${key}'`);
    this.#stage.publishes();
  }

  /** One that is larger than the whole history is in the map alone. */
  #tooLargeToKeep(sequence: number, key: string): KeptUpdate | undefined {
    const item = this.#shown().item(key);
    if (item?.revision !== sequence) return undefined;
    this.#stage.count('update.tooLargeToKeep');
    const { value, ttl } = item;
    return { sequence, kind: 'set', key, ttl, origin: undefined, isExpiry: false, value: [value] };
  }

  #made(reign: TrueReign, { value, origin, ...update }: KeptUpdate): Made {
    const { sequence, kind, key, ttl, isExpiry } = update;
    const shown: ShownUpdate = {
      sequence,
      kind,
      key,
      ttl,
      isExpiry,
      value: value[0]?.slice() ?? new Uint8Array(0),
      origin: origin === undefined ? '' : `${origin.writer} ${origin.number}`,
    };
    return this.#stage.truth.made(reign, shown);
  }

  /** Only the active one of a pair does this. */
  #acts(what: string): void {
    if (this.#stage.isPair) this.#stage.reigns.acted(this.#name, this.epoch, what);
  }

  /** It had its time, by any clock. */
  #checkExpiry(reign: TrueReign, { key, sequence, at }: Made): void {
    const item = reign.viewAt(sequence - 1)?.get(key);
    const set = item === undefined ? undefined : reign.updateAt(item.revision);
    if (set === undefined) return this.#stage.count('truth.unknown');
    const { ttl = Infinity } = set;
    const lived = at - set.at;
    // Through a store the time is told by the wall clock, and how far that is from a process's it was told at its start.
    const { isStored } = this.#stage.plan;
    const error = CLOCK_ERROR * (isStored && set.reign !== reign ? at : ttl);
    requireThat(lived >= ttl - error - EARLY, 'expiry is exact', () => {
      return `${this.#name} lets ${key} die after ${lived} of ${ttl} milliseconds`;
    });
    if (set.reign !== reign) this.#stage.count('expiry.ofAnEarlierReign');
  }

  // After each step

  after(_now: Instant, input: Step): void {
    const shown = this.#shown();
    const { position, size } = shown;
    if (this.reign !== undefined) {
      for (let next = shown.published + 1; next <= shown.accepted; next++) {
        const update = shown.update(next);
        if (update !== undefined) this.#made(this.reign, update);
      }
      if (!this.#isEnding) this.#checkOverdue(this.reign, shown);
    } else if (!this.#isEnding) this.#checkPassive(input, position, size);
    requireThat(position.epoch >= this.#position.epoch, 'old epochs are refused', () => {
      return `${this.#name} goes from ${this.#position.epoch} back to ${position.epoch}`;
    });
    const isSame = position.sequence === this.#position.sequence && size === this.#size;
    if (!isSame || position.epoch !== this.#position.epoch) this.#checkMap(shown);
    this.#position = position;
    this.#size = size;
  }

  #checkPassive(input: Step, { sequence }: Position, size: number): void {
    const isOfActive = 'port' in input && input.port === 'active';
    if (isOfActive || input.kind === 'stored' || input.kind === 'call') return;
    const isSame = sequence === this.#position.sequence && size === this.#size;
    requireThat(isSame || input.kind !== 'timeout', 'expiry by the active only', () => {
      return `${this.#name} stands by, and changes as time goes by`;
    });
    requireThat(isSame, 'old epochs are refused', () => {
      return `${this.#name} stands by, and changes on a ${input.kind}`;
    });
  }

  #checkMap(shown: ServerShown): void {
    const { truth } = this.#stage;
    const { position } = shown;
    const view = truth.viewAt(position);
    if (view === undefined) return this.#stage.count('truth.unknown');
    const difference = differenceOf(shown.entries(), view, '');
    requireThat(difference === undefined, "the view was the server's", () => {
      return `${this.#name} at ${position.sequence} of ${position.epoch}: ${difference}`;
    });
  }

  /** Who has outlived its time is being deleted, unless there is no room even for that. */
  #checkOverdue(reign: TrueReign, shown: ServerShown): void {
    const { plan, world, hasStoreFailed } = this.#stage;
    const { now } = world;
    // Answers that wait, also refusals, count as what is under way.
    const isTight = plan.settings.pendingLimit < ROOMY;
    if (isTight && shown.accepted > shown.published) this.#fullUntil = now;
    if (hasStoreFailed || now < this.#lookAt) return;
    this.#lookAt = now + GLANCE;
    for (const [key, { revision }] of shown.entries()) {
      const set = reign.updateAt(revision);
      if (set?.ttl === undefined) continue;
      const late = this.#stage.copies.latenessOf(this.#name, key, revision);
      const dueAt = set.at + set.ttl * (1 + CLOCK_ERROR) + late * (1 + CLOCK_ERROR) + TARDY;
      // It may have been public, or in its hands, for a moment only.
      const since = Math.max(set.publishedAt, this.#servesSince, this.#fullUntil);
      if (now <= Math.max(dueAt, since + TARDY) || isBeingChanged(shown, key)) continue;
      requireThat(false, 'expiry is exact', () => {
        return `${this.#name} has ${key} ${now - set.at} milliseconds after it was set for ${set.ttl}`;
      });
    }
  }
}

function isBeingChanged(shown: ServerShown, key: string): boolean {
  for (let next = shown.published + 1; next <= shown.accepted; next++) {
    const update = shown.update(next);
    if (
      update !== undefined &&
      (update.key === key || (update.kind === 'clear' && isIn(update.key, key)))
    )
      return true;
  }
  return false;
}

function isOfStream(command: ServerSaying): command is StreamCommand {
  return 'stream' in command && command.type !== 'follow' && command.type !== 'progress';
}

/** Slash by slash. */
function isPath(key: string, kind: WriteKind): boolean {
  if (kind === 'clear' && key === '') return true;
  const [first, ...segments] = key.split('/');
  if (kind === 'clear' && segments.at(-1) === '') segments.pop();
  const isRoot = kind === 'clear' && key === '/';
  return (
    first === '' &&
    (isRoot || segments.length > 0) &&
    segments.every((each) => /^[^\p{Cc}\p{Cs}]+$/u.test(each))
  );
}
