import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { command, shardloom, spawned, temporaryFolder } from './run-command.js'

const small = 'model: tiny\nbatch: 4\nseq: 16\nparallel: {tp: 2}\n'

// Everything else is tested without a process of its own; here both print the same.
describe('as a process', () => {
  test.each([
    ['an answer', ['plan', '-'], small],
    ['a document of standard input', ['plan', '-', '--json', '--rank', '1'], small],
    ['the help', ['--help'], ''],
    ['the help of a command', ['simulate', '--help'], ''],
    ['bad input', ['plan', '-'], 'model: tinny\n'],
    ['wrong usage', ['plan', '--modle', 'tiny'], ''],
  ])('%s is the same text with the same exit code', async (_, args, input) => {
    expect(spawned(args, { input })).toEqual(await shardloom(args, { input }))
  })

  test('an answer of no is exit code 3, and paths are relative to its folder', () => {
    const cwd = temporaryFolder()
    const rule = `{ name: 'never', check: () => ({ checked: 1, violations: [{ node: 'x', message: 'Never.', help: 'Give up.' }] }) }`
    writeFileSync(join(cwd, 'never.mjs'), `export default { name: 'never', verify: [${rule}] }`)
    writeFileSync(join(cwd, 'small.yaml'), small)
    const { code, out, err } = spawned(['verify', 'small.yaml', '--plugin', './never.mjs'], { cwd })
    expect([code, err]).toEqual([3, ''])
    expect(out).toContain('Rule never: Never.')
  })

  test('a plugin that never finishes loading is an error, as is one that does not parse', () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'endless.mjs'), 'await new Promise(() => {})\n')
    writeFileSync(join(cwd, 'bad.mjs'), 'export default {')
    const run = (plugin: string) => spawned(['plan', '--model', 'tiny', '--plugin', plugin], { cwd })
    expect(run('./endless.mjs')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^error\[PLUGIN\] .*never/),
    })
    expect(run('./bad.mjs')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^error\[PLUGIN\] .*bad\.mjs/),
    })
  })

  test('stops quietly when its reader has seen enough', async () => {
    const child = spawn('sh', [
      '-c',
      `"${process.execPath}" "${command}" export --model llama-3.1-405b --tp 8 --batch 8 | head -c 10`,
    ])
    const error: string[] = []
    child.stderr.on('data', (chunk) => error.push(String(chunk)))
    const code = await new Promise((done) => child.on('close', done))
    expect([code, error.join('')]).toEqual([0, ''])
  })
})
