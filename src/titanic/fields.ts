/** Reading JSON that anybody may have written: each field is what it should be, absent, or refused by name. */
import { decodeStrictText } from '../core/frames.ts';
import { count, milliseconds, type Rule } from '../core/options.ts';
import type { RequestId } from './commands.ts';

const ID = /^[0-9a-f]{32}$/i;

/** Bytes of JSON that are looked at: what is asked fits into far less. */
const JSON_LIMIT = 64 * 1024;

/** What was asked cannot be meant; the message says what is wrong with it. */
export class FieldError extends Error {}

/** The id that this text is, in lower case; undefined if it is none. */
export function readId(text: string): RequestId | undefined {
  return ID.test(text) ? text.toLowerCase() : undefined;
}

/** The fields of one JSON object. Those that nobody asks for are not looked at. */
export class Fields {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: object) {
    this.#values = values as Record<string, unknown>;
  }

  /** @throws FieldError unless the frame is a JSON object of moderate size */
  static read(frame: Uint8Array | undefined): Fields {
    if (frame === undefined) throw new FieldError('the frame of JSON is missing');
    if (frame.byteLength > JSON_LIMIT) {
      throw new FieldError(`the JSON has ${frame.byteLength} bytes, more than ${JSON_LIMIT}`);
    }
    const value = parse(decodeStrictText(frame));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new Fields(value);
    }
    throw new FieldError('the first frame is not a JSON object');
  }

  /** @throws FieldError as all that follow, if it is there and something else */
  milliseconds(name: string, least: number): number | undefined {
    return positive(this.#get<number>(name, milliseconds(least, least)));
  }

  count(name: string, least: number): number | undefined {
    return positive(this.#get<number>(name, count(least, least)));
  }

  text(name: string): string | undefined {
    return this.#get<string>(name, TEXT);
  }

  word<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const expected = `one of ${words.join(', ')}`;
    const accepts = (value: unknown): boolean => (words as readonly unknown[]).includes(value);
    return this.#get<Word>(name, { expected, accepts });
  }

  id(name: string): RequestId | undefined {
    return this.#get<string>(name, AN_ID)?.toLowerCase();
  }

  /** The caller names the type of what the rule accepts. */
  #get<Value>(name: string, rule: Pick<Rule<unknown>, 'expected' | 'accepts'>): Value | undefined {
    if (!Object.hasOwn(this.#values, name)) return undefined;
    const value = this.#values[name];
    if (rule.accepts(value)) return value as Value;
    throw new FieldError(`'${name}' must be ${rule.expected}`);
  }
}

const TEXT = { expected: 'text', accepts: (value: unknown) => typeof value === 'string' };

const AN_ID = {
  expected: 'an id of 32 hexadecimal digits',
  accepts: (value: unknown) => typeof value === 'string' && readId(value) !== undefined,
};

/** JSON has a zero below zero, which is another one to whoever compares closely. */
function positive(value: number | undefined): number | undefined {
  return value === 0 ? 0 : value;
}

function parse(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined; // not JSON, or too deep: refused as anything else that is no object
  }
}
