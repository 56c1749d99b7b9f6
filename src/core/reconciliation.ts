/**
 * What was lost on a link that goes on beating, found by heartbeats that say what is under way.
 *
 * Commands of one link arrive in order or not at all. So whoever sent something before its heartbeat
 * number n, and then hears a heartbeat that echoes n or more without naming it, knows: either it never
 * arrived, or the answer to it was lost. Nothing is concluded from time, so nothing is concluded
 * wrongly: what merely takes long is named, and what was sent later is not asked about yet.
 */

/** Plain data: one side's view of the heartbeats of one session. */
export interface Beats {
  /** Heartbeats sent. What is sent now was sent before number `sent + 1`. */
  sent: number;
  /** The last heartbeat heard, to be echoed. */
  heard: number;
}

export function startBeats(): Beats {
  return { sent: 0, heard: 0 };
}

/** The numbers of the next heartbeat. */
export function nextBeat(beats: Beats): { readonly beat: number; readonly echo: number } {
  beats.sent++;
  return { beat: beats.sent, echo: beats.heard };
}

/** What can be told apart on a link by its number. */
export interface UnderWay {
  readonly number: number;
  /** `beats.sent` when it was sent. */
  readonly sentAfter: number;
}

/**
 * A heartbeat with these fields was heard: yields what the other side must know of and does not.
 * @param heartbeat its `held` and `underWay` both ascend, so that one pass over both is enough, however
 *   long a list a peer sends; what is not under way is the other side's to explain
 */
export function* lostOnTheWay<Item extends UnderWay>(
  beats: Beats,
  heartbeat: { readonly beat: number; readonly echo: number; readonly held: readonly number[] },
  underWay: Iterable<Item>,
): Generator<Item> {
  beats.heard = Math.max(beats.heard, heartbeat.beat);
  // An echo of what was never sent is a lie, or an answer to an earlier life: it proves nothing.
  if (heartbeat.echo > beats.sent) return;
  const { held } = heartbeat;
  let at = 0;
  for (const item of underWay) {
    while (at < held.length && held[at]! < item.number) at++;
    if (item.sentAfter < heartbeat.echo && held[at] !== item.number) yield item;
  }
}
