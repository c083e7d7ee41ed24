import { spawnSync } from 'node:child_process'
import { expect } from 'vitest'

/** Whether Graphviz is installed. */
export function hasGraphviz(): boolean {
  return spawnSync('dot', ['-V'], { stdio: 'ignore' }).status === 0
}

/** What Graphviz draws; it must not warn, since it warns of edges that it leaves out. */
export function render(text: string): string {
  const { status, stdout, stderr } = spawnSync('dot', ['-Tsvg'], { input: text, encoding: 'utf8', maxBuffer: 2 ** 28 })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return stdout
}
