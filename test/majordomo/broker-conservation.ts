/** What must hold in a broker at each instant, whatever its peers do. */
import { isBroadcast } from '../../src/majordomo/broker/broadcast.ts';
import type { BrokerMachine } from '../../src/majordomo/broker/broker-machine.ts';
import type { Client } from '../../src/majordomo/broker/clients.ts';
import { itemsOf } from '../../src/core/fair-queue.ts';
import type { PendingRequest } from '../../src/majordomo/broker/requests.ts';
import { mayWork } from '../../src/majordomo/broker/sessions.ts';

/** What does not fit together, in words; nothing while all is well. */
export function contradictions(machine: BrokerMachine): string[] {
  return [...ofRequests(machine), ...ofClients(machine), ...ofWorkers(machine), ...ofKeys(machine)];
}

function* ofRequests({ requests, clients }: BrokerMachine): Generator<string> {
  const { state } = requests;
  const open = [...state.open.values()];
  const queued = [...state.queues].flatMap(([line, queue]) => {
    return [...itemsOf(queue)].map((request) => ({ line, request }));
  });
  const ended = Object.values(state.ended).reduce((sum, count) => sum + count, 0);
  if (state.accepted !== open.length + ended) yield 'accepted is not open and ended';
  if (state.queued !== queued.length) yield 'the count of queued requests';
  if (state.queued + state.inFlight !== open.length) yield 'open is not queued and in flight';
  if (state.queuedBytes !== queued.reduce((sum, { request }) => sum + request.bytes, 0)) {
    yield 'the bytes of queued requests';
  }
  for (const { line, request } of queued) {
    if (request.state !== 'queued' || request.line !== line) yield `${request.id} in a queue`;
  }
  for (const [line, queue] of state.queues) if (queue.size === 0) yield `an empty queue ${line}`;
  for (const request of open) {
    const { id, waiters, dispatch } = request;
    if (request.state !== 'queued' && request.state !== 'inFlight') yield `${id} is open`;
    const isRunning = dispatch?.session.running.get(dispatch.number)?.request === request;
    // In a pair, what a worker answered may wait until the other broker knows it.
    const isHeld = isRunning || (request.state === 'inFlight' && request.answer !== undefined);
    if ((request.state === 'inFlight') !== isHeld)
      yield `${id} is ${request.state}, held: ${isHeld}`;
    for (const { client, number } of waiters) {
      if (client.awaited.get(number) !== request) yield `${id} has a waiter that does not wait`;
      if (!isKnown(clients, client)) yield `${id} has a waiter that is not there`;
    }
  }
}

function isKnown(clients: BrokerMachine['clients'], client: Client): boolean {
  const { stock, express, sessions } = clients.state;
  if (client.session === undefined) return stock.get(client.address) === client;
  return express.get(client.address) === client && sessions.get(client.session.id) === client;
}

function* ofClients({ clients, requests }: BrokerMachine): Generator<string> {
  const { stock, express, sessions } = clients.state;
  if (express.size !== sessions.size) yield 'clients by address and by session';
  for (const client of stock.values()) if (client.awaited.size === 0) yield 'an idle stock client';
  for (const client of [...stock.values(), ...sessions.values()]) {
    for (const [number, awaited] of client.awaited) {
      const parts: Iterable<PendingRequest> = isBroadcast(awaited) ? awaited.copies : [awaited];
      if (isBroadcast(awaited) && awaited.copies.size === 0) yield `${number}: a broadcast to none`;
      for (const part of parts)
        if (requests.state.open.get(part.id) !== part) yield `${number}: has ended`;
    }
  }
}

function* ofWorkers({ sessions, requests }: BrokerMachine): Generator<string> {
  const { services, express } = sessions.state;
  const all = [...sessions.all()];
  if (all.filter((session) => session.express !== undefined).length !== express.size) {
    yield 'workers by address and by session';
  }
  for (const session of all) {
    const { id, address, running, service, line } = session;
    if (sessions.of(address) !== session) yield `${id} is at another address`;
    for (const { number, request } of running.values()) {
      const isIts = request.dispatch?.session === session && request.dispatch.number === number;
      const isAnswered = request.answer !== undefined;
      if (request.state === 'inFlight' && !isIts && !isAnswered)
        yield `${id} holds ${request.id} of another`;
      if (request.state === 'queued') yield `${id} holds ${request.id}, which is queued`;
    }
    const inLine = [...(services.get(service)?.idle ?? [])].includes(session);
    if (inLine !== mayWork(session)) yield `${id} is in line: ${inLine}`;
    // Nothing waits while somebody may do it.
    const waits = requests.hasQueued(service) || requests.hasQueued(line);
    if (mayWork(session) && waits) yield `${id} is idle, and requests wait for it`;
  }
}

function* ofKeys({ keys, requests }: BrokerMachine): Generator<string> {
  const keyed = [...requests.state.open.values()].filter(({ key }) => key !== undefined);
  const known = new Set(keys.state.open.values());
  if (keyed.length !== known.size || keyed.some((request) => !known.has(request))) {
    yield 'keys and open requests';
  }
  const bytes = [...keys.state.replies.values()].reduce((sum, reply) => sum + reply.bytes, 0);
  if (bytes !== keys.state.bytes) yield 'the bytes of kept replies';
}
