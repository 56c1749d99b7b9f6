// Our Freelance server: tells when it was given a request, and holds it until it is told to reply.
import { FreelanceServer } from 'unsinkable';
import { now } from '../harness/clock.js';
import { options, ready, tell } from '../harness/role.js';

let release = () => {};
const server = new FreelanceServer(async (request) => {
  const at = now();
  const released = new Promise((resolve) => (release = resolve));
  tell({ type: 'held', trial: Number(request.text()), at });
  await released;
  return '';
});
const endpoint = await server.bind(options.endpoint);
ready({ endpoint }, { release: () => release() });
