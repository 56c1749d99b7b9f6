// @ts-check
/**
 * Where the processes of this demo meet, and where they keep what they must not forget.
 *
 * @typedef {'primary' | 'backup'} Role
 * @typedef {{ role: Role, bind: string, pair: string, peer: string, witness: string | undefined, store: string }} BrokerPlaces
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';

/**
 * @param {string} folder
 * @param {boolean} hasWitness
 * @returns {Promise<{ witness: { bind: string, store: string } | undefined, primary: BrokerPlaces, backup: BrokerPlaces }>}
 */
export async function findPlaces(folder, hasWitness) {
  const names = ['primary', 'backup', 'primary.pair', 'backup.pair', 'witness'];
  const endpoints = process.platform === 'win32' ? await freePorts(names.length) : undefined;
  const [primary = '', backup = '', primaryPair = '', backupPair = '', witness = ''] =
    endpoints ?? names.map((name) => `ipc://${join(folder, name)}`);
  const store = (/** @type {string} */ name) => join(folder, `${name}.epochs`);
  /** @returns {BrokerPlaces} */
  const broker = (
    /** @type {Role} */ role,
    /** @type {string[]} */ ...[bind = '', pair = '', peer = '']
  ) => ({
    role,
    bind,
    pair,
    peer,
    witness: hasWitness ? witness : undefined,
    store: store(role),
  });
  return {
    witness: hasWitness ? { bind: witness, store: store('witness') } : undefined,
    primary: broker('primary', primary, primaryPair, backupPair),
    backup: broker('backup', backup, backupPair, primaryPair),
  };
}

/**
 * Endpoints at which nobody is now, below the ports that the system gives away: they stay free while a server
 * is dead.
 * @param {number} count
 */
export async function freePorts(count) {
  /** @type {Set<string>} */
  const endpoints = new Set();
  while (endpoints.size < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await once(server.close(), 'close');
    endpoints.add(`tcp://127.0.0.1:${port}`);
  }
  return [...endpoints];
}
