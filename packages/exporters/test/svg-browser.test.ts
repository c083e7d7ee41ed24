import { paretoSvg, reportPage, viewSvg } from '@shardloom/exporters/svg'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, launchChromium } from '../../../test/chromium.js'
import { hostileView } from './hostile.js'

const attack =
  '</text></title><script>document.documentElement.dataset.ran="1"</script><img src=x onerror="document.documentElement.dataset.ran=1">'

describe.skipIf(chromiumPath === undefined)('a browser', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser?.close())

  /** Opens a page and says what it complains of and asks for. */
  async function open(html: string, look: (page: Page) => Promise<unknown>, dark = false) {
    const page = await browser.newPage({ colorScheme: dark ? 'dark' : 'light' })
    const complaints: string[] = []
    const requests: string[] = []
    page.on('console', (message) => complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.route('http://picture.invalid/**', (route) => {
      requests.push(route.request().url())
      return route.fulfill({ body: html, contentType: html.startsWith('<svg') ? 'image/svg+xml' : 'text/html' })
    })
    await page.goto('http://picture.invalid/')
    const seen = await look(page)
    await page.close()
    return { seen, complaints, requests: requests.filter((url) => !url.endsWith('favicon.ico')) }
  }

  const state = (page: Page) =>
    page.evaluate(`({
      ran: document.documentElement.dataset.ran ?? '',
      scripts: document.querySelectorAll('script').length,
      drawn: document.querySelectorAll('[data-node]').length,
    })`)

  test('runs no script of a picture with hostile labels, as a file and inline, and loads nothing', async () => {
    const svg = await viewSvg(hostileView(attack, attack, 'id'))
    const nodes = hostileView('', '', 'id').nodes.length
    for (const html of [svg, `<!doctype html><title>page</title>${svg}`]) {
      const { seen, complaints, requests } = await open(html, state)
      expect(seen).toEqual({ ran: '', scripts: 0, drawn: nodes })
      expect(complaints).toEqual([])
      expect(requests).toHaveLength(1)
    }
  })

  test('fits pictures of a report into a page of 1,100 pixels, and lets those scroll that could not be read so small', async () => {
    const svg = (width: number) =>
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} 100" width="${width}" height="100"></svg>\n`
    const sections = [600, 1180, 1355, 3000].map((width) => ({ heading: `${width}`, picture: svg(width) }))
    const html = reportPage({ title: 'report', subtitle: '', warnings: [], sections })
    const { seen } = await open(html, async (page) => {
      await page.setViewportSize({ width: 1100, height: 800 })
      return page.evaluate(`[...document.querySelectorAll('.picture')].map((picture) => {
        const { width, height } = picture.querySelector('svg').getBoundingClientRect()
        return [picture.scrollWidth > picture.clientWidth, Math.round(1000 * height / width)]
      })`)
    })
    // In proportion: 100 high at the width that they are drawn for.
    expect(seen).toEqual([
      [false, 167],
      [false, 85],
      [false, 74],
      [true, 33],
    ])
  })

  test('runs no script of a report, whose policy would forbid it', async () => {
    const picture = await viewSvg(hostileView(attack, attack, 'id'))
    const html = reportPage({
      title: attack,
      subtitle: attack,
      warnings: [attack],
      sections: [
        {
          heading: attack,
          sentences: [attack],
          figures: [{ name: attack, value: attack, note: attack }],
          picture,
          tables: [{ caption: attack, columns: [{ title: attack }], rows: [[attack]] }],
        },
      ],
    })
    const { seen, complaints } = await open(html, state)
    expect(seen).toEqual({ ran: '', scripts: 0, drawn: hostileView('', '', 'id').nodes.length })
    expect(complaints).toEqual([])
    const forced = await open(
      html.replace('</main>', '<script>document.documentElement.dataset.ran=1</script></main>'),
      state,
    )
    expect(forced.seen).toMatchObject({ ran: '' })
  })

  test('shows the theme that the reader prefers, and no text under 11 pixels', async () => {
    const svg = await viewSvg(hostileView('title', 'label', 'id'))
    const look = (page: Page) =>
      page.evaluate(`({
        page: getComputedStyle(document.querySelector('svg > rect')).fill,
        smallest: Math.min(...[...document.querySelectorAll('text')].map((text) => Number.parseFloat(getComputedStyle(text).fontSize))),
      })`)
    expect((await open(svg, look)).seen).toEqual({ page: 'rgb(255, 255, 255)', smallest: 11 })
    expect((await open(svg, look, true)).seen).toEqual({ page: 'rgb(18, 22, 29)', smallest: 11 })
  })

  test('has room for every text that stands in a box', async () => {
    const svg = await viewSvg(hostileView('title', 'all-gather · tp 0123', 'id'))
    const look = (page: Page) =>
      page.evaluate(`[...document.querySelectorAll('[data-node]')].filter((node) => {
        const own = node.getBoundingClientRect()
        const shapes = [...node.querySelectorAll('rect, path')].map((shape) => shape.getBoundingClientRect())
        const [left, right] = [Math.min(...shapes.map((box) => box.left)), Math.max(...shapes.map((box) => box.right))]
        return own.left < left - 1 || own.right > right + 1
      }).length`)
    expect((await open(svg, look)).seen).toBe(0)
  })
  test('draws no text of a front over another, over a point of the front, or beyond the picture', async () => {
    const axes = {
      x: { name: 'step time', unit: 's' },
      y: { name: 'throughput', unit: 'tokens/s', better: 'more' },
    } as const
    const names = [
      '',
      'tp=8 pp=4',
      'tp=8 pp=4 zero=1 microbatch=1 recompute=selective schedule=interleaved-1f1b chunks=5',
    ]
    const wrong: unknown[] = []
    for (const [at, name] of names.entries())
      for (const count of [1, 7, 24, 100]) {
        const front = Array.from({ length: count }, (_, index) => ({
          name: `${name} ${index}`,
          x: 1 + (index / count) ** 2,
          y: 1000 + 2 ** (index / (at + 6)) + index,
        }))
        const points = Array.from({ length: 200 }, (_, index) => ({
          name: `p${index}`,
          x: 2 + Math.sin(index),
          y: 1000 * Math.cos(index) ** 2,
        }))
        const svg = paretoSvg({ points: [...points, ...front], axes, marked: `${name} 0` }, { width: 400 + 300 * at })
        const look = (page: Page) =>
          page.evaluate(`(() => {
            const whole = document.querySelector('svg > rect').getBoundingClientRect()
            const boxes = (query) => [...document.querySelectorAll(query)].map((each) => [each.textContent, each.getBoundingClientRect()])
            const texts = boxes('text')
            const points = boxes('circle[class$="front-point"]')
            const cover = ([, a], [, b], edge) =>
              a.left + edge < b.right && b.left + edge < a.right && a.top + edge < b.bottom && b.top + edge < a.bottom
            return [
              ...texts.filter(([, box]) => box.left < whole.left || box.right > whole.right || box.bottom > whole.bottom),
              ...texts.filter((text, index) => texts.slice(index + 1).some((other) => cover(text, other, 2))),
              ...texts.filter((text) => points.some((point) => cover(text, point, 3))),
            ].map(([content]) => content)
          })()`)
        wrong.push((await open(svg, look)).seen)
      }
    expect(wrong).toEqual(wrong.map(() => []))
  })
})
