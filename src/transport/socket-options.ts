/** How zeromq.js sockets are told what it has no name for, or what it would warn of. */
import { InvalidArgumentError } from '../core/errors.ts';

/** Longest routing id, in bytes. */
const NAME_LIMIT = 255;

/** Draft options of libzmq. */
export const DRAFT = {
  /** What a socket is to receive, from itself, when a connection that came to it breaks. */
  disconnectMessage: 111,
  /** The same, of one that it made. */
  hiccupMessage: 114,
  /**
   * Gives a ROUTER an empty message ahead of all others of a new connection. One that takes over the
   * routing id of an older connection throws away the disconnect notice of that one, if it has any: this
   * message is then the only news that a link broke.
   */
  routerNotify: 97,
} as const;

/** For `routerNotify`: of connections that begin. */
export const NOTIFY_CONNECT = 1;

/** zeromq.js has methods for options that it gives no name to; its typings keep them protected. */
export function setDraftOption(socket: object, option: number, value: Buffer | number): void {
  if (typeof value === 'number') {
    if ('setInt32Option' in socket && typeof socket.setInt32Option === 'function') {
      socket.setInt32Option(option, value);
    }
  } else if ('setStringOption' in socket && typeof socket.setStringOption === 'function') {
    socket.setStringOption(option, value);
  }
}

/** IPv6 for IPv6 addresses only: switched on, `localhost` may mean ::1, where nobody listens. */
export function chooseIpVersion(socket: { ipv6: boolean }, endpoint: string): void {
  const ipv6 = endpoint.includes('://[');
  if (socket.ipv6 !== ipv6) quietly(() => (socket.ipv6 = ipv6));
}

/**
 * Each listener copies it: so each endpoint has its own.
 * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT`
 */
export function chooseName(socket: { routingId: string | null }, name: string): void {
  checkName(name);
  quietly(() => (socket.routingId = name));
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= NAME_LIMIT && !name.startsWith('\0')) return;
  const message = `'${name}' cannot be the name of a socket: that is 1 to ${NAME_LIMIT} bytes, the first of them not zero`;
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}

/** On a bound socket zeromq.js warns that an option counts from the next bind on, as it is meant to. */
function quietly(setOption: () => void): void {
  const emitWarning = Object.getOwnPropertyDescriptor(process, 'emitWarning')!;
  process.emitWarning = () => undefined;
  try {
    setOption();
  } finally {
    Object.defineProperty(process, 'emitWarning', emitWarning);
  }
}
