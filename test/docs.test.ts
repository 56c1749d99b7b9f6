/**
 * The documentation is true: its programs run, its commands exist, its tables agree with the code, and
 * its links lead somewhere. CONTRIBUTING.md says which kinds of code blocks there are.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { UnsinkableError, type ErrorCode } from '../src/index.ts';
import { cloneClientRules, setRules, watchRules } from '../src/clone/client/shell-options.ts';
import { WRITE_REFUSALS } from '../src/clone/commands.ts';
import * as replay from '../src/clone/replay/options.ts';
import { cloneServerRules } from '../src/clone/server/server.ts';
import { CLONE_ERROR_CODES, REQUEST_ERROR_CODES, TITANIC_ERROR_CODES } from '../src/core/errors.ts';
import type { Rule } from '../src/core/options.ts';
import { etcdElectionRules } from '../src/failover/etcd-options.ts';
import { binaryStarRules, witnessRules } from '../src/failover/options.ts';
import * as freelance from '../src/freelance/options.ts';
import { MajordomoBroker } from '../src/majordomo/broker/broker.ts';
import {
  brokerRules,
  clientRules,
  mapRules,
  requestRules,
  workerRules,
} from '../src/majordomo/options.ts';
import * as pirate from '../src/pirate/options.ts';
import { levelRules } from '../src/storage/level-engine.ts';
import { storageRules } from '../src/storage/options.ts';
import { FAULT_KINDS as CLONE_FAULTS } from '../src/testing/clone/plan.ts';
import { FAULT_KINDS as FAILOVER_FAULTS } from '../src/testing/failover/plan.ts';
import { FAULT_KINDS as FREELANCE_FAULTS } from '../src/testing/freelance/plan.ts';
import { FAULT_KINDS as PAIR_FAULTS } from '../src/testing/majordomo-pair/plan.ts';
import { FAULT_KINDS as MAJORDOMO_FAULTS } from '../src/testing/majordomo/plan.ts';
import { FAULT_KINDS as PIRATE_FAULTS } from '../src/testing/pirate/plan.ts';
import { FAULT_KINDS as REPLAY_FAULTS } from '../src/testing/replay/plan.ts';
import { FAULT_KINDS as TITANIC_FAULTS } from '../src/testing/titanic/plan.ts';
import { REQUEST_STATES, TITANIC_SERVICES } from '../src/titanic/commands.ts';
import * as titanic from '../src/titanic/options.ts';
import { endAll, freshFolder, run, start } from './cli/commands.ts';

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs').map((file) => `docs/${file}`),
].filter((file) => file.endsWith('.md'));

const { scripts, version }: { scripts: Record<string, string>; version: string } = JSON.parse(
  readFileSync('package.json', 'utf8'),
);

interface Block {
  readonly page: string;
  /** Of its fence, in the page. */
  readonly line: number;
  readonly kind: string;
  readonly text: string;
}

/** What the `js setting` blocks of a page find around them. */
interface Setting {
  readonly begin: string;
  /** To be closed in this order. */
  readonly roles: string;
}

const MAJORDOMO_SETTING: Setting = {
  begin: `
const { MajordomoBroker, MajordomoClient, MajordomoWorker, RequestError } = unsinkable;
const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');
const upper = new MajordomoWorker('upper', (request) => request.text().toUpperCase());
upper.connect(endpoint);
await upper.ready();
const client = new MajordomoClient();
client.connect(endpoint);`,
  roles: '[client, upper, broker]',
};

/** Those of pages that are not about Majordomo. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  'docs/pirate.md': {
    begin: `
const { LazyPirateClient, ParanoidPirateQueue, ParanoidPirateWorker } = unsinkable;
const queue = new ParanoidPirateQueue();
const frontend = await queue.bindFrontend('tcp://127.0.0.1:*');
const backend = await queue.bindBackend('tcp://127.0.0.1:*');
const worker = new ParanoidPirateWorker((request) => request.text().toUpperCase());
worker.connect(backend);
await worker.ready();
const client = new LazyPirateClient();
client.connect(frontend);`,
    roles: '[client, worker, queue]',
  },
  'docs/freelance.md': {
    begin: `
const { FreelanceClient, FreelanceServer } = unsinkable;
const handler = (request) => request.text().toUpperCase();
const servers = [new FreelanceServer(handler), new FreelanceServer(handler)];
const first = await servers[0].bind('tcp://127.0.0.1:*');
const second = await servers[1].bind('tcp://127.0.0.1:*');
const client = new FreelanceClient();
client.connect([first, second]);`,
    roles: '[client, ...servers]',
  },
  'docs/failover.md': {
    begin: `
const { BinaryStar, EtcdElection, MajordomoBroker } = unsinkable;
const ownStore = import.meta.filename.replace(/js$/, 'epochs');
const star = new BinaryStar({ role: 'backup', peer: 'tcp://127.0.0.1:5556', store: ownStore });`,
    roles: '[star]',
  },
  'docs/titanic.md': {
    begin: `
const { MajordomoBroker, MajordomoWorker, Titanic, TitanicClient } = unsinkable;
const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');
const store = import.meta.filename.replace(/js$/, 'store');
const titanic = await Titanic.open(store, { storage: { ballastBytes: 0 } });
titanic.connect(endpoint);
const upper = new MajordomoWorker('upper', (request) => request.text().toUpperCase());
upper.connect(endpoint);
await upper.ready();
await titanic.ready();
const client = new TitanicClient();
client.connect(endpoint);`,
    roles: '[client, upper, titanic, broker]',
  },
  'docs/clone.md': {
    begin: `
const { CloneClient, CloneServer } = unsinkable;
const server = new CloneServer();
const endpoint = await server.bind('tcp://127.0.0.1:*');
const config = new CloneClient({ codec: 'json' });
config.connect(endpoint);
await config.synchronised();`,
    roles: '[config, server]',
  },
  'docs/replay.md': {
    begin: `
const publisher = new unsinkable.ReplayPublisher();
const endpoint = await publisher.bind('tcp://127.0.0.1:*');
const subscriber = new unsinkable.ReplaySubscriber({ from: 'oldest' });
subscriber.connect(endpoint);`,
    roles: '[subscriber, publisher]',
  },
};

const blocks = PAGES.flatMap(blocksOf);
const sh = blocks.filter(({ kind }) => kind === 'sh');

/** Programs, each in a file of the project's own tree, so that `unsinkable` is this package. */
const programs = resolve('reports/docs-blocks');
const endpoints = freshFolder();

