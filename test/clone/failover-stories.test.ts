/** Two servers of which one serves: what is acknowledged survives the loss of either. */
import { expect, it } from 'vitest';
import { areEqual, World } from './server-story.ts';

it('a lone server does and publishes a write in one turn', () => {
  const world = new World();
  const server = world.lone();
  const client = world.client(server);
  const number = client.set('/a', '1');
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
  expect(server.map).toEqual({ '/a': '1' });
});

it('publishes nothing until it may serve alone', () => {
  const world = new World();
  const a = world.member('a');
  a.grantsAlone = false;
  world.elect(a, 1);
  const client = world.client(a);
  const number = client.set('/a', '1');
  expect(a.map).toEqual({});
  expect(client.result(number)).toBeUndefined();
  a.grant();
  world.settle();
  expect(a.map).toEqual({ '/a': '1' });
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
});

it('a grant for another epoch is none', () => {
  const world = new World();
  const a = world.member('a');
  a.grantsAlone = false;
  world.elect(a, 2);
  world.client(a).set('/a', '1');
  a.call({ type: 'servesAlone', epoch: 1 });
  expect(a.map).toEqual({});
});

it('the backup has all, and the answer says so', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  expect(a.count('backupSynchronised')).toBe(1);
  expect(a.isAloneWanted).toBe(false);
  expect(b.holds).toBe(1);
  const number = client.set('/a', '1');
  world.pass(5);
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: true });
  expect(areEqual(a, b)).toBe(true);
});

it('the backup has an update before anybody else is told', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  world.lossy.add('b>a');
  const number = client.set('/a', '1');
  expect(b.map).toEqual({ '/a': '1' });
  expect(a.map).toEqual({});
  expect(client.updates).toEqual([]);
  expect(client.result(number)).toBeUndefined();
});

it('asynchronously the answer comes at once and says that no other has it; it is public later', () => {
  const world = new World();
  const [a, b] = world.pair({ replication: 'async' });
  const client = world.client(a);
  world.lossy.add('b>a');
  const number = client.set('/a', '1');
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
  expect(a.map).toEqual({});
  expect(client.updates).toEqual([]);
  world.lossy.clear();
  world.pass(1500);
  expect(areEqual(a, b)).toBe(true);
  expect(client.updates.map(({ sequence }) => sequence)).toEqual([1]);
});

it('a write that never reached the backup is done there when it is repeated, once', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  client.set('/a', '1');
  world.pass(5);
  world.lossy.add('a>b');
  const number = client.set('/a', '2');
  expect(client.result(number)).toBeUndefined();
  a.crash();
  world.elect(b, 2);
  world.pass(5);
  expect(b.map).toEqual({ '/a': '1' });
  client.connect(b);
  client.set('/a', '2', { number });
  expect(client.result(number)).toMatchObject({ revision: 2, isReplicated: false });
  expect(b.map).toEqual({ '/a': '2' });
  expect(b.count('writeRepeated')).toBe(0);
});

it('a write that only the backup has is answered with the same revision when it is repeated', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  world.lossy.add('b>a');
  const number = client.set('/a', '1');
  a.crash();
  world.elect(b, 2);
  world.pass(5);
  client.connect(b);
  client.set('/a', '1', { number });
  expect(client.result(number)).toMatchObject({ revision: 1 });
  expect(b.machine.publication.history.published).toBe(1);
  expect(b.count('writeRepeated')).toBe(1);
});

it('a public write whose answer was lost is answered with the same revision', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  world.lossy.add('a>client0');
  const number = client.set('/a', '1', { ifMatch: 0 });
  world.pass(5);
  expect(a.map).toEqual({ '/a': '1' });
  a.crash();
  world.elect(b, 2);
  client.connect(b);
  client.set('/a', '1', { number, ifMatch: 0 });
  expect(client.result(number)).toMatchObject({ revision: 1 });
  expect(client.result(number)!.refusal).toBeUndefined();
});

it('writers come with a snapshot too, so that nothing is done twice', () => {
  const world = new World();
  const a = world.member('a', { historyLimit: 1 });
  world.elect(a, 1);
  const client = world.client(a);
  const numbers = ['1', '2', '3'].map((value) => client.set('/a', value));
  const b = world.member('b', { historyLimit: 1 });
  b.guard!.highestEpoch = 1;
  b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
  world.pass(20);
  expect(b.holds).toBe(1);
  expect(areEqual(a, b)).toBe(true);
  a.crash();
  world.elect(b, 2);
  client.connect(b);
  client.set('/a', '1', { number: numbers[0]! });
  expect(client.result(numbers[0]!)).toMatchObject({ revision: 1 });
  expect(b.value('/a')).toBe('3');
});

