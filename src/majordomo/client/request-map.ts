/**
 * Many inputs, each made a request, as one iterable of results: a work queue over a pool of workers.
 *
 * The input is read only while there is room: what is under way and what waits to be taken together
 * are at most `concurrency`, so a slow reader slows the input.
 */
import { RequestError } from '../../core/errors.ts';
import type { Reply } from '../payload.ts';

/** A request that was begun. Cancelling one that has ended does nothing. */
export interface Asked {
  readonly reply: Promise<Reply>;
  cancel(): void;
}

export type MapInputs = Iterable<unknown> | AsyncIterable<unknown>;

interface MapSettings {
  readonly concurrency: number;
  readonly ordered: boolean;
  readonly failures: 'throw' | 'yield';
}

interface Slot {
  asked: Asked | undefined;
  result: Reply | RequestError | undefined;
}

export class RequestMap {
  readonly #ask: (input: unknown) => Asked;
  readonly #settings: MapSettings;
  readonly #inputs: AsyncGenerator<unknown, void, undefined>;
  /** What is under way or waits to be taken; if ordered in the order of the inputs. */
  readonly #slots = new Set<Slot>();
  /** Those with a result, where the order does not matter. */
  readonly #ready: Slot[] = [];
  /** True while an input is awaited. */
  #isReading = false;
  #end: 'open' | 'read' | 'left' = 'open';
  #failure: { readonly error: unknown } | undefined;
  #wakeReader = (): void => {};
  #wakeTaker = (): void => {};

  /** @param ask begins a request; what it throws is a failure that ends the map */
  constructor(ask: (input: unknown) => Asked, inputs: MapInputs, settings: MapSettings) {
    this.#ask = ask;
    this.#settings = settings;
    this.#inputs = asyncOf(inputs);
  }

  async *results(): AsyncGenerator<Reply | RequestError, void, undefined> {
    const reading = this.#readInputs();
    try {
      for (;;) {
        const slot = this.#takeReady();
        if (this.#failure !== undefined) throw this.#failure.error;
        if (slot !== undefined) yield slot.result!;
        else if (this.#end === 'read' && this.#slots.size === 0) return;
        else await new Promise<void>((resolve) => (this.#wakeTaker = resolve));
      }
    } finally {
      await this.#leave(reading);
    }
  }

  async #readInputs(): Promise<void> {
    try {
      while (this.#end === 'open') {
        if (this.#slots.size >= this.#settings.concurrency) {
          await new Promise<void>((resolve) => (this.#wakeReader = resolve));
          continue;
        }
        this.#isReading = true;
        const next = await this.#inputs.next();
        this.#isReading = false;
        if (next.done === true) break;
        if (this.#end === 'open') this.#begin(next.value);
      }
    } catch (error) {
      this.#failWith(error);
    }
    if (this.#end === 'open') this.#end = 'read';
    this.#wakeTaker();
  }

  #begin(input: unknown): void {
    const asked = this.#ask(input);
    const slot: Slot = { asked, result: undefined };
    this.#slots.add(slot);
    asked.reply.then(
      (reply) => this.#settle(slot, reply),
      (error: unknown) => {
        const isResult = this.#settings.failures === 'yield' && error instanceof RequestError;
        if (isResult) this.#settle(slot, error);
        else this.#failWith(error);
      },
    );
  }

  #settle(slot: Slot, result: Reply | RequestError): void {
    slot.asked = undefined;
    slot.result = result;
    if (!this.#settings.ordered) this.#ready.push(slot);
    this.#wakeTaker();
  }

  /** The first failure counts: those that follow come of the cancelling. */
  #failWith(error: unknown): void {
    this.#failure ??= { error };
    this.#wakeTaker();
  }

  #takeReady(): Slot | undefined {
    const slot = this.#settings.ordered ? first(this.#slots) : this.#ready.shift();
    if (slot?.result === undefined) return undefined;
    this.#slots.delete(slot);
    this.#wakeReader();
    return slot;
  }

  /** Nobody takes results any more: what is under way is cancelled, and the input closed. */
  async #leave(reading: Promise<void>): Promise<void> {
    this.#end = 'left';
    for (const { asked } of this.#slots) asked?.cancel();
    this.#wakeReader();
    const closed = this.#inputs.return();
    // An input that is awaited may never come: then the closing of its iterator is not awaited either.
    if (!this.#isReading) await Promise.all([reading, closed]);
    else closed.catch(unheard);
  }
}

/** As one kind of iterator; closing it closes the input, if that was ever opened. */
async function* asyncOf(inputs: MapInputs): AsyncGenerator<unknown, void, undefined> {
  yield* inputs;
}

function unheard(): void {
  // Who would hear of it has left.
}

function first<Item>(items: Iterable<Item>): Item | undefined {
  for (const item of items) return item;
  return undefined;
}