beforeAll(() => {
  rmSync(programs, { recursive: true, force: true });
  mkdirSync(programs, { recursive: true });
});
afterEach(endAll);
afterAll(() => endpoints.remove());

describe('code blocks', () => {
  test('are of a known kind', () => {
    const known = ['js', 'js setting', 'mermaid', 'sh', 'text', 'text printed'];
    expect(blocks.filter(({ kind }) => !known.includes(kind))).toEqual([]);
    expect(blocks.length).toBeGreaterThan(20);
  });

  const js = blocks.filter(({ kind }) => kind.startsWith('js'));
  test.concurrent.each(js.map((block) => [nameOf(block), block] as const))(
    '%s runs',
    async (name, block) => {
      const file = join(programs, `${name.replaceAll(/\W+/g, '-')}.js`);
      const text = block.kind === 'js setting' ? inSetting(block) : block.text;
      writeFileSync(file, inFolder(withFreeEndpoints(text, name), name));
      const next = blocks[blocks.indexOf(block) + 1];
      const { stdout } = await runProgram(file);
      expect(stdout).toBe(next?.kind === 'text printed' ? `${next.text}\n` : '');
    },
  );

  test('that show what is printed follow one that prints', () => {
    const printed = blocks.filter(({ kind }) => kind === 'text printed');
    const before = printed.map((block) => blocks[blocks.indexOf(block) - 1]!);
    expect(before.filter(({ kind }) => !kind.startsWith('js'))).toEqual([]);
  });

  test.each(sh.map((block) => [nameOf(block), block] as const))('%s works', async (name, block) => {
    const complaints: (string | undefined)[] = [];
    ports.clear();
    for (const line of block.text.split('\n')) {
      for (const command of line.split('&&')) {
        complaints.push(await complaintAbout(wordsOf(command), name));
      }
    }
    expect(complaints.filter((complaint) => complaint !== undefined)).toEqual([]);
  });
});

describe('examples', () => {
  const results: Readonly<Record<string, RegExp>> = {
    'cancel.js': /^ERR_REQUEST_TIMEOUT, retriable: true\n(.*\n)*ERR_CANCELLED, retriable: false\n/,
    'codecs.js': /^\{ greeting: 'hello, Ada', to: 'en' \}\n.* \[ 2, 4, 6 \] \}\n$/,
    'config-store.js':
      /^10 processes run, and 10 were counted\n10 have seen that the rate is 200\none was killed: 9 are left, and \/running\/3 is there: false\n$/,
    'deadlines.js':
      /^a ticket, then a report, then another report\n(?=[^]*at most a second\n[^]*for long\n)(?=[^]*TIMEOUT\n[^]*CANCELLED\n)([^]*the handler stopped\n){2}/,
    'failover.js':
      /^the primary serves\nreceipt 1 (.*)\nthe backup serves\nreceipt 1 \1\nreceipt 2 .*\n$/,
    'freelance.js':
      /^hello from the first\nhello from the second\n\(late: .*\)\nhello from the third\n$/,
    'hello.js': /^HELLO\n$/,
    'idempotency.js': /^receipt 1 .*\nthree replies, all the same: true\nreceipt 2 .*\n$/,
    'lazy-pirate.js': /^try 2\nHELLO\n$/,
    'map.js': /^the sum of 100 squares is 338350\n$/,
    'pirate.js':
      /^a worker was lost with a request in its hands\n100 of 100 replies, 1 asked again\n$/,
    'shutdown.js': /^(the (old|new) worker answered \d+\n){2}100 of 100 replies\n$/,
    'streaming.js': /^3 \n2 \n1 \nlift-off \(the end\)\n4 frames in one reply\n$/,
    'ticker.js': /^the link was cut\nwho was there: 300, in order\nwho came late: 300, in order\n$/,
    'titanic.js': /^ordered: .*\nis it there\? false\ncollected: all went well in June\n$/,
  };

  test('are all run', () => {
    expect(readdirSync('examples')).toEqual(Object.keys(results));
  });

  test.concurrent.each(Object.entries(results))('%s ends with its result', async (file, result) => {
    const { stdout } = await runProgram(resolve('examples', file));
    expect(stdout).toMatch(result);
  });
});

