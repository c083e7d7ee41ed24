import { deflateRawSync } from 'node:zlib'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { formatSeconds, loadSpec, simulateLoaded } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../chromium.js'
import { eventually, openStudio, settled } from './open-studio.js'

const spec = {
  model: 'gpt2',
  cluster: 'dgx-h100',
  batch: 10,
  microbatch: 1,
  seq: 512,
  parallel: { pp: 4, dp: 2 },
  options: { schedule: '1f1b' },
} as const

/** A link to a view of the pipeline. */
const link = (view: string) =>
  `1.${deflateRawSync(
    JSON.stringify({
      variants: [{ name: 'a pipeline', text: JSON.stringify(spec) }],
      active: 0,
      view,
      graph: { level: 'stage', toggled: [], unroll: [] },
    }),
  ).toString('base64url')}`

async function violations(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source)
  return page.evaluate(
    `axe.run({ preload: false }).then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))`,
  )
}

describe.skipIf(chromiumPath === undefined)('graph and timeline of a pipeline', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('a stage opens into its layers, and a send tells its group; names can be read where it opens', async () => {
    const { page, complaints } = await openStudio(browser, link('graph'))
    await settled(page)
    const smallest = await page.evaluate(
      `Math.min(...[...document.querySelectorAll('.card .fact')].map((each) => 11 * each.getBoundingClientRect().width / each.getComputedTextLength()))`,
    )
    expect(smallest).toBeGreaterThan(8.5)
    const inspector = page.getByLabel('Inspector')
    await page.locator('[data-id="stage 1/forward"]').click()
    await inspector.getByText('What takes longest in it').waitFor()
    await eventually(() => inspector.textContent()).toContain('stage 1 · forward')
    await page.keyboard.press('Enter')
    await page.locator('[data-id="stage 1/forward/layer"]').waitFor()
    await page.locator('[data-id="stage 1/forward/layer-send"]').click()
    await inspector.getByText('the last layer before a border between stages').waitFor()
    await page
      .locator('.card-box', { hasText: /^send$/ })
      .first()
      .click()
    await inspector.getByText('this rank sends', { exact: true }).waitFor()
    await eventually(() => inspector.textContent()).toMatch(/2 of \d+: ranks \d+, \d+/)
    await page.keyboard.press('Escape')
    // What the overview counts in one row is what its nodes run together.
    const row = inspector.locator('.communication button', { hasText: /, and \d+ more/ }).first()
    const text = (await row.textContent()) ?? ''
    const times = Number(/([\d,]+) times/.exec(text)?.[1]?.replace(',', ''))
    await row.click()
    const parts = inspector.locator('.holds .fact')
    await parts.first().waitFor()
    const runs = (await parts.allTextContents()).map((part) => Number(part.split('×')[0]?.replace(',', '')))
    expect(runs).toHaveLength(Number(/, and (\d+) more/.exec(text)?.[1]) + 1)
    expect(runs.reduce((sum, each) => sum + each, 0)).toBe(times)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('an action of the timeline is inspected, other schedules stand above each other, and an illegal one says what it needs', async () => {
    const { page, complaints } = await openStudio(browser, link('timeline'))
    const tree = page.locator('.row-tree [role=treeitem]')
    await tree.nth(1).waitFor({ state: 'attached' })
    await tree.nth(1).focus()
    for (const key of ['ArrowRight', 'ArrowDown', 'Enter']) {
      await page.keyboard.press(key)
      await page.waitForTimeout(100)
    }
    const inspector = page.getByLabel('Inspector')
    await inspector.getByText('This slice').waitFor()
    await eventually(() => inspector.locator('h2').textContent()).toContain('F0 · stage 0')
    await page.getByText('Compare schedules').click()
    await page.getByRole('checkbox', { name: 'zbh1' }).check()
    await page.getByRole('checkbox', { name: 'dualpipe', exact: true }).check()
    const { step } = simulateLoaded(await loadSpec({ ...spec, options: { schedule: 'zbh1' } }))
    const canvas = page.locator('.timeline-frame canvas')
    await expect
      .poll(() => canvas.getAttribute('aria-label'), { timeout: 60_000 })
      .toContain(`zbh1: ${formatSeconds(step.seconds)}`)
    await eventually(() => canvas.getAttribute('aria-label')).toMatch(/% step time/)
    const refused = await loadSpec({ ...spec, options: { schedule: 'dualpipe' } })
      .then((loaded) => simulateLoaded(loaded) && '')
      .catch((error: Error) => error.message)
    expect(refused).not.toBe('')
    await page.locator('.schedule-needs').getByText(refused).waitFor()
    await page.keyboard.press('Escape')
    await eventually(() => violations(page)).toEqual([])
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('on a phone set-up and inspector are sheets that keep the focus until Escape, and nothing is wider than it', async () => {
    const { page, complaints } = await openStudio(browser, link('graph'), { viewport: { width: 390, height: 844 } })
    await settled(page)
    const wide = () => page.evaluate<number>('document.documentElement.scrollWidth')
    await eventually(() => wide()).toBeLessThanOrEqual(390)
    await eventually(() => violations(page)).toEqual([])
    const button = page.getByRole('button', { name: 'Set-up', exact: true })
    await button.click()
    const sheet = page.getByRole('dialog', { name: 'Set-up' })
    await sheet.getByText('Degrees').waitFor()
    for (let turn = 0; turn < 30; turn++) await page.keyboard.press('Tab')
    expect(
      await page.evaluate(
        'document.activeElement === document.body || document.activeElement.closest("dialog") !== null',
      ),
    ).toBe(true)
    await eventually(() => violations(page)).toEqual([])
    await page.keyboard.press('Escape')
    await sheet.waitFor({ state: 'hidden' })
    await eventually(() => button.evaluate((element) => element === document.activeElement)).toBe(true)
    await page.getByRole('button', { name: /^Inspector/ }).click()
    await page.getByRole('button', { name: 'Close Inspector' }).click()
    await page.getByRole('tab', { name: 'Timeline' }).click()
    await page.locator('.timeline-frame canvas').waitFor()
    await eventually(() => page.getByText('a critical path', { exact: true }).isVisible()).toBe(false)
    await page.getByText('Legend', { exact: true }).click()
    await eventually(() => page.getByText('a critical path', { exact: true }).isVisible()).toBe(true)
    await eventually(() => wide()).toBeLessThanOrEqual(390)
    // A window of 1440 × 900 at a zoom of 200 %.
    await page.getByText('Legend', { exact: true }).click()
    await page.setViewportSize({ width: 720, height: 450 })
    const parts = ['.views .tabs', '.timeline-tools', '.timeline-overview', '.timeline-told', '.picture-foot', '.strip']
    const spans = await Promise.all(parts.map((part) => page.locator(part).boundingBox()))
    spans.forEach((span, at) => {
      const above = spans[at - 1]
      if (above) expect(span?.y, parts[at]).toBeGreaterThanOrEqual(above.y + above.height - 1)
    })
    expect(complaints).toEqual([])
    await page.context().close()
  })
})
