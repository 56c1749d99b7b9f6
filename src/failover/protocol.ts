/**
 * What is on the wire between the two servers of a pair, and between them and their witness.
 *
 *   own     UNSXBS01 json      the fields of one command, as JSON of up to 4 KiB
 *   stock   digit              1 primary, waiting; 2 backup, waiting; 3 active; 4 passive
 *
 * Decoding is total: whatever the bytes, the result is one command or the reason why not. Fields that
 * nobody knows are passed over, so that a later version may add some.
 */
import { EPOCH_LIMIT } from '../core/election.ts';
import { deliverOr, messageOf, type Codec } from '../core/codec.ts';
import { decodeStrictText, encodeText, equalBytes } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { PairInput, PairOutput, VoterInput, VoterOutput } from './commands.ts';
import type { PairPort, WitnessPort } from './failover-events.ts';
import { isPairName, LEASE_LIMIT } from './options.ts';

/** Names the protocol and its version; no stock peer begins like this. */
const TAG = encodeText('UNSXBS01');

/** Bytes of JSON that are looked at. */
export const JSON_LIMIT = 4096;

/** Bytes of an endpoint that is told to a peer. */
export const ENDPOINT_LIMIT = 255;

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, Check>>;
type Command = Exclude<PairInput, { type: 'stockState' }>;

const isFlag: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 1;
const isEpoch: Check = (value) =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= EPOCH_LIMIT;
const isTime = (least: number): Check => {
  return (value) => typeof value === 'number' && value >= least && value <= LEASE_LIMIT;
};
const oneOf = (...words: readonly string[]): Check => {
  return (value) => typeof value === 'string' && words.includes(value);
};
const orAbsent =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

/** True for what may be told as an endpoint: short text, or none. */
export const isEndpoint: Check = (value) => value === '' || isPairName(value);

const speaker: Fields = { pair: isPairName, role: oneOf('primary', 'backup'), life: isCount };

/** All fields of each command, in the order of their writing. */
const COMMANDS: Readonly<Record<Command['type'], Fields>> = {
  state: {
    ...speaker,
    beat: isCount,
    state: oneOf('waiting', 'passive', 'active', 'leaving'),
    epoch: isEpoch,
    holds: orAbsent(isEpoch),
    alone: orAbsent(isFlag),
    heard: orAbsent(isCount),
    endpoint: isEndpoint,
  },
  claim: {
    ...speaker,
    number: isCount,
    epoch: isEpoch,
    lease: isTime(1),
    synchronised: isFlag,
    alone: isFlag,
    forced: isFlag,
  },
  grant: { ...speaker, number: isCount, epoch: isEpoch },
  refusal: {
    ...speaker,
    number: isCount,
    reason: oneOf('held', 'starting', 'outdated', 'unsynchronised'),
    epoch: isEpoch,
    timeLeft: isTime(0),
  },
  release: { ...speaker, epoch: isEpoch },
};

/** Between two servers of our own. */
export const pairCodec: Codec<PairPort, PairInput, PairOutput> = {
  decode: (_port, frames, deliver) => deliverOr(decodeOwn(frames), deliver),
  encode: (_port, command) => messageOf(framesFor(command)),
};

/** At a witness. */
export const witnessCodec: Codec<WitnessPort, VoterInput, VoterOutput> = {
  decode: (_port, frames, deliver) => {
    const command = decodeOwn(frames);
    if (typeof command === 'string') return command;
    if (command.type !== 'claim' && command.type !== 'release') {
      return `a witness does not take '${command.type}'`;
    }
    deliver(command);
    return undefined;
  },
  encode: (_port, command) => messageOf(framesFor(command)),
};

const DIGITS = [1, 2, 3, 4] as const;

/** With a peer of another make. */
export const stockCodec: Codec<PairPort, PairInput, PairOutput> = {
  decode: (_port, frames, deliver) => {
    const [only] = frames;
    const byte = frames.length === 1 && only?.length === 1 ? only[0]! - 0x30 : 0;
    const digit = DIGITS.find((each) => each === byte);
    if (digit === undefined) return 'not one digit from 1 to 4';
    deliver({ type: 'stockState', digit });
    return undefined;
  },
  encode: (_port, command) => messageOf(framesFor(command)),
};

function framesFor(command: PairOutput): Frames {
  if (command.type === 'stockState') return [encodeText(String(command.digit))];
  const values = command as unknown as Readonly<Record<string, unknown>>;
  const said: Record<string, unknown> = { type: command.type };
  for (const name of Object.keys(COMMANDS[command.type])) said[name] = values[name];
  return [TAG, encodeText(JSON.stringify(said))];
}

function decodeOwn(frames: Frames): Command | string {
  const [tag, json] = frames;
  if (tag === undefined || !equalBytes(tag, TAG)) return 'no message of a pair';
  if (json === undefined || frames.length !== 2) return 'not two frames';
  if (json.byteLength > JSON_LIMIT) return `more than ${JSON_LIMIT} bytes of JSON`;
  const given = parse(decodeStrictText(json));
  if (typeof given !== 'object' || given === null) return 'not a JSON object';
  const values = given as Readonly<Record<string, unknown>>;
  const type = own(values, 'type');
  const fields = typeof type === 'string' && Object.hasOwn(COMMANDS, type) ? type : undefined;
  if (fields === undefined) return 'no such command';
  return commandOf(fields as Command['type'], values);
}

/** Of the fields that are known, all must be right; of the others nothing is kept. */
function commandOf(
  type: Command['type'],
  values: Readonly<Record<string, unknown>>,
): Command | string {
  const command: Record<string, unknown> = { type };
  for (const [name, accepts] of Object.entries(COMMANDS[type])) {
    const value = own(values, name);
    if (!accepts(value)) return `'${name}' of '${type}' is wrong`;
    // JSON has a zero below zero, which is another one to whoever compares closely.
    if (value !== undefined) command[name] = value === 0 ? 0 : value;
  }
  return command as unknown as Command;
}

function own(values: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function parse(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined; // not JSON, or too deep: refused as anything else that is no object
  }
}
