/** The Titanic's machine, driven by hand, on a store that answers at once or when it is told to. */
import type { StorageBatch } from '../../src/core/batch.ts';
import { StorageError, type StorageErrorCode } from '../../src/core/errors.ts';
import { decodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Answer, Question, SubmitTerms } from '../../src/titanic/commands.ts';
import { Recovery } from '../../src/titanic/recovery.ts';
import { TitanicMachine, type TitanicSettings } from '../../src/titanic/titanic-machine.ts';
import type {
  AttemptEnd,
  TitanicCall,
  TitanicMachineEvent,
  TitanicOrder,
} from '../../src/titanic/titanic-events.ts';
import { Actor, body } from '../actor.ts';

export type Execute = Extract<TitanicOrder, { type: 'execute' }>;

/** So that two runs give the same ids. */
export const idOf = (number: number): string => number.toString(16).padStart(32, '0');

/** The first four are clients' own, for tests that name them. */
export const [A, B, C, D] = [0xa, 0xb, 0xc, 0xd].map(idOf) as [string, string, string, string];

export const storySettings: TitanicSettings = {
  concurrency: 2,
  attemptTimeout: 5000,
  retries: 2,
  backoff: 100,
  backoffLimit: 1000,
  absence: 100,
  absenceLimit: 1000,
  pendingLimit: 100,
  pendingBytes: 100_000,
  bodyLimit: 1000,
  waiterLimit: 10,
  retentionAge: 60_000,
  retentionCount: 100,
  retentionBytes: 100_000,
  closedAge: 30_000,
  closedCount: 100,
  random: () => 0,
  newId: () => '',
  wallClock: 1_000_000,
};

interface Store {
  readonly token: number;
  readonly batch: StorageBatch;
}

export class TitanicStory extends Actor<never, never, never, TitanicCall, TitanicMachineEvent> {
  declare readonly machine: TitanicMachine;
  readonly settings: Partial<TitanicSettings>;
  /** What is durable. */
  readonly disk: Map<string, Frames>;
  /** What waits for an answer while the store is held. */
  readonly stores: Store[];
  isHeld = false;
  #token = 0;

  /** @param disk what a former life left */
  constructor(settings: Partial<TitanicSettings> = {}, disk = new Map<string, Frames>()) {
    const stores: Store[] = [];
    let ids = 0x100;
    const complete = { ...storySettings, newId: () => idOf(++ids), ...settings };
    const recovery = new Recovery();
    for (const [key, frames] of disk) recovery.add(key, frames);
    const store = (token: number, batch: unknown): void => {
      stores.push({ token, batch: batch as StorageBatch });
    };
    super((outbox) => new TitanicMachine({ ...outbox, store }, complete, recovery));
    this.settings = settings;
    this.disk = disk;
    this.stores = stores;
    this.call({ type: 'link', isUp: true });
  }

  override call(call: TitanicCall): void {
    super.call(call);
    this.#settle();
  }

  override wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.machine.nextTimeout <= until) {
      this.now = Math.max(this.now, this.machine.nextTimeout);
      this.machine.handleTimeout(this.now);
      this.#settle();
    }
    this.now = until;
  }

  /** Answers the oldest write, or the one of this key; true, or the code of the refusal. */
  stored(outcome: true | StorageErrorCode = true, key?: string): void {
    const index = this.stores.findIndex(({ batch }) => {
      return key === undefined || keysOf(batch).includes(key);
    });
    const [store] = this.stores.splice(index, 1);
    if (index === -1 || store === undefined) throw new Error(`nothing is written of ${key}`);
    if (outcome === true) this.apply(store.batch);
    const error = outcome === true ? undefined : new StorageError(outcome, 'not stored');
    this.machine.handleStored(this.now, store.token, error);
    this.#settle();
  }

  apply({ puts, deletes }: StorageBatch): void {
    for (const key of deletes) this.disk.delete(key);
    for (const { key, value } of puts) this.disk.set(key, value);
  }

  hold(): void {
    this.isHeld = true;
  }

  /** All that is held is taken, and what follows from it. */
  release(): void {
    this.isHeld = false;
    this.#settle();
  }

  /** The keys of what is being written, `-` before those that are deleted. */
  get writing(): string[] {
    return this.stores.map(({ batch }) => keysOf(batch).map(short).join(' '));
  }

  /** What is durable, by key. */
  get records(): string[] {
    return [...this.disk.keys()].map(short).toSorted();
  }

  /** The process dies, and is started again; its own clock begins anew, that on the wall went on. */
  restart(settings: Partial<TitanicSettings> = {}): TitanicStory {
    const wallClock = (this.settings.wallClock ?? storySettings.wallClock) + this.now;
    return new TitanicStory({ ...this.settings, wallClock, ...settings }, new Map(this.disk));
  }

  ask(question: Question): number {
    this.call({ type: 'ask', token: ++this.#token, question });
    return this.#token;
  }

  submit(id: string | undefined, text = 'x', terms: SubmitTerms = {}, service = 'echo'): number {
    return this.ask({ type: 'submit', id, service, body: body(text), terms });
  }

  fetch(id: string, wait = 0): number {
    return this.ask({ type: 'fetch', id, wait });
  }

  close(id: string): number {
    return this.ask({ type: 'close', id });
  }

  /** All answers since it was last asked, in order: `1 200 text`, `2 500 ERR_…`, `3 stored reply:a`. */
  get answers(): string[] {
    const lines = this.events.flatMap((event) => {
      if (event.type === 'answerStored') return [`${event.token} stored ${short(event.key)}`];
      return event.type === 'answer' ? [`${event.token} ${wordOf(event.answer)}`] : [];
    });
    this.took('answer');
    this.took('answerStored');
    return lines;
  }

  /** What was given out since it was last asked. */
  get executions(): Execute[] {
    return this.took('execute');
  }

  /** As `executions`, in words: `a#1`. */
  get begun(): string[] {
    return this.executions.map(({ id, attempt }) => `${short(id)}#${attempt}`);
  }

  reply(execution: number | Execute, text = 'y'): void {
    const number = typeof execution === 'number' ? execution : execution.execution;
    this.call({ type: 'replied', execution: number, body: body(text) });
  }

  fail(execution: number | Execute, end: AttemptEnd = 'failed', message = 'no luck'): void {
    const number = typeof execution === 'number' ? execution : execution.execution;
    this.call({ type: 'attemptFailed', execution: number, end, message });
  }

  /** One is submitted and executed, and has its reply. */
  finish(id: string, text = 'y', service = 'echo'): void {
    this.submit(id, 'x', {}, service);
    for (const execution of this.executions) if (execution.id === id) this.reply(execution, text);
  }

  stateOf(id: string): string | undefined {
    return this.machine.summary(id)?.state;
  }

  #settle(): void {
    while (!this.isHeld && this.stores.length > 0) this.stored();
  }
}

export function short(key: string): string {
  return key.replace(/0{2,}/, '');
}

function keysOf({ puts, deletes }: StorageBatch): string[] {
  return [...puts.map(({ key }) => key), ...deletes.map((key) => `-${key}`)];
}

function wordOf({ status, code, body: frames = [] }: Answer): string {
  return [status, code ?? frames.map(decodeText).map(short).join('|')].join(' ').trim();
}
