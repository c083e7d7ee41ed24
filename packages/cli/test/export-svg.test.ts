import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { JSDOM } from 'jsdom'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const spec = ['--model', 'gpt2', '--batch', '8', '--seq', '512', '--pp', '4', '--cluster', 'dgx-h100']
const run = (...flags: string[]) => shardloom(['export', ...spec, ...flags], { cwd: temporaryFolder() })
const { DOMParser } = new JSDOM('').window
const parse = (text: string, type: 'image/svg+xml' | 'text/html' = 'image/svg+xml') =>
  new DOMParser().parseFromString(text, type)

describe('shardloom export --format svg', () => {
  test.each([
    [['--level', 'stage'], 'training · stages'],
    [['--view', 'timeline'], 'training · timeline'],
    [['--view', 'memory'], 'training · memory'],
  ])('%j draws %s', async (flags, title) => {
    const { code, out, err } = await run('--format', 'svg', ...flags)
    expect({ code, err: err.includes('error') }).toEqual({ code: 0, err: false })
    expect(parse(out).querySelector('title')?.textContent).toBe(title)
  })

  test('writes a file, in the theme and under the title that were asked for', async () => {
    const cwd = temporaryFolder()
    const title = '<script>alert(1)</script>'
    const flags = ['--format', 'svg', '--level', 'stage', '--theme', 'dark', '--title', title, '--out', 'a.svg']
    expect((await shardloom(['export', ...spec, ...flags], { cwd })).code).toBe(0)
    const text = readFileSync(join(cwd, 'a.svg'), 'utf8')
    expect(parse(text).querySelector('title')?.textContent).toBe(title)
    expect(parse(text).querySelector('script')).toBeNull()
    expect(text).not.toContain('prefers-color-scheme')
  })

  test('one rank of those that are run', async () => {
    const { out } = await run('--format', 'svg', '--view', 'memory', '--rank', '2')
    const text = parse(out).documentElement.textContent ?? ''
    expect(text).toContain('stage 2')
    expect(text).not.toContain('stage 1')
  })

  test.each([
    [['--view', 'timeline', '--level', 'stage'], 2, '--level is of graphs'],
    [['--view', 'timeline', '--rank', '9'], 2, 'Rank 9 is not run by itself'],
    [['--view', 'memory', '--part', 'decode'], 2, '--part decode is not planned'],
    [['--view', 'timeline', '--phase', 'serving'], 2, 'Serving is no single step'],
  ])('%j is refused', async (flags, code, message) => {
    const result = await run('--format', 'svg', ...flags)
    expect(result.out).toBe('')
    expect(result.err).toContain(message)
    expect(result.code).toBe(code)
  })

  test('a timeline without a cluster says what is missing', async () => {
    const { code, err } = await shardloom(['export', '--model', 'gpt2', '--format', 'svg', '--view', 'timeline'], {
      cwd: temporaryFolder(),
    })
    expect(code).toBe(1)
    expect(err).toContain('cluster')
  })
})

describe('shardloom export --format html', () => {
  test('is a page with headings, figures, pictures with descriptions, and tables with headers; without scripts', async () => {
    const { code, out } = await run('--format', 'html', '--what-if')
    expect(code).toBe(0)
    const page = parse(out, 'text/html')
    expect([...page.querySelectorAll('h2')].map(({ textContent }) => textContent)).toEqual([
      'Key figures',
      'What limits the step',
      'Stages',
      'Timeline',
      'Memory',
      'Communication',
    ])
    expect(page.querySelectorAll('h1')).toHaveLength(1)
    expect(page.querySelectorAll('svg[role="img"] > desc')).toHaveLength(3)
    for (const table of page.querySelectorAll('table')) {
      expect(table.querySelector('caption')?.textContent).not.toBe('')
      const columns = table.querySelectorAll('thead th[scope="col"]').length
      for (const row of table.querySelectorAll('tbody tr')) expect(row.children).toHaveLength(columns)
    }
    expect(page.querySelectorAll('script, link, img, iframe')).toHaveLength(0)
    expect(page.querySelector('meta[http-equiv="Content-Security-Policy"]')?.getAttribute('content')).toContain(
      "default-src 'none'",
    )
    const ids = [...page.querySelectorAll('[id]')].map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    // Its figures are those that `simulate` prints.
    const simulated = JSON.parse((await shardloom(['simulate', ...spec, '--json'], { cwd: temporaryFolder() })).out)
    const figures = page.querySelector('dl')?.textContent ?? ''
    expect(figures).toContain(`${(100 * simulated.mfu).toFixed(1)}\u00a0%`)
    expect(figures).toContain(`${(100 * simulated.bubble.global).toFixed(1)}\u00a0%`)
  })

  test('flags of pictures that it does not have are refused', async () => {
    const { code, err } = await run('--format', 'html', '--level', 'stage')
    expect(code).toBe(2)
    expect(err).toContain('--level')
  })
})
