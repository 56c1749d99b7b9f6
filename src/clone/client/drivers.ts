/** Which machine a client is, on which sockets: one for servers of this library, one for stock servers. */
import { InvalidArgumentError } from '../../core/errors.ts';
import type { Completed } from '../../core/options.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import type { Environment } from '../../transport/environment.ts';
import type { SocketKind } from '../../transport/transport.ts';
import type {
  ClientCall,
  ClientPort,
  CloneClientEvent,
  CloneClientStatus,
} from '../client-events.ts';
import type {
  ChpClientInput,
  ChpClientOutput,
  FollowerInput,
  FollowerOutput,
} from '../commands.ts';
import { chpClientCodec, clientCodec } from '../wire/protocol.ts';
import { ChpClientMachine } from './chp-client-machine.ts';
import { ClientMachine } from './client-machine.ts';
import type { cloneClientRules } from './shell-options.ts';
import type { Items } from './view.ts';

/** What the shell reads of a machine. */
export interface ReplicaMachine {
  /** What is visible at this instant. */
  readonly replica: Items;
  status(): CloneClientStatus;
}

/** What the shell does with a driver. */
export interface ClientDriver {
  call(call: ClientCall): void;
  close(done: () => void): void;
}

export interface ClientListener {
  readonly onEvent: (event: CloneClientEvent) => void;
  readonly onSocketError: (error: unknown) => void;
}

const KINDS: Readonly<Record<ClientPort, SocketKind>> = {
  server: 'dealer',
  updates: 'sub',
  writes: 'pub',
};

/** 12/CHP has two ports above the one that is named. */
const LAST_CHP_PORT = 65_533;

/** A machine, and what drives it. */
export function makeDriver(
  options: Completed<typeof cloneClientRules>,
  { transport, clock, random }: Environment,
  listener: ClientListener,
): { readonly driver: ClientDriver; readonly machine: ReplicaMachine } {
  const { protocol, peerQueueBytes } = options;
  const settings = { ...options, random, writer: newWriter() };
  const shared = {
    kindOf: (port: ClientPort) => KINDS[port],
    transport,
    clock,
    peerQueueBytes,
    ...listener,
  };
  let machine!: ReplicaMachine;
  const driver =
    protocol === 'own'
      ? new Driver<ClientPort, FollowerInput, FollowerOutput, ClientCall, CloneClientEvent>({
          machine: (outbox) => {
            const own = new ClientMachine(outbox, settings);
            machine = own;
            return own;
          },
          codec: clientCodec,
          ...shared,
        })
      : new Driver<ClientPort, ChpClientInput, ChpClientOutput, ClientCall, CloneClientEvent>({
          machine: (outbox) => {
            const stock = new ChpClientMachine(outbox, settings);
            machine = stock;
            return stock;
          },
          codec: chpClientCodec,
          ...shared,
        });
  return { driver, machine };
}

/**
 * The endpoints, checked.
 * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`, also if there is none
 */
export function checkConnect(
  endpoints: string | readonly string[],
  protocol: 'own' | 'chp',
): readonly string[] {
  const checked = [endpoints].flat().map((endpoint) => checkEndpoint(endpoint, 'connect'));
  if (checked.length === 0) {
    const message =
      "connect: endpoints must be one or more, such as 'tcp://127.0.0.1:5556', not []";
    throw new InvalidArgumentError('ERR_INVALID_ENDPOINT', message);
  }
  for (const endpoint of protocol === 'chp' ? checked : []) checkChp(endpoint);
  return checked;
}

function checkChp(endpoint: string): void {
  const port = /^tcp:\/\/.*:(\d+)$/.exec(endpoint)?.[1];
  if (port !== undefined && Number(port) <= LAST_CHP_PORT) return;
  const message = `endpoint '${endpoint}' is none of 12/CHP, which has two ports above it: use tcp:// and a port up to ${LAST_CHP_PORT}`;
  throw new InvalidArgumentError('ERR_INVALID_ENDPOINT', message);
}

/** 8 random bytes, one character each. */
function newWriter(): string {
  return String.fromCharCode(...crypto.getRandomValues(new Uint8Array(8)));
}
