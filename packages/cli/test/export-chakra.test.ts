import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const flags = [
  'export',
  '--model',
  'tiny',
  '--batch',
  '8',
  '--seq',
  '16',
  '--dp',
  '2',
  '--tp',
  '2',
  '--format',
  'chakra',
]

const filesOf = (folder: string) =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))

describe('shardloom export --format chakra', () => {
  test('writes a file for each rank and the communicators, and says how much', async () => {
    const cwd = temporaryFolder()
    const { code, out, err } = await shardloom([...flags, '--out', 'tiny'], { cwd })
    expect([code, out]).toEqual([0, ''])
    expect(readdirSync(cwd).sort()).toEqual(['tiny.0.et', 'tiny.1.et', 'tiny.2.et', 'tiny.3.et', 'tiny.groups.json'])
    const bytes = readdirSync(cwd).reduce((sum, name) => sum + readFileSync(join(cwd, name)).length, 0)
    const report = JSON.parse((await shardloom([...flags, '--out', 'tiny', '--json'], { cwd })).out)
    expect(report).toEqual({
      schema: 'shardloom.export/1',
      format: 'chakra',
      notice: expect.stringContaining('5 files'),
      out: 'tiny',
      files: 5,
      bytes,
      ranks: [0, 3],
    })
    expect(err).toContain('5 files')
  })

  test('parts that jobs write one by one are, together, what one job writes, byte by byte', async () => {
    const [whole, parts] = [temporaryFolder(), temporaryFolder()]
    await shardloom([...flags, '--out', 'tiny'], { cwd: whole })
    for (const part of ['2/3', '3/3', '1/3'])
      expect((await shardloom([...flags, '--out', 'tiny', '--shard', part], { cwd: parts })).code).toBe(0)
    expect(filesOf(parts)).toEqual(filesOf(whole))
    const some = temporaryFolder()
    await shardloom([...flags, '--out', 'tiny', '--ranks', '1..2'], { cwd: some })
    expect(readdirSync(some).sort()).toEqual(['tiny.1.et', 'tiny.2.et'])
    for (const [name, text] of filesOf(some)) expect(text).toBe(filesOf(whole).get(name))
  })

  test.each([
    [[], 'one file for each rank'],
    [['--out', 'none/tiny'], 'its folder does not exist'],
    [['--out', 'tiny', '--ranks', '2..4'], 'There is no rank 4'],
    [['--out', 'tiny', '--shard', '0/4'], 'counted from 1'],
    [['--out', 'tiny', '--shard', '1/8'], 'has no rank'],
    [['--out', 'tiny', '--level', 'layer'], '--level is of json, dot, mermaid or svg; the format is chakra.'],
    [['--out', 'tiny', '--phase', 'serving'], 'Serving is two programs'],
  ])('%s is refused, and nothing is written', async (more, message) => {
    const cwd = temporaryFolder()
    const { code, err } = await shardloom([...flags, ...more], { cwd })
    expect(code).not.toBe(0)
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
    expect(readdirSync(cwd)).toEqual([])
  })

  test('of a million ranks nobody chose, it says how much that is, and writes nothing', async () => {
    const cwd = temporaryFolder()
    const many = [...flags.slice(0, 4), '1048576', '--dp', '1048576', '--seq', '16', '--format', 'chakra', '--out', 'x']
    const { code, err } = await shardloom(many, { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(/CHAKRA_SIZE[^\n]* 1048576 files, about [\d.]+ GB\.\nhelp: [^\n]*--ranks 0\.\.1048575/)
    expect(readdirSync(cwd)).toEqual([])
    expect((await shardloom([...many, '--ranks', '1048575..1048575'], { cwd })).code).toBe(0)
    expect(readdirSync(cwd)).toEqual(['x.1048575.et'])
  })

  test('flags of traces are refused for pictures', async () => {
    const { err } = await shardloom([...flags.slice(0, -1), 'dot', '--shard', '1/2'])
    expect(err).toContain('--shard is of chakra; the format is dot.')
  })
})
