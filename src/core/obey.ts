/** How the shell of a server that is one of several passes on what was decided about it. */
import type { Election, Epoch } from './election.ts';
import type { Instant } from './machine.ts';

/** What whoever decides tells the machine of a server. */
export type StandingCall =
  /** Serve from now on. */
  | { readonly type: 'activate'; readonly epoch: Epoch }
  /** The reign of this epoch has ended. */
  | { readonly type: 'standBy'; readonly epoch: Epoch }
  /** The active server of this epoch is there; '': nobody knows where. */
  | { readonly type: 'follow'; readonly epoch: Epoch; readonly endpoint: string }
  /** Nobody else may serve now. */
  | { readonly type: 'servesAlone'; readonly epoch: Epoch };

/**
 * Calls the machine as whoever decides says, from now on until the returned function is called.
 * @param holds the epoch of the state that it begins with; 0 for none
 */
export function obey(
  election: Election,
  call: (call: StandingCall) => void,
  clock: { now(): Instant },
  holds: Epoch = 0,
): () => void {
  const follow = (): void => {
    const { highestEpoch: epoch, activeEndpoint: endpoint } = election;
    call({ type: 'follow', epoch, endpoint });
  };
  election.stand({ holds });
  const unsubscribe = election.subscribe((event) => {
    const { type, epoch } = event;
    if (type === 'becameActive') call({ type: 'activate', epoch });
    else if (type === 'servesAlone') call({ type: 'servesAlone', epoch });
    else if (type === 'becamePassive') {
      call({ type: 'standBy', epoch });
      follow();
    } else call({ type: 'follow', epoch, endpoint: event.endpoint });
  });
  // It may have been decided before.
  const epoch = election.epochAt(clock.now());
  if (epoch > 0) call({ type: 'activate', epoch });
  else follow();
  return unsubscribe;
}
