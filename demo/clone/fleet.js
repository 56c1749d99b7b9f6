// @ts-check
/** The processes of this demo: a pair of Clone servers and their witness. The replicas are in this process. */
import { findPlaces, freePorts } from '../failover/places.js';
import { Pair } from '../pair.js';

const SERVER = new URL('server.js', import.meta.url);

export class Fleet extends Pair {
  /**
   * @param {string} folder for epochs and sockets
   * @param {(line: string) => void} note
   */
  constructor(folder, note) {
    super(SERVER, placesIn(folder), note);
  }
}

/** @param {string} folder */
async function placesIn(folder) {
  const [places, [primary = '', backup = '']] = await Promise.all([
    findPlaces(folder, true),
    // What stands between them and the replicas speaks TCP.
    freePorts(2),
  ]);
  return {
    ...places,
    primary: { ...places.primary, bind: primary },
    backup: { ...places.backup, bind: backup },
  };
}
