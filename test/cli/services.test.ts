/** `unsinkable services`: the table, the JSON, and what it says when there is nothing to show. */
import { afterEach, expect, it } from 'vitest';
import { endAll, run, startBroker, startWorker } from './commands.ts';

afterEach(endAll);

it('says what to do when there are none', async () => {
  const { endpoint } = await startBroker();
  const hint = `no services yet: offer one with 'unsinkable worker SERVICE --connect ${endpoint} --echo'\n`;
  expect(await run(['services', '--connect', endpoint])).toMatchObject({ code: 0, stdout: hint });
  const json = await run(['services', '--connect', endpoint, '--json']);
  expect(json).toMatchObject({ code: 0, stdout: '[]\n' });
});

it('lists them as a table that cannot be forged, and as JSON', async () => {
  const { endpoint } = await startBroker();
  await startWorker('upper', endpoint, '--echo');
  await startWorker('upper', endpoint, '--echo');
  await startWorker('a\u001b[2Jb', endpoint, '--echo');
  expect(await run(['services', '--connect', endpoint])).toMatchObject({
    code: 0,
    stdout: [
      String.raw`service     workers   waiting   queued`,
      String.raw`a\x1b[2Jb         1         1        0`,
      String.raw`upper             2         2        0`,
      '',
    ].join('\n'),
  });
  const { stdout } = await run(['services', '--connect', endpoint, '--json']);
  const idle = { stalled: 0, running: 0, queued: 0 };
  expect(JSON.parse(stdout)).toEqual([
    { name: 'a\u001b[2Jb', workers: 1, waiting: 1, ...idle, credit: 1 },
    { name: 'upper', workers: 2, waiting: 2, ...idle, credit: 2 },
  ]);
});

it('times out without a broker: exit code 3', async () => {
  const { code, stderr } = await run([
    'services',
    '--connect',
    'tcp://127.0.0.1:1',
    '--timeout',
    '100',
  ]);
  expect(stderr).toMatch(/^error ERR_REQUEST_TIMEOUT: .+\n$/);
  expect(code).toBe(3);
});
