/**
 * How values are written: each is one frame of at least one byte, whatever the codec.
 *
 * A stock peer, or a client with another codec, sees the bytes; `json` and `text` are those that any
 * program reads.
 */
import { isBinary, packValue, unpackValue } from '../core/body-codec.ts';
import { CloneError, InvalidArgumentError } from '../core/errors.ts';
import { decodeStrictText, encodeText } from '../core/frames.ts';

/** `bytes`: a `Uint8Array`. `text`: a string, as UTF-8. `json`, `msgpack`: whatever these can hold. */
export type ValueCodecName = 'bytes' | 'text' | 'json' | 'msgpack';

export const VALUE_CODECS: readonly ValueCodecName[] = ['bytes', 'text', 'json', 'msgpack'];

interface ValueCodec {
  /** @throws TypeError if it cannot be written so */
  write(value: unknown): Uint8Array;
  /** @throws SyntaxError, RangeError if it was not written so */
  read(bytes: Uint8Array): unknown;
}

const codecs: Readonly<Record<ValueCodecName, ValueCodec>> = {
  bytes: {
    write: (value) => {
      if (value instanceof Uint8Array) return value;
      throw new TypeError(`it is ${kindOf(value)}, not a Uint8Array: name a codec for others`);
    },
    read: (bytes) => bytes,
  },
  text: {
    write: (value) => {
      if (typeof value === 'string') return encodeText(value);
      throw new TypeError(`it is ${kindOf(value)}, not a string`);
    },
    read: readText,
  },
  json: { write: writeJson, read: (bytes) => JSON.parse(readText(bytes)) as unknown },
  msgpack: { write: writeMessagePack, read: unpackValue },
};

/**
 * The bytes of a value, for this key. A `Uint8Array` is not copied.
 * @throws InvalidArgumentError `ERR_INVALID_BODY` if this codec cannot write it
 * @throws CloneError `ERR_EMPTY_VALUE` if no byte is left: on the wire that would delete the key
 */
export function encodeValue(codec: ValueCodecName, key: string, value: unknown): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = codecs[codec].write(value);
  } catch (cause) {
    const message = `the value for '${key}' cannot be written as ${codec}: ${because(cause)}`;
    throw new InvalidArgumentError('ERR_INVALID_BODY', message, { cause });
  }
  if (bytes.byteLength > 0) return bytes;
  const message = `the value for '${key}' is empty, which no value may be: use delete(key)`;
  throw new CloneError('ERR_EMPTY_VALUE', key, message);
}

/**
 * The value again; with `bytes`, and in binary parts of `msgpack`, a view on what is stored: do not change it.
 * @throws SyntaxError naming the key, if it was not written with this codec
 */
export function decodeValue(codec: ValueCodecName, key: string, bytes: Uint8Array): unknown {
  try {
    return codecs[codec].read(bytes);
  } catch (cause) {
    throw new SyntaxError(`the value of '${key}' is no ${codec}: ${because(cause)}`, { cause });
  }
}

function readText(bytes: Uint8Array): string {
  const text = decodeStrictText(bytes);
  if (text === undefined) throw new SyntaxError('it is not UTF-8');
  return text;
}

function refuseBinary(this: unknown, key: string, item: unknown): unknown {
  // `item` is what a Buffer's toJSON made of it: numbers.
  if (!isBinary((this as Record<string, unknown>)[key])) return item;
  throw new TypeError(`it has bytes in it, which JSON cannot hold: use codec 'msgpack'`);
}

function writeJson(value: unknown): Uint8Array {
  const text = JSON.stringify(value, refuseBinary) as string | undefined;
  if (text === undefined) throw new TypeError(`it is ${kindOf(value)}, which JSON has not`);
  return encodeText(text);
}

function writeMessagePack(value: unknown): Uint8Array {
  if (value !== undefined) return packValue(value);
  throw new TypeError('it is undefined, which MessagePack has not');
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}

function because(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
