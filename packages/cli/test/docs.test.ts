import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

test('what docs --check says to run brings the file up to date', async () => {
  const cwd = temporaryFolder()
  mkdirSync(join(cwd, 'our docs'))
  writeFileSync(join(cwd, 'plan.yaml'), 'model: tiny\nbatch: 4\nseq: 16\nparallel: {tp: 2}\n')
  const page = join(cwd, 'our docs', 'run.md')
  writeFileSync(page, '```shardloom\nfile: ../plan.yaml\nview: table\n```\n')
  const args = ['docs', 'run.md', '--root', '..']
  const stale = await shardloom([...args, '--check'], { cwd: join(cwd, 'our docs') })
  expect([stale.code, stale.out]).toEqual([3, expect.stringContaining('run `shardloom docs run.md --root ..`')])
  expect((await shardloom(args, { cwd: join(cwd, 'our docs') })).code).toBe(0)
  expect((await shardloom([...args, '--check'], { cwd: join(cwd, 'our docs') })).code).toBe(0)
  const outside = await shardloom(['docs', 'our docs/run.md', '--root', 'our docs'], { cwd })
  expect([outside.code, outside.err]).toEqual([1, expect.stringContaining('--root')])
  writeFileSync(page, '```shardloom\nfile: ../plan.yaml\nview: table\nrank: 1\n```\n')
  const quoted = await shardloom(['docs', 'our docs/run.md', '--check'], { cwd })
  expect(quoted.out).toContain("run `shardloom docs 'our docs/run.md'`")
})
