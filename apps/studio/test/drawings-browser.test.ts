import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { loadSpec, simulateLoaded } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sourceEntries } from '../../../scripts/workspace.mjs'
import { chromiumPath, launchChromium } from '../../../test/chromium.js'
import { timelineOfSimulation } from '../src/timeline/data.js'
import { placeOfId } from '../src/timeline/selection.js'
import { bundlePage, openPage } from './open-page.js'
import type { Shown } from './page.js'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const pipeline = {
  model: 'gpt2',
  cluster: 'dgx-h100',
  seq: 512,
  batch: 16,
  microbatch: 1,
  parallel: { pp: 4, dp: 2 },
} as const
const attack = '<img src=x onerror="document.title=1">'
const variants = [
  { name: '1F1B', spec: pipeline },
  { name: attack, spec: { ...pipeline, options: { schedule: 'zbh1' } } },
] as const

const schedules = { view: 'timeline', theme: 'light', schedules: ['1f1b', 'zbh1'] } as const
const views: Readonly<Record<string, Omit<Shown, 'theme'>>> = {
  schedules: { view: 'timeline', schedules: ['1f1b', 'dualpipev'] },
  timeline: { view: 'timeline', specs: variants },
  memory: { view: 'memory', specs: variants },
  compare: { view: 'compare', specs: variants },
}