describe('docs/majordomo-reference.md', () => {
  const page = readFileSync('docs/majordomo-reference.md', 'utf8');

  test.each([
    ['MajordomoBroker options', brokerRules],
    ['MajordomoWorker options', workerRules],
    ['MajordomoClient options', clientRules],
    ['Request options', requestRules],
    ['Map options', without(mapRules, requestRules)],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every error, and whether it is retriable', () => {
    const codes = quoted(readFileSync('src/core/errors.ts', 'utf8'), /'(ERR_[A-Z_]+)'/g);
    const rows = tableUnder(page, 'Errors').map(([code, , retriable]) => [code, retriable]);
    expect(rows).toHaveLength(codes.length);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(codes.map(withRetriable)));
  });

  test('lists every event and every reason', async () => {
    const broker = new MajordomoBroker();
    const events = Object.keys(broker.status().events);
    await broker.close();
    expect(namesUnder(page, 'Broker events')).toEqual(events.toSorted());
    const worker = readFileSync('src/majordomo/worker/worker-events.ts', 'utf8');
    const client = readFileSync('src/majordomo/client/client-request.ts', 'utf8');
    expect(namesUnder(page, 'Worker events')).toEqual(eventsOf(worker, 'WorkerEvent'));
    expect(namesUnder(page, 'Client events')).toEqual(eventsOf(client, 'ClientEvent'));
    const reasons = [
      ...reasonsOf(readFileSync('src/majordomo/broker/broker-events.ts', 'utf8')),
      ...reasonsOf(worker),
      ...reasonsOf(client),
    ];
    expect(reasons.length).toBeGreaterThan(10);
    expect(reasons.filter((reason) => !page.includes(`\`${reason}\``))).toEqual([]);
  });

  test('names every field of a status', () => {
    const source = readFileSync('src/majordomo/broker/broker-events.ts', 'utf8');
    const [, declarations = ''] = source.split('export interface ServiceStatus');
    const fields = quoted(declarations, /readonly (\w+):/g);
    expect(fields.length).toBeGreaterThan(15);
    const named = quoted(JSON.stringify(tableUnder(page, 'Status', false)), /`(\w+)`/g);
    expect(fields.filter((field) => !named.includes(field))).toEqual([]);
  });
});

