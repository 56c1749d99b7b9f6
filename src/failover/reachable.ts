/** Where others reach a server that is bound to all addresses of its machine. */

const TCP = /^tcp:\/\/(?<host>.+):(?<port>[^:]*)$/;

const WILDCARDS: ReadonlySet<string> = new Set(['*', '0.0.0.0', '[::]', '::', '[::0]']);

/**
 * The advertised endpoint, with the host of `peer` (where we ourselves reach that server) in place of a
 * wildcard, which means nothing to others. Anything else stays as it is.
 */
export function reachable(advertised: string, peer: string): string {
  const said = TCP.exec(advertised)?.groups;
  const known = TCP.exec(peer)?.groups;
  if (said === undefined || known === undefined || !WILDCARDS.has(said['host']!)) {
    return advertised;
  }
  return `tcp://${known['host']}:${said['port']}`;
}