describe.skipIf(chromiumPath === undefined)('in Chromium', () => {
  let browser: Browser
  let script: string
  beforeAll(async () => {
    browser = await launchChromium()
    script = await bundlePage()
  })
  afterAll(() => browser?.close())

  async function opened(
    shown: Shown,
    look: (page: Page) => Promise<void>,
    viewport?: { width: number; height: number },
  ) {
    const { page, complaints } = await openPage(browser, script, shown, viewport)
    await look(page)
    await page.close()
    expect(complaints).toEqual([])
  }

  /** Two frames: what was done is drawn. */
  const drawn = (page: Page) =>
    page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))')
  const told = async (page: Page) => {
    await drawn(page)
    return page.locator('.timeline-told').textContent()
  }
  const picture = async (page: Page) => {
    await drawn(page)
    return page.evaluate(`document.querySelector('.timeline-frame canvas').toDataURL()`)
  }
  /** The middle of a place in the frame of a timeline, by shares. */
  async function at(page: Page, across: number, down: number) {
    const box = await page.locator('.timeline-frame canvas').boundingBox()
    if (!box) throw new Error('there is no canvas')
    return { x: box.x + across, y: box.y + down }
  }

  describe.each(Object.entries(views))('%s', (_, shown) => {
    test.each(['light', 'dark'] as const)('complains of nothing, and neither does axe: %s', async (theme) => {
      await opened({ ...shown, theme }, async (page) => {
        await page.addScriptTag({ content: axe })
        const violations = await page.evaluate(
          `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes[0].html))`,
        )
        expect(violations).toEqual([])
        expect(await page.title()).toBe('drawings')
      })
    })

    test('nothing is wider than a phone', async () => {
      await opened(
        { ...shown, theme: 'light' },
        async (page) => {
          expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390)
        },
        { width: 390, height: 760 },
      )
    })
  })

  test('a press in memory selects what runs then, keys go on from there, and nothing moves', async () => {
    const data = timelineOfSimulation(simulateLoaded(await loadSpec(pipeline)), '')
    await opened({ view: 'memory', theme: 'light', specs: variants.slice(0, 1) }, async (page) => {
      const canvas = page.locator('.memory-frame canvas')
      const box = await canvas.boundingBox()
      if (!box) throw new Error('there is no canvas')
      // Time is between 76 pixels at the left and 278 at the right; the second rank is that of stage 1.
      const across = box.width - 76 - 278
      const second = 6 + Math.max(200, (box.height - 32) / 4) + 60
      await page.mouse.move(box.x + 76 + across / 2, box.y + second)
      await page.mouse.down()
      await page.mouse.up()
      await drawn(page)
      expect(await canvas.boundingBox()).toEqual(box)
      const chosen = async () => {
        const place = placeOfId(data, (await page.locator('output').textContent()) ?? '')
        const slices = place && data.grains[place.grain]
        return {
          row: data.rows[place?.row ?? -1]?.label,
          start: slices?.start[place?.slice ?? -1],
          end: slices?.end[place?.slice ?? -1],
        }
      }
      const pressed = await chosen()
      expect(pressed.row).toBe('stage 1')
      expect(pressed.start).toBeLessThanOrEqual(data.end / 2)
      await page.mouse.move(0, 0)
      await page.keyboard.press('ArrowRight')
      await page.keyboard.press('Enter')
      const next = await chosen()
      expect(next.row).toBe('stage 1')
      expect(next.start).toBeGreaterThanOrEqual(pressed.end ?? Number.NaN)
      await page.keyboard.press('Escape')
      expect(await page.locator('output').textContent()).toBe('')
    })
  })

  test('names what is under the pointer, and a wheel zooms there', async () => {
    await opened(schedules, async (page) => {
      // F1 of rank 1 is from 2 to 3 of 33 units.
      const left = 70
      const perUnit = (1020 - left - 76) / 33
      const place = await at(page, left + 2.5 * perUnit, 32 + 38 + 14)
      await page.mouse.move(place.x, place.y)
      expect(await told(page)).toContain('F1 · F forward · rank 1')
      for (let turn = 0; turn < 8; turn++) await page.mouse.wheel(0, -150)
      await page.mouse.move(place.x, place.y + 1)
      expect(await told(page)).toContain('F1 · F forward · rank 1')
      await page.mouse.move(place.x - 40, place.y)
      expect(await told(page)).toContain('F1 · F forward · rank 1')
    })
  })

  test('keys zoom, pan, fit and light a critical path', async () => {
    await opened(schedules, async (page) => {
      await page.locator('.timeline-frame canvas').focus()
      const whole = await picture(page)
      const pictures = [whole]
      for (const key of ['KeyW', 'KeyD', 'KeyA', 'KeyS', 'KeyC']) {
        await page.keyboard.press(key)
        const now = await picture(page)
        expect(now, key).not.toBe(pictures.at(-1))
        pictures.push(now)
      }
      await page.keyboard.press('KeyC')
      await page.keyboard.press('Digit0')
      expect(await picture(page)).toBe(whole)
    })
  })

  test('a drag with Shift adds up: the whole is what the simulation is busy', async () => {
    const { step } = simulateLoaded(await loadSpec(pipeline))
    await opened({ view: 'timeline', theme: 'light', specs: variants.slice(0, 1) }, async (page) => {
      const [from, to] = [await at(page, 60, 20), await at(page, 1018, 40)]
      await page.keyboard.down('Shift')
      await page.mouse.move(from.x, from.y)
      await page.mouse.down()
      await page.mouse.move(to.x, to.y, { steps: 4 })
      await page.mouse.up()
      await page.keyboard.up('Shift')
      const computing = step.ranks.reduce((sum, rank) => sum + rank.computing, 0)
      const expected = (100 * computing) / (step.seconds * step.ranks.length)
      const sharesOf = async (words: RegExp) => {
        const sums = (await page.locator('.timeline-sums dd').textContent()) ?? ''
        const shares = [...sums.matchAll(/(\S[^·]*?) \S+\s\S+ \(([\d.]+)\s%\)/g)]
        return shares.reduce((sum, [, kind = '', share]) => sum + (words.test(kind) ? Number(share) : 0), 0)
      }
      // What is drawn follows the pointer some frames later. Shares have one digit.
      await expect.poll(() => sharesOf(/optimizer/)).toBeGreaterThan(0)
      await expect.poll(() => sharesOf(/forward|gradient|optimizer/)).toBeCloseTo(expected, 0)
      await expect.poll(() => sharesOf(/nothing/)).toBeCloseTo(100 - expected, 0)
    })
  })

  test('a send that is selected tells where it goes, and Escape ends that', async () => {
    await opened({ view: 'timeline', theme: 'light', specs: variants.slice(0, 1) }, async (page) => {
      await page.locator('.row-tree [role=treeitem]').nth(1).focus()
      await page.keyboard.press('ArrowDown')
      await drawn(page)
      // The links of a rank are folded until somebody asks for them.
      expect(await page.evaluate('document.activeElement.textContent')).toBe('stage 0, links')
      for (const key of ['ArrowRight', 'ArrowDown']) {
        await page.keyboard.press(key)
        await drawn(page)
      }
      expect(await page.evaluate('document.activeElement.textContent')).toContain('stage 0, pp links')
      for (const key of ['ArrowRight', 'ArrowDown', 'Enter']) {
        await page.keyboard.press(key)
        await drawn(page)
      }
      expect(await told(page)).toMatch(/communication · stage 0, pp links · microbatch 0/)
      expect(await page.locator('.timeline-flows').textContent()).toMatch(/to stage 1/)
      expect(await page.locator('output').textContent()).toContain('/send')
      await page.keyboard.press('Escape')
      await drawn(page)
      expect(await page.locator('.timeline-flows').count()).toBe(0)
      expect(await page.locator('output').textContent()).toBe('')
    })
  })

  test('the window of the overview is moved by its handles', async () => {
    await opened(schedules, async (page) => {
      const whole = await picture(page)
      const box = await page.locator('.timeline-overview canvas').boundingBox()
      if (!box) throw new Error('there is no overview')
      await page.mouse.move(1020 - 76, box.y + 28)
      await page.mouse.down()
      await page.mouse.move(500, box.y + 28, { steps: 4 })
      await page.mouse.up()
      expect(await picture(page)).not.toBe(whole)
      await page.mouse.dblclick(300, box.y + 28)
      expect(await picture(page)).toBe(whole)
    })
  })

  test('a frame of a million slices draws no more than pixels can show', async () => {
    await opened({ view: 'timeline', theme: 'light', events: 1_000_000 }, async (page) => {
      const calls = await page.evaluate(`(async () => {
        let count = 0
        for (const name of ['fillRect', 'strokeRect', 'fillText', 'lineTo', 'rect']) {
          const own = CanvasRenderingContext2D.prototype[name]
          CanvasRenderingContext2D.prototype[name] = function (...args) { count++; return own.apply(this, args) }
        }
        const canvas = document.querySelector('.timeline-frame canvas')
        const { left, top } = canvas.getBoundingClientRect()
        const calls = []
        for (let turn = 0; turn < 60; turn++) {
          count = 0
          canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: -22.5, ctrlKey: true, clientX: left + 500, clientY: top + 100, cancelable: true }))
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
          calls.push(count)
        }
        return calls
      })()`)
      const pixels = 1020
      // 16 rows: a run of a strip is at least a pixel, and may be hatched; a slice is three pixels, and three marks.
      for (const count of calls as number[]) expect(count).toBeLessThan(16 * 2 * pixels + 4 * pixels)
      expect(Math.max(...(calls as number[]))).toBeGreaterThan(0)
    })
  })

  test('a Worker makes the same and hands it over', async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `
          import { loadSpec, simulateLoaded } from 'shardloom'
          import { buffersOf } from './src/buffers.js'
          import { timelineOfSimulation } from './src/timeline/data.js'
          onmessage = async ({ data }) => {
            const made = timelineOfSimulation(simulateLoaded(await loadSpec(data)), 'x')
            const buffers = buffersOf(made)
            postMessage(made, buffers)
            postMessage(buffers.every(({ byteLength }) => byteLength === 0))
          }`,
        resolveDir: new URL('..', import.meta.url).pathname,
      },
      alias: Object.fromEntries(sourceEntries().map(({ specifier, file }) => [specifier, file])),
      bundle: true,
      format: 'iife',
      platform: 'browser',
      write: false,
    })
    const page = await browser.newPage()
    const [answer, moved] = await page.evaluate<[string, boolean]>(`new Promise((resolve, reject) => {
      const worker = new Worker(URL.createObjectURL(new Blob([${JSON.stringify(outputFiles[0]?.text ?? '')}])))
      const answers = []
      worker.onmessage = ({ data }) => {
        answers.push(data)
        if (answers.length === 2) resolve([JSON.stringify(answers[0]), answers[1]])
      }
      worker.onerror = ({ message }) => reject(new Error(message))
      worker.postMessage(${JSON.stringify(pipeline)})
    })`)
    await page.close()
    expect(moved).toBe(true)
    expect(answer).toBe(JSON.stringify(timelineOfSimulation(simulateLoaded(await loadSpec(pipeline)), 'x')))
  })

  test('variants are pinned and named', async () => {
    await opened({ view: 'compare', theme: 'light', specs: variants }, async (page) => {
      await page.getByRole('button', { name: 'pin', exact: true }).click()
      await drawn(page)
      expect(await page.locator('output').textContent()).toBe('pin 1')
      const name = page.getByLabel('Name of variant 1')
      await name.fill('one forward, one backward')
      await name.press('Enter')
      expect(await page.locator('output').textContent()).toBe('rename 0 one forward, one backward')
    })
  })
})
