/** Clients of a broker: who is known, under which address, and until when. */
import { describe, expect, test } from 'vitest';
import { ClientTable } from '../../src/majordomo/broker/clients.ts';

const SETTINGS = { heartbeatInterval: 100, heartbeatLiveness: 3 };
const GRACE = { stock: 30, express: 50 };

describe('a stock client', () => {
  test('is one for its address until it is removed', () => {
    const table = new ClientTable();
    const client = table.stock('a');
    expect(table.stock('a')).toBe(client);
    expect([client.session, table.nextDue]).toEqual([undefined, Infinity]);
    table.remove(client);
    expect(table.state.stock.size).toBe(0);
  });

  test('is gone after the grace, unless it asks again', () => {
    const table = new ClientTable();
    const [back, gone] = [table.stock('back'), table.stock('gone')];
    for (const address of ['back', 'gone', 'nobody']) table.noticed(10, address, GRACE);
    table.heard(20, back);
    expect(table.nextDue).toBe(40);
    expect(table.takeDue(39)).toBeUndefined();
    expect(table.takeDue(40)).toEqual({ client: gone, due: 'gone' });
    expect(table.takeDue(1000)).toBeUndefined();
  });

  test('that is removed is not due any more', () => {
    const table = new ClientTable();
    const client = table.stock('a');
    table.noticed(10, 'a', GRACE);
    table.remove(client);
    expect([table.nextDue, table.takeDue(1000)]).toEqual([Infinity, undefined]);
  });
});

describe('a client of express', () => {
  test('is found by its session and by its address', () => {
    const table = new ClientTable();
    const client = table.open(0, 'a', 'session', SETTINGS);
    expect([table.express('a'), table.ofSession('session')]).toEqual([client, client]);
    expect(table.state.stock.size).toBe(0);
  });

  test('is beaten to each interval, and gone after interval × liveness of silence', () => {
    const table = new ClientTable();
    table.open(0, 'a', 'session', SETTINGS);
    const due: [number, string][] = [];
    for (let now = table.nextDue; now <= 300; now = table.nextDue) {
      const taken = table.takeDue(now)!;
      due.push([now, taken.due]);
      if (taken.due === 'gone') table.remove(taken.client);
    }
    expect(due).toEqual([
      [100, 'beat'],
      [200, 'beat'],
      [300, 'gone'],
    ]);
    expect(table.state.sessions.size).toBe(0);
  });

  test('lives on with each sign of life', () => {
    const table = new ClientTable();
    const client = table.open(0, 'a', 'session', SETTINGS);
    for (let now = 100; now <= 1000; now += 100) {
      expect(table.takeDue(now)).toEqual({ client, due: 'beat' });
      table.heard(now, client);
    }
    expect(client.session?.heartbeat.expiresAt).toBe(1300);
  });

  test('has its own grace, which a second notice does not prolong', () => {
    const table = new ClientTable();
    const client = table.open(0, 'a', 'session', SETTINGS);
    table.noticed(10, 'a', GRACE);
    table.noticed(40, 'a', GRACE);
    expect(table.takeDue(60)).toEqual({ client, due: 'gone' });
  });

  test('goes on under another address, and is owed a heartbeat', () => {
    const table = new ClientTable();
    const client = table.open(0, 'old', 'session', SETTINGS);
    client.session!.isNew = false;
    table.noticed(10, 'old', GRACE);
    table.reattach(20, client, 'new');
    expect([table.express('old'), table.express('new')]).toEqual([undefined, client]);
    expect([client.goneAt, client.session?.isNew]).toEqual([Infinity, true]);
    expect(client.session?.heartbeat.expiresAt).toBe(320);
    table.noticed(30, 'old', GRACE);
    expect(client.goneAt).toBe(Infinity);
    table.remove(client);
    expect([table.state.express.size, table.state.sessions.size]).toEqual([0, 0]);
  });

  test('is forgiven after this side did not listen', () => {
    const table = new ClientTable();
    const client = table.open(0, 'a', 'session', SETTINGS);
    table.forgive(1000);
    expect(table.takeDue(1000)).toEqual({ client, due: 'beat' });
    expect(table.takeDue(1000)).toBeUndefined();
    expect(table.takeDue(1100)).toEqual({ client, due: 'gone' });
  });
});
