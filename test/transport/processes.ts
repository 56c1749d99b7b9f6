/** Child processes for the transport tests: they crash, flood and get killed so that the tests do not. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** A fresh folder with a short path, so that sockets fit into it. */
export function freshFolder(): string {
  return mkdtempSync(join(tmpdir(), 'uns-'));
}

/** `src/transport` as JavaScript in a fresh folder, for children that cannot load TypeScript. */
export function compileTransport(): string {
  const folder = freshFolder();
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const config = {
    extends: resolve('tsconfig.base.json'),
    compilerOptions: {
      rootDir: resolve('src'),
      outDir: folder,
      typeRoots: [resolve('node_modules/@types')],
    },
    files: [resolve('src/transport/zeromq.ts')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'), 'junction');
  execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', folder], { stdio: 'inherit' });
  return folder;
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves with the next line it prints; rejects if it ends before. */
  line(): Promise<string>;
  /** Resolves when it has ended. */
  readonly ended: Promise<{ code: number | null; signal: string | null; errors: string }>;
  /** Ends it the hard way and waits until it has. */
  kill(): Promise<void>;
}

/** Runs a module given as text. Its imports resolve from `folder`, by default the repository. */
export function run(source: string, args: string[] = [], folder = resolve('.')): Child {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const readers: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  let text = '';
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      const reader = readers.shift();
      if (reader === undefined) lines.push(line);
      else reader.resolve(line);
    }
  });
  const ended = new Promise<Awaited<Child['ended']>>((answer) => {
    child.once('close', (code, signal) => {
      for (const reader of readers) reader.reject(new Error(`child ended: ${code} ${errors}`));
      answer({ code, signal, errors });
    });
  });
  return {
    process: child,
    ended,
    line: () =>
      new Promise((resolveLine, reject) => {
        const line = lines.shift();
        if (line !== undefined) resolveLine(line);
        else readers.push({ resolve: resolveLine, reject });
      }),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Removes a folder that a test made. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
