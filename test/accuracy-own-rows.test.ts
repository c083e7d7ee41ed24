import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inferenceReport } from '../accuracy/inference/report.js'
import { examples, ownRows } from '../accuracy/own-rows.js'
import { servingReport } from '../accuracy/serving/report.js'
import { readTable } from '../accuracy/tables.js'
import { trainingReport } from '../accuracy/training/report.js'

describe('rows of one’s own', () => {
  test.each(Object.entries(examples))(
    'the example of %s is read, and leaves nothing open',
    async (kind, { text, name }) => {
      const tables = readTable(text, name)
      expect([kind, tables[kind as keyof typeof tables].length]).toEqual([kind, 1])
      const { rows, listed } =
        kind === 'training'
          ? await trainingReport(tables.training)
          : kind === 'serving'
            ? await servingReport(tables.serving)
            : await inferenceReport(tables.inference)
      expect([rows.length, listed]).toEqual([kind === 'serving' ? 2 : 1, []])
    },
  )

  test('are told of on the page as the command prints it', () => {
    const page = readFileSync(join(import.meta.dirname, '../apps/docs/reference/accuracy.md'), 'utf8')
    expect(page.trimEnd().endsWith(ownRows.trimEnd())).toBe(true)
  })

  test.each([
    [['--help'], 0, /Usage: npm run accuracy.*--rows FILE.*"hardware": "DGX H100"/s],
    [['--rows', 'none.json'], 1, /^error\[FILE\] Cannot read none\.json: it does not exist\.\nhelp: /],
    [['--rows', '.'], 1, /^error\[FILE\] Cannot read \.: it is a folder/],
    [['--rows', 'package-lock.json', '--only', 'nothing'], 1, /^error\[\w+\] /],
    [['--rows', 'README.md'], 1, /^error\[\w+\] /],
    [['--row', 'x.json'], 1, /^error\[USAGE\] Unknown option '--row'\.\nhelp: .*--help/],
  ])('%j ends with a message', (args, code, message) => {
    const cwd = join(import.meta.dirname, '..')
    const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/accuracy.mjs', ...args], {
      cwd,
      encoding: 'utf8',
    })
    expect(`${stdout}${stderr}`).toMatch(message)
    expect(stderr).not.toMatch(/^ +at /m)
    expect(status).toBe(code)
  })
})