describe('docs/majordomo.md', () => {
  const page = readFileSync('docs/majordomo.md', 'utf8');

  test('names checks, mutants and tests that there are, and that belong together', () => {
    const rows = tableUnder(page, 'Guarantees', false);
    expect(rows.length).toBeGreaterThan(10);
    const invariants = invariantsInDocs();
    for (const [, checked, planted, tests] of rows) {
      const names = quoted(checked!, /`([^`]+)`/g);
      expect(invariants).toEqual(expect.arrayContaining(names));
      const unrelated = quoted(planted!, /`([^`]+)`/g).filter(
        (mutant) =>
          !caughtBy(`test/mutants/majordomo/${mutant}.patch`).some((name) => names.includes(name)),
      );
      expect(unrelated).toEqual([]);
      const missing = quoted(tests!, /`([^`]+)`/g).filter((file) => !existsSync(file));
      expect(missing).toEqual([]);
    }
  });
});

describe('docs/architecture.md', () => {
  const page = readFileSync('docs/architecture.md', 'utf8');

  test.each([
    ["Majordomo's files", 'majordomo'],
    ["The Pirates' files", 'pirate'],
    ["Freelance's files", 'freelance'],
    ["Titanic's files", 'titanic'],
    ["Binary Star's files", 'failover'],
    ["Clone's files", 'clone'],
    ['The storage', 'storage'],
  ])('%s are all that there are', (heading, room) => {
    const named = quoted(tableUnder(page, heading, false).join(), /`([\w-]+\.ts)`/g);
    const files = readdirSync(`src/${room}`, { recursive: true, encoding: 'utf8' });
    const names = new Set(
      files.filter((file) => file.endsWith('.ts')).map((file) => basename(file)),
    );
    expect(named.toSorted()).toEqual([...names].toSorted());
  });

  test('the parts of core are there', () => {
    const named = quoted(tableUnder(page, 'Core', false).join(), /`([\w-]+\.ts)`/g);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((file) => !existsSync(`src/core/${file}`))).toEqual([]);
  });
});

test.each(['majordomo', 'pirate', 'freelance', 'titanic', 'failover', 'clone'])(
  'the table of patterns leads to docs/%s.md, and back',
  (pattern) => {
    const rows = tableUnder(readFileSync('README.md', 'utf8'), 'Which pattern', false);
    expect(rows.join()).toContain(`(docs/${pattern}.md)`);
    expect(readFileSync(`docs/${pattern}.md`, 'utf8')).toContain('(../README.md#which-pattern)');
  },
);

describe('docs/pirate.md', () => {
  const page = readFileSync('docs/pirate.md', 'utf8');
  const queueEvents = readFileSync('src/pirate/queue-events.ts', 'utf8');
  const workerEvents = readFileSync('src/pirate/worker-events.ts', 'utf8');
  const client = readFileSync('src/pirate/client-machine.ts', 'utf8');

  test.each([
    ['Queue options', pirate.paranoidQueueRules],
    ['Worker options', pirate.paranoidWorkerRules],
    ['Client options', pirate.clientRules],
    ['Request options', pirate.requestRules],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event and every reason', () => {
    expect(namesUnder(page, 'Queue events')).toEqual(eventsOf(queueEvents, 'QueueEvent'));
    expect(namesUnder(page, 'Worker events')).toEqual(eventsOf(workerEvents, 'WorkerEvent'));
    expect(namesUnder(page, 'Client events')).toEqual(eventsOf(client, 'ClientEvent'));
    expect(reasonsMissing(page, [queueEvents, workerEvents])).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', queueEvents, 'QueueStatus')).toEqual([]);
  });

  test('lists every way in which a request can fail, and whether it is retriable', () => {
    const files = ['src/core/request-lives.ts', 'src/transport/handling.ts', ...sources('pirate')];
    expect(failuresUnder(page)).toEqual(failuresIn(files));
  });

  test('names checks and tests that there are', () => {
    expect(evidenceMissing(page, 'pirate')).toEqual([]);
  });
});

describe('docs/freelance.md', () => {
  const page = readFileSync('docs/freelance.md', 'utf8');
  const serverEvents = readFileSync('src/freelance/server-events.ts', 'utf8');
  const client = readFileSync('src/freelance/client-request.ts', 'utf8');
  const servers = readFileSync('src/freelance/servers.ts', 'utf8');

  test.each([
    ['Server options', freelance.serverRules],
    ['Client options', freelance.clientRules],
    ['Request options', freelance.requestRules],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event and every reason', () => {
    const ofServer = eventsOf(serverEvents, 'FreelanceServerEvent');
    expect(namesUnder(page, 'Server events')).toEqual(ofServer);
    const ofClient = [...eventsOf(client, 'ClientEvent'), ...eventsOf(servers, 'ServerEvent')];
    expect(namesUnder(page, 'Client events')).toEqual(ofClient.toSorted());
    expect(reasonsMissing(page, [serverEvents, client, servers])).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', serverEvents, 'FreelanceServerStatus')).toEqual([]);
    expect(fieldsMissing(page, 'Server health', servers, 'ServerHealth')).toEqual([]);
  });

  test('lists every way in which a request can fail, and whether it is retriable', () => {
    const files = ['src/transport/handling.ts', ...sources('freelance')];
    expect(failuresUnder(page)).toEqual(failuresIn(files));
  });

  test('names checks and tests that there are', () => {
    expect(evidenceMissing(page, 'freelance')).toEqual([]);
  });
});

describe('docs/titanic.md', () => {
  const page = readFileSync('docs/titanic.md', 'utf8');
  const machineEvents = readFileSync('src/titanic/titanic-events.ts', 'utf8');
  const server = readFileSync('src/titanic/titanic.ts', 'utf8');
  const client = readFileSync('src/titanic/titanic-client.ts', 'utf8');
  const commands = readFileSync('src/titanic/commands.ts', 'utf8');
  const view = readFileSync('src/titanic/admin-view.ts', 'utf8');

  test.each([
    ['Titanic options', titanic.titanicRules],
    ['Client options', titanic.titanicClientRules],
    ['Options of every question', titanic.askRules],
    ['Submit options', without(titanic.submitRules, titanic.askRules)],
    ['Fetch options', without(titanic.fetchRules, titanic.askRules)],
    ['Call options', without(titanic.callRules, titanic.submitRules)],
    ['List options', without(titanic.listRules, titanic.askRules)],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event, every reason and every end of an attempt', () => {
    const ofServer = [
      ...eventsOf(machineEvents, 'TitanicEvent'),
      ...eventsOf(server, 'TitanicServerEvent'),
    ];
    expect(namesUnder(page, 'Titanic events')).toEqual(ofServer.toSorted());
    const [, ofClient = ''] = client.split('export interface TitanicClientEvent');
    expect(namesUnder(page, 'Client events')).toEqual(
      quoted(ofClient, /^ {2}readonly type: '(\w+)'/gm),
    );
    const [, ends = ''] = /export type AttemptEnd = ([^;]+);/.exec(machineEvents) ?? [];
    const words = [...quoted(ends, /'(\w+)'/g), 'age', 'count', 'bytes'];
    expect(words.length).toBeGreaterThan(6);
    expect(words.filter((word) => !page.includes(`\`${word}\``))).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', view, 'TitanicMachineStatus extends StateCounts')).toEqual(
      [],
    );
    const named = JSON.stringify(tableUnder(page, 'Status', false));
    expect(REQUEST_STATES.filter((state) => !named.includes(`\`${state}\``))).toEqual([]);
    const summary = commands.replaceAll('?:', ':');
    expect(fieldsMissing(page, 'Of one request', summary, 'RequestSummary')).toEqual([]);
  });

  test('lists every way to be refused, and whether it is retriable', () => {
    const codes = Object.fromEntries(TITANIC_ERROR_CODES.map(withRetriable));
    expect(failuresUnder(page)).toEqual(codes);
  });

  test('says what is sent to every service', () => {
    const rows = tableUnder(page, 'The wire').map(([service]) => service);
    expect(rows).toEqual(TITANIC_SERVICES);
  });

  test('names checks and tests that there are', () => {
    expect(evidenceMissing(page, 'titanic')).toEqual([]);
  });
});

describe('docs/failover.md', () => {
  const page = readFileSync('docs/failover.md', 'utf8');
  const failoverEvents = readFileSync('src/failover/failover-events.ts', 'utf8');
  const etcdOptions = readFileSync('src/failover/etcd-options.ts', 'utf8');
  const election = readFileSync('src/core/election.ts', 'utf8');
  const commands = readFileSync('src/failover/commands.ts', 'utf8');

  test.each([
    ['BinaryStar options', binaryStarRules],
    ['Witness options', witnessRules],
    ['EtcdElection options', etcdElectionRules],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event and every reason', () => {
    const ofElections = eventsOf(election, 'ElectionEvent');
    const ofPairs = [...ofElections, ...eventsOf(failoverEvents, 'PairEvent')];
    expect(namesUnder(page, 'BinaryStar events')).toEqual(ofPairs.toSorted());
    const ofWitnesses = eventsOf(failoverEvents, 'WitnessEvent');
    expect(namesUnder(page, 'Witness events')).toEqual(ofWitnesses);
    const ofEtcd = [...ofElections, ...eventsOf(etcdOptions, 'EtcdElectionEvent')];
    const named = quoted(namesUnder(page, 'EtcdElection events').join(), /(\w+)/g);
    expect(named.toSorted()).toEqual(ofEtcd.toSorted());
    const [, lost = ''] = /type: 'peerLost'; readonly reason: ([^}]*)}/.exec(failoverEvents) ?? [];
    const words = quoted(lost, /'(\w+)'/g);
    expect(words.length).toBeGreaterThan(2);
    expect(words.filter((word) => !page.includes(`\`${word}\``))).toEqual([]);
    expect(reasonsMissing(page, [election, commands])).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'BinaryStar status', failoverEvents, 'PairStatus')).toEqual([]);
    expect(fieldsMissing(page, 'EtcdElection status', etcdOptions, 'EtcdElectionStatus')).toEqual(
      [],
    );
  });

  test('says of each error whether it is retriable', () => {
    const codes = Object.keys(failuresUnder(page));
    expect(codes.length).toBeGreaterThan(8);
    expect(failuresUnder(page)).toEqual(Object.fromEntries(codes.map(withRetriable)));
  });

  test('says what is said to whom', () => {
    const rows = tableUnder(page, 'The wire').map(([command]) => command!);
    const said = quoted(commands, /readonly type: '(\w+)'/g);
    expect(rows.toSorted()).toEqual(said.filter((type) => type !== 'stockState').toSorted());
  });

  test('names checks and tests that there are', () => {
    expect(evidenceMissing(page, 'failover')).toEqual([]);
    const ofPairs = ['Guarantees of the Majordomo pair', 5] as const;
    expect(evidenceMissing(page, 'majordomo-pair', ofPairs)).toEqual([]);
  });
});

