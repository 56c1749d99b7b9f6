/**
 * Values as bodies: text and bytes as they are, or any value as JSON or MessagePack.
 *
 * The first frame holds the value. Its big binary parts (typed arrays, Buffers) travel behind it, a
 * frame each, and the value says which: nobody copies or encodes them on the way, and what arrives is
 * a view on the received frame. Their bytes have the order of the machine that sends them, which is
 * little-endian on all that Node runs on but s390x. MessagePack reads no object with a key `__proto__`.
 */
import { decode, encode, ExtensionCodec } from '@msgpack/msgpack';
import { BODY_LIMIT, framesOf } from './body.ts';
import { InvalidArgumentError } from './errors.ts';
import { byteLength, decodeStrictText, EMPTY_FRAME, encodeText } from './frames.ts';
import type { Frames } from './machine.ts';
import { isHonestMessagePack } from './msgpack-check.ts';

/** How the values of a service are written. `bytes`: text, bytes, or an array of them. */
export type CodecName = 'bytes' | 'json' | 'msgpack';

export const CODEC_NAMES: readonly CodecName[] = ['bytes', 'json', 'msgpack'];

export interface BodyCodec {
  readonly name: CodecName;
  /** What the header `content-type` says of such a body; of bytes nothing. */
  readonly contentType: string | undefined;
  /**
   * Big binary parts are not copied: do not change them after the call. `undefined` is an empty body.
   * @throws InvalidArgumentError `ERR_INVALID_BODY` if the value cannot be written so
   */
  readonly encode: (value: unknown) => Frames;
  /**
   * The value again; big binary parts are views on `frames`.
   * @throws SyntaxError if these frames were not written so
   */
  readonly decode: (frames: Frames) => unknown;
}

/** From so many bytes on, MessagePack gives a binary part a frame of its own. */
const BIG = 8 * 1024;

// Binary parts

type View = ArrayBufferView;
type Kind = readonly [name: string, of: (bytes: Uint8Array) => View];

/** What a binary part can be. Its index is on the wire. */
const KINDS: readonly Kind[] = [
  ['Uint8Array', (bytes) => bytes],
  ['Int8Array', viewAs(Int8Array, 1)],
  ['Uint8ClampedArray', viewAs(Uint8ClampedArray, 1)],
  ['Int16Array', viewAs(Int16Array, 2)],
  ['Uint16Array', viewAs(Uint16Array, 2)],
  ['Int32Array', viewAs(Int32Array, 4)],
  ['Uint32Array', viewAs(Uint32Array, 4)],
  ['BigInt64Array', viewAs(BigInt64Array, 8)],
  ['BigUint64Array', viewAs(BigUint64Array, 8)],
  ['Float32Array', viewAs(Float32Array, 4)],
  ['Float64Array', viewAs(Float64Array, 8)],
  ['DataView', viewAs(DataView, 1)],
];

/** Makes a view on bytes, or on a copy where they do not lie as its elements must. */
function viewAs(
  type: new (buffer: ArrayBufferLike, offset: number, length: number) => View,
  size: number,
): (bytes: Uint8Array) => View {
  return (bytes) => {
    if (bytes.byteLength % size !== 0) throw new SyntaxError('an array ends within an element');
    const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
    return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
  };
}

