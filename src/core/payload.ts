/** A body with the readings of fetch's Response: `text()`, `json()` and `bytes()`. */
import { byteLength, decodeText } from './frames.ts';
import type { Frames } from './machine.ts';

export class Payload {
  /** The frames as they travelled. */
  readonly body: Frames;

  constructor(body: Frames) {
    this.body = body;
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
}
