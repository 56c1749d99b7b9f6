/** Servers that elect one of them by a real etcd, while links break and members of etcd die. */
import { describe, expect, test } from 'vitest';
import { EtcdElection } from '../../src/failover/etcd-election.ts';
import type { EtcdFetch } from '../../src/failover/etcd-options.ts';
import { Server, Servers, startEtcd, TIMES, until, withoutEtcd } from './etcds.ts';

const LAST = '/unsinkable/election/last';
const THREE = ['first', 'second', 'third'] as const;

async function threeServers() {
  const [etcd] = await startEtcd();
  const servers = new Servers(etcd!);
  for (const name of THREE) await servers.add(name);
  return { etcd: etcd!, servers, active: await servers.active() };
}

describe('wrong use', () => {
  test.each([
    [{}, 'ERR_INVALID_OPTION', /'server' is missing/],
    [{ server: '' }, 'ERR_INVALID_OPTION', /'server' must be/],
    [{ server: 'a', lease: 500 }, 'ERR_INVALID_OPTION', /'lease' must be/],
    [{ server: 'a', heartbeatInterval: 1500 }, 'ERR_INVALID_OPTION', /at most a third/],
    [{ server: 'a', headers: { a: 1 } }, 'ERR_INVALID_OPTION', /'headers' must be/],
    [{ server: 'a', role: 'primary' }, 'ERR_UNKNOWN_OPTION', /no option 'role'/],
  ])('%j is refused', (options, code, message) => {
    const made = () => new EtcdElection(options as { server: string });
    expect(made).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test.each([['tcp://127.0.0.1:2379'], ['127.0.0.1'], [[]], [['http://127.0.0.1:2379', '']]])(
    'connect(%j) is refused',
    async (endpoints) => {
      await using election = new EtcdElection({ server: 'a' });
      expect(() => election.connect(endpoints)).toThrow(
        /endpoint .* must be a URL|name all members/,
      );
    },
  );

  test('it is connected once, and not when it is closed', async () => {
    const election = new EtcdElection({ server: 'a' });
    election.connect('http://127.0.0.1:1/');
    expect(() => election.connect('http://127.0.0.1:1')).toThrow(/once/);
    await election.close();
    expect(() => election.connect('http://127.0.0.1:1')).toThrow(/is closed/);
    expect(election.status().state).toBe('closed');
  });
});

describe.skipIf(withoutEtcd)('three servers', () => {
  test('elect one, and the others know where it is', async () => {
    const { servers, active } = await threeServers();
    expect(active.epoch).toBe(1);
    expect(active.events.map(({ type }) => type)).toEqual(['etcdFound', 'becameActive']);
    for (const other of servers.others(active)) {
      expect(other.epoch).toBe(0);
      expect(other.election.activeEndpoint).toBe(`tcp://${active.name}:5555`);
      expect(other.election.highestEpoch).toBe(1);
      expect(other.last('activeChanged')).toMatchObject({ epoch: 1 });
      expect(other.count('becameActive')).toBe(0);
      const endpoint = `tcp://${active.name}:5555`;
      expect(other.election.guard()).toEqual({ verdict: 'redirect', epoch: 1, endpoint });
    }
    expect(active.election.guard({ epoch: 1 })).toEqual({ verdict: 'serve', epoch: 1 });
    expect(active.election.guard({ epoch: 2 })).toEqual({ verdict: 'refuse', epoch: 2 });
    expect(active.epoch).toBe(0);
  });

  test('one that closes is followed at once', async () => {
    const { servers, active } = await threeServers();
    const closedAt = performance.now();
    await active.election.close();
    const next = await servers.active();
    expect(next).not.toBe(active);
    expect(next.epoch).toBe(2);
    expect(performance.now() - closedAt).toBeLessThan(TIMES.lease);
  });

  test('one that resigns lets others go first, and may come back', async () => {
    const { servers, active } = await threeServers();
    active.election.resign();
    expect(active.epoch).toBe(0);
    const next = await servers.active();
    expect(next).not.toBe(active);
    expect(active.last('becamePassive')).toMatchObject({ epoch: 1, reason: 'resigned' });
    for (const other of servers.others(active)) await other.election.close();
    expect(await servers.active()).toBe(active);
    expect(active.epoch).toBeGreaterThan(2);
  });

  test('one that resigns gives others a lease to begin, also if there are none', async () => {
    const [etcd] = await startEtcd();
    const server = new Server('first', {});
    server.election.connect(etcd!.url);
    await until(() => server.epoch === 1);
    const resignedAt = performance.now();
    server.election.resign();
    await until(() => server.epoch > 0);
    expect(performance.now() - resignedAt).toBeGreaterThan(TIMES.lease);
    expect(server.epoch).toBe(2);
  });

  test('a reign that has ended is not taken up again, though its lease may still be renewed', async () => {
    const { servers, active } = await threeServers();
    servers.linkOf(active).pause();
    active.election.once('becamePassive', () => servers.linkOf(active).resume());
    await until(() => active.count('becamePassive') === 1);
    expect((await servers.active()).epoch).toBe(2);
  });

  test('one that is cut off stops before another begins, and follows when it is back', async () => {
    const { servers, active } = await threeServers();
    servers.linkOf(active).pause();
    servers.linkOf(active).stall();
    await until(() => active.count('becamePassive') === 1);
    expect(active.last('becamePassive')).toMatchObject({ epoch: 1, reason: 'leaseEnded' });
    expect(servers.others(active).filter(({ epoch }) => epoch > 0)).toEqual([]);
    expect(active.count('etcdFailed')).toBe(1);
    await until(() => servers.others(active).some(({ epoch }) => epoch === 2));
    await until(() => active.election.activeEndpoint === '');
    servers.linkOf(active).forward();
    servers.linkOf(active).resume();
    const next = await servers.active();
    expect(next.epoch).toBe(2);
    expect(active.election.activeEndpoint).toBe(`tcp://${next.name}:5555`);
    expect(active.last('etcdFound')).toBeDefined();
  });

  test.each(['up', 'down'] as const)(
    'one whose link is cut one way (%s) stops as well',
    async (direction) => {
      const { servers, active } = await threeServers();
      servers.linkOf(active).pause(direction);
      await until(() => active.count('becamePassive') === 1);
      await until(() => servers.others(active).some(({ epoch }) => epoch === 2));
      servers.linkOf(active).resume();
      const next = await servers.active();
      expect(next).not.toBe(active);
    },
  );

  test('a link that breaks and comes back costs nothing', async () => {
    const { servers, active } = await threeServers();
    for (let times = 0; times < 10; times++) {
      servers.linkOf(active).reset();
      await new Promise((resolve) => setTimeout(resolve, TIMES.heartbeatInterval));
    }
    expect(await servers.active()).toBe(active);
    expect(active.epoch).toBe(1);
  });

  test('without etcd nobody serves; with it one does', async () => {
    const { etcd, servers, active } = await threeServers();
    await etcd.kill();
    await until(() => active.epoch === 0);
    await until(() => servers.all.every((server) => server.count('etcdFailed') === 1));
    expect(servers.all.filter(({ epoch }) => epoch > 0)).toEqual([]);
    etcd.start();
    const next = await servers.active();
    expect(next.epoch).toBe(2);
  });
});

describe.skipIf(withoutEtcd)('epochs', () => {
  test('a higher one that somebody shows ends a reign, and the next is above it', async () => {
    const { active, servers } = await threeServers();
    const others = servers.others(active);
    active.election.seen(performance.now(), 50);
    expect(active.epoch).toBe(0);
    for (const other of others) other.election.seen(performance.now(), 50);
    await until(() => servers.all.some(({ epoch }) => epoch === 51));
    expect(active.last('becamePassive')).toMatchObject({ epoch: 1, reason: 'higherEpoch' });
  });

  test('one that is not believed ends nothing', async () => {
    const { active } = await threeServers();
    active.election.seen(performance.now(), 2 ** 40);
    active.election.seen(performance.now(), 1);
    expect(active.epoch).toBe(1);
    await until(() => active.count('epochImplausible') === 1);
    expect(active.election.highestEpoch).toBe(1);
  });

  test('go on when all servers are new, whatever else etcd counts', async () => {
    const [etcd] = await startEtcd();
    const before = new Server('first', {});
    before.election.connect(etcd!.url);
    await until(() => before.epoch === 1);
    await before.election.close();
    for (let times = 0; times < 20; times++) await etcd!.put('/other', `${times}`);
    const after = new Server('second', {});
    after.election.connect(etcd!.url);
    await until(() => after.epoch > 0);
    expect(after.epoch).toBe(2);
  });

  test('elections of another name are none of ours', async () => {
    const [etcd] = await startEtcd();
    const [one, other] = [new Server('a', { name: 'one' }), new Server('b', { name: 'other' })];
    for (const { election } of [one, other]) election.connect(etcd!.url);
    await until(() => one.epoch > 0 && other.epoch > 0);
    expect([one.epoch, other.epoch]).toEqual([1, 1]);
  });
});

/** Passes calls on, and changes what is answered to renewals. */
function renewalsAs(change: (text: string) => string): EtcdFetch {
  return async (url, init) => {
    const answer = await fetch(url, init);
    if (!url.endsWith('/keepalive')) return answer;
    return new Response(change(await answer.text()), { status: answer.status });
  };
}

describe.skipIf(withoutEtcd)('what is not trusted', () => {
  test('a renewal by a member that was the leader in an earlier term', async () => {
    const [etcd] = await startEtcd();
    let renewals = 0;
    const deposed = renewalsAs((text) => {
      renewals++;
      return text.replace(/"raft_term":"\d+"/, '"raft_term":"1"');
    });
    const server = new Server('first', { fetch: deposed });
    server.election.connect(etcd!.url);
    await until(() => renewals > 10);
    expect(server.epoch).toBe(0);
    expect(server.count('becameActive')).toBe(0);
  });

  test('the time at which an answer comes: a lease counts from the question', async () => {
    const [etcd] = await startEtcd();
    const delay = 400;
    const slow: EtcdFetch = async (url, init) => {
      const answer = await fetch(url, init);
      if (url.endsWith('/keepalive')) await new Promise((resolve) => setTimeout(resolve, delay));
      return answer;
    };
    const server = new Server('first', { fetch: slow, timeout: 2 * delay });
    server.election.connect(etcd!.url);
    for (let looks = 0; looks < 50; looks++) {
      await until(() => server.epoch > 0);
      expect(server.election.status().leaseLeft).toBeLessThan(TIMES.lease * 0.99 - delay);
    }
  });

  test('a key that holds something else', async () => {
    const [etcd] = await startEtcd();
    await etcd!.put(LAST, 'something else');
    const server = new Server('first', {});
    server.election.connect(etcd!.url);
    await until(() => server.count('etcdFailed') === 1);
    expect(server.last('etcdFailed')?.message).toContain("the key 'last'");
    const last = { server: 'gone', epoch: 41, alone: false };
    await etcd!.put(LAST, JSON.stringify(last));
    await until(() => server.epoch === 42);
  });

  test('one that claims and hears nothing any more keeps the others waiting for two leases', async () => {
    const [etcd] = await startEtcd();
    let isDeaf = false;
    const deaf = new Server('first', {
      fetch: async (url, init) => {
        isDeaf ||= url.endsWith('/txn');
        const answer = await fetch(url, init);
        if (isDeaf) throw new Error('unheard');
        return answer;
      },
    });
    deaf.election.connect(etcd!.url);
    await until(() => deaf.count('etcdFailed') === 1);
    expect(await etcd!.get(LAST)).toContain('first');
    const other = new Server('second', {});
    other.election.connect(etcd!.url);
    await until(() => other.epoch > 0);
    expect(other.epoch).toBe(2);
    expect(deaf.count('becameActive')).toBe(0);
  });

  test('what is no etcd', async () => {
    const server = new Server('first', { fetch: async () => new Response('<html>hello') });
    server.election.connect('http://127.0.0.1:1');
    await until(() => server.count('etcdFailed') === 1);
    expect(server.last('etcdFailed')?.message).toContain('no answer of etcd');
  });

  test('an own clock after a pause', async () => {
    const [etcd] = await startEtcd();
    const server = new Server('first', {});
    server.election.connect(etcd!.url);
    await until(() => server.epoch === 1);
    const end = performance.now() + TIMES.lease + 1;
    while (performance.now() < end) expect(server.count('becamePassive')).toBe(0);
    // Nothing could tell it yet, and it is fenced all the same.
    expect(server.epoch).toBe(0);
    await until(() => server.epoch > 0);
    expect(server.epoch).toBe(2);
    expect(server.last('becamePassive')).toMatchObject({ epoch: 1, reason: 'leaseEnded' });
  });
});

/** One that serves alone, and one that has not heard of what it did. */
async function twoServers() {
  const [etcd] = await startEtcd();
  const servers = new Servers(etcd!);
  const active = await servers.add('first');
  active.election.stand({ holds: 0 });
  await until(() => active.epoch === 1);
  const other = await servers.add('second');
  other.election.stand({ holds: 0 });
  await servers.active();
  return { active, other, etcd: etcd!, servers };
}

describe.skipIf(withoutEtcd)('servers with state', () => {
  test('a new active one serves alone, and nobody else is elected but by a person', async () => {
    const { active, other } = await twoServers();
    await until(() => active.count('servesAlone') === 1);
    await active.election.close();
    await until(() => other.last('takeoverFailed')?.reason === 'notSynchronised');
    expect(other.epoch).toBe(0);
    other.election.promote();
    await until(() => other.epoch === 2);
    expect(other.count('takeoverFailed')).toBe(1);
  });

  test('once it has a follower, that one takes over', async () => {
    const { active, other, etcd } = await twoServers();
    other.election.stand({ holds: 1 });
    active.election.stand({ holds: 1, alone: false });
    await until(async () => (await etcd.get(LAST)).includes('"alone":false'));
    await active.election.close();
    await until(() => other.epoch > 0);
    expect(other.epoch).toBe(2);
    expect(other.count('takeoverFailed')).toBe(0);
  });

  test('what it knows of its followers when it closes is known to all', async () => {
    const { active, other } = await twoServers();
    await until(() => active.count('servesAlone') === 1);
    other.election.stand({ holds: 1 });
    active.election.stand({ alone: false });
    await active.election.close();
    await until(() => other.epoch > 0);
    expect(other.epoch).toBe(2);
  });

  test('one that wants to serve alone again is told when it may', async () => {
    const { active, etcd } = await twoServers();
    active.election.stand({ alone: false });
    await until(async () => (await etcd.get(LAST)).includes('"alone":false'));
    const told = active.count('servesAlone');
    active.election.stand({ alone: true });
    expect(active.count('servesAlone')).toBe(told);
    await until(() => active.count('servesAlone') > told);
    expect(await etcd.get(LAST)).toContain('"alone":true');
  });

  test('one that comes back without its state waits for those who have it, not for ever', async () => {
    const { active, other, etcd } = await twoServers();
    active.election.stand({ alone: false });
    await until(async () => (await etcd.get(LAST)).includes('"alone":false'));
    active.election.stand({ holds: 0 });
    active.election.resign();
    await until(() => active.epoch === 2);
    expect(other.count('becameActive')).toBe(0);
  });
});

async function onThreeMembers() {
  const etcds = await startEtcd(3);
  const servers = new Servers(etcds[0]!);
  const urls = etcds.map(({ url }) => url);
  for (const [at, name] of THREE.entries()) {
    servers.addAt(name, [...urls.slice(at), ...urls.slice(0, at)]);
  }
  await servers.active();
  return { etcds, servers };
}

describe.skipIf(withoutEtcd)('an etcd of three members', () => {
  test('may lose any one, also the one that leads it', async () => {
    const { etcds, servers } = await onThreeMembers();
    for (const etcd of etcds) {
      const killedAt = performance.now();
      await etcd.kill();
      await until(() => servers.isServed(killedAt));
      etcd.start();
      await etcd.ready();
    }
    const heard = servers.all.map(({ election }) => election.status().etcd);
    expect(heard).toEqual(['heard', 'heard', 'heard']);
  });

  test('one that leads it and is stopped for a while makes no two serve', async () => {
    const { etcds, servers } = await onThreeMembers();
    const leads = await Promise.all(etcds.map((etcd) => etcd.leads()));
    const leader = etcds[leads.indexOf(true)]!;
    const alive = etcds.filter((etcd) => etcd !== leader);
    const stoppedAt = performance.now();
    leader.signal('SIGSTOP');
    await until(async () => (await Promise.all(alive.map((etcd) => etcd.leads()))).includes(true));
    await until(() => servers.isServed(stoppedAt));
    leader.signal('SIGCONT');
    const wokenAt = performance.now();
    await leader.ready();
    await until(() => servers.isServed(wokenAt));
    expect(await leader.leads()).toBe(false);
  });
});
