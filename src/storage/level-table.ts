/**
 * Whether LevelDB can read a table of its own without harm.
 *
 * LevelDB, as it is reached from here, does not verify checksums of blocks, and it takes their order for
 * granted: keys in disorder end the whole process in an assertion. So tables are verified before LevelDB
 * sees them. A damaged value passes: the records have checksums of their own, and only that one is lost.
 */
import { maskedCrc32c } from './crc32c.ts';
import { compareKeys, Cursor, MalformedFile } from './level-bytes.ts';

const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const FOOTER = 48;
/** One byte that says whether it is compressed, four of checksum. */
const TRAILER = 5;

/** The first and the last key of a table, as the manifest has them. */
export interface Bounds {
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

interface Block {
  /** Without the trailer. */
  readonly bytes: Buffer;
  readonly isSound: boolean;
  readonly isCompressed: boolean;
}

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Why a table would do harm; undefined if it would not. */
export function tableFault(table: Buffer, bounds?: Bounds): string | undefined {
  try {
    checkTable(table, bounds);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedFile) return error.message;
    throw error;
  }
}

function checkTable(table: Buffer, bounds: Bounds | undefined): void {
  const end = table.length - FOOTER;
  if (end < 0 || !table.subarray(-MAGIC.length).equals(MAGIC))
    throw new MalformedFile('it does not end as a table does');
  const footer = new Cursor(table, end);
  const meta = soundBlock(table, footer, 'the index of its filters');
  const index = soundBlock(table, footer, 'its index');
  for (const { value } of entriesOf(meta)) soundBlock(table, new Cursor(value), 'a filter');
  let before: Buffer | undefined = bounds?.smallest;
  for (const { key, value } of entriesOf(index)) {
    const block = blockAt(table, new Cursor(value));
    // What nobody has changed since LevelDB wrote it is in order.
    if (!block.isSound) checkOrder(block, before, smaller(key, bounds?.largest));
    before = key;
  }
}

function smaller(key: Buffer, other: Buffer | undefined): Buffer {
  return other !== undefined && compareKeys(other, key) < 0 ? other : key;
}

/** Keys ascend within their bounds, and all can be reached. @throws MalformedFile */
function checkOrder(block: Block, before: Buffer | undefined, last: Buffer): void {
  if (block.isCompressed) throw new MalformedFile('a compressed block has a wrong checksum');
  let previous: Buffer | undefined;
  for (const { key } of entriesOf(block.bytes)) {
    const isFirst = previous === undefined;
    previous ??= before;
    const order = previous === undefined ? 1 : compareKeys(key, previous);
    if (order < 0 || (order === 0 && !isFirst) || compareKeys(key, last) > 0)
      throw new MalformedFile('keys are out of order');
    previous = key;
  }
}

/** The block that a handle points to. @throws MalformedFile */
function blockAt(table: Buffer, handle: Cursor): Block {
  const at = handle.number();
  const size = handle.number();
  if (at + size + TRAILER > table.length - FOOTER)
    throw new MalformedFile('a block reaches beyond the end');
  const kind = table[at + size]!;
  const isSound =
    maskedCrc32c(table.subarray(at, at + size + 1)) === table.readUInt32LE(at + size + 1);
  return { bytes: table.subarray(at, at + size), isSound, isCompressed: kind !== 0 };
}

/** @throws MalformedFile if it is not as it was written */
function soundBlock(table: Buffer, handle: Cursor, what: string): Buffer {
  const { bytes, isSound, isCompressed } = blockAt(table, handle);
  if (!isSound) throw new MalformedFile(`${what} has a wrong checksum`);
  if (isCompressed) throw new MalformedFile(`${what} is compressed, and none of ours is`);
  return bytes;
}

/** What is in a block. A key shares its first bytes with the one before. @throws MalformedFile */
function* entriesOf(block: Buffer): Generator<Entry> {
  const restarts = restartsOf(block);
  const cursor = new Cursor(block, 0, restarts.end);
  let key = Buffer.alloc(0);
  while (!cursor.isAtEnd) {
    const isRestart = restarts.at.delete(cursor.at);
    const [shared, added, length] = [cursor.number(), cursor.number(), cursor.number()];
    if (shared > key.length || (isRestart && shared > 0))
      throw new MalformedFile('a key shares more than there is');
    key = Buffer.concat([key.subarray(0, shared), cursor.bytes(added)]);
    yield { key, value: cursor.bytes(length) };
  }
  if (restarts.at.size > 0) throw new MalformedFile('a block points beside its keys');
}

/** Where keys stand in full, for LevelDB to search from. @throws MalformedFile */
function restartsOf(block: Buffer): { readonly at: Set<number>; readonly end: number } {
  const count = block.length < 4 ? 0 : block.readUInt32LE(block.length - 4);
  const end = block.length - 4 * (count + 1);
  if (count === 0 || end < 0) throw new MalformedFile('a block has no end');
  const at = new Set<number>();
  for (let index = 0; index < count; index++) at.add(block.readUInt32LE(end + 4 * index));
  // A block without entries has one, at its beginning.
  if (end === 0) at.delete(0);
  return { at, end };
}
