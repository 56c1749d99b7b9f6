/** Who waits for the outcome of a request to a service, and makes of it what the user gets. */
import type { Failure, RequestError } from '../../core/errors.ts';
import type { Frames } from '../../core/machine.ts';
import { Waiter } from '../../transport/promised-requests.ts';
import type { BodyCodec } from '../../core/body-codec.ts';
import type { PartStream } from './part-stream.ts';
import { Reply } from '../payload.ts';

/** What became of one worker of a broadcast. */
export type BroadcastEntry =
  | { readonly reply: Reply; readonly error?: undefined }
  | { readonly reply?: undefined; readonly error: RequestError };

export abstract class ServiceWaiter extends Waiter {
  readonly codec: BodyCodec;

  constructor(service: string, codec: BodyCodec) {
    super(service);
    this.codec = codec;
  }

  abstract partial(body: Frames, failure: Failure | undefined): void;
}

/** For one reply. */
export class ReplyWaiter extends ServiceWaiter {
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (error: RequestError) => void;

  constructor(
    service: string,
    codec: BodyCodec,
    resolve: (reply: Reply) => void,
    reject: (error: RequestError) => void,
  ) {
    super(service, codec);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  partial(): void {
    // The machine collects them.
  }

  reply(body: Frames): void {
    this.#resolve(new Reply(this.service, body, true, this.codec));
  }

  fail(error: RequestError): void {
    this.#reject(error);
  }
}

/** For parts that are read one by one. */
export class StreamWaiter extends ServiceWaiter {
  readonly #parts: PartStream;
  readonly #overflow: () => void;

  /** @param overflow called when the reader has fallen too far behind */
  constructor(service: string, codec: BodyCodec, parts: PartStream, overflow: () => void) {
    super(service, codec);
    this.#parts = parts;
    this.#overflow = overflow;
  }

  partial(body: Frames): void {
    if (!this.#parts.push(new Reply(this.service, body, false, this.codec))) this.#overflow();
  }

  reply(body: Frames): void {
    this.#parts.finish(new Reply(this.service, body, true, this.codec));
  }

  fail(error: RequestError): void {
    this.#parts.fail(error);
  }
}

/** For one reply of each worker. */
export class BroadcastWaiter extends ServiceWaiter {
  readonly #entries: BroadcastEntry[] = [];
  readonly #resolve: (entries: readonly BroadcastEntry[]) => void;
  readonly #reject: (error: RequestError) => void;

  constructor(
    service: string,
    codec: BodyCodec,
    resolve: (entries: readonly BroadcastEntry[]) => void,
    reject: (error: RequestError) => void,
  ) {
    super(service, codec);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  partial(body: Frames, failure: Failure | undefined): void {
    this.#entries.push(
      failure === undefined
        ? { reply: new Reply(this.service, body, true, this.codec) }
        : { error: this.errorOf(failure) },
    );
  }

  reply(): void {
    this.#resolve(this.#entries);
  }

  fail(error: RequestError): void {
    this.#reject(error);
  }
}
