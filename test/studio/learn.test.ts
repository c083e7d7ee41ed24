import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { formatBytes, loadSpec, parseSpec, plan, simulateLoaded, stepFigures, toJsonText } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { diagrams } from '../../apps/docs/scripts/diagrams/list.mjs'
import { linkOf } from '../../apps/docs/scripts/studio-link.mjs'
import { readFragment } from '../../apps/studio/src/state/fragment.js'
import { root } from '../../scripts/workspace.mjs'
import { chromiumPath, launchChromium } from '../chromium.js'
import { addressed, eventually, isInPicture, openStudio, settled } from './open-studio.js'

const types: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' }

/** A server that has the built page below a path, as a site of several projects has. */
async function serveBelow(prefix: string): Promise<{ readonly server: Server; readonly origin: string }> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    if (!path.startsWith(prefix)) return response.writeHead(404).end()
    const name = path.slice(prefix.length) || 'index.html'
    readFile(join(root, 'apps/studio/dist', name)).then(
      (bytes) => response.writeHead(200, { 'content-type': types[extname(name)] ?? 'image/svg+xml' }).end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } // it listens on a port
}

async function seriousFlaws(page: Page): Promise<unknown[]> {
  await page.evaluate(axe.source)
  const found = await page.evaluate(
    () => (globalThis as unknown as { axe: typeof axe }).axe.run({ preload: false }), // axe sets it; the page may load no styles as data
  )
  return found.violations.map(({ id, nodes }) => ({ id, where: nodes.map(({ html }) => html) }))
}

const linked = diagrams.filter(({ name }) => name.startsWith('strategy-'))

test('every page about a strategy has diagrams, each with a link that holds the plan that is drawn', async () => {
  const folder = join(root, 'apps/docs/strategies')
  for (const page of await readdir(folder)) {
    const text = await readFile(join(folder, page), 'utf8')
    const shown = [...text.matchAll(/@include: \.\.\/generated\/(strategy-[\w-]+)\.md/g)].map(([, name]) => name)
    expect(shown.length, page).toBeGreaterThan(0)
    expect(linked.map(({ name }) => name)).toEqual(expect.arrayContaining(shown))
  }
  for (const diagram of linked) {
    const drawn = await plan(diagram.spec)
    const { variants } = await readFragment(await linkOf(diagram, drawn))
    const opened = await plan(parseSpec(variants[0]?.text ?? ''))
    expect(toJsonText(opened.program), diagram.name).toBe(toJsonText(drawn.program))
  }
})

describe.skipIf(chromiumPath === undefined)('guided pages in Chromium', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('a page is opened, a question asked and answered, the next step is a link, and the own plan comes back', async () => {
    const { page, complaints } = await openStudio(browser)
    await settled(page)
    await page.getByRole('tab', { name: 'Learn' }).click()
    const cards = page.locator('.lesson-card')
    await cards.first().waitFor()
    await eventually(() => cards.count()).toBe(8)
    await eventually(() => seriousFlaws(page)).toEqual([])
    await page.getByRole('button', { name: 'Pipeline parallelism' }).click()

    const guide = page.getByLabel('Guide')
    await guide.getByRole('heading', { name: 'Stages wait' }).waitFor()
    await eventually(() => page.evaluate(() => document.activeElement?.textContent)).toBe('Stages wait')
    await guide.getByRole('button', { name: 'Next' }).click()
    await guide.getByText('Look at').waitFor()
    await eventually(() => page.getByRole('tab', { name: 'Memory' }).getAttribute('aria-selected')).toBe('true')
    await guide.getByRole('radio', { name: 'The same bubble, less memory' }).check()
    await guide.getByRole('slider', { name: 'Schedule' }).press('ArrowRight')
    await guide.getByText('As you expected.').waitFor()
    const of = async (schedule: string) =>
      stepFigures(
        simulateLoaded(
          await loadSpec({
            model: 'llama-3.1-8b',
            cluster: 'dgx-h100',
            batch: 8,
            seq: 4096,
            microbatch: 1,
            parallel: { pp: 4 },
            options: { schedule },
          }),
        ),
      ).memory.perStage.map(({ most }) => most.activations)
    const answer = (await guide.getByRole('status').textContent()) ?? ''
    expect(answer).toContain(formatBytes(Math.max(...(await of('gpipe')))))
    expect(answer).toContain(formatBytes(Math.max(...(await of('1f1b')))))
    await eventually(() => seriousFlaws(page)).toEqual([])

    await eventually(async () => addressed(page)).toContain('"step":1')
    const again = await openStudio(browser, page.url().split('#')[1])
    await again.page.getByLabel('Guide').getByRole('heading', { name: 'One forward, one backward' }).waitFor()
    await again.page.getByRole('button', { name: 'Leave' }).click()
    await eventually(() => again.page.getByLabel('Name of the plan').inputValue()).toBe('Llama 3.1 70B')
    expect([...complaints, ...again.complaints]).toEqual([])
    await again.page.context().close()
    await page.context().close()
  })

  test('is read on a phone, in the dark', async () => {
    const { page, complaints } = await openStudio(browser, '', {
      viewport: { width: 390, height: 844 },
      colorScheme: 'dark',
    })
    await page.getByRole('tab', { name: 'Learn' }).click()
    await page.getByRole('button', { name: 'Tensor parallelism' }).click()
    const guide = page.getByLabel('Guide')
    await guide.getByRole('heading', { name: 'Heads and columns' }).waitFor()
    expect((await page.locator('.view').boundingBox())?.height).toBeGreaterThan(844 / 2)
    const lookedAt = page.locator('[data-id="forward/layer/attention/out/all-reduce(tp)"]')
    await expect.poll(async () => (await lookedAt.count()) > 0 && isInPicture(lookedAt), { timeout: 60_000 }).toBe(true)
    await eventually(() => seriousFlaws(page)).toEqual([])
    await guide.getByRole('button', { name: 'Read and try' }).click()
    await guide.getByRole('radio').first().check()
    await eventually(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
    await eventually(() => seriousFlaws(page)).toEqual([])
    expect(complaints).toEqual([])
    await page.context().close()
  })

  // What each link holds is compared above: here it is how one is opened, a small plan and a large one.
  test('a link of a strategy page opens its plan, with the page below a path of a site', async () => {
    const { server, origin } = await serveBelow('/x/y/')
    const page = await browser.newPage()
    const failed: string[] = []
    page.on('response', (response) => response.status() >= 400 && failed.push(response.url()))
    page.on('console', (message) => message.type() === 'error' && failed.push(message.text()))
    for (const diagram of [linked[0], linked.at(-1)]) {
      if (!diagram) continue
      const planned = await plan(diagram.spec)
      await page.goto('about:blank')
      await page.goto(`${origin}/x/y/#${await linkOf(diagram, planned)}`)
      const strip = page.getByLabel('The plan in figures')
      await strip.getByText('✓ all').waitFor()
      await eventually(() => strip.textContent(), diagram.name).toContain(`Ranks${planned.program.mesh.world}`)
      await eventually(() => page.getByLabel('Name of the plan').inputValue()).toBe(String(diagram.spec.model))
      await eventually(() => page.locator('.banner').count(), diagram.name).toBe(0)
    }
    await settled(page)
    await page.getByRole('tab', { name: 'Learn' }).click()
    await page.locator('.lesson-card').first().waitFor()
    expect(failed).toEqual([])
    await page.close()
    await new Promise((resolve) => server.close(resolve).closeAllConnections())
  })
})
