/**
 * Everything that anybody asked to be written, and what became of it: done once or not at all, in the order
 * of its writer, on the revision that was demanded, and kept.
 */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type { WriteOutcome } from '../../clone/client-events.ts';
import type { WriteKind } from '../../clone/commands.ts';
import { requireThat } from '../violation.ts';
import type { CloneStage } from './stage.ts';
import { isIn, type Made, type TrueReign } from './truth.ts';

/** How many of a writer's latest updates a new one is compared with. */
const COMPARED = 12;

export interface Write {
  /** Of the whole run: its value begins with it. */
  readonly id: number;
  /** The life of the client, or the stock peer, that asks for it. */
  readonly writer: string;
  readonly kind: WriteKind;
  readonly key: string;
  readonly ifMatch: number | undefined;
  /** By the clock of the world. */
  readonly at: Instant;
  outcome: WriteOutcome | undefined;
  /** The generation of servers under which it ended: in a later one no promise of theirs holds. */
  endedIn: number;
}

export type WriteRequest = Pick<Write, 'writer' | 'kind' | 'key' | 'ifMatch'>;

interface Acknowledged {
  readonly write: Write;
  readonly made: Made;
}

export class WriteBook {
  readonly #stage: CloneStage;
  readonly #writes: Write[] = [];
  /** What was made for a write, or for an origin. */
  readonly #made = new Map<string, Made[]>();
  /** What was made for each writer whose values tell, in that order. */
  readonly #byWriter = new Map<string, { readonly id: number; readonly made: Made }[]>();
  readonly #acknowledged: Acknowledged[] = [];

  constructor(stage: CloneStage) {
    this.#stage = stage;
  }

  asked(request: WriteRequest): Write {
    const { now } = this.#stage.world;
    const write = { ...request, id: this.#writes.length, at: now, outcome: undefined, endedIn: 0 };
    this.#writes.push(write);
    return write;
  }

  /** How many there were. */
  get size(): number {
    return this.#writes.length;
  }

  /** The write that this value was made for. */
  of(value: Uint8Array): Write | undefined {
    const found = /^w(\d+);/.exec(textOf(value));
    return found === null ? undefined : this.#writes[Number(found[1])];
  }

  // What servers do

  /** An update has become public, or was taken over: it is a part of the reign's past from now on. */
  counts(reign: TrueReign, made: Made): void {
    const write = made.kind === 'set' ? this.of(made.value) : undefined;
    if (made.kind === 'set') {
      const isAsked = write?.key === made.key;
      requireThat(isAsked, 'a write is done once', () => {
        return `${made.key} is set to what nobody asked for: '${textOf(made.value)}'`;
      });
      this.#checkWanted(reign, write, made);
      this.#once(reign, made, `w${write.id}`);
      this.#inOrder(reign, made, write);
    }
    if (made.origin !== '') this.#once(reign, made, made.origin);
  }

  #checkWanted(reign: TrueReign, { outcome, id, endedIn }: Write, made: Made): void {
    if (this.#isExcused(made) || reign.generation > endedIn) return;
    const isRefused = outcome?.outcome === 'refused' && outcome.refusal !== 'storageFailed';
    const isNever = outcome !== undefined && 'maybeDone' in outcome && !outcome.maybeDone;
    requireThat(!isRefused && !isNever, 'a write is done once', () => {
      return `write ${id} is done as ${made.sequence} after its ${outcome?.outcome}`;
    });
  }

  #once(reign: TrueReign, made: Made, name: string): void {
    const all = this.#made.get(name) ?? [];
    this.#made.set(name, all);
    if (all.includes(made)) return;
    const other = all.find((one) => reign.has(one));
    requireThat(other === undefined, 'a write is done once', () => {
      return `${name} is done as ${other?.sequence} and as ${made.sequence}`;
    });
    all.push(made);
  }

