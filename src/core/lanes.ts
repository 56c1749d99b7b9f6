/**
 * The lanes of a client: sockets with at most one request outstanding each, and where they connect to.
 *
 * A lane that was answered is used again; one that was given up is closed first, so that a late reply
 * has nowhere to arrive, and what is connected next tries the next endpoint.
 */

export type LanePort = `lane-${number}`;

export interface Lane<Request> {
  readonly number: number;
  readonly port: LanePort;
  isOpen: boolean;
  /** Index of the endpoint it is connected to. */
  endpoint: number;
  request: Request | undefined;
}

/** The sockets behind the lanes. */
export interface LaneSockets {
  open(port: LanePort, endpoint: string): void;
  close(port: LanePort): void;
}

/** A request that knows its lane. */
export interface OnLane<Request> {
  /** Where its present try is. */
  lane: Lane<Request> | undefined;
}

export class LanePool<Request extends OnLane<Request>> {
  /** Plain data, for the fingerprint. */
  readonly state: {
    readonly endpoints: string[];
    /** What is connected next goes there: an endpoint that did not let us down last. */
    endpoint: number;
    readonly lanes: readonly Lane<Request>[];
    /** Lanes without a request; open ones at the end, so that they are used first. */
    readonly free: Lane<Request>[];
  };
  readonly #sockets: LaneSockets;

  constructor(count: number, sockets: LaneSockets) {
    const lanes = Array.from({ length: count }, (_, number): Lane<Request> => ({
      number,
      port: `lane-${number}`,
      isOpen: false,
      endpoint: 0,
      request: undefined,
    }));
    this.state = { endpoints: [], endpoint: 0, lanes, free: lanes.toReversed() };
    this.#sockets = sockets;
  }

  /** True if a request could be sent at once. */
  get hasFree(): boolean {
    return this.state.free.length > 0 && this.state.endpoints.length > 0;
  }

  get endpoints(): readonly string[] {
    return this.state.endpoints;
  }

  addEndpoints(endpoints: readonly string[]): void {
    const { endpoints: known } = this.state;
    for (const endpoint of endpoints) if (!known.includes(endpoint)) known.push(endpoint);
  }

  /** Somebody was heard there: what is connected next goes to this endpoint. */
  prefer(endpoint: number): void {
    this.state.endpoint = endpoint;
  }

  of(port: LanePort): Lane<Request> | undefined {
    return this.state.lanes[Number(port.slice('lane-'.length))];
  }

  endpointOf(lane: Lane<Request>): string {
    return this.state.endpoints[lane.endpoint]!;
  }

  /** Gives `request` a lane with an open socket; there must be a free one. */
  take(request: Request): Lane<Request> {
    const lane = this.state.free.pop()!;
    lane.request = request;
    request.lane = lane;
    if (!lane.isOpen) {
      lane.endpoint = this.state.endpoint;
      lane.isOpen = true;
      this.#sockets.open(lane.port, this.endpointOf(lane));
    }
    return lane;
  }

  /** All that was asked on its lane is answered: the lane is as good as new. */
  release(request: Request): void {
    const lane = leave(request);
    if (lane !== undefined) this.state.free.push(lane);
  }

  /** A reply may still be on its way: the socket goes. `letDown`: so does the trust in its endpoint. */
  abandon(request: Request, letDown: boolean): void {
    const lane = leave(request);
    if (lane === undefined) return;
    this.#close(lane);
    this.state.free.unshift(lane);
    if (letDown) this.#distrust(lane);
  }

  /** If nothing is outstanding on it, its next request gets a fresh socket. `letDown` as in `abandon`. */
  discard(lane: Lane<Request>, letDown: boolean): void {
    const { free } = this.state;
    if (!lane.isOpen || lane.request !== undefined) return;
    this.#close(lane);
    free.splice(free.indexOf(lane), 1);
    free.unshift(lane);
    if (letDown) this.#distrust(lane);
  }

  /** Closes the sockets on which nothing is outstanding. */
  closeIdle(): void {
    for (const lane of this.state.lanes) {
      if (lane.isOpen && lane.request === undefined) this.#close(lane);
    }
  }

  #close(lane: Lane<Request>): void {
    lane.isOpen = false;
    this.#sockets.close(lane.port);
  }

  #distrust(lane: Lane<Request>): void {
    const { state } = this;
    if (lane.endpoint !== state.endpoint) return;
    state.endpoint = (state.endpoint + 1) % state.endpoints.length;
  }
}

/** The lane that it was on, if it was on one. */
function leave<Request extends OnLane<Request>>(request: Request): Lane<Request> | undefined {
  const { lane } = request;
  if (lane === undefined) return undefined;
  request.lane = undefined;
  lane.request = undefined;
  return lane;
}
