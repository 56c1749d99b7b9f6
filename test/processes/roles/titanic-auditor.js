/**
 * The last client of a Titanic: fetches all that others have left open and ends, having written down what
 * the Titanic lists.
 */
import { existsSync, readFileSync } from 'node:fs';
import { TitanicClient } from 'unsinkable/titanic';
import { settings } from './common.js';
import { Asker } from './titanic-asker.js';

/** @type {{ endpoint: string, history: string, histories: string[], options: object }} */
const { endpoint, history, histories, options } = settings();

process.stdin.on('end', () => process.exit()).resume();
const client = new TitanicClient(options);
client.connect(endpoint);
const asker = new Asker(client, history);

/** Acknowledged, and not closed, nor about to be. @type {Set<string>} */
const open = new Set();
for (const path of histories.filter((each) => existsSync(each))) {
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue;
    /** @type {{ type: string, id: string }} */
    const { type, id } = JSON.parse(line);
    if (type === 'submitted') open.add(id);
    else if (type === 'closing') open.delete(id);
  }
}
await Promise.all([...open].map((id) => asker.fetch(id)));
await asker.list();
await client.close();
process.exit();
