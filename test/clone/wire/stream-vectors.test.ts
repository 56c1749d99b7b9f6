/** The recorded vectors, to which other languages are held, both ways; and `docs/clone-wire.md`. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/clone/digest.ts';
import * as format from '../../../src/clone/wire/stream-format.ts';
import { commandOf, decode, frameOf, packed, plain, shown, TAG, type Side } from './stream-wire.ts';

interface Vector {
  readonly name: string;
  readonly to: Side;
  readonly frames: readonly string[];
  readonly commands: readonly Readonly<Record<string, unknown>>[];
  readonly reason?: string;
}

type Vectors = Readonly<Record<'messages' | 'readable' | 'refused', readonly Vector[]>>;

const vectors = JSON.parse(readFileSync('test/clone/wire/stream-vectors.json', 'utf8')) as Vectors;

const named = (all: readonly Vector[]): [string, Vector][] =>
  all.map((vector) => [vector.name, vector]);

describe('vectors', () => {
  test.each(named(vectors.messages))('%s: is written', (_name, { frames, commands }) => {
    const written = packed(commands.map((command) => commandOf(command)));
    expect(written.map(shown)).toEqual([shown(frames.map(frameOf))]);
  });

  test.each(named([...vectors.messages, ...vectors.readable, ...vectors.refused]))(
    '%s: is read',
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

describe('docs/clone-wire.md', () => {
  const page = readFileSync('docs/clone-wire.md', 'utf8');

  test('shows vectors as they are', () => {
    const shownThere = [...page.matchAll(/^([0-9a-f]{2,}( [0-9a-f]{2,})*)  /gm)].map(([, bytes]) =>
      bytes!.replaceAll(' ', ''),
    );
    const messages = shownThere.join('').split(new RegExp(`(?=${TAG})`));
    const known = vectors.messages.map(({ frames }) => frames[0]);
    expect(messages).toHaveLength(3);
    expect(messages.filter((message) => !known.includes(message))).toEqual([]);
  });

  test('lists every command with its number', () => {
    const rows = [...page.matchAll(/^\| ([A-Z]+?) +\| +(\d+) /gm)];
    const listed = rows.map(([, name, number]) => [name!.toLowerCase(), Number(number)]);
    expect(Object.fromEntries(listed)).toEqual(format.TYPES);
  });

  test('lists every field with its tag', () => {
    const rows = [...page.matchAll(/^\| +(\d+) +\| `(\w+)`/gm)];
    const listed = rows.map(([, tag, name]) => [name, Number(tag)]);
    expect(Object.fromEntries(listed)).toEqual(format.FIELDS);
  });

  test('has the digests of two items', () => {
    const rows = [
      ...page.matchAll(/^\| `(\/.+?)` +\| ([\d,]+) +\| (.+?) +\| `(\w+)` `(\w+)` +\|/gm),
    ];
    const values = { '`one`': 'one', '5,000 times `x`': 'x'.repeat(5000) };
    const digests = rows.map(([, key, revision, value]) => {
      const bytes = Buffer.from(values[value as keyof typeof values]);
      const { high, low } = digestOf(key!, Number(revision!.replaceAll(',', '')), bytes);
      return [high, low].map((half) => half.toString(16).padStart(8, '0'));
    });
    expect(digests).toEqual(rows.map(([, , , , high, low]) => [high, low]));
    expect(rows).toHaveLength(2);
  });

  test('lists every kind, mode and outcome', () => {
    const words = { ...format.KINDS, ...format.MODES, done: format.DONE, ...format.REFUSALS };
    const flat = page.replaceAll('\n', ' ');
    const missing = Object.entries(words).filter(([name, number]) => {
      return !flat.includes(`${number} ${name}`);
    });
    expect(missing).toEqual([]);
  });

  test('lists every bound', () => {
    const { HEADER_LIMIT, COMMAND_LIMIT, FRAME_LIMIT, INLINE_LIMIT, LARGE_FRAME } = format;
    const { NUMBERS_LIMIT, REIGNS_LIMIT } = format;
    const ofMessages = [HEADER_LIMIT, COMMAND_LIMIT, FRAME_LIMIT, INLINE_LIMIT, LARGE_FRAME];
    for (const bound of [...ofMessages, NUMBERS_LIMIT, REIGNS_LIMIT]) {
      expect(page).toContain(bound.toLocaleString('en'));
    }
  });

  test('lists every reason', () => {
    const files = ['core/unpack', 'clone/wire/stream-reader', 'clone/wire/protocol'];
    const sources = files.map((name) => readFileSync(`src/${name}.ts`, 'utf8'));
    const found = sources
      .join('')
      .matchAll(/(?:refuse\(|return |= |\? undefined : )'([a-z][^']+ [^']+)'/g);
    const reasons = [...found].map(([, reason]) => reason!);
    // Of express alone.
    const others = new Set(['a text is too long']);
    expect(reasons.length).toBeGreaterThan(20);
    expect(
      reasons.filter((reason) => !others.has(reason) && !page.includes(`\`${reason}\``)),
    ).toEqual([]);
  });
});
