/** Messages of the stream as hexadecimal text, and commands as the recorded vectors have them. */
import type { Outgoing } from '../../../src/core/codec.ts';
import type { Frames } from '../../../src/core/machine.ts';
import { followerCodec, serverCodec } from '../../../src/clone/wire/protocol.ts';
import type { StreamDialect } from '../../../src/clone/wire/stream-format.ts';
import { encodeStream } from '../../../src/clone/wire/stream-writer.ts';

export type Side = 'server' | 'follower';

export const SIDES: readonly Side[] = ['server', 'follower'];

export interface Decoded {
  readonly commands: readonly object[];
  readonly reason: string | undefined;
}

/** What a side makes of a message. */
export function decode(side: Side, frames: Frames): Decoded {
  const commands: object[] = [];
  const deliver = (command: object): void => void commands.push(command);
  const reason =
    side === 'server'
      ? serverCodec.decode('peers', frames, deliver)
      : followerCodec.decode('server', frames, deliver);
  return { commands, reason };
}

/** The commands packed, as a driver does it that queues one after the other. */
export function packed(all: readonly StreamDialect[]): Frames[] {
  const packs: Outgoing[] = [];
  for (const command of all) {
    const open = packs.at(-1);
    const pack = encodeStream(command, open);
    if (pack !== open) packs.push(pack);
  }
  return packs.map(({ frames }) => frames);
}

export const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
export const shown = (frames: Frames): string[] =>
  frames.map((frame) => Buffer.from(frame).toString('hex'));

export const TAG = Buffer.from('UNSXCL01').toString('hex');

/** The bytes of one command. */
export function wireCommand(type: number, rest: string): string {
  const length = hex(rest).length.toString(16).padStart(8, '0');
  return type.toString(16).padStart(2, '0') + length + rest;
}

/** A command as the vectors have it: bytes as hexadecimal text, and only what is there. */
export function plain(command: object): Record<string, unknown> {
  const there = Object.entries(command).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    there.map(([name, value]: [string, unknown]) => {
      if (value instanceof Uint8Array) return [name, shown([value])[0]];
      if (name === 'value') return [name, shown(value as Frames)];
      if (name === 'origin') return [name, plain(value as object)];
      if (['writer', 'uuid'].includes(name)) {
        return [name, Buffer.from(value as string, 'latin1').toString('hex')];
      }
      return [name, value];
    }),
  );
}

/** A frame of a vector: hexadecimal text, and `*n` if that is repeated n times. */
export function frameOf(text: string): Uint8Array {
  const [bytes = '', times = '1'] = text.split('*');
  return hex(bytes.repeat(Number(times)));
}

/** The command that a vector means. */
export function commandOf<Command = StreamDialect>(
  vector: Readonly<Record<string, unknown>>,
): Command {
  const { value, origin } = vector;
  const command: Record<string, unknown> = { ...vector };
  if (Array.isArray(value)) command.value = value.map(frameOf);
  if (typeof value === 'string') command.value = frameOf(value);
  if (origin !== undefined) command.origin = commandOf(origin as Record<string, unknown>);
  for (const name of ['writer', 'uuid']) {
    const id = vector[name];
    if (typeof id === 'string') command[name] = Buffer.from(id, 'hex').toString('latin1');
  }
  // The file is ours; a mistake in it shows as bytes that differ.
  return command as Command;
}