it('a delete of what is absent is known to the other one', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  const number = client.delete('/none');
  client.set('/a', '1');
  world.pass(5);
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: true });
  a.crash();
  world.elect(b, 2);
  client.connect(b);
  client.delete('/none', { number });
  expect(client.result(number)).toMatchObject({ revision: 1 });
  expect(client.result(number)!.refusal).toBeUndefined();
});

it('what was refused before the failover is decided anew after it', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  client.set('/a', '1');
  world.pass(5);
  const number = client.set('/a', '2', { ifMatch: 7 });
  expect(client.result(number)).toMatchObject({ refusal: 'conflict', revision: 1 });
  client.set('/a', '2', { number, ifMatch: 1 });
  // The one that refused it remembers that.
  expect(client.result(number)).toMatchObject({ refusal: 'conflict' });
  a.crash();
  world.elect(b, 2);
  client.connect(b);
  client.set('/a', '2', { number, ifMatch: 1 });
  world.pass(5);
  expect(client.result(number)!.refusal).toBeUndefined();
  expect(b.value('/a')).toBe('2');
});

it('what was refused is not done after later ones of the same writer', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  const refused = client.set('/a', '1', { ifMatch: 7 });
  client.set('/b', '1');
  world.pass(5);
  a.crash();
  world.elect(b, 2);
  client.connect(b);
  client.set('/a', '1', { number: refused });
  world.pass(5);
  expect(client.result(refused)).toMatchObject({ refusal: 'busy' });
  expect(b.map).toEqual({ '/b': '1' });
});

it('who steps down drops what is not public, and copies the other one', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  client.set('/a', '1');
  world.pass(5);
  world.lossy.add('a>b');
  const number = client.set('/a', '2');
  expect(a.machine.publication.history.accepted).toBe(2);
  world.lossy.clear();
  world.elect(b, 2);
  expect(a.machine.publication.history.accepted).toBe(1);
  expect(client.result(number)).toBeUndefined();
  const other = world.client(b);
  other.set('/b', '1');
  world.pass(3000);
  expect(a.map).toEqual({ '/a': '1', '/b': '1' });
  expect(areEqual(a, b)).toBe(true);
  expect(a.holds).toBe(2);
  // It went on from what it had.
  expect(b.events).toContainEqual(
    expect.objectContaining({ type: 'followerBegan', mode: 'continue', isBackup: true }),
  );
});

it('who was deposed with public updates that the other one has not takes a snapshot', () => {
  const world = new World();
  const [a, b] = world.pair();
  a.isCut = true;
  b.isCut = true;
  world.pass(5000);
  expect(a.isAloneWanted).toBe(true);
  a.isCut = false;
  const client = world.client(a);
  client.set('/only', 'a');
  expect(a.map).toEqual({ '/only': 'a' });
  // Somebody told the other one to serve, whatever that costs.
  b.isCut = false;
  world.elect(b, 2);
  world.client(b).set('/only', 'b');
  world.pass(5000);
  expect(a.map).toEqual({ '/only': 'b' });
  expect(areEqual(a, b)).toBe(true);
});

it('is deposed by the epoch that a client shows', () => {
  const world = new World();
  const [a] = world.pair();
  const client = world.client(a);
  client.connect(a, 2);
  world.settle();
  expect(a.count('becamePassive')).toBe(1);
  expect(client.commands.at(-1)).toMatchObject({ type: 'redirect', epoch: 2 });
  client.set('/a', '1');
  expect(a.map).toEqual({});
});

it('a brief loss of the backup lets writes wait, a long one lets them go on alone', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  b.isCut = true;
  a.lose('b');
  const number = client.set('/a', '1');
  world.pass(50);
  expect(a.isAloneWanted).toBe(false);
  expect(client.result(number)).toBeUndefined();
  world.pass(100);
  expect(a.isAloneWanted).toBe(true);
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
  b.isCut = false;
  b.lose('a');
  world.pass(3000);
  expect(a.isAloneWanted).toBe(false);
  expect(areEqual(a, b)).toBe(true);
});

