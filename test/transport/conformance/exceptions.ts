/**
 * Where a fact does not apply, and where the simulator differs on purpose: one table each, so that
 * nothing is skipped in silence. A row that names no fact fails the suite.
 */
import type { WorldName } from './world.ts';

export interface Exception {
  /** Facts, by the beginning of their sentence. */
  readonly facts: readonly string[];
  readonly worlds: readonly WorldName[];
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    facts: [
      'resets make silent gaps',
      'an automatic identity is another one',
      'what a ROUTER had sent before a reset',
      'a reset is told to both sides',
      'a message cut in its middle',
      'what a DEALER sends while it is disconnected',
      'over a dead link',
      'a link that is dead one way',
      'of a half-open connection',
      'the last message of a closed socket',
      'what arrived at a ROUTER that closes',
    ],
    worlds: ['ipc', 'inproc'],
    reason:
      'a wire is needed that breaks, and inside one machine there is none: ends die, links do not',
  },
  {
    facts: ['of what a killed process had sent'],
    worlds: ['inproc'],
    reason: 'both ends are in one process, and die together',
  },
  {
    facts: ['a DEALER is told that its ROUTER closed', 'a DEALER finds the successor'],
    worlds: ['inproc'],
    reason:
      'an inproc DEALER has neither hiccup notices nor reconnection: it stays with what it found',
  },
];

/** What the simulator does otherwise than zeromq, always to the worse or by leaving it out. */
export const DIFFERENCES: readonly { readonly what: string; readonly reason: string }[] = [];
