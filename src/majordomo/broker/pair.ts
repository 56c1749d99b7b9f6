/** The parts of a broker that it has only as one of several, where others meet them. */
import type { Followers } from './followers.ts';
import type { Replica } from './replica.ts';
import type { Standing } from './standing.ts';
import type { Takeover } from './takeover.ts';

export interface Pair {
  readonly standing: Standing;
  /** While it is passive: what it copies. */
  readonly replica: Replica;
  /** While it is active: who copies, and what is still to be heard. */
  readonly followers: Followers;
  readonly takeover: Takeover;
}
