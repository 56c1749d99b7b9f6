/**
 * The few calls of etcd that an election needs, over the JSON gateway that every etcd v3 has on its client
 * port: leases, one read of all keys under a prefix, and one transaction.
 *
 * Endpoints are members of one cluster, and any of them will do: one that does not answer in time makes
 * room for the next. A call that was cut short may have been carried out; all of ours may be repeated.
 */
import type { Instant } from '../core/machine.ts';
import type { Clock } from '../transport/transport.ts';
import type { EtcdFetch } from './etcd-options.ts';

/** etcd said no, or no endpoint said anything. */
export class EtcdError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EtcdError';
  }
}

/** A value, and what etcd notes about it. Numbers of 64 bits stay text, as they travel. */
export interface EtcdValue {
  readonly value: string;
  /** The revision of the last change: another one is another value. */
  readonly modRevision: string;
  /** '0': bound to none. */
  readonly lease: string;
}

/** A lease as it was granted or renewed. */
export interface EtcdLease {
  readonly id: string;
  /** Milliseconds it holds, counted by etcd from some instant after `sentAt`. 0: there is none such. */
  readonly ttl: number;
  /** When it was asked for. */
  readonly sentAt: Instant;
  /** The term in which etcd was when it took the call. */
  readonly term: string;
}

/** All keys under a prefix, as they were at one moment after the call began. */
export interface EtcdView {
  /** By what follows the prefix. */
  readonly values: ReadonlyMap<string, EtcdValue>;
  readonly term: string;
}

/** Carried out all at once, and only if every key is as it was read. */
export interface EtcdChange {
  /** The revision at which each key was last changed; '0': it must not be there. */
  readonly unchanged: Readonly<Record<string, string>>;
  /** What is written: text, and the lease it ends with, if any. */
  readonly put: Readonly<Record<string, { readonly value: string; readonly lease?: string }>>;
}

export interface EtcdClientSettings {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  /** Milliseconds for each endpoint. */
  readonly timeout: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: EtcdFetch | undefined;
  readonly clock: Clock;
}

type Json = Readonly<Record<string, unknown>>;

export class EtcdClient {
  readonly #settings: EtcdClientSettings;
  /** The endpoint that answered last. */
  #preferred = 0;

  constructor(settings: EtcdClientSettings) {
    this.#settings = settings;
  }

  /** A new lease for at least so many seconds. @throws EtcdError */
  async grantLease(seconds: number): Promise<EtcdLease> {
    return leaseIn(await this.#post('lease/grant', { TTL: `${seconds}` }));
  }

  /** Renews a lease for the time it was granted for. @throws EtcdError */
  async keepLease(id: string): Promise<EtcdLease> {
    const { answer, sentAt } = await this.#post('lease/keepalive', { ID: id });
    return leaseIn({ answer: objectIn(answer['result']), sentAt });
  }

  /** Ends a lease, and what is bound to it. One that is over already is none to worry about. */
  async revokeLease(id: string): Promise<void> {
    await this.#post('lease/revoke', { ID: id }, NOT_FOUND);
  }

  /** Confirmed by a majority of etcd's members: nothing newer was there. @throws EtcdError */
  async read(): Promise<EtcdView> {
    const { prefix } = this.#settings;
    const range = { key: encode(prefix), range_end: encode(after(prefix)) };
    const { answer } = await this.#post('kv/range', range);
    const kvs = Array.isArray(answer['kvs']) ? answer['kvs'].map(objectIn) : [];
    const values = kvs.map((kv) => [decode(kv['key']).slice(prefix.length), valueIn(kv)] as const);
    return { values: new Map(values), term: termIn(answer) };
  }

  /** True if it was carried out; false if a key has changed. @throws EtcdError if that is not known */
  async change({ unchanged, put }: EtcdChange): Promise<boolean> {
    const { answer } = await this.#post('kv/txn', {
      compare: Object.entries(unchanged).map(([key, revision]) => ({
        key: this.#key(key),
        target: 'MOD',
        result: 'EQUAL',
        mod_revision: revision,
      })),
      success: Object.entries(put).map(([key, { value, lease }]) => ({
        request_put: { key: this.#key(key), value: encode(value), ...(lease && { lease }) },
      })),
    });
    return answer['succeeded'] === true;
  }

  #key(name: string): string {
    return encode(this.#settings.prefix + name);
  }

  /** Asks one endpoint after the other, beginning with the one that answered last. */
  async #post(
    call: string,
    body: Json,
    accepted?: number,
  ): Promise<{ readonly answer: Json; readonly sentAt: Instant }> {
    const { endpoints, clock } = this.#settings;
    let failure: unknown;
    for (let tried = 0; tried < endpoints.length; tried++) {
      const sentAt = clock.now();
      try {
        const answer = await this.#postTo(endpoints[this.#preferred]!, call, body, accepted);
        return { answer, sentAt };
      } catch (error) {
        failure = error;
        this.#preferred = (this.#preferred + 1) % endpoints.length;
      }
    }
    throw failure;
  }

  async #postTo(endpoint: string, call: string, body: Json, accepted?: number): Promise<Json> {
    const { timeout, headers, fetch: post = fetch } = this.#settings;
    let answer: Response;
    let text: string;
    try {
      answer = await post(`${endpoint}/v3/${call}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeout),
      });
      text = await answer.text();
    } catch (cause) {
      throw new EtcdError(`${endpoint} does not answer ${call}: ${reasonOf(cause)}`, { cause });
    }
    if (answer.ok || answer.status === accepted) return parse(text);
    throw new EtcdError(`${endpoint} refuses ${call} with ${answer.status}: ${text.slice(0, 200)}`);
  }
}

const NOT_FOUND = 404;

function leaseIn({
  answer,
  sentAt,
}: {
  readonly answer: Json;
  readonly sentAt: Instant;
}): EtcdLease {
  const ttl = Number(answer['TTL'] ?? 0) * 1000;
  const id = textIn(answer['ID'], '0');
  return { id, ttl: Number.isFinite(ttl) ? ttl : 0, sentAt, term: termIn(answer) };
}

function valueIn(kv: Json): EtcdValue {
  const modRevision = textIn(kv['mod_revision'], '0');
  return { value: decode(kv['value']), modRevision, lease: textIn(kv['lease'], '0') };
}

function termIn(answer: Json): string {
  return textIn(objectIn(answer['header'])['raft_term'], '');
}

/** The answer to a renewal is one line of a stream; all others are one object as well. */
function parse(text: string): Json {
  try {
    return objectIn(JSON.parse(text.split('\n', 1)[0]!));
  } catch (cause) {
    throw new EtcdError(`this is no answer of etcd: ${text.slice(0, 200)}`, { cause });
  }
}

/** Numbers of 64 bits travel as text. What is zero is left out. */
function textIn(value: unknown, absent: string): string {
  return typeof value === 'string' ? value : absent;
}

function objectIn(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function reasonOf(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : new Error(String(error));
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: unknown): string {
  return typeof text === 'string' ? Buffer.from(text, 'base64').toString() : '';
}

/** The first key that does not begin with this prefix, which ends in `/`. */
function after(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}