describe('docs/clone.md', () => {
  const page = readFileSync('docs/clone.md', 'utf8');
  const serverEvents = readFileSync('src/clone/server-events.ts', 'utf8');
  const clientEvents = readFileSync('src/clone/client-events.ts', 'utf8');

  test.each([
    ['Server options', cloneServerRules],
    ['Client options', cloneClientRules],
    ['Write options', setRules],
    ['Watch options', watchRules],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event and every reason', () => {
    const inServer = ['holds', 'alone', 'drained'];
    const ofServer = eventsTold(serverEvents, 'CloneServerEvent', inServer, 'storageChanged');
    expect(namesUnder(page, 'Server events')).toEqual(ofServer);
    const inClient = ['changed', 'written', 'drained'];
    const ofClient = eventsTold(clientEvents, 'CloneClientEvent', inClient, 'socketFailed');
    expect(namesUnder(page, 'Client events')).toEqual(ofClient);
    expect(reasonsMissing(page, [serverEvents, clientEvents])).toEqual([]);
    const refusals: readonly string[] = WRITE_REFUSALS;
    expect(refusals.filter((refusal) => !page.includes(`\`${refusal}\``))).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', serverEvents, 'CloneServerStatus')).toEqual([]);
    expect(fieldsMissing(page, 'Client status', clientEvents, 'CloneClientStatus')).toEqual([]);
  });

  test('lists every way in which a write can fail, and whether it is retriable', () => {
    const codes = Object.fromEntries(CLONE_ERROR_CODES.map(withRetriable));
    expect(failuresUnder(page)).toEqual(codes);
  });

  test('names checks and tests that there are', () => {
    expect(evidenceMissing(page, 'clone')).toEqual([]);
  });
});

describe('docs/replay.md', () => {
  const page = readFileSync('docs/replay.md', 'utf8');
  const events = readFileSync('src/clone/replay/events.ts', 'utf8');

  test.each([
    ['Publisher options', replay.publisherRules],
    ['Subscriber options', replay.subscriberRules],
  ])('%s are the rules', (heading, rules) => {
    expect(optionsUnder(page, heading)).toEqual(optionsOf(rules));
  });

  test('lists every event and every reason', () => {
    expect(namesUnder(page, 'Publisher events')).toEqual(eventsOf(events, 'ReplayPublisherEvent'));
    const told = [...eventsOf(events, 'ReplaySubscriberEvent'), 'historyLost', 'socketFailed'];
    expect(namesUnder(page, 'Subscriber events')).toEqual([...new Set(told)].toSorted());
    const [, losses = ''] = events.split('export type HistoryLossReason =');
    const reasons = quoted(losses.split(';')[0]!, /'(\w+)'/g);
    expect(reasons.length).toBeGreaterThan(3);
    expect(reasons.filter((reason) => !page.includes(`\`${reason}\``))).toEqual([]);
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', events, 'ReplayPublisherStatus')).toEqual([]);
    expect(fieldsMissing(page, 'Subscriber status', events, 'ReplaySubscriberStatus')).toEqual([]);
  });

  test('names checks, mutants and tests that there are', () => {
    expect(evidenceMissing(page, 'replay')).toEqual([]);
  });
});

describe('docs/storage.md', () => {
  const page = readFileSync('docs/storage.md', 'utf8');
  const options = readFileSync('src/storage/options.ts', 'utf8');
  const engine = readFileSync('src/storage/engine.ts', 'utf8');

  test('the options are the rules', () => {
    const rules = { ...storageRules, ...levelRules };
    expect(optionsUnder(page, 'Options')).toEqual(optionsOf(rules));
  });

  test('names every field of a status', () => {
    expect(fieldsMissing(page, 'Status', options, 'StorageStatus')).toEqual([]);
  });

  test('lists every error, and whether it is retriable', () => {
    const codes = quoted(readFileSync('src/core/errors.ts', 'utf8'), /'(ERR_STORAGE_\w+)'/g);
    expect(codes.length).toBeGreaterThan(5);
    expect(failuresUnder(page)).toEqual(Object.fromEntries(codes.map(withRetriable)));
  });

  test('says what every method of an engine does', () => {
    const [, declaration = ''] = engine.split('export interface Engine {');
    const methods = quoted(declaration, /^ {2}(?:readonly )?(\w+)[(:]/gm);
    const cells = namesUnder(page, 'Bring your own engine').join();
    const named = quoted(cells.replaceAll(/\([^)]*\)/g, ''), /(\w+)/g);
    expect(named.toSorted()).toEqual(methods.toSorted());
  });

  test('lists every law', () => {
    const [comment = ''] = readFileSync('src/testing/storage-laws.ts', 'utf8').split('*/');
    const laws = quoted(comment.replaceAll(/\n \* */g, ' '), /`([a-z ]+)`/g);
    expect(laws.length).toBeGreaterThan(5);
    expect(laws.filter((law) => !page.replaceAll('\n', ' ').includes(`\`${law}\``))).toEqual([]);
  });
});

