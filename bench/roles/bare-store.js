// The storage of a Titanic alone, in this process: what a submit writes, and nothing else.
import { randomUUID } from 'node:crypto';
import { openStorage } from 'unsinkable/storage';
import { temporaryFolder } from '../harness/folder.js';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const storage = await openStorage(temporaryFolder(), options.storage);
const body = Buffer.alloc(options.bytes, 'x');
const meta = Buffer.alloc(150, 'm');

ready(
  {},
  {
    submit: (load) =>
      measure(
        load,
        () =>
          new Promise((resolve, reject) => {
            const puts = [{ key: `request:${randomUUID()}`, value: [meta, body] }];
            storage.write({ puts, deletes: [] }, (error) => (error ? reject(error) : resolve()));
          }),
      ),
  },
);
