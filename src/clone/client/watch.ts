/**
 * A watch: the changes under a subtree, one after the other, for one reader.
 *
 * The reader may be slower than the changes. Up to a bound each of them waits; beyond it a key's last
 * change takes the place of earlier ones, so what waits is never more than there are keys, and a reader who
 * comes late still ends up with the right map.
 */
import { CloneError } from '../../core/errors.ts';
import { Fifo } from '../../core/fifo.ts';
import type { CloneChange } from '../client-events.ts';
import { isUnder } from '../key.ts';

/** What a watch tells of one key. Its values are decoded when they are looked at. */
export type WatchedChange<Value> =
  | {
      readonly type: 'set';
      readonly key: string;
      /** @throws SyntaxError, as `get` does */
      readonly value: Value;
      /** What the reader was told of it before; undefined: no such key. */
      readonly former: Value | undefined;
      readonly revision: number;
      /** Milliseconds that it had left then, if it expires and that is known. */
      readonly timeLeft: number | undefined;
      /** Changes of this key before it that are not told, as the reader was too slow. */
      readonly missed: number;
    }
  | {
      readonly type: 'deleted';
      readonly key: string;
      readonly value: undefined;
      readonly former: Value;
      readonly revision: number;
      readonly missed: number;
    };

/** What a watch needs of its client. */
export interface WatchHost<Value> {
  decode(key: string, bytes: Uint8Array): Value;
  /** It has ended: nothing needs to be told to it any more. */
  left(watch: Watch<Value>): void;
}

export interface WatchSettings {
  readonly subtree: string;
  /** So often it will be told of changes that the map showed already as it began. */
  readonly stale: number;
  readonly bufferLimit: number;
  readonly signal: AbortSignal | undefined;
}

interface Waiting {
  readonly change: CloneChange;
  readonly missed: number;
}

interface Reader<Value> {
  readonly resolve: (result: IteratorResult<WatchedChange<Value>, undefined>) => void;
  readonly reject: (error: Error) => void;
}

export class Watch<Value> implements AsyncIterableIterator<WatchedChange<Value>, undefined> {
  readonly #host: WatchHost<Value>;
  readonly #settings: WatchSettings;
  /** Under numbers; under keys while more have come than may wait. */
  #waiting = new Fifo<number | string, Waiting>();
  #isFolding = false;
  #count = 0;
  #stale: number;
  #readers: Reader<Value>[] = [];
  #hasEnded = false;
  /** What the reader is told once there is nothing more to read. */
  #error: Error | undefined;

  constructor(host: WatchHost<Value>, settings: WatchSettings) {
    this.#host = host;
    this.#settings = settings;
    this.#stale = settings.stale;
    if (settings.signal?.aborted === true) this.abort();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The map shows these changes. */
  addAll(changes: readonly CloneChange[]): void {
    if (this.#stale > 0) {
      this.#stale--;
      return;
    }
    const { subtree } = this.#settings;
    for (const change of changes) if (isUnder(subtree, change.key)) this.add(change);
  }

  /** Tells one change, whatever it is of. */
  add(change: CloneChange): void {
    if (this.#hasEnded) return;
    if (this.#isFolding) this.#fold({ change, missed: 0 });
    else this.#waiting.push(this.#count++, { change, missed: 0 });
    if (!this.#isFolding && this.#waiting.size > this.#settings.bufferLimit) this.#beginFolding();
    this.#endFolding();
    this.#serve();
  }

  /** Ends it at once, with an error: its signal has aborted. */
  abort(): void {
    this.#end(this.#abortError());
  }

  /** Ends it once what waits is read: its client closes. */
  close(): void {
    if (this.#hasEnded) return;
    this.#leave();
    this.#serve();
  }

  /**
   * The next change, as soon as there is one.
   * @throws CloneError `ERR_CANCELLED` (an `AbortError`) if its signal aborted
   */
  next(): Promise<IteratorResult<WatchedChange<Value>, undefined>> {
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#serve();
    });
  }

  /** Ends it: what waits is not told any more. */
  return(): Promise<IteratorResult<WatchedChange<Value>, undefined>> {
    this.#end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #serve(): void {
    while (this.#readers.length > 0 && (this.#waiting.size > 0 || this.#hasEnded)) {
      const { resolve, reject } = this.#readers.shift()!;
      const waiting = this.#take();
      if (waiting !== undefined) resolve({ done: false, value: this.#shown(waiting) });
      else if (this.#error === undefined) resolve({ done: true, value: undefined });
      else {
        reject(this.#error);
        // Told once: whoever reads on is at the end.
        this.#error = undefined;
      }
    }
  }

  #take(): Waiting | undefined {
    const first = this.#waiting.first;
    if (first === undefined) return undefined;
    const waiting = this.#waiting.get(first);
    this.#waiting.delete(first);
    this.#endFolding();
    return waiting;
  }

  #beginFolding(): void {
    const all = this.#waiting;
    this.#waiting = new Fifo();
    this.#isFolding = true;
    for (const waiting of all.values()) this.#fold(waiting);
  }

  #endFolding(): void {
    if (this.#waiting.size === 0) this.#isFolding = false;
  }

  /** It takes the place of what waits of its key, behind all others. */
  #fold({ change, missed }: Waiting): void {
    const { key } = change;
    const earlier = this.#waiting.get(key);
    if (earlier === undefined) return this.#waiting.push(key, { change, missed });
    this.#waiting.delete(key);
    const { former } = earlier.change;
    const missedNow = earlier.missed + missed + 1;
    if (change.type === 'set') {
      this.#waiting.push(key, { change: { ...change, former }, missed: missedNow });
      // What the reader never heard of need not be taken back.
    } else if (former !== undefined) {
      this.#waiting.push(key, { change: { ...change, former }, missed: missedNow });
    }
  }

  #shown({ change, missed }: Waiting): WatchedChange<Value> {
    const { key, revision, former } = change;
    const decode = (bytes: Uint8Array): Value => this.#host.decode(key, bytes);
    if (change.type === 'deleted') {
      const { former: bytes } = change;
      return {
        type: 'deleted',
        key,
        value: undefined,
        get former() {
          return decode(bytes);
        },
        revision,
        missed,
      };
    }
    const { value, timeLeft } = change;
    return {
      type: 'set',
      key,
      get value() {
        return decode(value);
      },
      get former() {
        return former === undefined ? undefined : decode(former);
      },
      revision,
      timeLeft,
      missed,
    };
  }

  #abortError(): Error {
    const cause: unknown = this.#settings.signal?.reason;
    const { subtree } = this.#settings;
    const message = 'the watch was ended by its signal';
    return new CloneError('ERR_CANCELLED', subtree, message, { cause });
  }

  #end(error: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#error = error;
    this.#waiting = new Fifo();
    this.#leave();
    this.#serve();
  }

  #leave(): void {
    this.#hasEnded = true;
    this.#host.left(this);
  }
}