/** The binary part that a value is, if it is one. */
function viewOf(value: unknown): View | undefined {
  if (ArrayBuffer.isView(value)) return value;
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

function bytesOf({ buffer, byteOffset, byteLength: length }: View): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

/** Index of its kind; a Buffer is a Uint8Array. */
function kindOf(view: View): number {
  const name = Object.prototype.toString.call(view).slice('[object '.length, -1);
  const kind = KINDS.findIndex(([known]) => known === name);
  if (kind < 0) throw new TypeError(`a ${name} cannot be sent: send its bytes`);
  return kind;
}

/** Gives it a frame of its own, and returns that frame's index. */
function addFrame(frames: Uint8Array[], view: View): number {
  if (frames.length === BODY_LIMIT) {
    throw new TypeError(`a body has at most ${BODY_LIMIT} frames: join some of its typed arrays`);
  }
  return frames.push(bytesOf(view)) - 1;
}

function takeFrame(frames: Frames, index: unknown, kind: Kind | undefined): View {
  const frame = typeof index === 'number' && index > 0 ? frames[index] : undefined;
  if (frame === undefined || kind === undefined) throw new SyntaxError('a binary part is missing');
  return kind[1](frame);
}

// JSON has no bytes, so each binary part is a frame. `{ "$frame": 1, "type": "Float64Array" }` stands
// for it, and a key of the user's that looks like ours has one more `$` on the way.

const LIKE_OURS = /^\$+frame$/;

function encodeJson(value: unknown): Frames {
  const frames: Uint8Array[] = [EMPTY_FRAME];
  function replace(this: unknown, key: string, item: unknown): unknown {
    // `item` is what a Buffer's toJSON made of it: numbers.
    const view = viewOf((this as Record<string, unknown>)[key]);
    if (view === undefined) return renamed(item, (name) => `$${name}`);
    return { $frame: addFrame(frames, view), type: KINDS[kindOf(view)]![0] };
  }
  const text = JSON.stringify(value, replace) as string | undefined;
  if (text === undefined) throw new TypeError(`a ${typeof value} has no JSON`);
  frames[0] = encodeText(text);
  return frames;
}

function decodeJson(frames: Frames): unknown {
  const text = decodeStrictText(frames[0]!);
  if (text === undefined) throw new SyntaxError('it is not UTF-8');
  if (!text.includes('frame"')) return JSON.parse(text);
  return JSON.parse(text, (_key, item: unknown) => {
    if (typeof item !== 'object' || item === null) return item;
    if (!Object.hasOwn(item, '$frame')) return renamed(item, (name) => name.slice(1));
    const { $frame: index, type } = item as Record<string, unknown>;
    const kind = KINDS.find(([name]) => name === type);
    return takeFrame(frames, index, kind);
  });
}

/** A copy in which the keys that look like ours are changed, or the very value if it has none. */
function renamed(value: unknown, change: (name: string) => string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if (!Object.keys(value).some((name) => LIKE_OURS.test(name))) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(
    entries.map(([name, item]) => [LIKE_OURS.test(name) ? change(name) : name, item]),
  );
}

// MessagePack: extension 0 is a kind and the index of a frame, extension 1 a kind and the bytes of a
// small typed array. Small bytes are its own `bin`, dates its own timestamp.

const extensions = new ExtensionCodec<Uint8Array[]>();
extensions.register({
  type: 0,
  encode: (value, frames) => {
    const view = viewOf(value);
    if (view === undefined || view.byteLength < BIG) return null;
    const index = addFrame(frames, view);
    return Uint8Array.of(kindOf(view), index >> 8, index & 0xff);
  },
  decode: ([kind, high, low], _type, frames) =>
    takeFrame(frames, (high! << 8) | low!, KINDS[kind!]),
});
extensions.register({ type: 1, encode: encodeSmall, decode: decodeSmall });

/** The same in one frame: nothing is too big to lie inside. */
const inline = new ExtensionCodec();
inline.register({ type: 1, encode: encodeSmall, decode: decodeSmall });

function encodeSmall(value: unknown): Uint8Array | null {
  const view = viewOf(value);
  if (view === undefined || value instanceof Uint8Array) return null;
  const extension = new Uint8Array(1 + view.byteLength);
  extension[0] = kindOf(view);
  extension.set(bytesOf(view), 1);
  return extension;
}

function decodeSmall(extension: Uint8Array): View {
  const kind = KINDS[extension[0]!];
  if (kind === undefined) throw new SyntaxError('a typed array of an unknown kind');
  return kind[1](extension.subarray(1));
}

function encodeMessagePack(value: unknown): Frames {
  const frames: Uint8Array[] = [EMPTY_FRAME];
  const options = { extensionCodec: extensions, context: frames, useBigInt64: true };
  frames[0] = encode(value, { ...options, ignoreUndefined: true });
  return frames;
}

function decodeMessagePack(frames: Frames): unknown {
  if (!isHonestMessagePack(frames[0]!)) throw new SyntaxError('it claims more than there is');
  const context = [...frames];
  return decode(frames[0]!, { extensionCodec: extensions, context, useBigInt64: true });
}

/**
 * A value as MessagePack in one frame: its big binary parts too lie inside, and are copied.
 * @throws an error if it cannot be written so
 */
export function packValue(value: unknown): Uint8Array {
  return encode(value, { extensionCodec: inline, useBigInt64: true, ignoreUndefined: true });
}

/**
 * The value again; binary parts are views on `bytes`.
 * @throws SyntaxError, RangeError if these bytes were not written so
 */
export function unpackValue(bytes: Uint8Array): unknown {
  if (!isHonestMessagePack(bytes)) throw new SyntaxError('it claims more than there is');
  return decode(bytes, { extensionCodec: inline, useBigInt64: true });
}

/** True if JSON cannot hold it as what it is: it would become an object of numbers. */
export function isBinary(value: unknown): boolean {
  return viewOf(value) !== undefined;
}

// The codecs

/** One that writes an empty body for `undefined`, and throws what its users are told to expect. */
function valueCodec(
  name: CodecName,
  write: (value: unknown) => Frames,
  read: (frames: Frames) => unknown,
): BodyCodec {
  return {
    name,
    contentType: `application/${name}`,
    encode: (value) => {
      if (value === undefined) return [EMPTY_FRAME];
      try {
        return write(value);
      } catch (cause) {
        const message = `this value cannot be written as ${name}: ${because(cause)}`;
        throw new InvalidArgumentError('ERR_INVALID_BODY', message, { cause });
      }
    },
    decode: (frames) => {
      if (byteLength(frames) === 0) return undefined;
      try {
        return read(frames);
      } catch (cause) {
        throw new SyntaxError(`this body is no ${name}: ${because(cause)}`, { cause });
      }
    },
  };
}

function because(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Every codec by its name. */
export const bodyCodecs: Readonly<Record<CodecName, BodyCodec>> = {
  bytes: {
    name: 'bytes',
    contentType: undefined,
    encode: framesOf,
    decode: (frames) => (frames.length === 1 ? frames[0] : frames),
  },
  json: valueCodec('json', encodeJson, decodeJson),
  msgpack: valueCodec('msgpack', encodeMessagePack, decodeMessagePack),
};

/** The codec whose bodies have this `content-type`, or undefined. */
export function codecOfType(contentType: string | undefined): BodyCodec | undefined {
  if (contentType === undefined) return undefined;
  return [bodyCodecs.json, bodyCodecs.msgpack].find((codec) => codec.contentType === contentType);
}