it('a backup that lives and takes nothing is waited for no longer than one that is silent', () => {
  const world = new World();
  const a = world.member('a');
  const b = world.member('b', { isDurable: true });
  world.elect(a, 1);
  world.pass(10);
  while (b.batches.length > 0) b.stored();
  world.pass(10);
  expect(a.isAloneWanted).toBe(false);
  const client = world.client(a);
  // Its storage does not answer.
  const number = client.set('/a', '1');
  world.pass(2900);
  expect(client.result(number)).toBeUndefined();
  world.pass(200);
  expect(a.count('backupLost')).toBe(1);
  expect(a.isAloneWanted).toBe(true);
  expect(client.result(number)).toMatchObject({ revision: 1, isReplicated: false });
  client.set('/b', '1');
  expect(a.map).toEqual({ '/a': '1', '/b': '1' });
  while (b.batches.length > 0) b.stored();
  world.pass(10);
  expect(a.isAloneWanted).toBe(false);
  expect(areEqual(a, b)).toBe(true);
  expect(client.result(client.set('/c', '1'))).toBeUndefined();
  b.stored();
  world.pass(10);
  expect(client.results.at(-1)).toMatchObject({ revision: 3, isReplicated: true });
});

it('a backup that has been sent all and acknowledges nothing delays nobody', () => {
  const world = new World();
  const a = world.member('a');
  world.elect(a, 1);
  const client = world.client(a);
  client.set('/a', '1');
  const b = world.member('b', { isDurable: true });
  b.guard!.highestEpoch = 1;
  b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
  world.pass(10);
  expect(a.machine.status().backup).toBe('catchingUp');
  expect(client.result(client.set('/b', '1'))).toMatchObject({ revision: 2 });
});

it('the only one has no backup', () => {
  const world = new World();
  const server = world.lone();
  const stranger = world.member('b');
  stranger.call({ type: 'follow', epoch: 1, endpoint: 'lone' });
  world.client(server).set('/a', '1');
  world.pass(100);
  expect(stranger.map).toEqual({});
});

it('a stranger does not take the place of a backup that is there', () => {
  const world = new World();
  const [a, b] = world.pair();
  const stranger = world.member('c');
  stranger.guard!.highestEpoch = 1;
  stranger.call({ type: 'follow', epoch: 1, endpoint: 'a' });
  world.pass(500);
  expect(a.count('backupLost')).toBe(0);
  const client = world.client(a);
  client.set('/a', '1');
  world.pass(5);
  expect(b.map).toEqual({ '/a': '1' });
  expect(stranger.map).toEqual({});
  b.crash();
  world.pass(5000);
  expect(stranger.map).toEqual({ '/a': '1' });
});

it('writes go on while a backup joins, and it misses none', () => {
  const world = new World();
  const a = world.member('a');
  world.elect(a, 1);
  const client = world.client(a);
  for (let index = 0; index < 3000; index++) client.set(`/k/${index % 700}`, `${index}`);
  const b = world.member('b');
  b.guard!.highestEpoch = 1;
  b.call({ type: 'follow', epoch: 1, endpoint: 'a' });
  for (let index = 0; index < 200; index++) {
    client.set(`/k/${index}`, `again ${index}`);
    world.pass(0.2);
  }
  world.pass(100);
  expect(a.isAloneWanted).toBe(false);
  expect(b.holds).toBe(1);
  expect(areEqual(a, b)).toBe(true);
});

it('a takeover in the middle of a snapshot begins with what was whole', () => {
  const world = new World();
  const [a, b] = world.pair();
  const client = world.client(a);
  client.set('/a', '1');
  world.pass(5);
  expect(b.map).toEqual({ '/a': '1' });
  const { machine } = b;
  machine.handleCommand(world.now, 'active', '', {
    type: 'begin',
    stream: 1,
    mode: 'snapshot',
    epoch: 1,
    sequence: 9,
    predecessor: 9,
    heartbeatInterval: 1000,
    heartbeatLiveness: 3,
  });
  machine.handleCommand(world.now, 'active', '', {
    type: 'item',
    stream: 1,
    index: 0,
    key: '/never',
    revision: 9,
    value: [Buffer.from('x')],
  });
  a.crash();
  world.elect(b, 2);
  expect(b.map).toEqual({ '/a': '1' });
  expect(machine.publication.history.published).toBe(1);
});
