/**
 * Which epochs are whose: the primary's are odd, the backup's even.
 *
 * So no two servers can ever use the same one, whatever they know of each other; and the higher of two is
 * always the later one in the eyes of whoever has seen both.
 */
import type { Epoch } from '../core/election.ts';
import type { Role } from './commands.ts';

/** Who may use this epoch; undefined for 0, which is nobody's. */
export function roleOf(epoch: Epoch): Role | undefined {
  if (epoch === 0) return undefined;
  return epoch % 2 === 1 ? 'primary' : 'backup';
}

/** The other one of the two. */
export function otherRole(role: Role): Role {
  return role === 'primary' ? 'backup' : 'primary';
}

/** The smallest epoch of `role` above `known`. */
export function nextEpoch(role: Role, known: Epoch): Epoch {
  const next = known + 1;
  return roleOf(next) === role ? next : next + 1;
}
