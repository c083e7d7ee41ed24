import { deflateRawSync } from 'node:zlib'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { formatQuantity, formatSeconds, loadSpec, simulateServingLoaded, summariseServingSimulation } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../chromium.js'
import { eventually, follow, openStudio, refusal, settled } from './open-studio.js'

const small = 'model: llama-3.1-8b\ncluster: dgx-h100\nbatch: 16\nseq: 4096\nparallel: {tp: 8}\n'
const narrow = {
  limits: ['peak-memory<=60GB'],
  choose: ['tp=4,8', 'cp=1', 'ulysses=1', 'schedule=1f1b', 'virtual=1', 'recompute=none'],
  keep: ['order'],
  top: 2,
  front: ['step-time', 'peak-memory'],
}

/** A link to a state, as anybody could write it. */
const link = (text: string, state: object = {}) => {
  const whole = {
    variants: [{ name: 'a plan', text }],
    active: 0,
    view: 'search',
    graph: { level: 'phase', toggled: [], unroll: [] },
    ...state,
  }
  return `1.${deflateRawSync(JSON.stringify(whole)).toString('base64url')}`
}

const search = (page: Page) => page.getByRole('button', { name: /^Search/ }).click()

async function violations(page: Page): Promise<readonly unknown[]> {
  await page.evaluate(axe.source)
  const found = await page.evaluate(
    () =>
      (globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: unknown[] }> } }).axe.run({
        preload: false,
      }), // axe sets it; the page may load no styles as data
  )
  return found.violations
}

