import { themes } from '@shardloom/exporters'
import { scheduleSvg } from '@shardloom/exporters/svg'
import { makeSchedule, readSchedule, scheduleNames, timeSchedule } from '@shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { ticksOf } from '../src/svg/chart.js'
import { scheduleChart } from '../src/svg/schedule-chart.js'
import { namesIn, parseSvg } from './svg-page.js'

const timed = (name: string, ranks: number, microbatches: number) =>
  timeSchedule(makeSchedule(name, { ranks, microbatches }))

/** The slices of a drawn schedule by rank, from their tooltips and shapes. */
function slicesIn(svg: string) {
  return [...parseSvg(svg).querySelectorAll('g')].flatMap((group) => {
    const title = group.querySelector(':scope > title')?.textContent ?? ''
    const match = /^(.*) · rank (\d+) · ([\d.e+]+)–([\d.e+]+) /.exec(title)
    const box = group.querySelector(':scope > rect')
    if (!match || !box) return []
    const [, names = '', rank, start, end] = match
    const [x, width] = ['x', 'width'].map((name) => Number(box.getAttribute(name)))
    return [{ names, rank: Number(rank), start: Number(start), end: Number(end), x: x ?? 0, width: width ?? 0 }]
  })
}

describe('a schedule as SVG', () => {
  test('has a slice for each action, a pair in one outline', () => {
    const svg = scheduleSvg([timed('1f1b', 4, 8)])
    expect(slicesIn(svg)).toHaveLength(64)
    expect(svg).toContain('<title>B0 · rank 0 · 10–12 units</title>')
    const dual = timed('dualpipe', 8, 20)
    const pairs = dual.schedule.orders.flatMap((order) => [...order].filter((code) => code & 8))
    expect(slicesIn(scheduleSvg([dual])).filter(({ names }) => names.includes(' and '))).toHaveLength(pairs.length)
  })

  test('slices do not overlap, and are together as wide as the work that they stand for', () => {
    for (const name of ['1f1b', 'zbh1', 'dualpipe', 'interleaved-1f1b']) {
      const schedule = timed(name, 4, 8)
      const slices = slicesIn(scheduleSvg([schedule], { width: 2000 }))
      const widest = slices.reduce((most, each) => Math.max(most, each.x + each.width + 1), 0)
      const least = slices.reduce((first, each) => Math.min(first, each.x - 1), widest)
      const perUnit = (widest - least) / schedule.makespan
      for (const [rank, work] of schedule.work.entries()) {
        const own = slices.filter((each) => each.rank === rank).sort((a, b) => a.x - b.x)
        // One pixel is left free on each side.
        const sum = own.reduce((total, { width }) => total + width + 2, 0)
        expect(sum / perUnit, `${name} ${rank}`).toBeCloseTo(work, 1)
        own.slice(1).forEach((slice, index) => {
          const before = own[index]
          expect(slice.x + 0.02).toBeGreaterThanOrEqual((before?.x ?? 0) + (before?.width ?? 0) + 2)
        })
      }
    }
  })

  test('idle shares are (p − 1)/(m + p − 1) under 1F1B, and 11 % under ZB-H1 of Qi et al. 2023 with p 4, m 8', () => {
    // F = I = W = 1: 1F1B takes 3m + 3(p − 1), ZB-H1 3m + (p − 1).
    const text = (name: string) => parseSvg(scheduleSvg([timed(name, 4, 8)])).documentElement.textContent ?? ''
    expect(text('1f1b').match(/27\u00a0% idle/g)).toHaveLength(4)
    expect(text('zbh1').match(/11\u00a0% idle/g)).toHaveLength(4)
    const both = parseSvg(scheduleSvg([timed('1f1b', 4, 8), timed('zbh1', 4, 8)], { names: ['1F1B', 'ZB-H1'] }))
    expect(both.querySelector('title')?.textContent).toBe('1F1B against ZB-H1')
    expect(both.documentElement.textContent).toContain('−18\u00a0% step time')
  })

  test('a critical path reaches from the start to the end without a gap, where sends take no time', () => {
    for (const name of scheduleNames()) {
      const schedule = timed(name, 4, 8)
      const [panel] = scheduleChart([schedule]).panels
      const path = panel?.critical ?? []
      expect([path[0]?.start, path.at(-1)?.end], name).toEqual([0, schedule.makespan])
      path.slice(1).forEach(({ start }, index) => expect(start, name).toBeCloseTo(path[index]?.end ?? -1, 9))
    }
  })

  test('arrows follow a microbatch from stage to stage and back', () => {
    const [panel] = scheduleChart([timed('1f1b', 4, 8)], { microbatch: 5 }).panels
    expect(panel?.flows?.map(({ from, to }) => `${from}${to}`).sort()).toEqual(['01', '10', '12', '21', '23', '32'])
    for (const { at, until } of panel?.flows ?? []) expect(until).toBeGreaterThanOrEqual(at)
  })

  test('the colours are those of every other output, of both themes or of one', () => {
    const svg = scheduleSvg([timed('zbh1', 2, 4)])
    for (const { slices, ink, page, secondary, rule } of [themes.light, themes.dark])
      for (const colour of [slices.F, slices.I, slices.W, slices.idle, ink, page, secondary, rule])
        expect(svg).toContain(colour)
    for (const outline of Object.values(themes.light.sliceOutlines)) expect(svg).toContain(outline)
    const light = scheduleSvg([timed('zbh1', 2, 4)], { theme: 'light' })
    expect(light).not.toContain('prefers-color-scheme')
    expect(light).not.toContain(themes.dark.slices.F)
  })

  test('text from outside never becomes markup', () => {
    const nasty = `</title><script>alert('1')</script>&"\u0000\uE000`
    const schedule = readSchedule('0F0,0B0', { name: nasty })
    for (const options of [{}, { title: nasty, alt: nasty, unit: nasty, prefix: nasty, names: [nasty] }]) {
      const svg = scheduleSvg([timeSchedule(schedule)], options)
      expect(svg).toContain('&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;')
      expect(parseSvg(svg).querySelectorAll('script')).toHaveLength(0)
    }
  })

  test('well-formed, without NaN, and no more than pixels can show', () => {
    for (const name of scheduleNames()) {
      const svg = scheduleSvg([timed(name, 16, 256)])
      expect(svg).not.toMatch(/NaN|undefined|Infinity/)
      parseSvg(scheduleSvg([timed(name, 4, 8)]))
      expect(svg.length, name).toBeLessThan(16 * 1000 * 200)
    }
    expect(scheduleSvg([timeSchedule(readSchedule('0F0,0B0'), { F: 0, I: 0, W: 0 })])).not.toMatch(/NaN|Infinity/)
  })

  test('two drawings in one page share no name; the same drawing is the same to the byte', () => {
    const [a, b] = [scheduleSvg([timed('1f1b', 2, 2)]), scheduleSvg([timed('1f1b', 2, 3)])]
    const other = new Set(namesIn(b))
    expect(namesIn(a).filter((name) => other.has(name))).toEqual([])
    expect(scheduleSvg([timed('1f1b', 2, 2)])).toBe(a)
    expect(new Set(namesIn(scheduleSvg([timed('1f1b', 2, 2)], { prefix: 'mine' }))).size).toBeGreaterThan(8)
    expect(
      namesIn(scheduleSvg([timed('1f1b', 2, 2)], { prefix: 'mine' })).every((name) => name.startsWith('mine-')),
    ).toBe(true)
  })

  test('options that there are not are refused', () => {
    expect(() => scheduleSvg([timed('1f1b', 2, 2)], { colour: 'red' } as object)).toThrow(/colour/)
    expect(() => scheduleSvg([])).toThrow(/timed schedules/)
  })
})

test('an axis has 1, 2 or 5 times a power of ten', () => {
  expect(ticksOf(33, 10)).toEqual([0, 5, 10, 15, 20, 25, 30])
  expect(ticksOf(0.9, 4).map((tick) => Number(tick.toFixed(3)))).toEqual([0, 0.5])
  expect(ticksOf(0, 4)).toEqual([0])
})
