/** Which tables LevelDB counts as its own: what its manifest adds up to. */
import { maskedCrc32c } from './crc32c.ts';
import { Cursor, MalformedFile } from './level-bytes.ts';
import type { Bounds } from './level-table.ts';

const BLOCK = 32 * 1024;
const HEADER = 7;
/** Parts of a record: the whole of it, or its first, middle and last. */
const [FULL, FIRST, MIDDLE, LAST] = [1, 2, 3, 4];

/** Of an edit: what follows. */
const [COMPARATOR, LOG, NEXT, SEQUENCE, POINTER, DELETED, ADDED, PREVIOUS] = [
  1, 2, 3, 4, 5, 6, 7, 9,
];

/**
 * The tables by their numbers. It ends where the manifest can no longer be read: there LevelDB itself
 * either says so, or takes it for the end.
 */
export function tablesIn(manifest: Buffer): Map<number, Bounds> {
  const tables = new Map<number, Bounds>();
  try {
    for (const edit of recordsIn(manifest)) apply(new Cursor(edit), tables);
  } catch (error) {
    if (!(error instanceof MalformedFile)) throw error;
  }
  return tables;
}

function apply(edit: Cursor, tables: Map<number, Bounds>): void {
  while (!edit.isAtEnd) {
    const tag = edit.number();
    if (tag === COMPARATOR) edit.field();
    else if (tag === LOG || tag === NEXT || tag === SEQUENCE || tag === PREVIOUS) edit.number();
    else if (tag === POINTER) {
      edit.number();
      edit.field();
    } else if (tag === DELETED) {
      edit.number();
      tables.delete(edit.number());
    } else if (tag === ADDED) {
      edit.number();
      const number = edit.number();
      edit.number();
      tables.set(number, { smallest: edit.field(), largest: edit.field() });
    } else throw new MalformedFile('an edit of no known kind');
  }
}

/** The records of a log file, which is what a manifest is. @throws MalformedFile */
function* recordsIn(log: Buffer): Generator<Buffer> {
  let parts: Buffer[] = [];
  for (let at = 0; at + HEADER <= log.length;) {
    const left = BLOCK - (at % BLOCK);
    if (left < HEADER) {
      at += left;
      continue;
    }
    const length = log.readUInt16LE(at + 4);
    const kind = log[at + 6]!;
    const end = at + HEADER + length;
    if (HEADER + length > left || end > log.length) throw new MalformedFile('a record has no end');
    if (maskedCrc32c(log.subarray(at + 6, end)) !== log.readUInt32LE(at))
      throw new MalformedFile('a record has a wrong checksum');
    if (kind === FULL || kind === FIRST) parts = [];
    else if (kind !== MIDDLE && kind !== LAST) throw new MalformedFile('a record of no known kind');
    parts.push(log.subarray(at + HEADER, end));
    if (kind === FULL || kind === LAST) yield Buffer.concat(parts);
    at = end;
  }
}