describe('docs/fault-injection.md', () => {
  const page = readFileSync('docs/fault-injection.md', 'utf8');

  test('lists every kind of fault', () => {
    const kinds = new Set<string>([
      ...MAJORDOMO_FAULTS,
      ...PIRATE_FAULTS,
      ...FREELANCE_FAULTS,
      ...TITANIC_FAULTS,
      ...FAILOVER_FAULTS,
      ...PAIR_FAULTS,
      ...CLONE_FAULTS,
      ...REPLAY_FAULTS,
    ]);
    expect(namesUnder(page, 'Faults')).toEqual([...kinds].toSorted());
  });

  /** What every run checks, whatever its suite. */
  const everywhere = invariantsIn(
    ['watched-machine', 'book-checker', 'scenario'].map((name) => `${name}.ts`),
  );
  const bySuite = Object.keys(INVARIANT_TABLES).map((suite) => ({
    suite,
    names: invariantsIn(readdirSync(`src/testing/${suite}`).map((file) => `${suite}/${file}`)),
  }));
  const inSeveral = (name: string): boolean =>
    everywhere.includes(name) || bySuite.filter(({ names }) => names.includes(name)).length > 1;

  test('lists every invariant of several suites', () => {
    const names = new Set([...everywhere, ...bySuite.flatMap((suite) => suite.names)]);
    expect(namesUnder(page, SHARED_INVARIANTS)).toEqual([...names].filter(inSeveral).toSorted());
  });

  test.each(bySuite)('lists every invariant of $suite alone', ({ suite, names }) => {
    const own = names.filter((name) => !inSeveral(name));
    expect(namesUnder(page, INVARIANT_TABLES[suite]!)).toEqual(own.toSorted());
  });

  test('lists the invariants that mutants name', () => {
    const listed = invariantsInDocs();
    const named = mutants().flatMap(caughtBy);
    expect(named.filter((name) => !listed.includes(name))).toEqual([]);
  });
});

