/** What every shell is for its listeners: an emitter of its machine's events, and a source of logs. */
import { EventEmitter } from 'eventemitter3';
import type { Logger } from '../core/logger.ts';

/** Each event under its own type, and all of them as `event`. */
export type EventMap<Event extends { readonly type: string }> = {
  [Type in Event['type']]: [event: Extract<Event, { readonly type: Type }>];
} & { event: [event: Event] };

export class EventSource<Event extends { readonly type: string }> extends EventEmitter<
  EventMap<Event>
> {
  readonly #logger: Logger | undefined;
  readonly #levels: Readonly<Partial<Record<string, keyof Logger>>>;

  /** @param levels the log level of an event type; what is not named is `debug` */
  constructor(
    logger: Logger | undefined,
    levels: Readonly<Partial<Record<Event['type'], keyof Logger>>>,
  ) {
    super();
    this.#logger = logger;
    this.#levels = levels;
  }

  /**
   * Tells the listeners and the log. A listener that throws keeps later listeners of the same event from
   * hearing it, as in any emitter, but disturbs neither the machine nor the log.
   */
  protected announce(event: Event): void {
    const emitter = this as EventEmitter;
    // Most events of a busy peer are heard by nobody: that should cost nothing.
    if (emitter.listenerCount(event.type) > 0) this.#tell(() => emitter.emit(event.type, event));
    if (emitter.listenerCount('event') > 0) this.#tell(() => emitter.emit('event', event));
    if (this.#logger === undefined) return;
    const { type, ...fields } = event;
    const level = this.#levels[type] ?? 'debug';
    this.#tell(() => this.#logger?.[level](fields, type));
  }

  /** A listener's error is the program's: it surfaces as an uncaught exception, outside of our call. */
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }
}
