/** The recorded vectors, to which other languages are held, both ways; and `docs/express.md`. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as format from '../../src/majordomo/wire/express-format.ts';
import { packed } from './express-messages.ts';
import { commandOf, decode, frameOf, plain, shown, type Side } from './express-wire.ts';

interface Vector {
  readonly name: string;
  readonly to: Side;
  readonly frames: readonly string[];
  readonly commands: readonly Readonly<Record<string, unknown>>[];
  readonly reason?: string;
}

type Vectors = Readonly<Record<'messages' | 'readable' | 'refused', readonly Vector[]>>;

const vectors: Vectors = JSON.parse(
  readFileSync('test/majordomo/express-vectors.json', 'utf8'),
) as Vectors;

const named = (all: readonly Vector[]): [string, Vector][] =>
  all.map((vector) => [vector.name, vector]);

describe('vectors', () => {
  test.each(named(vectors.messages))('%s is written', (_name, { frames, commands }) => {
    const written = packed(commands.map(commandOf));
    expect(written.map(shown)).toEqual([shown(frames.map(frameOf))]);
  });

  test.each(named([...vectors.messages, ...vectors.readable, ...vectors.refused]))(
    '%s is read',
    (_name, { to, frames, commands, reason }) => {
      const read = decode(to, frames.map(frameOf));
      expect(read.commands.map(plain)).toEqual(commands.map((one) => plain(commandOf(one))));
      expect(read.reason).toBe(reason);
    },
  );

  test('have every command', () => {
    const types = vectors.messages.flatMap(({ commands }) => commands.map(({ type }) => type));
    expect(new Set(types)).toEqual(new Set(Object.keys(format.TYPES)));
  });
});

describe('docs/express.md', () => {
  const page = readFileSync('docs/express.md', 'utf8');

  test('shows vectors as they are', () => {
    const shownThere = [...page.matchAll(/^([0-9a-f]{2,}( [0-9a-f]{2,})*)  /gm)].map(([, bytes]) =>
      bytes!.replaceAll(' ', ''),
    );
    const messages = shownThere.join('').split(/(?=554e53583031)/);
    const known = vectors.messages.map(({ frames }) => frames[0]);
    expect(messages).toHaveLength(4);
    expect(messages.filter((message) => !known.includes(message))).toEqual([]);
  });

  test('lists every command with its number', () => {
    const rows = [...page.matchAll(/^\| ([A-Z ]+?) +\| +(\d+) /gm)];
    const listed = rows.map(([, name, number]) => [inCode(name!), Number(number)]);
    expect(Object.fromEntries(listed)).toEqual(format.TYPES);
  });

  test('lists every field with its tag', () => {
    const rows = [...page.matchAll(/^\| +(\d+) +\| `(\w+)`/gm)];
    const listed = rows.map(([, tag, name]) => [name, Number(tag)]);
    expect(Object.fromEntries(listed)).toEqual(format.FIELDS);
  });

  test('lists every kind of record', () => {
    const rows = [...page.matchAll(/^\| +(\d+) +\| ([A-Z ]+?) +\|/gm)];
    const listed = rows.map(([, kind, name]) => [inCode(name!), Number(kind)]);
    expect(Object.fromEntries(listed)).toEqual(format.RECORDS);
  });

  test('lists every bound', () => {
    const { HEADER_LIMIT, COMMAND_LIMIT, FRAME_LIMIT, INLINE_LIMIT, LARGE_FRAME } = format;
    const { HELD_LIMIT, HEADERS_LIMIT, KEY_LIMIT, FAILURE_LIMIT, KEYS_SIZE } = format;
    const bounds = [HEADER_LIMIT, COMMAND_LIMIT, FRAME_LIMIT, INLINE_LIMIT, LARGE_FRAME];
    for (const bound of [
      ...bounds,
      HELD_LIMIT,
      HEADERS_LIMIT,
      KEY_LIMIT,
      FAILURE_LIMIT,
      KEYS_SIZE,
    ]) {
      expect(page).toContain(bound.toLocaleString('en'));
    }
  });

  test('lists every reason', () => {
    const parts = ['codec', 'inputs', 'pair'].map((name) => `majordomo/wire/express-${name}`);
    const sources = ['core/unpack', ...parts].map((name) => readFileSync(`src/${name}.ts`, 'utf8'));
    const reasons = [
      ...sources.join('').matchAll(/(?:refuse\(|return |\? undefined : )'([a-z][^']+ [^']+)'/g),
    ].map(([, reason]) => reason!);
    expect(reasons.length).toBeGreaterThan(20);
    expect(reasons.filter((reason) => !page.includes(reason))).toEqual([]);
  });
});

/** `HAND BACK` as the code has it: `handBack`. */
function inCode(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/ (.)/g, (_, letter: string) => letter.toUpperCase());
}
