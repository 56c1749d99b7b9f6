/**
 * 12/CHP, the Clustered Hashmap Protocol: what stock clients and servers say, as frames and back.
 *
 *   ICANHAZ  'ICANHAZ?'  subtree
 *   KVSYNC   key         sequence  ''      ''          value
 *   KTHXBAI  'KTHXBAI'   sequence  ''      ''          subtree
 *   KVPUB    key         sequence  uuid    properties  value
 *   HUGZ     'HUGZ'      sequence  ''      ''          ''
 *   KVSET    key         sequence  uuid    properties  value
 *
 * A sequence is 8 bytes, big-endian; a uuid 16 bytes, or none; properties are any number of
 * `name=value\n`. We know one, `ttl`, in whole seconds. Practice differs from the text, so what we read
 * may be either, and what we write harms nobody: KTHXBAI names the subtree, as the text has it and nobody
 * minds; HUGZ has the current sequence, as practice has it, so that a lost update can be found.
 */
import { decodeStrictText, EMPTY_FRAME, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type {
  HugzCommand,
  IcanhazCommand,
  KthxbaiCommand,
  KvpubCommand,
  KvsetCommand,
  KvsyncCommand,
} from '../commands.ts';
import { isKey, isSubtree, KEY_LIMIT } from '../key.ts';

type ChpCommand =
  IcanhazCommand | KvsetCommand | KvsyncCommand | KthxbaiCommand | KvpubCommand | HugzCommand;

const ICANHAZ = encodeText('ICANHAZ?');
const KTHXBAI = encodeText('KTHXBAI');
const HUGZ = encodeText('HUGZ');

/** Words of the protocol: no keys, whoever says them. */
const RESERVED: ReadonlySet<string> = new Set(['ICANHAZ?', 'KTHXBAI', 'HUGZ']);

const SEQUENCE_LENGTH = 8;
const UUID_LENGTH = 16;

/** Bytes of properties. */
const PROPERTIES_LIMIT = 4096;

/** Seconds of the longest time to live: in milliseconds a whole number still. */
const TTL_LIMIT = Math.floor(Number.MAX_SAFE_INTEGER / 1000);

const TEXT = 'a key that is empty, too long or not UTF-8';

/** True if this begins as an ICANHAZ does. */
export function isIcanhaz(frames: Frames): boolean {
  return equals(frames[0], ICANHAZ);
}

// Writing

/** The frames of a command. Conservative: all but ICANHAZ have five. */
export function encodeChp(command: ChpCommand): Frames {
  switch (command.type) {
    case 'icanhaz':
      return [ICANHAZ, encodeText(command.subtree)];
    case 'kvset':
    case 'kvpub': {
      const sequence = command.type === 'kvpub' ? command.sequence : 0;
      const { key, uuid, ttl, value } = command;
      return [encodeText(key), written(sequence), uuidFrame(uuid), properties(ttl), value];
    }
    case 'kvsync':
      return five(encodeText(command.key), command.sequence, command.value);
    case 'kthxbai':
      return five(KTHXBAI, command.sequence, encodeText(command.subtree));
    case 'hugz':
      return five(HUGZ, command.sequence, EMPTY_FRAME);
  }
}

function five(first: Uint8Array, sequence: number, last: Uint8Array): Frames {
  return [first, written(sequence), EMPTY_FRAME, EMPTY_FRAME, last];
}

function written(sequence: number): Uint8Array {
  const bytes = new Uint8Array(SEQUENCE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(sequence / 2 ** 32));
  view.setUint32(4, sequence >>> 0);
  return bytes;
}

function uuidFrame(uuid: string): Uint8Array {
  return uuid.length === UUID_LENGTH ? Buffer.from(uuid, 'latin1') : EMPTY_FRAME;
}

/** Seconds are rounded up, so that nothing expires early. */
function properties(ttl: number | undefined): Uint8Array {
  if (ttl === undefined) return EMPTY_FRAME;
  return encodeText(`ttl=${Math.min(TTL_LIMIT, Math.ceil(ttl / 1000))}\n`);
}

// Reading: the command, or why it is refused

/** A request for a snapshot; without a subtree it is for everything. */
export function decodeIcanhaz(frames: Frames): IcanhazCommand | string {
  if (!isIcanhaz(frames)) return 'not an ICANHAZ';
  if (frames.length > 2) return 'an ICANHAZ of too many frames';
  const subtree = frames[1] === undefined ? '' : textOf(frames[1]);
  if (subtree === undefined || !isSubtree(subtree)) return 'a subtree that is none';
  return { type: 'icanhaz', subtree };
}

/** What a stock client writes. Its sequence has no significance. */
export function decodeKvset(frames: Frames): KvsetCommand | string {
  const [first, , uuid, text, value] = frames;
  if (frames.length !== 5 || value === undefined) return 'not five frames';
  const key = textOf(first!);
  if (key === undefined) return TEXT;
  if (RESERVED.has(key)) return 'a key that is a reserved word';
  if (!isKey(key)) return 'a key that is no path';
  const rest = readRest(uuid!, text!);
  return typeof rest === 'string' ? rest : { type: 'kvset', key, ...rest, value };
}

/** What a stock server says to one client. */
export function decodeSnapshot(frames: Frames): KvsyncCommand | KthxbaiCommand | string {
  const [first, number, , , last] = frames;
  if (frames.length !== 5 || last === undefined) return 'not five frames';
  const sequence = sequenceOf(number!);
  if (equals(first, KTHXBAI)) {
    if (sequence === undefined) return 'a sequence that is none';
    // In practice it is empty.
    return { type: 'kthxbai', sequence, subtree: textOf(last) ?? '' };
  }
  const key = textOf(first!);
  if (key === undefined || key === '') return TEXT;
  if (RESERVED.has(key)) return 'a key that is a reserved word';
  return { type: 'kvsync', key, sequence: sequence ?? 0, value: last };
}

/** What a stock server publishes. */
export function decodePublished(frames: Frames): KvpubCommand | HugzCommand | string {
  const [first, number, uuid, text, value] = frames;
  // The text may be read as eight digits: such a number, and none at all, say nothing.
  if (equals(first, HUGZ)) {
    return { type: 'hugz', sequence: number === undefined ? 0 : (sequenceOf(number) ?? 0) };
  }
  if (frames.length !== 5 || value === undefined) return 'not five frames';
  const sequence = sequenceOf(number!);
  if (sequence === undefined) return 'a sequence that is none';
  const key = textOf(first!);
  if (key === undefined || key === '') return TEXT;
  if (RESERVED.has(key)) return 'a key that is a reserved word';
  const rest = readRest(uuid!, text!);
  return typeof rest === 'string' ? rest : { type: 'kvpub', key, sequence, ...rest, value };
}

function readRest(
  uuid: Uint8Array,
  text: Uint8Array,
): { readonly uuid: string; readonly ttl: number | undefined } | string {
  if (uuid.length !== 0 && uuid.length !== UUID_LENGTH) return 'a uuid of another length';
  const ttl = ttlOf(text);
  if (typeof ttl === 'string') return ttl;
  return { uuid: Buffer.from(uuid).toString('latin1'), ttl };
}

/** The `ttl` among the properties, in milliseconds; or why they are refused. 0 is none, as in practice. */
function ttlOf(frame: Uint8Array): number | undefined | string {
  if (frame.length === 0) return undefined;
  const text = frame.length > PROPERTIES_LIMIT ? undefined : decodeStrictText(frame);
  if (text === undefined) return 'properties that are too long or not UTF-8';
  if (!/^(?:[^=\n]+=[^\n]*\n)+$/.test(text)) return 'properties that are none';
  const found = [...text.matchAll(/^ttl=(.*)$/gm)];
  if (found.length === 0) return undefined;
  const seconds = /^\d{1,16}$/.test(found[0]![1]!) ? Number(found[0]![1]) : Infinity;
  if (found.length > 1 || seconds > TTL_LIMIT) return 'a ttl that is none';
  return seconds === 0 ? undefined : seconds * 1000;
}

/** Undefined if it has not eight bytes, or is beyond what is exact. */
function sequenceOf(frame: Uint8Array): number | undefined {
  if (frame.length !== SEQUENCE_LENGTH) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, SEQUENCE_LENGTH);
  const sequence = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}

function textOf(frame: Uint8Array): string | undefined {
  return frame.length > KEY_LIMIT ? undefined : decodeStrictText(frame);
}

function equals(frame: Uint8Array | undefined, word: Uint8Array): boolean {
  if (frame === undefined || frame.length !== word.length) return false;
  for (let index = 0; index < word.length; index++) if (frame[index] !== word[index]) return false;
  return true;
}
