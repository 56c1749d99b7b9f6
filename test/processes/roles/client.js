/**
 * A client as a process of its own. It keeps `concurrency` requests in flight until `requests` of them
 * were sent or a line comes on stdin, writes down what became of each, and ends.
 */
import { randomBytes } from 'node:crypto';
import { MajordomoClient, RequestError } from 'unsinkable';
import { digestOf, recorder, settings, tell } from './common.js';

/**
 * @type {{ name: string, endpoint: string, history: string, requests: number, concurrency: number,
 *   options: import('unsinkable').ClientOptions }}
 */
const { name, endpoint, history, requests, concurrency, options } = settings();
const record = recorder(history);

const client = new MajordomoClient(options);
client.on('retry', tell);
client.on('ready', tell);
client.connect(endpoint);
let sent = 0;
let limit = requests;
process.stdin.once('data', () => (limit = sent)).unref();

async function ask() {
  const id = `${name}/${++sent}`;
  const payload = randomBytes(1 + (sent % 5) * 700).toString('hex');
  record({ type: 'requested', id, client: name });
  try {
    const reply = await client.request('digest', JSON.stringify({ id, payload }));
    /** @type {{ id: string, worker: string, digest: string }} */
    const { id: answers, worker, digest } = reply.json();
    const intact = digest === digestOf(payload);
    record({ type: 'replied', id, client: name, answers, worker, intact });
    tell({ type: 'replied', id, worker });
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const { code } = error;
    record({ type: 'failed', id, client: name, code });
    tell({ type: 'failed', id, code, message: error.message });
  }
}

async function keepAsking() {
  while (sent < limit) await ask();
}

await Promise.all(Array.from({ length: concurrency }, keepAsking));
await client.close();