describe.skipIf(chromiumPath === undefined)('searching and serving in the studio', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('finds the same with one worker and with four, opens a result as a plan of its own, and undo takes it away', async () => {
    const seen = []
    for (const cores of [1, 4]) {
      const { page, complaints } = await openStudio(browser, link(small, { search: narrow }), {
        before: `Object.defineProperty(navigator, 'hardwareConcurrency', { value: ${cores} })`,
      })
      await page.getByText(cores === 1 ? 'in one worker' : 'in 4 workers').waitFor()
      if (cores === 1) await search(page)
      else {
        await page.locator('button.primary:enabled').waitFor()
        await page.getByLabel('What is to be best').press('Control+Enter')
      }
      await page.locator('.fallen').waitFor()
      const text = async (part: string) => (await page.locator(part).allTextContents()).join('\n')
      seen.push([await text('.best'), await text('.fallen'), await text('.misses')])
      expect(complaints).toEqual([])
      if (cores === 4) {
        await page.locator('.front .point.on').first().focus()
        await page.keyboard.press('Enter')
        await page.getByText('is open beside the others').waitFor()
        await eventually(() => page.getByLabel('Variant').locator('option').count()).toBe(2)
        await page.getByRole('button', { name: 'Undo' }).click()
        await eventually(() => page.getByLabel('Variant').count()).toBe(0)
        await eventually(() => violations(page)).toEqual([])
      }
      await page.context().close()
    }
    expect(seen[0]).toEqual(seen[1])
  })

  test('a search that takes far too long stops at once, and the page lives', async () => {
    const huge = 'model: deepseek-v3\ncluster: dgx-h100\nbatch: 15360\nseq: 4096\nparallel: {tp: 8, ep: 8, dp: 8}\n'
    const { page, complaints } = await openStudio(
      browser,
      link(huge, { search: { limits: [], choose: [], keep: [], ranks: 2048 } }),
    )
    await page.getByRole('button', { name: 'Search', exact: true }).waitFor()
    await page.locator('.strip .figure').first().waitFor()
    await search(page)
    await page.getByText(/of 64 parts in/).waitFor()
    await page.locator('form.question').getByRole('button', { name: 'Stop' }).click()
    await page.getByText(/^Stopped/).waitFor()
    await page.getByRole('tab', { name: 'Graph' }).click()
    await page.locator('.card-box').first().waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('what cannot be asked is said in words', async () => {
    const { page, complaints } = await openStudio(browser, link(small))
    await page.locator('.strip .figure').first().waitFor()
    const nothing = { limits: [], choose: [], keep: [] }
    for (const [asked, word, message] of [
      [{ ...nothing, limits: ['peak-memory<=1e999'] }, '1e999', 'more than numbers can say'],
      [{ ...nothing, choose: ['<img src=x onerror=alert(1)>=1'] }, 'onerror', 'says no choice'],
      [{ ...nothing, objective: 'tpot' }, 'tpot', 'has no'],
    ] as const) {
      await follow(page, link(small, { search: asked }))
      await page.locator('form.question .copy-text').getByText(word).waitFor()
      await search(page)
      await page.locator('.search-view .failure').getByText(message).waitFor()
    }
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('a link with a search that cannot be says so', async () => {
    const { page } = await openStudio(browser)
    for (const asked of [
      7,
      {},
      { limits: [], choose: [], keep: [], ranks: 1e300 },
      { limits: new Array(1000).fill('tpot<=1'), choose: [], keep: [] },
    ]) {
      await follow(page, link(small, { search: asked }))
      await refusal(page)
    }
    await settled(page)
    await page.context().close()
  })

  test('serving: the strip has what clients see, and both phases have graph and times of their own', async () => {
    const spec = {
      model: 'llama-3.1-8b',
      cluster: 'dgx-h100',
      phase: 'serving',
      batch: 4,
      seq: 512,
      options: {
        serving: {
          load: { clients: 8, input: 512, output: 32 },
          prefill: { parallel: { tp: 2 } },
          decode: { parallel: { tp: 4 } },
        },
      },
    } as const
    const { page, complaints } = await openStudio(browser, link(JSON.stringify(spec), { view: 'graph' }))
    const served = summariseServingSimulation(simulateServingLoaded(await loadSpec(spec)))
    const strip = page.getByLabel('The plan in figures')
    await strip.getByText(formatSeconds(served.ttftSeconds)).waitFor()
    const figures = (await strip.textContent()) ?? ''
    expect(figures).toContain(formatSeconds(served.tpotSeconds ?? 0))
    expect(figures).toContain(formatQuantity(Math.round(served.tokensPerSecond), ''))
    expect(figures).toContain(`p99 ${formatSeconds(served.spread.ttft.p99)}`)
    await page.locator('[data-id="prefill"]').waitFor()
    await page.locator('.pools').getByText('decode').click()
    await page.locator('[data-id="decode"]').waitFor()
    await page.getByLabel('Inspector').getByText('comes from the ranks of prefill').first().waitFor()
    await eventually(() => violations(page)).toEqual([])
    await page.getByLabel('Output').fill('64')
    await page.getByRole('tab', { name: 'YAML' }).click()
    await eventually(() => page.getByLabel('The spec as YAML').inputValue()).toMatch(/"?output"?: 64/)
    expect(complaints).toEqual([])
    await page.context().close()
  })

  test('the line of an error is marked and named, and Tab leads on after Escape', async () => {
    const { page, complaints } = await openStudio(browser, link(small, { view: 'graph' }))
    await settled(page)
    await page.getByRole('tab', { name: 'YAML' }).click()
    const area = page.getByLabel('The spec as YAML')
    await area.fill(`${small}options:\n  zero: 9\n`)
    const place = page.locator('.yaml-editor .place')
    await place.getByText('Line 7, column 3').waitFor()
    await place.click()
    expect(
      await area.evaluate((each: HTMLTextAreaElement) => each.value.slice(each.selectionStart, each.selectionEnd)),
    ).toBe('  zero: 9')
    await area.fill('model: llama-3.1-8b\nparallel: {tp: [}\n')
    await place.getByText(/^Line 2, column 1\d$/).waitFor()
    await area.press('End')
    await area.press('Tab')
    await eventually(() => area.inputValue()).toContain('  ')
    await area.press('Escape')
    await area.press('Tab')
    await eventually(() => area.evaluate((each) => document.activeElement === each)).toBe(false)
    expect(complaints).toEqual([])
    await page.context().close()
  })
})