describe.each([...PAGES, 'CHANGELOG.md'])('%s', (page) => {
  const text = readFileSync(page, 'utf8');

  test('mentions scripts, files and versions that there are', () => {
    const named = quoted(text, /npm run ([\w-]+)/g).filter((script) => !(script in scripts));
    expect(named).toEqual([]);
    const files = quoted(text, /`((?:src|test|docs|scripts|examples|demo)\/[\w./-]*)`/g);
    expect(files.filter((file) => !existsSync(file))).toEqual([]);
    const tarballs = quoted(text, /unsinkable-([\d.]+)\.tgz/g);
    expect(tarballs.filter((tarball) => tarball !== version)).toEqual([]);
  });
  test('links to pages and headings that there are', () => {
    const prose = text.replaceAll(/^```[^]*?^```$/gm, '');
    const targets = quoted(prose, /\]\(([^)\s]+)\)/g).filter((to) => !/^https?:/.test(to));
    const broken = targets.filter((target) => {
      const [path, anchor] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path!);
      if (!existsSync(file)) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

// Blocks

function blocksOf(page: string): Block[] {
  const text = readFileSync(page, 'utf8');
  return [...text.matchAll(/^```(.*)\n([^]*?)\n```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    kind: match[1]!,
    text: match[2]!,
  }));
}

function nameOf({ page, line }: Block): string {
  return `${page}:${line}`;
}

/** What stands before and after a `js setting` block, whose imports go to the top. */
function inSetting({ page, text }: Block): string {
  const lines = text.split('\n');
  const { begin, roles } = SETTINGS[page] ?? MAJORDOMO_SETTING;
  return `
${lines.filter(isImport).join('\n')}
import * as unsinkable from 'unsinkable';
${begin}
{
${lines.filter((line) => !isImport(line)).join('\n')}
}
for (const role of ${roles}) await role.close();
`;
}

function isImport(line: string): boolean {
  return line.startsWith('import ');
}

/** Each port of a page becomes a file in a fresh folder: free, and nobody else's. */
function withFreeEndpoints(text: string, name: string): string {
  if ([...ports.values()].includes(text)) return text;
  const folder = endpoints.path(name.replaceAll(/\W+/g, '-').slice(-24));
  return text.replaceAll(/tcp:\/\/127\.0\.0\.1:(\d+)/g, `ipc://${folder}-$1`);
}

/** A program whose `'./folders'` are its own: others run beside it, and may call theirs the same. */
function inFolder(text: string, name: string): string {
  return text.replaceAll(
    /'(\.\/[\w-]+)'/g,
    (_, path: string) => `'${withFreeFolders(path, name)}'`,
  );
}

/** The same for `./folders` of a command. */
function withFreeFolders(word: string, name: string): string {
  const folder = endpoints.path(name.replaceAll(/\W+/g, '-').slice(-24));
  return word.replace(/^\.\/(?=[\w-]+$)/, `${folder}-`);
}

async function runProgram(file: string): Promise<{ stdout: string }> {
  return await promisify(execFile)(process.execPath, [file], { timeout: 20_000 });
}

// Commands

/** The words of a command, as a shell sees them; quotes hold words together. */
function wordsOf(command: string): string[] {
  const words = command.trim().match(/'[^']*'|\S+/g) ?? [];
  return words.map((word) => word.replace(/^'(.*)'$/, '$1'));
}

/** Why a command of a page would not work, if so. It is run, too, if that is cheap. */
async function complaintAbout(words: readonly string[], name: string): Promise<string | undefined> {
  const [program, command, script = '', ...rest] = words;
  const line = words.join(' ');
  if (program === 'unsinkable') return await complaintAboutUnsinkable(words.slice(1), name);
  if (program === 'npx' && command === 'vitest' && script === 'run') {
    const missing = rest.find((path) => !existsSync(path));
    return missing && `${line}: there is no ${missing}`;
  }
  if (program === 'npm' && words.length === 2 && ['ci', 'cit', 'pack'].includes(command!)) return;
  if (program !== 'npm' || command !== 'run') return `${line}: this test does not know it`;
  if (!(script in scripts)) return `${line}: there is no such script`;
  const [separator, ...args] = rest;
  if (separator === undefined) return;
  if (separator !== '--') return `${line}: -- is missing`;
  if (script === 'chaos') return await complaintAboutChaos(args);
  if (script === 'mutants') return await complaintAboutMutants(args);
  return `${line}: this test does not know its arguments`;
}

/** The commands that run until they are stopped. */
const SERVING: ReadonlySet<string | undefined> = new Set([
  'broker',
  'witness',
  'worker',
  'pirate-queue',
  'pirate-worker',
  'freelance-server',
  'titanic',
  'clone-server',
]);

/** Where those serve whose command takes a port: by the endpoint that others have in the page. */
const ports = new Map<string, string>();

function withPorts(word: string): string {
  return ports.get(word) ?? word;
}

/** Runs a command line of the package; what serves is awaited and left running. */
async function complaintAboutUnsinkable(
  args: readonly string[],
  name: string,
): Promise<string | undefined> {
  const words = args.map((word) => withFreeFolders(withFreeEndpoints(withPorts(word), name), name));
  const port = words.indexOf('--port') + 1;
  const command = port === 0 ? words : [...words.with(port, '*'), '--no-stock'];
  const [role, operand] = command;
  // A Titanic serves, `titanic list` does not.
  const isServing =
    SERVING.has(role) && !(role === 'titanic' && operand?.startsWith('-') === false);
  if (isServing) {
    const [, endpoint] = await start(command).stdout(new RegExp(`^ready ${role} (.+)\n`));
    if (port !== 0) ports.set(`tcp://127.0.0.1:${words[port]}`, endpoint!);
    return;
  }
  const { code, stderr } = await run(command);
  return code === 0 ? undefined : stderr;
}

/** A replay is run as it is, a suite with a few schedules. */
async function complaintAboutChaos(args: readonly string[]): Promise<string | undefined> {
  const { stdout } = await run(['chaos', '--help']);
  const unknown = unknownOption(args, stdout);
  if (unknown !== undefined) return unknown;
  const few = [args[0]!, '--schedules', '20', '--seed', '1'];
  const { code, stderr } = await run(['chaos', ...(args.includes('--replay') ? args : few)]);
  return code === 0 ? undefined : stderr;
}

async function complaintAboutMutants(args: readonly string[]): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)(process.execPath, ['scripts/mutants.js', '--help']);
  const name = `${args[0]}.patch`;
  const isThere = mutants().some((file) => basename(file) === name);
  return isThere ? unknownOption(args, stdout) : `there is no ${name} in test/mutants`;
}

function unknownOption(words: readonly string[], help: string): string | undefined {
  const unknown = words.find((word) => word.startsWith('--') && !help.includes(`${word} `));
  return unknown && `there is no option ${unknown}`;
}

// Tables

/** The cells of the first table under a heading; `bare`: without the backticks around whole cells. */
function tableUnder(page: string, heading: string, bare = true): string[][] {
  const [, section = ''] = page.split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [table] = section.match(/^\|[^]*?(?=\n\n)/m) ?? [];
  if (table === undefined) throw new Error(`there is no table under '${heading}'`);
  const rows = table.split('\n').slice(2);
  const cells = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return bare ? cells.map((row) => row.map((cell) => cell.replace(/^`([^`]*)`$/, '$1'))) : cells;
}

/** The name, default and range of each option in a table. */
function optionsUnder(page: string, heading: string): string[][] {
  return tableUnder(page, heading).map((row) => row.slice(0, 3));
}

/** The same of the rules. */
function optionsOf(rules: object): string[][] {
  return Object.entries<Rule<unknown>>(rules as Record<string, Rule<unknown>>).map(
    ([name, rule]) => [name, shownDefault(name, rule.default), rule.expected],
  );
}

/** The codes in a table of errors, and what it says of trying again. */
function failuresUnder(page: string): Record<string, string> {
  const rows = tableUnder(page, 'Errors').map(([code, retriable]) => [code, retriable]);
  return Object.fromEntries(rows);
}

/** The codes with which requests end in these files. */
function failuresIn(files: readonly string[]): Record<string, string> {
  const known: readonly string[] = REQUEST_ERROR_CODES;
  const named = files.flatMap((file) => quoted(readFileSync(file, 'utf8'), /'(ERR_[A-Z_]+)'/g));
  return Object.fromEntries(named.filter((code) => known.includes(code)).map(withRetriable));
}

function withRetriable(code: string): [code: string, retriable: string] {
  return [code, new UnsinkableError(code as ErrorCode, '').retriable ? 'yes' : 'no'];
}

/** The reasons in these sources that a page does not name. */
function reasonsMissing(page: string, files: readonly string[]): string[] {
  const reasons = files.flatMap(reasonsOf);
  expect(reasons.length).toBeGreaterThan(5);
  return reasons.filter((reason) => !page.includes(`\`${reason}\``));
}

