/** A body with the readings of fetch's Response: `text()`, `json()`, `bytes()`, and `value()`. */
import { byteLength, decodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import { bodyCodecs, type BodyCodec } from './wire/body-codec.ts';

export class Payload {
  /** The frames as they travelled. */
  readonly body: Frames;

  readonly #codec: BodyCodec;

  constructor(body: Frames, codec: BodyCodec = bodyCodecs.bytes) {
    this.body = body;
    this.#codec = codec;
  }

  /** All frames joined; a single frame is not copied. */
  bytes(): Uint8Array {
    if (this.body.length === 1) return this.body[0]!;
    const joined = new Uint8Array(byteLength(this.body));
    let at = 0;
    for (const frame of this.body) {
      joined.set(frame, at);
      at += frame.byteLength;
    }
    return joined;
  }

  /** The bytes as UTF-8; malformed sequences become U+FFFD. */
  text(): string {
    return decodeText(this.bytes());
  }

  /** The text parsed as JSON. @throws SyntaxError if it is not JSON */
  json<Value = unknown>(): Value {
    return JSON.parse(this.text()) as Value;
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
export class Reply extends Payload {
  readonly service: string;
  /** False for a part with more to come. */
  readonly final: boolean;

  constructor(service: string, body: Frames, final: boolean, codec?: BodyCodec) {
    super(body, codec);
    this.service = service;
    this.final = final;
  }
}
