/**
 * Which endpoints this library accepts, decided before zeromq sees them.
 *
 * libzmq takes port 99999 for 34463, waits for ever on a port nobody can have, and ends the process
 * for one reserved name. Here every mistake becomes an error that says what to write instead.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { InvalidArgumentError } from '../core/errors.ts';

export type EndpointPurpose = 'bind' | 'connect';

/** zeromq.js reads an endpoint back through a buffer of 1024 bytes; no honest one comes near that. */
const LONGEST_ENDPOINT = 512;

/** What fits into `sockaddr_un` besides the closing zero, in bytes. */
const LONGEST_IPC_PATH = ['linux', 'win32'].includes(process.platform) ? 107 : 103;

const HOST = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
/** One segment: libzmq looks for the port before the last slash. */
const WEBSOCKET_PATH = /^[A-Za-z0-9._~-]*$/;

/**
 * Returns the endpoint if `bind` or `connect` can work with it. It may still fail: a port may be in
 * use, a host unknown.
 * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`, saying what to write instead
 */
export function checkEndpoint(endpoint: unknown, purpose: EndpointPurpose): string {
  if (typeof endpoint !== 'string') {
    throw refusal(`of type ${typeof endpoint}`, "must be a string such as 'tcp://127.0.0.1:5555'");
  }
  const complaint = complaintAbout(endpoint, purpose);
  if (complaint !== undefined) throw refusal(`'${endpoint}'`, complaint);
  return endpoint;
}

/** The file behind an `ipc://` endpoint; undefined for other transports and for abstract names. */
export function ipcPathOf(endpoint: string): string | undefined {
  return endpoint.startsWith('ipc://') && !endpoint.startsWith('ipc://@')
    ? endpoint.slice('ipc://'.length)
    : undefined;
}

function refusal(endpoint: string, complaint: string): InvalidArgumentError {
  return new InvalidArgumentError('ERR_INVALID_ENDPOINT', `endpoint ${endpoint} ${complaint}`);
}

function complaintAbout(endpoint: string, purpose: EndpointPurpose): string | undefined {
  if (/\p{Cc}/u.test(endpoint)) return 'contains a control character: remove it';
  if (Buffer.byteLength(endpoint) > LONGEST_ENDPOINT) {
    return `is longer than ${LONGEST_ENDPOINT} bytes: shorten it`;
  }
  const [transport, address] = split(endpoint, endpoint.indexOf('://'), 3);
  switch (transport) {
    case 'tcp':
      return complaintAboutTcp(address, purpose);
    case 'ws':
      return complaintAboutWebSocket(address, purpose);
    case 'ipc':
      return complaintAboutIpc(address, purpose);
    case 'inproc':
      return complaintAboutInproc(address);
    default:
      return 'must begin with tcp://, ipc://, inproc:// or ws://';
  }
}

function complaintAboutTcp(address: string, purpose: EndpointPurpose): string | undefined {
  const [host, port] = split(address, address.lastIndexOf(':'), 1);
  return complaintAboutHost(host, purpose) ?? complaintAboutPort(port, purpose);
}

function complaintAboutWebSocket(address: string, purpose: EndpointPurpose): string | undefined {
  const slash = address.indexOf('/');
  const [authority, path] = slash < 0 ? [address, ''] : split(address, slash, 1);
  const complaint = complaintAboutTcp(authority, purpose);
  if (complaint !== undefined) return complaint;
  if (!WEBSOCKET_PATH.test(path))
    return 'may have one path segment of letters, digits and . _ ~ - only';
  // libzmq looks up a ws:// name once, inside connect, and fails for good if that fails.
  const host = authority.slice(0, authority.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return purpose === 'bind' || host === 'localhost' || isIP(host) > 0
    ? undefined
    : 'must name its host by IP address: ws:// does not look names up again, tcp:// does';
}

function complaintAboutHost(host: string, purpose: EndpointPurpose): string | undefined {
  if (host === '*') {
    return purpose === 'bind' ? undefined : "cannot connect to '*': name a host, such as 127.0.0.1";
  }
  if (host.startsWith('[')) {
    return host.endsWith(']') && isIPv6(host.slice(1, -1))
      ? undefined
      : 'has no valid IPv6 address between [ and ]';
  }
  if (isIPv6(host)) return `needs brackets around its IPv6 address: [${host}]`;
  if (/^[\d.]+$/.test(host)) return isIPv4(host) ? undefined : 'has no valid IPv4 address';
  return HOST.test(host) ? undefined : 'needs a host and a port, such as tcp://127.0.0.1:5555';
}

function complaintAboutPort(port: string, purpose: EndpointPurpose): string | undefined {
  const anyPort = port === '*' || port === '0';
  if (anyPort && purpose === 'bind') return undefined;
  if (anyPort) return 'cannot connect to any port: name the one that the other side reports';
  return /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535
    ? undefined
    : 'needs a port from 1 to 65535 at its end';
}

function complaintAboutIpc(path: string, purpose: EndpointPurpose): string | undefined {
  if (path === '' || path === '@') return 'needs a path, such as ipc:///tmp/broker';
  if (path === '*' && purpose === 'connect') return "cannot connect to '*': name the path";
  return Buffer.byteLength(path) <= LONGEST_IPC_PATH
    ? undefined
    : `has a path of more than ${LONGEST_IPC_PATH} bytes, the system's limit: use a shorter one`;
}

function complaintAboutInproc(name: string): string | undefined {
  if (name === '') return 'needs a name, such as inproc://broker';
  // Binding it to the wrong kind of socket makes libzmq end the process.
  return name === 'zeromq.zap.01' ? 'is reserved for authentication: use another name' : undefined;
}

function split(text: string, at: number, width: number): [string, string] {
  return at < 0 ? ['', ''] : [text.slice(0, at), text.slice(at + width)];
}
