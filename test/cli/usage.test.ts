/** Wrong usage: exit code 2 and one line that says what to write instead. And the help. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { endAll, run, start } from './commands.ts';

afterEach(endAll);

const BIND = ['--bind', 'tcp://127.0.0.1:*'];
const CONNECT = ['--connect', 'tcp://127.0.0.1:1'];

describe('wrong usage', () => {
  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no command', [], /a command is missing, one of broker, witness, worker, request, services/],
    ['an unknown command', ['brokr'], /unknown command 'brokr' \(Did you mean broker\?\)/],
    [
      'an unknown option',
      ['broker', '--bnd', 'x'],
      /'--bnd' \(Did you mean --bind\?\); see 'un.* broker --help'/,
    ],
    ['an operand too many', ['broker', ...BIND, 'x'], /too many arguments/],
    ['no --bind', ['broker'], /--bind is missing/],
    ['no --connect', ['request', 'x'], /--connect is missing/],
    ['no service', ['worker', ...CONNECT, '--echo'], /missing required argument 'service'/],
    ['no handler', ['worker', 'x', ...CONNECT], /either --echo or --exec/],
    [
      'two handlers',
      ['worker', 'x', ...CONNECT, '--echo', '--exec', 'cat'],
      /either --echo or --exec/,
    ],
    ['an empty command', ['worker', 'x', ...CONNECT, '--exec', ' '], /--exec needs a command/],
    [
      'a reserved service',
      ['worker', 'mmi.x', ...CONNECT, '--echo'],
      /choose another service name/,
    ],
    [
      'a bad endpoint',
      ['broker', '--bind', 'localhost'],
      /^error ERR_INVALID_ENDPOINT: .*must begin with tcp:/,
    ],
    [
      'an endpoint of this process',
      ['broker', '--bind', 'inproc://x'],
      /inproc:\/\/ stays inside one process/,
    ],
    [
      'an unknown log style',
      ['broker', ...BIND, '--log', 'xml'],
      /'--log <style>' argument 'xml'.*human, json, none/,
    ],
    [
      'an unknown protocol',
      ['worker', 'x', ...CONNECT, '--echo', '--protocol', 'mdp9'],
      /one of auto, express, mdp0.1, mdp0.2/,
    ],
    [
      'a key that is none',
      ['request', 'x', ...CONNECT, '--idempotency-key', ''],
      /It must be text of 1 to 255 bytes/,
    ],
    [
      'a key for a stream',
      ['request', 'x', ...CONNECT, '--idempotency-key', '7', '--stream'],
      /a stream is not repeated from memory/,
    ],
    [
      'a priority that is none',
      ['request', 'x', ...CONNECT, '--priority', '10'],
      /a whole number from 0 to 9/,
    ],
    [
      'a header without a value',
      ['request', 'x', ...CONNECT, '--header', 'trace'],
      /It must be name=value/,
    ],
    [
      'parts without a dialect for them',
      ['request', 'x', ...CONNECT, '--stream', '--protocol', 'mdp0.1'],
      /no partial replies/,
    ],
    [
      'stdin twice',
      ['request', 'x', ...CONNECT, '--file', '-', '--file', '-'],
      /stdin can be read once/,
    ],
  ];

  it.each(mistakes)('%s', async (_name, args, line) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(/^error ERR_[A-Z_]+: .+\n$/);
    expect(stderr).toMatch(line);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each(['x', '1e3', '-1', '', '0x10', '1.5', '0', '10s', '9007199254740993'])(
    'a number that is none: %j',
    async (text) => {
      const { code, stderr } = await run(['broker', ...BIND, '--max-attempts', text]);
      expect(stderr).toMatch(
        /^error ERR_USAGE: .*'--max-attempts <count>'.* a whole number, 1 or more/,
      );
      expect(code).toBe(2);
    },
  );

  it('shows a stack with --verbose only', async () => {
    const args = ['broker', '--bind', 'localhost'];
    expect((await run(args)).stderr).not.toMatch(/^ {4}at /m);
    expect((await run([...args, '--verbose'])).stderr).toMatch(/^ {4}at /m);
  });
});

describe('help', () => {
  it.each(['broker', 'witness', 'worker', 'request', 'services'])(
    'of %s has an example',
    async (command) => {
      const { code, stdout, stderr } = await run([command, '--help']);
      expect(stdout).toContain(`$ unsinkable ${command} `);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    },
  );

  it('of the whole lists the commands and the exit codes', async () => {
    const { code, stdout } = await run(['--help']);
    for (const word of ['broker', 'worker', 'request', 'services', '3 timed out']) {
      expect(stdout).toContain(word);
    }
    expect(code).toBe(0);
  });

  it('may be read by somebody who leaves early', async () => {
    const help = start(['--help']);
    help.process.stdout?.destroy();
    expect(await help.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('--version is the version of the package', async () => {
    const { version }: { version: string } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});
