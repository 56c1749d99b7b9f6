/** A request of a client as express says it. */
import type { Instant } from '../../core/machine.ts';
import type { RequestCommand, RequestNumber } from '../wire/commands.ts';
import type { ClientRequest } from './client-request.ts';

/** The workers' share of a broadcast's time: who has not answered then is told of before all is over. */
const BROADCAST_SHARE = 0.9;

/** @param streamWindow bytes of partials that may be under way to a stream */
export function requestCommand(
  now: Instant,
  { call, deadlineAt }: ClientRequest,
  number: RequestNumber,
  streamWindow: number,
): RequestCommand {
  const { service, body, priority, key, headers, failFast, broadcast, streaming } = call;
  const { requestTtl = Infinity } = call;
  const left = Math.min(deadlineAt - now, requestTtl);
  const timeLeft = Math.ceil(broadcast === true ? left * BROADCAST_SHARE : left);
  return {
    type: 'request',
    dialect: 'express',
    service,
    body,
    number,
    timeLeft: Number.isSafeInteger(timeLeft) ? timeLeft : undefined,
    priority,
    key,
    headers,
    window: streaming ? streamWindow : undefined,
    failFast,
    broadcast,
  };
}
