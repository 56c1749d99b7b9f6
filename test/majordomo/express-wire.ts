/** Express messages as hexadecimal text, and commands as the recorded vectors have them. */
import type { Codec } from '../../src/core/codec.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Command, ReplicaRecord } from '../../src/majordomo/wire/commands.ts';
import * as format from '../../src/majordomo/wire/express-format.ts';
import { brokerCodec, clientCodec, workerCodec } from '../../src/majordomo/wire/protocol.ts';

/** `follower`: a passive broker, at the port on which it hears the active one. */
export type Side = 'broker' | 'worker' | 'client' | 'follower';

export const SIDES: readonly Side[] = ['broker', 'worker', 'client', 'follower'];

const CODECS: Record<Side, Pick<Codec<string, Command, never>, 'decode'>> = {
  broker: brokerCodec,
  worker: workerCodec,
  client: clientCodec,
  follower: brokerCodec,
};

export interface Decoded {
  readonly commands: readonly Command[];
  readonly reason: string | undefined;
}

/** What a side makes of a message. */
export function decode(side: Side, frames: Frames): Decoded {
  const commands: Command[] = [];
  const port = side === 'follower' ? 'active' : 'express';
  const reason = CODECS[side].decode(port, frames, (command) => commands.push(command));
  return { commands, reason };
}

export const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
export const shown = (frames: Frames): string[] =>
  frames.map((frame) => Buffer.from(frame).toString('hex'));

export const TAG = Buffer.from('UNSX01').toString('hex');

/** A command as the vectors have it: bytes as hexadecimal text, and only what is on the wire. */
export function plain(command: Command | ReplicaRecord): Record<string, unknown> {
  const entries = Object.entries(command).filter(
    ([name, value]) =>
      !['dialect', 'envelope'].includes(name) &&
      value !== undefined &&
      // The flags of a request or a welcome are there, or not.
      !(value === false && ['failFast', 'broadcast', 'standby', 'isHeir'].includes(name)) &&
      !(value === '' && ['service', 'endpoint'].includes(name)),
  );
  return Object.fromEntries(
    entries.map(([name, value]: [string, unknown]) => {
      if (name === 'body') return [name, shown(value as Frames)];
      if (value instanceof Uint8Array) return [name, shown([value])[0]];
      if (name === 'record') return [name, plain(value as ReplicaRecord)];
      if (['session', 'worker'].includes(name)) {
        return [name, Buffer.from(value as string, 'latin1').toString('hex')];
      }
      return [name, value];
    }),
  );
}

/** The bytes of one command. */
export function wireCommand(type: number, rest: string): string {
  const length = hex(rest).length.toString(16).padStart(8, '0');
  return type.toString(16).padStart(2, '0') + length + rest;
}

export const DISCONNECT = wireCommand(format.TYPES.disconnect, '');

/** A message of these commands, without further frames. */
export function message(...commands: readonly string[]): Frames {
  return [hex(TAG + commands.join(''))];
}

/** A frame of a vector: hexadecimal text, and `*n` if that is repeated n times. */
export function frameOf(text: string): Uint8Array {
  const [bytes = '', times = '1'] = text.split('*');
  return hex(bytes.repeat(Number(times)));
}

/** The command that a vector means. */
export function commandOf(vector: Readonly<Record<string, unknown>>): Command {
  const { type } = vector;
  const bytes: Record<string, unknown> = inBytes(vector);
  if (type === 'reply') bytes.service = '';
  if (type === 'standing') bytes.endpoint = vector.endpoint ?? '';
  if (type === 'dispatch' || type === 'result') bytes.envelope = [];
  if (type === 'record') bytes.record = inBytes(vector.record as Record<string, unknown>);
  // The file is ours; a mistake in it shows as bytes that differ.
  return { dialect: 'express', ...bytes } as unknown as Command;
}

function inBytes(vector: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { body, headers, session, worker } = vector;
  const bytes: Record<string, unknown> = { ...vector };
  if (Array.isArray(body)) bytes.body = body.map(frameOf);
  if (typeof headers === 'string') bytes.headers = frameOf(headers);
  if (typeof session === 'string') bytes.session = latin1(session);
  if (typeof worker === 'string') bytes.worker = latin1(worker);
  return bytes;
}

function latin1(id: string): string {
  return Buffer.from(id, 'hex').toString('latin1');
}
