import { deflateRawSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../chromium.js'
import { eventually, follow, link, openStudio, refusal, settled, small, stateOf } from './open-studio.js'

describe.skipIf(chromiumPath === undefined)('the studio refuses', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  describe('a link that holds no plan', () => {
    let page: Page
    let complaints: readonly string[]
    beforeAll(async () => {
      const opened = await openStudio(browser, 'hello')
      page = opened.page
      complaints = opened.complaints
    })
    afterAll(() => page?.context().close())

    test('says so where it is opened', async () => {
      await refusal(page)
      await settled(page)
      expect(complaints).toEqual([])
    })

    test.each([
      ['what is no state', 'hullo'],
      ['a state that is cut off', link(stateOf(small)).slice(0, -20)],
      ['characters that no link has', '1.<script>alert(1)</script>'],
      ['another shape', link({ variants: 7 })],
      ['a view that there is not', link({ ...stateOf(small), view: '__proto__' })],
      ['what unpacks to far too much', `1.${deflateRawSync(Buffer.alloc(50_000_000)).toString('base64url')}`],
    ])('with %s says so, and the page stays', async (_, fragment) => {
      const cards = await page.locator('.card-box').count()
      await follow(page, fragment)
      await refusal(page)
      await eventually(() => page.locator('.card-box').count()).toBe(cards)
      await settled(page)
      expect(complaints).toEqual([])
    })
  })

  describe('a spec that is no plan', () => {
    let page: Page
    let complaints: readonly string[]
    beforeAll(async () => {
      const opened = await openStudio(browser)
      page = opened.page
      complaints = opened.complaints
    })
    afterAll(() => page?.context().close())

    test.each([
      ['script in names', 'model: "<img src=x onerror=alert(1)>"\n', 'There is no preset'],
      ['giant numbers', `${small}steps: 1e300\n`, ''],
      ['aliases without end', 'a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nmodel: *c\n', ''],
      ['brackets without end', `model: ${'['.repeat(50_000)}`, ''],
      ['a file that it cannot read', 'model: ./config.json\n', 'no files can be read here'],
    ])('for %s is an error, and the page stays', async (_, text, message) => {
      await follow(page, link(stateOf(text, '<script>alert(1)</script>')))
      const failure = page.locator('.strip .failure')
      await failure.waitFor()
      await eventually(() => failure.textContent()).toContain(message)
      await eventually(() => failure.textContent()).not.toContain('internal')
      await page.getByRole('tab', { name: 'YAML' }).click()
      await page.getByLabel('The spec as YAML').fill(small)
      await failure.waitFor({ state: 'detached' })
      await settled(page)
      expect(complaints).toEqual([])
    })
  })
})
