import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { root, sourceEntries } from '../../../scripts/workspace.mjs'
import type { Shown } from './page.js'

const folder = join(root, 'apps/studio')

/** The script of the test page, whose exports are the global `studio`. */
export async function bundlePage(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(folder, 'test/page.tsx')],
    alias: Object.fromEntries(sourceEntries().map(({ specifier, file }) => [specifier, file])),
    bundle: true,
    format: 'iife',
    globalName: 'studio',
    platform: 'browser',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    minify: true,
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

const css = ['page.css', 'graph.css', 'timeline.css', 'memory.css', 'compare.css']

/** Opens a page that shows a view. What it complains of is collected. */
export async function openPage(
  browser: Browser,
  script: string,
  shown: Shown,
  viewport = { width: 1280, height: 720 },
): Promise<{ readonly page: Page; readonly complaints: readonly string[] }> {
  const page = await browser.newPage({ viewport, colorScheme: shown.theme })
  const complaints: string[] = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  const styles = css.map((file) => readFileSync(join(folder, 'src/styles', file), 'utf8')).join('\n')
  await page.setContent(
    `<!doctype html><html lang="en"><head><title>drawings</title><style>
      body { margin: 0; background: var(--page); color: var(--ink); font-family: system-ui, sans-serif }
      main, #root { height: 100vh }
      ${styles}</style></head><body><main><h1 style="position: absolute; clip-path: inset(50%)">drawings</h1><div id="root"></div></main></body></html>`,
  )
  await page.addScriptTag({ content: script })
  await page.evaluate(`studio.show(${JSON.stringify(shown)})`)
  return { page, complaints }
}
