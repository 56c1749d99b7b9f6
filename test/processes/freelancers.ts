/** Freelance servers and clients as processes of their own. */
import type { FreelanceClientOptions, FreelanceServerOptions } from '../../src/index.ts';
import type { Child } from './child.ts';
import {
  HEARTBEATS,
  Processes,
  told,
  type AskerSettings,
  type HandlerSettings,
} from './processes.ts';

const ANY = 'tcp://127.0.0.1:*';

export interface FreelanceServerSettings extends HandlerSettings {
  readonly options?: FreelanceServerOptions;
}

export interface FreelanceClientSettings extends AskerSettings {
  /** Where it connects. Default: to all servers, in the order of their starting. */
  readonly endpoints?: readonly string[];
  readonly options?: FreelanceClientOptions;
}

/** A server, where it is, and how to start it again. */
export interface ServerProcess {
  child: Child;
  readonly endpoint: string;
  readonly settings: FreelanceServerSettings | undefined;
}

/** All processes of one test. They end with it. */
export class Freelancers extends Processes {
  readonly servers: ServerProcess[] = [];

  /** Starts a server that ranks after those before it, and resolves when it is bound. */
  async startServer(settings?: FreelanceServerSettings): Promise<ServerProcess> {
    const [server] = await this.startServers(1, settings);
    return server!;
  }

  async startServers(count: number, settings?: FreelanceServerSettings): Promise<ServerProcess[]> {
    const children = Array.from({ length: count }, () => this.#launch(ANY, settings));
    const bound = await Promise.all(children.map((child) => told(child, 'bound')));
    const servers = bound.map(({ endpoint }, index) => {
      return { child: children[index]!, endpoint: String(endpoint), settings };
    });
    this.servers.push(...servers);
    return servers;
  }

  /** Starts a server anew where it was; the one before must have ended. */
  async restart(server: ServerProcess): Promise<void> {
    const { endpoint, settings } = server;
    server.child = this.#launch(endpoint, settings);
    await told(server.child, 'bound');
  }

  /** Starts a client, which asks as soon as all its servers are live. */
  startClient({ options, ...settings }: FreelanceClientSettings = {}): Child {
    const client = this.start('freelance-client', {
      endpoints: this.servers.map(({ endpoint }) => endpoint),
      ...settings,
      options: { ...HEARTBEATS, reconnectInterval: 20, reconnectLimit: 200, ...options },
    });
    this.clients.push(client);
    return client;
  }

  #launch(endpoint: string, settings: FreelanceServerSettings | undefined): Child {
    return this.start('freelance-server', { endpoint, delay: 20, ...settings });
  }
}
