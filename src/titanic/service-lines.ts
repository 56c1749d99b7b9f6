/**
 * Services, each with its own line: how much it may run, who waits for it, and whether anybody offers it.
 *
 * A service that nobody offered rests, longer each time. Then one request goes first; as soon as that
 * ends in any way but "nobody is there", all others follow. Services share nothing, so that a slow or
 * absent one delays no other.
 */
import { Deadlines } from '../core/deadlines.ts';
import type { Instant } from '../core/machine.ts';
import { backoffDelay, type Random } from '../core/retry.ts';
import { Line } from './line.ts';
import { noRequests, type StoredRequest } from './requests.ts';

export class ServiceLine {
  readonly name: string;
  /** Requests in any state; it is kept for as long as there are some. */
  requests = 0;
  /** What clients may know, by state. */
  readonly counts = noRequests();
  /** How many have begun, or are about to. */
  running = 0;
  /** Those that were handed back go before all others. */
  readonly returned = new Line<StoredRequest>();
  readonly waiting = new Line<StoredRequest>();
  /** How often in a row it was found absent. */
  absences = 0;
  isResting = false;
  /** The one that goes first after a rest. */
  probe: StoredRequest | undefined = undefined;

  constructor(name: string) {
    this.name = name;
  }

  get first(): StoredRequest | undefined {
    return this.returned.first ?? this.waiting.first;
  }
}

export interface ServiceSettings {
  readonly concurrency: number;
  readonly absence: number;
  readonly absenceLimit: number;
  readonly random: Random;
}

export class ServiceLines {
  readonly services = new Map<string, ServiceLine>();
  readonly #settings: ServiceSettings;
  readonly #rests = new Deadlines<ServiceLine>();

  constructor(settings: ServiceSettings) {
    this.#settings = settings;
  }

  /** When the next rest is over. */
  get nextDue(): Instant {
    return this.#rests.next;
  }

  /** One request more is of the service of this name. */
  join(request: StoredRequest, name: string): void {
    let service = this.services.get(name);
    if (service === undefined) this.services.set(name, (service = new ServiceLine(name)));
    service.requests++;
    request.service = service;
  }

  /** The counterpart of `join`. A service without requests is forgotten. */
  leave(request: StoredRequest): void {
    const { service } = request;
    if (service === undefined) return;
    request.service = undefined;
    if (--service.requests > 0) return;
    this.#rests.delete(service);
    this.services.delete(service.name);
  }

  /** True if one more may begin. */
  hasRoom(service: ServiceLine): boolean {
    if (service.running >= this.#settings.concurrency || service.isResting) return false;
    return service.absences === 0 || service.probe === undefined;
  }

  /** Takes a room, which there is, for a request. */
  enter(service: ServiceLine, request: StoredRequest): void {
    service.running++;
    if (service.absences > 0) service.probe = request;
  }

  /** The counterpart of `enter`. */
  exit(service: ServiceLine, request: StoredRequest): void {
    service.running--;
    if (service.probe === request) service.probe = undefined;
  }

  /**
   * Nobody offers it, as that request found. True if that is news: those that began before a rest tell no
   * more than the first of them, only the one that went first after it does.
   */
  absent(now: Instant, service: ServiceLine, request: StoredRequest): boolean {
    if (service.absences > 0 && service.probe !== request) return false;
    const { absence, absenceLimit, random } = this.#settings;
    const settings = { backoff: absence, backoffLimit: absenceLimit };
    const rest = backoffDelay(settings, service.absences, random);
    service.absences++;
    service.isResting = true;
    this.#rests.set(service, now + rest);
    return service.absences === 1;
  }

  /** Somebody offers it. True if that is news. */
  found(service: ServiceLine): boolean {
    if (service.absences === 0) return false;
    service.absences = 0;
    this.wake(service);
    return true;
  }

  /** Its rest is over. */
  wake(service: ServiceLine): void {
    service.isResting = false;
    this.#rests.delete(service);
  }

  /** The next service whose rest is over. */
  takeRested(now: Instant): ServiceLine | undefined {
    const service = this.#rests.takeDue(now);
    if (service !== undefined) service.isResting = false;
    return service;
  }

  /** For the fingerprint: what the future depends on. */
  *[Symbol.iterator](): Generator {
    for (const service of this.services.values()) {
      const { name, requests, running, absences, isResting, probe, returned, waiting } = service;
      const restAt = this.#rests.at(service);
      const line = [...returned, ...waiting].map(({ id }) => id);
      yield { name, requests, running, absences, isResting, probe: probe?.id, restAt, line };
    }
  }
}
