/** Writes as promises: a token for the machine, and who waits for its outcome. */
import { NumberMap } from '../../core/number-map.ts';
import { SignalWatch } from '../../transport/signal-watch.ts';
import type { WriteOutcome } from '../client-events.ts';
import { errorOf, type CloneWrite } from './outcomes.ts';

interface Waiting {
  readonly key: string;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  resolve(write: CloneWrite): void;
  reject(error: Error): void;
}

export class PromisedWrites {
  readonly #waiting = new NumberMap<Waiting>();
  readonly #signals: SignalWatch;
  #lastToken = 0;

  /** @param abandon tells the machine that nobody waits for this one any more: it has an outcome then */
  constructor(abandon: (token: number) => void) {
    this.#signals = new SignalWatch(abandon);
  }

  /**
   * Begins to wait; `send` hands it to the machine, unless its signal has aborted before.
   * @param timeout milliseconds, for the message
   */
  begin(
    write: { key: string; timeout: number; signal: AbortSignal | undefined },
    send: (token: number) => void,
  ): Promise<CloneWrite> {
    const { key, timeout, signal } = write;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        const outcome = { outcome: 'abandoned', maybeDone: false } as const;
        return reject(errorOf(outcome, key, timeout, signal.reason));
      }
      const token = ++this.#lastToken;
      this.#waiting.set(token, { key, timeout, signal, resolve, reject });
      if (signal !== undefined) this.#signals.add(signal, token);
      send(token);
    });
  }

  settle(token: number, outcome: WriteOutcome): void {
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    this.#waiting.delete(token);
    const { key, timeout, signal } = waiting;
    if (signal !== undefined) this.#signals.delete(signal, token);
    if (outcome.outcome === 'done') {
      waiting.resolve({ revision: outcome.revision, replicated: outcome.isReplicated });
    } else waiting.reject(errorOf(outcome, key, timeout, signal?.reason));
  }
}
