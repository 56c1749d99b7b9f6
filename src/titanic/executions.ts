/** Attempts under way: each reads what was submitted, asks the service for it once, and says how it ended. */
import { RequestError } from '../core/errors.ts';
import { decodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { MajordomoClient, RequestOptions } from '../majordomo/index.ts';
import { attemptEndOf } from './attempt-end.ts';
import { BODY_FRAMES } from './protocol.ts';
import type { ReadBody, StoredBody } from './stored-body.ts';
import type { ExecutionToken, TitanicCall, TitanicOrder } from './titanic-events.ts';

/** Milliseconds for which the broker, which knows more of it than its client, may have the last word. */
const LAST_WORD = 2000;

/** Milliseconds in which a stock broker says whether a service is there; one that does not say is asked. */
const SERVICE_QUERY_TIMEOUT = 1000;

type Execute = Extract<TitanicOrder, { readonly type: 'execute' }>;

/** What attempts need of the Titanic. */
export interface ExecutionHost {
  readonly client: Pick<MajordomoClient, 'request'>;
  readonly read: ReadBody;
  /** How an attempt ended. */
  tell(call: TitanicCall): void;
}

export class Executions {
  readonly #host: ExecutionHost;
  readonly #running = new Map<ExecutionToken, AbortController>();

  constructor(host: ExecutionHost) {
    this.#host = host;
  }

  /** Begins an attempt, whose end is told once unless it is abandoned. Never rejects. */
  async run(order: Execute): Promise<void> {
    const { execution } = order;
    const controller = new AbortController();
    this.#running.set(execution, controller);
    const end = await this.#attempt(order, controller.signal);
    // Of what was abandoned nobody wants to hear.
    if (this.#running.delete(execution)) this.#host.tell(end);
  }

  /** Its outcome matters no more. Does nothing if it has ended. */
  abandon(execution: ExecutionToken): void {
    const controller = this.#running.get(execution);
    this.#running.delete(execution);
    controller?.abort();
  }

  async #attempt(order: Execute, signal: AbortSignal): Promise<TitanicCall> {
    const { execution, id } = order;
    const stored = await new Promise<StoredBody>((resolve) => this.#host.read(order.key, resolve));
    if (stored.fault === 'unavailable') {
      return { type: 'attemptFailed', execution, end: 'unstarted', message: stored.reason };
    }
    if (stored.fault !== undefined) return { type: 'unreadable', id, reason: stored.reason };
    try {
      const reply = await this.#request(order, stored.body, signal);
      if (reply.length <= BODY_FRAMES) return { type: 'replied', execution, body: reply };
      const message = `the reply has ${reply.length} frames, more than ${BODY_FRAMES}`;
      return { type: 'attemptFailed', execution, end: 'failed', message };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { type: 'attemptFailed', execution, end: attemptEndOf(error), message };
    }
  }

  /** Asks once. What makes that safer is for brokers of ours; others are asked without it. */
  async #request(order: Execute, body: Frames, signal: AbortSignal): Promise<Frames> {
    const { client } = this.#host;
    const { service, idempotencyKey, timeout } = order;
    const plain: RequestOptions = { timeout: timeout + LAST_WORD, retries: 0, signal };
    const safer = { ...plain, idempotencyKey, failFast: true, requestTtl: timeout };
    try {
      return (await client.request(service, body, safer)).body;
    } catch (error) {
      if (!(error instanceof RequestError) || error.code !== 'ERR_NOT_SUPPORTED') throw error;
    }
    // A stock broker keeps requests for services that are not there, as if they were under way.
    await this.#expectService(service, signal);
    return (await client.request(service, body, plain)).body;
  }

  /** @throws RequestError `ERR_NO_SERVICE` if the broker says so, 8/MMI, which not every broker speaks */
  async #expectService(service: string, signal: AbortSignal): Promise<void> {
    const options = { timeout: SERVICE_QUERY_TIMEOUT, retries: 0, signal };
    let status: Frames;
    try {
      status = (await this.#host.client.request('mmi.service', service, options)).body;
    } catch (error) {
      if (error instanceof RequestError && error.code === 'ERR_REQUEST_TIMEOUT') return;
      throw error;
    }
    if (status[0] === undefined || decodeText(status[0]) !== '404') return;
    const message = `no worker offers '${service}'`;
    throw new RequestError('ERR_NO_SERVICE', service, message, { attempts: 0 });
  }
}
