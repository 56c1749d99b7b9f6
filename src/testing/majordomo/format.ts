/** Messages of a simulated run in words: what express packs into bytes, people cannot read. */
import type { Frames } from '../../core/machine.ts';
import type { Command } from '../../majordomo/wire/commands.ts';
import {
  decodeForBroker,
  decodeForClient,
  decodeForWorker,
  isExpress,
} from '../../majordomo/wire/express-codec.ts';
import { showFrames } from '../transcript.ts';

/** `HEARTBEAT beat 3 echo 2 held 7 · RESULT number 7 final [reply to client-0.1.0]` */
export function showMessage(frames: Frames, _from: string, to: string): string {
  if (!isExpress(frames)) return showFrames(frames);
  const shown: string[] = [];
  const show = (command: Command): void => {
    shown.push(showCommand(command));
  };
  const decode = to.startsWith('broker')
    ? decodeForBroker
    : to.startsWith('client')
      ? decodeForClient
      : decodeForWorker;
  const reason = decode(frames, show);
  if (reason !== undefined) shown.push(`malformed: ${reason}`);
  return shown.join(' · ');
}

/** A command of express in words. */
export function showCommand(command: Command): string {
  const fields = Object.entries(command)
    .filter(
      ([name, value]) =>
        value !== undefined && value !== false && value !== '' && !SHOWN_OTHERWISE.has(name),
    )
    .map(([name, value]) => showField(name, value));
  const body = 'body' in command && command.body.length > 0 ? [showFrames(command.body)] : [];
  return [command.type.toUpperCase(), ...fields, ...body].join(' ');
}

const SHOWN_OTHERWISE: ReadonlySet<string> = new Set(['type', 'dialect', 'body', 'envelope']);

function showField(name: string, value: unknown): string {
  if (value === true) return name;
  if (name === 'session' && typeof value === 'string') {
    return `session ${Buffer.from(value, 'latin1').toString('hex')}`;
  }
  if (value instanceof Uint8Array) return `${name} ${value.length} bytes`;
  return `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
}
