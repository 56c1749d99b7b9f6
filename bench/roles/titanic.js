// Our Titanic, with its store in a folder: the one it was given, or one that goes with it.
import { Titanic } from 'unsinkable';
import { temporaryFolder } from '../harness/folder.js';
import { memory } from '../harness/process-usage.js';
import { options, ready } from '../harness/role.js';

const begun = performance.now();
const titanic = await Titanic.open(options.folder ?? temporaryFolder(), options.titanic);
const opened = performance.now() - begun;
titanic.connect(options.endpoint);
await titanic.ready();
const { peak } = memory(process.pid);

ready({ opened, peak }, { status: () => titanic.status(), close: () => titanic.close() });
