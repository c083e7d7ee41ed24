import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../chromium.js'
import { studioPage } from './open-studio.js'

describe.skipIf(chromiumPath === undefined)('the studio, opened without a link', { timeout: 180_000 }, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  test('asks for less than 600 kB of scripts, gzipped, until its first diagram is there', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 720 } })
    const asked = new Set<string>()
    page.on('request', (request) => {
      const url = request.url()
      if (url.startsWith('file:') && url.endsWith('.js')) asked.add(fileURLToPath(url))
    })
    await page.goto(studioPage)
    await page.locator('.card-box').first().waitFor()
    expect([...asked].map((file) => file.split('/').at(-1)).sort()).toEqual(['plan.js', 'studio.js'])
    const bytes = [...asked].reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0)
    expect(bytes).toBeLessThan(600_000)
    await page.close()
  })
})
