/** A body whose values a codec wrote, as requests and replies have it. */
import type { Frames } from '../core/machine.ts';
import { Payload } from '../core/payload.ts';
import { bodyCodecs, type BodyCodec } from '../core/body-codec.ts';

export class CodedPayload extends Payload {
  readonly #codec: BodyCodec;

  constructor(body: Frames, codec: BodyCodec = bodyCodecs.bytes) {
    super(body);
    this.#codec = codec;
  }

  /**
   * What the service's codec makes of it; without one, the bytes, or an array of several frames.
   * Big typed arrays are views on the received frames.
   * @throws SyntaxError if the body was not written so
   */
  value<Value = unknown>(): Value {
    return this.#codec.decode(this.body) as Value;
  }
}

/** A reply, or one part of it. */
export class Reply extends CodedPayload {
  readonly service: string;
  /** False for a part with more to come. */
  readonly final: boolean;

  constructor(service: string, body: Frames, final: boolean, codec?: BodyCodec) {
    super(body, codec);
    this.service = service;
    this.final = final;
  }
}