/** The fields of a declared interface that a table does not name. */
function fieldsMissing(page: string, heading: string, source: string, declared: string): string[] {
  const [, declaration = ''] = source.split(`export interface ${declared} {`);
  const fields = quoted(declaration.split('\n}')[0]!, /readonly (\w+):/g);
  expect(fields.length).toBeGreaterThan(3);
  const named = quoted(JSON.stringify(tableUnder(page, heading, false)), /`(\w+)`/g);
  return fields.filter((field) => !named.includes(field));
}

/** What guarantees rest on and is not there: invariants of this pattern's checkers, mutants, tests. */
function evidenceMissing(
  page: string,
  pattern: string,
  [heading, least]: readonly [string, number] = ['Guarantees', 10],
): string[] {
  const rows = tableUnder(page, heading, false);
  expect(rows.length).toBeGreaterThan(least);
  const folders = ['src/testing', `src/testing/${pattern}`];
  const files = folders.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)));
  const code = files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(file, 'utf8'));
  return rows.flatMap((row) => {
    const [checked = [], planted = [], tests = []] = row
      .slice(1)
      .map((cell) => quoted(cell, /`([^`]+)`/g));
    const patches = planted.map((mutant) => `test/mutants/${pattern}/${mutant}.patch`);
    return [
      ...checked.filter((invariant) => !code.some((text) => isQuotedIn(text, invariant))),
      ...patches.filter((file) => !caughtBy(file).some((name) => checked.includes(name))),
      ...tests.filter((file) => !existsSync(file)),
    ];
  });
}

function isQuotedIn(text: string, name: string): boolean {
  return text.includes(`'${name}'`) || text.includes(`"${name}"`);
}

function namesUnder(page: string, heading: string): string[] {
  return tableUnder(page, heading)
    .map(([name]) => name!)
    .toSorted();
}

/** Under which headings of docs/fault-injection.md invariants stand: of several suites, and of one. */
const SHARED_INVARIANTS = 'In several suites';
const INVARIANT_TABLES: Readonly<Record<string, string>> = {
  majordomo: 'In Majordomo alone',
  pirate: 'In the Pirates alone',
  freelance: 'In Freelance alone',
  titanic: 'In Titanic alone',
  failover: 'In Binary Star alone',
  'majordomo-pair': 'In the Majordomo pair alone',
  clone: 'In Clone alone',
  replay: 'In replay alone',
};

function invariantsInDocs(): string[] {
  const page = readFileSync('docs/fault-injection.md', 'utf8');
  const headings = [SHARED_INVARIANTS, ...Object.values(INVARIANT_TABLES)];
  return headings.flatMap((heading) => namesUnder(page, heading));
}

/** The invariants that these files of src/testing check. */
function invariantsIn(files: readonly string[]): string[] {
  const pattern = /(?:Violation\(\s*|,\s*)["']([A-Za-z' -]+)["'],\s*(?=\(\) =>|`)/g;
  const found = files.flatMap((file) => {
    const text = readFileSync(`src/testing/${file}`, 'utf8');
    const chosen = quoted(text, /const invariant =([^;]*);/g).join();
    return [...quoted(text, pattern), ...quoted(chosen, /[?:] ["']([A-Za-z' -]+)["']/g)];
  });
  return [...new Set(found)];
}

/** The rules that are not among `others`. */
function without(rules: Record<string, Rule<unknown>>, others: object) {
  return Object.fromEntries(Object.entries(rules).filter(([name]) => !(name in others)));
}

/** A default as the tables write it. */
function shownDefault(name: string, value: unknown): string {
  if (value === undefined || value === '') return 'none';
  if (typeof value === 'string' || typeof value === 'boolean') return String(value);
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value !== 'number') throw new Error(`${name}: how is such a default written?`);
  if (name.endsWith('Bytes')) return `${value / 1024 / 1024} MiB`;
  return value.toLocaleString('en');
}

// Code

/** What a pattern finds, each once, in order of appearance. */
function quoted(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1]!))];
}

/** The patches of planted bugs. */
function mutants(): string[] {
  return readdirSync('test/mutants', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.patch'))
    .map((file) => `test/mutants/${file}`);
}

/** The invariants that may catch a mutant, by the first line of its patch. */
function caughtBy(mutant: string): string[] {
  const [first = ''] = readFileSync(mutant, 'utf8').split('\n');
  return first.replace('Caught by: ', '').split('; ');
}

function sources(room: string): string[] {
  return readdirSync(`src/${room}`).map((file) => `src/${room}/${file}`);
}

function eventsOf(source: string, union: string): string[] {
  const [, declaration = ''] = source.split(`export type ${union} =`);
  return quoted(declaration.split('};\n')[0]!, /type: '(\w+)'/g).toSorted();
}

/** The events of a shell: those of its machine that are not its own affair, and one more. */
function eventsTold(source: string, union: string, kept: readonly string[], own: string): string[] {
  const told = eventsOf(source, union).filter((type) => !kept.includes(type));
  return [...told, own].toSorted();
}

/** The words of all unions whose name ends in Reason, Refusal or Loss. */
function reasonsOf(source: string): string[] {
  const unions = source.matchAll(/export type \w+(?:Reason|Refusal|Loss) (=[^;]*);/g);
  return [...unions].flatMap(([, union]) => quoted(union!, /[|=]\s*'(\w+)'/g));
}

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(file: string): string[] {
  const headings = quoted(readFileSync(file, 'utf8'), /^#+ (.+)$/gm);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}
