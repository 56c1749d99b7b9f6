/** Messages of a Clone run in words: `update 5 after 3 set /a/1 'w7;'`, `follow stream 2 '/a/' from 4 of 1`. */
import { decodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { FollowerInput, ServerInput } from '../../clone/commands.ts';
import { clientCodec, serverCodec } from '../../clone/wire/protocol.ts';
import { showFrames } from '../transcript.ts';

/** As much of a message as tells what it is about. */
export function showCloneMessage(frames: Frames, from: string, to: string): string {
  const shown: string[] = [];
  const show = (command: FollowerInput | ServerInput): void => {
    shown.push(showCommand(command));
  };
  const isDown = kindOf(from) === 'server' || (from === 'rogue' && kindOf(to) === 'client');
  const isBetween = kindOf(from) === 'server' && kindOf(to) === 'server';
  const decoders = [
    (): string | undefined => serverCodec.decode('peers', frames, show),
    (): string | undefined => clientCodec.decode('server', frames, show),
  ];
  if (isDown) decoders.reverse();
  for (const decode of decoders) {
    shown.length = 0;
    if (decode() === undefined && shown.length > 0) return shown.join(' · ');
  }
  const [, json] = frames;
  const isPairs = json !== undefined && (isBetween || [from, to].includes('witness'));
  return isPairs ? decodeText(json) : showFrames(frames);
}

function kindOf(name: string): string {
  return name.split('-', 1)[0]!;
}

/** Its type, and its fields as they come. */
function showCommand({ type, ...fields }: FollowerInput | ServerInput): string {
  const words = Object.entries(fields).map(([name, value]) => `${name} ${showValue(value)}`);
  return [type, ...words].join(' ');
}

function showValue(value: unknown): string {
  if (value instanceof Uint8Array) return `'${decodeText(value.subarray(0, 12))}'`;
  if (Array.isArray(value)) return `[${value.map(showValue).join(' ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `(${Object.values(value).map(showValue).join(' ')})`;
  }
  return typeof value === 'string' ? `'${value}'` : String(value);
}
