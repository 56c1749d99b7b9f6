/**
 * Which requests a signal cancels: one listener for each signal, however many requests share it, as
 * Node warns of a leak beyond ten.
 */
interface Watched<RequestId> {
  readonly ids: Set<RequestId>;
  readonly listener: () => void;
}

/** `RequestId` names a request of the caller, or is one. */
export class SignalWatch<RequestId = number> {
  readonly #cancel: (id: RequestId) => void;
  readonly #signals = new Map<AbortSignal, Watched<RequestId>>();

  /** @param cancel called for each request of a signal that aborts */
  constructor(cancel: (id: RequestId) => void) {
    this.#cancel = cancel;
  }

  add(signal: AbortSignal, id: RequestId): void {
    const known = this.#signals.get(signal);
    if (known !== undefined) {
      known.ids.add(id);
      return;
    }
    const ids = new Set([id]);
    const listener = (): void => {
      this.#signals.delete(signal);
      for (const each of ids) this.#cancel(each);
    };
    this.#signals.set(signal, { ids, listener });
    signal.addEventListener('abort', listener, { once: true });
  }

  delete(signal: AbortSignal, id: RequestId): void {
    const watched = this.#signals.get(signal);
    if (watched === undefined || !watched.ids.delete(id) || watched.ids.size > 0) return;
    this.#signals.delete(signal);
    signal.removeEventListener('abort', watched.listener);
  }
}
