import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const spec = 'model: gpt2\ncluster: dgx-h100\nbatch: 8\nseq: 256\n'
const rows = 'seconds,model,cluster,batch,seq\n0.01,gpt2,dgx-h100,8,256\n'

test.each([
  ['simulate', ['simulate', 'a.yaml', '--trace', 'a.yaml']],
  ['export', ['export', 'a.yaml', '--out', './a.yaml']],
  ['export by another name', ['export', 'a.yaml', '--out', 'link.yaml']],
  ['calibrate', ['calibrate', 'rows.csv', '--out', 'rows.csv']],
])('%s never writes over what it reads', async (_, args) => {
  const cwd = temporaryFolder()
  writeFileSync(join(cwd, 'a.yaml'), spec)
  writeFileSync(join(cwd, 'rows.csv'), rows)
  symlinkSync(join(cwd, 'a.yaml'), join(cwd, 'link.yaml'))
  const { code, err } = await shardloom(args, { cwd })
  expect(code).not.toBe(0)
  expect(err).toContain('it is what was read')
  expect(readFileSync(join(cwd, 'a.yaml'), 'utf8')).toBe(spec)
  expect(readFileSync(join(cwd, 'rows.csv'), 'utf8')).toBe(rows)
})

test('a later call writes what an earlier one read', async () => {
  const cwd = temporaryFolder()
  writeFileSync(join(cwd, 'a.yaml'), spec)
  expect((await shardloom(['plan', 'a.yaml'], { cwd })).code).toBe(0)
  expect((await shardloom(['export', '--model', 'gpt2', '--batch', '8', '--out', 'a.yaml'], { cwd })).code).toBe(0)
})
