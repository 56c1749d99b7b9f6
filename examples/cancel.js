// @ts-check
// Two ways to give up a request: its own timeout, and an AbortSignal.
import { MajordomoBroker, MajordomoClient, RequestError } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');
broker.on('requestCancelled', ({ service }) => console.log(`the broker forgot '${service}'`));

const client = new MajordomoClient();
client.connect(endpoint);

/** @param {Promise<unknown>} request */
async function codeOf(request) {
  try {
    await request;
    return 'replied';
  } catch (error) {
    if (error instanceof RequestError) return `${error.code}, retriable: ${error.retriable}`;
    throw error;
  }
}

// No worker offers this service: the request waits in the broker until the time is over.
console.log(await codeOf(client.request('nobody', '', { timeout: 200, retries: 0 })));

const controller = new AbortController();
const request = client.request('nobody', '', { signal: controller.signal });
setTimeout(() => controller.abort(), 100);
console.log(await codeOf(request));

await client.close();
await broker.close();
