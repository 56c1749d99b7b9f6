/**
 * A Titanic as a process of its own; it tells the events it is asked to tell. SIGTERM: drain and end. It
 * ends at once when a line comes on stdin, or nobody holds that any more.
 */
import { Titanic } from 'unsinkable/titanic';
import { settings, tell } from './common.js';
import { faultyEngine } from './faulty-engine.js';

/**
 * @type {{ directory: string, endpoint: string, tells?: string[], fault?: 'hasty' | 'forgetful',
 *   options: Parameters<typeof Titanic.open>[1] }}
 */
const { directory, endpoint, tells = [], fault, options } = settings();

process.stdin.on('data', () => process.exit()).on('end', () => process.exit());
// What is broken on purpose must not be found out by those below: the clients shall.
const broken = { ...options, storage: { damage: /** @type {const} */ ('accept') } };
const titanic = await (fault === undefined
  ? Titanic.open(directory, options)
  : Titanic.open(await faultyEngine(directory, fault), broken));
titanic.on('event', (event) => {
  if (tells.includes(event.type)) tell(event);
});
process.once('SIGTERM', () => {
  void titanic.close().then(() => process.exit());
});
titanic.connect(endpoint);
tell({ type: 'opened', pid: process.pid, status: titanic.status() });
await titanic.ready();
tell({ type: 'ready' });
