import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../../../test/chromium.js'

const require = createRequire(import.meta.url)
const root = resolve(import.meta.dirname, '../../..')
const cache = join(root, 'node_modules', '.cache')
const hostile = `'"></svg><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"> {{ 1 + 1 }}'`
const page = `# A page

\`\`\`shardloom
model: llama-3.1-8b
batch: 8
parallel: {tp: 2}
level: module
caption: ${hostile}
alt: A picture of modules
\`\`\`

\`\`\`shardloom
model: llama-3.1-8b
batch: 8
parallel: {tp: 2}
view: table
\`\`\`
`

/** A folder from which the packages of the workspace, as they are built, are found. */
function folder(): string {
  mkdirSync(cache, { recursive: true })
  return mkdtempSync(join(cache, 'site-'))
}

test('markdown-it renders in a thread while it waits, and errors name the line', () => {
  const script = `
    import markdownIt from ${JSON.stringify(require.resolve('markdown-it'))}
    import shardloom from 'remark-shardloom/markdown-it'
    const md = markdownIt().use(shardloom, { cache: false })
    const block = (text) => 'text\\n\\n\`\`\`shardloom\\n' + text + '\\n\`\`\`\\n'
    const html = md.render(block('model: tiny\\nbatch: 4\\nparallel: {tp: 2}\\nview: table'), { path: 'a.md' })
    let message
    try { md.render(block('model: tiny\\nparallel: {tp: 3}'), { path: 'a.md' }) } catch (error) { message = error.message }
    console.log(JSON.stringify({ html, message, other: md.render('\`\`\`js\\n1\\n\`\`\`') }))`
  const cwd = folder()
  writeFileSync(join(cwd, 'render.mjs'), script)
  const { stdout, stderr } = spawnSync(process.execPath, ['render.mjs'], { cwd, encoding: 'utf8' })
  rmSync(cwd, { recursive: true })
  expect(stderr).toBe('')
  const { html, message, other } = JSON.parse(stdout)
  expect(html).toMatch(/^<p>text<\/p>\n<figure class="shardloom"[\s\S]*all-reduce · tp[\s\S]*<\/figure>\n$/)
  expect(message).toMatch(/^a\.md:5: Cannot split/)
  expect(other).toContain('<code class="language-js">')
})

describe.skipIf(chromiumPath === undefined)('a site of VitePress', () => {
  let browser: Browser
  let server: Server
  let shown: Page
  const problems: string[] = []
  const site = folder()

  beforeAll(async () => {
    mkdirSync(join(site, '.vitepress'))
    writeFileSync(join(site, 'index.md'), page)
    writeFileSync(
      join(site, '.vitepress', 'config.mjs'),
      `import shardloom from 'remark-shardloom/markdown-it'
       export default { title: 'Site', markdown: { config: (md) => md.use(shardloom, { vue: true, cache: false }) } }`,
    )
    const library = require.resolve('vitepress') // dist/node/index.js
    const vitepress = join(dirname(library), '..', '..', 'bin', 'vitepress.js')
    const built = spawnSync(process.execPath, [vitepress, 'build', site], { cwd: site, encoding: 'utf8' })
    if (built.status !== 0) throw new Error(built.stderr + built.stdout)
    const types: Readonly<Record<string, string>> = { html: 'text/html', js: 'text/javascript', css: 'text/css' }
    server = createServer(({ url = '/' }, response) => {
      const path = join(site, '.vitepress', 'dist', url === '/' ? 'index.html' : decodeURI(url.split('?')[0] ?? ''))
      response.setHeader('content-type', types[path.split('.').at(-1) ?? ''] ?? 'application/octet-stream')
      try {
        response.end(readFileSync(path))
      } catch {
        response.writeHead(404).end()
      }
    }).listen(0, '127.0.0.1')
    browser = await launchChromium()
    shown = await browser.newPage()
    shown.on('pageerror', (error) => problems.push(error.message))
    const { port } = server.address() as AddressInfo // of a server that listens on a port
    await shown.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'networkidle' })
  })

  afterAll(async () => {
    await browser?.close()
    server?.close()
    rmSync(site, { recursive: true, force: true })
  })

  test('shows the picture, the table and the caption, and runs nothing that they say', async () => {
    const size = await shown.locator('figure.shardloom svg').first().boundingBox()
    expect(size?.width).toBeGreaterThan(300)
    expect(size?.height).toBeGreaterThan(100)
    expect(await shown.locator('figure.shardloom svg').first().textContent()).toContain('attention')
    expect(await shown.locator('figure.shardloom table').first().textContent()).toContain('all-reduce · tp')
    expect(await shown.locator('figcaption').textContent()).toContain('<script>window.hacked = 1</script>')
    expect(await shown.locator('figcaption').textContent()).toContain('{{ 1 + 1 }}')
    expect(await shown.evaluate('window.hacked')).toBeUndefined()
    expect(problems).toEqual([])
  })
})
