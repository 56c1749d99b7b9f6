// @ts-check
// What users get: packs the package, and checks the tarball with publint and attw.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'unsinkable-package-'));
try {
  const packed = execFileSync(
    'npm',
    ['pack', '--ignore-scripts', '--json', '--pack-destination', folder],
    { encoding: 'utf8' },
  );
  const [{ filename, entryCount }] = JSON.parse(packed);
  const tarball = join(folder, filename);
  execFileSync('npx', ['publint', 'run', tarball, '--strict'], { stdio: 'inherit' });
  execFileSync('npx', ['attw', tarball, '--profile', 'esm-only', '--format', 'ascii'], {
    stdio: 'inherit',
  });
  console.log(`${filename}: ${entryCount} files, publint and attw are content`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