  #inOrder(reign: TrueReign, made: Made, write: Write): void {
    const all = this.#byWriter.get(write.writer) ?? [];
    this.#byWriter.set(write.writer, all);
    for (const { id, made: other } of all.slice(-COMPARED)) {
      if (other === made || id <= write.id || other.sequence >= made.sequence) continue;
      requireThat(!reign.has(other), 'writes keep their order', () => {
        return `write ${write.id} of ${write.writer} is ${made.sequence}, and its write ${id} was ${other.sequence}`;
      });
    }
    all.push({ id: write.id, made });
  }

  /** A reign begins: what was acknowledged in its generation is a part of its past. */
  begins(reign: TrueReign): void {
    for (const { write, made } of this.#acknowledged) this.#checkKept(reign, write, made);
  }

  #checkKept(reign: TrueReign, { id }: Write, made: Made): void {
    if (made.reign.generation !== reign.generation || this.#isExcused(made)) return;
    requireThat(reign.has(made), 'acknowledged is kept', () => {
      return `${reign.server} goes on under ${reign.epoch} from ${reign.base} without write ${id}, done as ${made.sequence} of ${made.reign.epoch}`;
    });
  }

  /** Without a witness two may serve, and one of them in vain. */
  #isExcused({ reign }: Made): boolean {
    const { plan, reigns } = this.#stage;
    return plan.topology === 'votes' && reigns.of(reign.epoch)?.isSplit === true;
  }

  // What writers are told

  ended(write: Write, outcome: WriteOutcome): void {
    requireThat(write.outcome === undefined, 'every write ends once', () => {
      return `write ${write.id} ends as ${write.outcome?.outcome}, and as ${outcome.outcome}`;
    });
    const { latest } = this.#stage.truth;
    write.outcome = outcome;
    write.endedIn = latest?.generation ?? 0;
    if (outcome.outcome === 'done') this.#done(write, outcome.revision, outcome.isReplicated);
    else if (outcome.outcome === 'refused') this.#refused(write, outcome);
    const [made] = this.#made.get(`w${write.id}`) ?? [];
    // Who has lost what was done may do it again, or say that it cannot be done.
    if (outcome.outcome === 'done' || made === undefined || latest?.has(made) !== true) return;
    this.#checkWanted(latest, write, made);
  }

  #done(write: Write, revision: number, isReplicated: boolean): void {
    const { truth, plan, isPair } = this.#stage;
    const reigns = [...truth.reigns()];
    const all = reigns.flatMap((reign) => {
      const made = reign.made.get(revision);
      return made !== undefined && isOf(made, write) ? [made] : [];
    });
    const isTrue = all.length > 0 || reigns.some((reign) => isAbsent(reign, revision, write));
    requireThat(isTrue, 'acknowledged is kept', () => {
      return `write ${write.id}, a ${write.kind} of ${write.key}, is said to be ${revision}, and is not`;
    });
    // One reign may have done it in vain, and the next one anew, under the same number.
    const made = all.find((each) => truth.latest?.has(each) === true) ?? all[0];
    if (made === undefined) return;
    this.#checkDemand(write, made.reign, revision);
    const isPromised = isReplicated || plan.settings.replication !== 'async' || !isPair;
    if (!isPromised) return this.#stage.count('write.doneHereAlone');
    this.#acknowledged.push({ write, made });
    if (truth.latest !== undefined) this.#checkKept(truth.latest, write, made);
  }

  #checkDemand({ id, kind, key, ifMatch }: Write, reign: TrueReign, revision: number): void {
    // What was not there need not be deleted: then the update of this number is another one's.
    if (ifMatch === undefined || (kind === 'delete' && ifMatch === 0)) return;
    const view = reign.viewAt(revision - 1);
    if (view === undefined) return this.#stage.count('truth.unknown');
    const found = view.get(key)?.revision ?? 0;
    requireThat(found === ifMatch, 'compare and set is exact', () => {
      return `write ${id} was for revision ${ifMatch} of ${key}, and is done on ${found}`;
    });
  }

  #refused(write: Write, { refusal, revision }: WriteOutcome & { outcome: 'refused' }): void {
    this.#stage.count(`write.refused.${refusal}`);
    if (refusal !== 'conflict') return;
    const { id, key, ifMatch } = write;
    const isConflict = ifMatch !== undefined && ifMatch !== revision;
    requireThat(isConflict, 'compare and set is exact', () => {
      return `write ${id} was for revision ${ifMatch}, and is refused as ${key} has ${revision}`;
    });
    if (revision === 0) return;
    const all = [...this.#stage.truth.reigns()];
    const isTrue = all.some(
      (reign) => reign.updateAt(revision)?.key === key || revision <= reign.base,
    );
    requireThat(isTrue, 'compare and set is exact', () => `${key} never had revision ${revision}`);
  }

  /** Those of a writer that have no outcome. */
  open(writer: string): readonly Write[] {
    return this.#writes.filter((write) => write.writer === writer && write.outcome === undefined);
  }
}

function isOf(made: Made, { kind, key, id }: Write): boolean {
  if (made.isExpiry || made.key !== key) {
    // For stock peers a subtree is cleared key by key.
    return kind === 'clear' && made.kind === 'delete' && isIn(key, made.key);
  }
  return made.kind === kind && (kind !== 'set' || textOf(made.value).startsWith(`w${id};`));
}

/** There was nothing to delete. */
function isAbsent(reign: TrueReign, revision: number, { kind, key }: Write): boolean {
  const view = kind === 'set' ? undefined : reign.viewAt(revision);
  if (view === undefined) return false;
  if (kind === 'delete') return !view.has(key);
  return ![...view.keys()].some((each) => isIn(key, each));
}

/** The value of a write: it says whose it is. */
export function valueOf({ id }: Write, size: number): Uint8Array {
  return encodeText(`w${id};${'.'.repeat(size)}`);
}

/** What a value says of itself. */
export function textOf(value: Uint8Array): string {
  return decodeText(value.subarray(0, 12));
}
