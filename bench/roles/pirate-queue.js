// Our Paranoid Pirate queue.
import { ParanoidPirateQueue } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const queue = new ParanoidPirateQueue(options.queue);
const front = await queue.bindFrontend('tcp://127.0.0.1:*');
const back = await queue.bindBackend('tcp://127.0.0.1:*');
ready({ front, back });
