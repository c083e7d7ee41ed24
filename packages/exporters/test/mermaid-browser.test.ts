import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createView, mermaidOf } from '@shardloom/exporters'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../../../test/chromium.js'
import { hostileView } from './hostile.js'
import { operators, prefillProgram } from './program.js'

describe.skipIf(chromiumPath === undefined)('a browser', () => {
  let browser: Browser

  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  const draw = async (text: string): Promise<{ texts: string; scripts: number; nodes: number }> => {
    const page = await browser.newPage()
    await page.setContent(`<pre class="mermaid"></pre>`)
    const main = createRequire(import.meta.url).resolve('mermaid')
    await page.addScriptTag({ path: join(dirname(main), 'mermaid.min.js') })
    // The page's own scope: `mermaid` is the global of the script above.
    const drawn = await page.evaluate(`(async () => {
      mermaid.initialize({ startOnLoad: false })
      const { svg } = await mermaid.render('drawn', ${JSON.stringify(text)})
      document.body.innerHTML = svg
      return { texts: document.body.textContent, scripts: document.body.querySelectorAll('script, b').length, nodes: document.querySelectorAll('g.node').length }
    })()`)
    await page.close()
    return drawn as { texts: string; scripts: number; nodes: number } // what the script above returns
  }

  test('draws every node', async () => {
    const view = createView(prefillProgram(), operators)
    expect(await draw(mermaidOf(view, { legend: false }))).toMatchObject({ nodes: view.nodes.length, scripts: 0 })
  })

  test('shows hostile labels as text', async () => {
    const label = '1. <script>x</script> <b>"q"</b> #quot; `c`'
    const { texts, scripts } = await draw(mermaidOf(hostileView(label, label, 'x'), { legend: false }))
    expect(scripts).toBe(0)
    expect(texts).toContain('<script>x</script> <b>"q"</b> #quot; `c`')
  })
})
