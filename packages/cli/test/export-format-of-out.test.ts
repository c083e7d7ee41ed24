import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const flags = ['export', '--model', 'tiny', '--tp', '2', '--cluster', 'dgx-h100', '--batch', '2']

async function written(out: string, more: readonly string[] = []) {
  const cwd = temporaryFolder()
  const { code, err } = await shardloom([...flags, '--out', out, ...more], { cwd })
  expect(code).toBe(0)
  return { text: readFileSync(join(cwd, out), 'latin1'), err }
}

// What begins a file of each format: SVG 1.1, DOT, Mermaid, HTML, GraphML (XML), RFC 4180, YAML.
test.each([
  ['x.svg', /^<svg/],
  ['x.dot', /^(strict )?digraph/],
  ['x.mmd', /^(%%.*\n)?flowchart|^---/],
  ['x.html', /^<!doctype html>/i],
  ['x.graphml', /^<\?xml[\s\S]*<graphml/],
  ['x.csv', /^id,/],
  ['x.yaml', /^schema: shardloom\.spec/m],
  // The first field of ModelProto, ir_version, is a varint (onnx.proto): its tag is 8.
  ['x.onnx', new RegExp(`^${String.fromCharCode(8)}`)],
  ['X.JSON', /^\{/],
  ['plan', /^\{/],
])('the ending of a file says its format: %s', async (out, beginning) => {
  const { text, err } = await written(out)
  expect(text).toMatch(beginning)
  expect(err).not.toContain('has JSON')
})

test.each([
  ['run.sh', /run\.sh has JSON: \.sh is the ending of several formats; say --format `megatron`, `vllm` or `sglang`/],
  ['x.png', /x\.png has JSON: \.png is the ending of no format/],
])('where it does not, JSON is written and said to be: %s', async (out, note) => {
  const { text, err } = await written(out)
  expect(text).toMatch(/^\{/)
  expect(err.replace(/\s+/g, ' ')).toMatch(note)
  expect((await written(out, ['--format', 'dot'])).text).toMatch(/digraph/)
})

test('a TOML file is a job of torchtitan', async () => {
  const { code, err } = await shardloom([...flags, '--out', 'x.toml'], { cwd: temporaryFolder() })
  expect([code, err]).toEqual([1, expect.stringContaining('torchtitan')])
})
