import { readFileSync } from 'node:fs'

/** The version of this package, with which the libraries that it calls are released. */
export function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
