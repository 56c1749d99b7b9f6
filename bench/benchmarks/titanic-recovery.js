// A Titanic that was killed with many requests in its store: how long until it serves again?
import { temporaryFolder } from '../harness/folder.js';
import { mebibytes, milliseconds, whole } from '../harness/screen.js';
import { median } from '../harness/statistics.js';

export const summary = 'time a killed Titanic needs to serve again, by what it has stored';

const SIZES = [10_000, 100_000, 1_000_000];
const BYTES = 100;

const NOTES = [
  `bodies of ${BYTES} bytes, all pending; SIGKILL; the page cache is warm`,
  'opened  from the start of opening until every record is read and verified',
  'peak    memory of the process when it serves',
];

export async function run({ fleet, runs, quick, progress }) {
  const results = [];
  const folder = temporaryFolder();
  const titanic = { pendingLimit: 100_000_000 };
  let stored = 0;
  for (const size of quick ? [1000] : SIZES) {
    const { endpoint } = (await fleet.start('broker')).told;
    let server = await fleet.start('titanic', { endpoint, folder, titanic });
    const client = await fleet.start('titanic-client', { endpoint, bytes: BYTES });
    progress(`storing ${whole(size)}`);
    await client.call('store', { count: size - stored, inFlight: 1000 });
    stored = size;
    const measured = [];
    while (measured.length < runs) {
      server.kill('SIGKILL');
      await server.ended;
      server = await fleet.start('titanic', { endpoint, folder, titanic });
      const { opened, peak } = server.told;
      const { delayed } = await server.call('status');
      if (delayed !== size) throw new Error(`${delayed} of ${size} requests are there`);
      measured.push({ opened, peak });
      progress(`${whole(size)} stored: ${milliseconds(opened)} ms`);
    }
    await fleet.end();
    results.push({ size, runs: measured });
  }
  return { results, notes: NOTES };
}

export function tables({ results }) {
  return [
    {
      title: 'Recovery of a Titanic',
      head: ['stored', 'opened ms', 'smallest', 'largest', 'peak MiB'],
      texts: 0,
      rows: results.map(({ size, runs }) => {
        const opened = runs.map((one) => one.opened);
        return [
          whole(size),
          milliseconds(median(opened)),
          milliseconds(Math.min(...opened)),
          milliseconds(Math.max(...opened)),
          mebibytes(Math.max(...runs.map((one) => one.peak))),
        ];
      }),
    },
  ];
}
