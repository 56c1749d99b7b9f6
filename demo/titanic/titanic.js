// @ts-check
/** The demo's Titanic: `node demo/titanic/titanic.js ENDPOINT STORE LOG`. It will be killed. */
import { Titanic } from 'unsinkable/titanic';
import { endWithParent, tell } from '../lifeline.js';
import { openLog } from '../digest/logbook.js';
import { requestOf } from '../digest/requests.js';

endWithParent();
const [, , endpoint = '', store = '', path = ''] = process.argv;
const log = openLog(path);

const titanic = await Titanic.open(store);
titanic.on('requestDone', ({ id }) => log('stored', requestOf(id)));
titanic.connect(endpoint);
await titanic.ready({ timeout: 60_000 });
await tell({ type: 'ready', endpoint });
