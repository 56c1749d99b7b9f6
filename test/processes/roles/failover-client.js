/**
 * A client of a pair as a process of its own. It asks everything under a key, now and then once more what
 * was answered before, and ends with an error if the answer is another one then.
 */
import { MajordomoClient } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';
import { keepAsking } from './digest.js';

/** Answers that it remembers, of which it asks for one now and then. */
const REMEMBERED = 50;
const AGAIN = 0.1;

/**
 * @type {{ name: string, endpoints: string[], history: string, requests?: number, concurrency?: number,
 *   isKeyed: boolean, options: import('unsinkable/majordomo').ClientOptions }}
 */
const { endpoints, options, isKeyed, ...asker } = settings();

const client = new MajordomoClient(options);
client.on('retry', tell);
client.on('ready', tell);
client.connect(endpoints);

/** @type {{ body: string, answer: string }[]} */
const answered = [];

/** @param {string} body */
function request(body) {
  /** @type {{ id: string }} */
  const { id } = JSON.parse(body);
  return client.request('digest', body, isKeyed ? { idempotencyKey: id } : {});
}

async function askAgain() {
  const before = answered[Math.floor(Math.random() * answered.length)];
  if (before === undefined || Math.random() > AGAIN) return;
  const answer = (await request(before.body)).text();
  if (isKeyed && answer !== before.answer) throw new Error(`${before.answer} became ${answer}`);
  tell({ type: 'answeredAgain' });
}

await keepAsking(asker, async (body) => {
  const reply = await request(body);
  answered.push({ body, answer: reply.text() });
  if (answered.length > REMEMBERED) answered.shift();
  await askAgain();
  return reply;
});
await client.close();
