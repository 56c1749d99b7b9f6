/** What the laws of both Clone clients' machines share: the calls that must end, and what a run has reached. */
import type { ClientCall, ClientPort, CloneClientEvent } from '../../src/clone/client-events.ts';
import type { Outbox } from '../../src/core/machine.ts';
import type { Ledger } from '../../src/testing/laws.ts';

/** Each write ends once, and so does a drain. */
export function ledgerOf<Output>(): Ledger<ClientPort, Output, ClientCall, CloneClientEvent> {
  return {
    asked: (input) => {
      if (input.kind !== 'call') return undefined;
      const { call } = input;
      if (call.type === 'write') return call.token;
      return call.type === 'drain' || call.type === 'stop' ? 'drain' : undefined;
    },
    ended: (effect) => {
      if (effect.kind !== 'event') return undefined;
      const { event } = effect;
      if (event.type === 'drained') return 'drain';
      return event.type === 'written' ? event.token : undefined;
    },
  };
}

/** The same outbox; `seen` gets the types of all events, with their reasons or outcomes. */
export function noting<Output>(
  outbox: Outbox<ClientPort, Output, CloneClientEvent>,
  seen: Set<string>,
): Outbox<ClientPort, Output, CloneClientEvent> {
  return {
    open: (port, endpoint) => outbox.open(port, endpoint),
    close: (port, flush) => outbox.close(port, flush),
    send: (port, to, command) => outbox.send(port, to, command),
    store: (token, batch) => outbox.store(token, batch),
    emit: (event) => {
      const detail = event.type === 'written' ? event.outcome : 'reason' in event && event.reason;
      seen.add(event.type === 'malformed' || !detail ? event.type : `${event.type} ${detail}`);
      outbox.emit(event);
    },
  };
}
