/** Messages of a run with a pair in words: those of Majordomo, and what the servers and their witness say. */
import { decodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { decodeForFollower, isExpress } from '../../majordomo/wire/express-codec.ts';
import type { FollowerInput } from '../../majordomo/wire/commands.ts';
import { showCommand, showMessage } from '../majordomo/format.ts';

/** `{"type":"claim",…}`, `RECORD number 3 …`, or as with one broker. */
export function showPairMessage(frames: Frames, from: string, to: string): string {
  const [, json] = frames;
  const isPairs = json !== undefined && isDecider(from) && isDecider(to);
  if (!isExpress(frames)) return isPairs ? decodeText(json) : showMessage(frames, from, to);
  const shown: string[] = [];
  const reason = decodeForFollower(frames, (command: FollowerInput) => {
    if (command.type === 'record') shown.push(showCommand(command));
  });
  return reason === undefined && shown.length > 0
    ? shown.join(' · ')
    : showMessage(frames, from, to);
}

function isDecider(name: string): boolean {
  return name.startsWith('broker') || name === 'witness';
}
