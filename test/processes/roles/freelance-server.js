/** A Freelance server as a process of its own. SIGTERM: finish the requests in hand and end. */
import { FreelanceServer } from 'unsinkable/freelance';
import { settings, tell } from './common.js';
import { digester } from './digest.js';

/**
 * @type {{ name: string, endpoint: string, history: string,
 *   options: import('unsinkable/freelance').FreelanceServerOptions }}
 */
const { endpoint, options, ...handling } = settings();

const server = new FreelanceServer(digester(handling), options);
for (const type of /** @type {const} */ (['requestRefused', 'replyDropped', 'clientGone'])) {
  server.on(type, tell);
}
process.once('SIGTERM', () => {
  void server.close();
  tell({ type: 'closing' });
});
tell({ type: 'bound', endpoint: await server.bind(endpoint) });
