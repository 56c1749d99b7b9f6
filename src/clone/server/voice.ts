/** How a Clone server speaks: to its peers, to the storage, and to the user, with every event counted. */
import type { Epoch } from '../../core/election.ts';
import type { Address, Outbox } from '../../core/machine.ts';
import type {
  FollowerOutput,
  HugzCommand,
  KvpubCommand,
  RedirectCommand,
  ServerOutput,
} from '../commands.ts';
import type { CloneServerEvent, ServerPort } from '../server-events.ts';

export type ServerOutbox = Outbox<ServerPort, ServerOutput | FollowerOutput, CloneServerEvent>;

export class Voice {
  readonly counts: Partial<Record<CloneServerEvent['type'], number>> = {};
  /** For parts that speak for themselves: what they emit is counted too. */
  readonly outbox: ServerOutbox;
  readonly #outbox: ServerOutbox;
  #token = 0;

  constructor(outbox: ServerOutbox) {
    this.#outbox = outbox;
    this.outbox = {
      open: (port, endpoint) => outbox.open(port, endpoint),
      close: (port, flush) => outbox.close(port, flush),
      send: (port, to, command) => outbox.send(port, to, command),
      store: (token, batch) => outbox.store(token, batch),
      emit: (event) => this.emit(event),
    };
  }

  /** False: the peer's queue is full, and nothing was sent. */
  send(to: Address, command: ServerOutput): boolean {
    return this.#outbox.send('peers', to, command);
  }

  /** Not served here. */
  redirect(to: Address, epoch: Epoch, endpoint: string): void {
    const command: RedirectCommand = { type: 'redirect', epoch, endpoint };
    if (this.send(to, command)) this.emit({ type: 'redirected', from: to, endpoint });
  }

  /** To all stock clients. */
  publish(command: KvpubCommand | HugzCommand): void {
    this.#outbox.send('publisher', '', command);
  }

  // The passive server to the active one

  openActive(endpoint: string): void {
    this.#outbox.open('active', endpoint);
  }

  /** @param flush what was said last is still sent */
  closeActive(flush = false): void {
    this.#outbox.close('active', flush);
  }

  sayToActive(command: FollowerOutput): boolean {
    return this.#outbox.send('active', '', command);
  }

  /** Asks for a batch to be made durable; returns the token that `handleStored` names. */
  store(batch: unknown): number {
    this.#token++;
    this.#outbox.store(this.#token, batch);
    return this.#token;
  }

  emit(event: CloneServerEvent): void {
    this.counts[event.type] = (this.counts[event.type] ?? 0) + 1;
    this.#outbox.emit(event);
  }
}
