/** Why a bind failed, in words that say what to do. */
import { BindError } from '../core/errors.ts';
import type { IpcOccupant } from './ipc-probe.ts';

/** Why an ipc path cannot be had. */
export function occupiedError(endpoint: string, occupant: IpcOccupant): BindError {
  return occupant === 'listener'
    ? new BindError(
        'ERR_ADDRESS_IN_USE',
        endpoint,
        `cannot bind ${endpoint}: somebody listens there; close that socket or choose another path`,
      )
    : new BindError(
        'ERR_BIND_FAILED',
        endpoint,
        `cannot bind ${endpoint}: the file there is not a socket and would be lost; choose another path`,
      );
}

/** Why libzmq refused a bind, and what to do about it. */
export function bindError(endpoint: string, error: unknown): BindError {
  if (codeOf(error) === 'EADDRINUSE') {
    const hint = /^(tcp|ws):/.test(endpoint) ? "port, '*' picks a free one" : 'name';
    return new BindError(
      'ERR_ADDRESS_IN_USE',
      endpoint,
      `cannot bind ${endpoint}: it is in use; close the other socket or choose another ${hint}`,
    );
  }
  const reason = HINTS[codeOf(error) ?? ''] ?? String(error);
  return new BindError('ERR_BIND_FAILED', endpoint, `cannot bind ${endpoint}: ${reason}`);
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'not permitted; choose a port from 1024 up, or a folder that you may write to',
  EADDRNOTAVAIL: "this machine has no such address; use one of its own, or '*' for all",
  ENODEV: "this machine has no such address or interface; use one of its own, or '*' for all",
  ENOENT: 'its folder does not exist; create it first',
  ENOTDIR: 'its folder is a file; choose another path',
};

/** The `code` of what was thrown, if it has one. */
export function codeOf(error: unknown): string | undefined {
  const hasCode = typeof error === 'object' && error !== null && 'code' in error;
  return hasCode && typeof error.code === 'string' ? error.code : undefined;
}
