import { type ParetoPoint, paretoSvg } from '@shardloom/exporters/svg'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { axisOf } from '../src/svg/axis.js'
import { ticksOf } from '../src/svg/chart.js'
import { placeLabels } from '../src/svg/place-labels.js'
import { hostileTexts } from './hostile.js'
import { namesIn, parseSvg } from './svg-page.js'

const axes = { x: { name: 'step time', unit: 's' }, y: { name: 'memory', unit: 'B' } } as const
/** Three on the front, one behind it. */
const front: ParetoPoint[] = [
  { name: 'tp=8 pp=1', x: 3, y: 60e9 },
  { name: 'tp=8 pp=2', x: 4, y: 40e9 },
  { name: 'tp=8 pp=4', x: 6, y: 25e9 },
]
const behind = { name: 'tp=1 pp=8', x: 6, y: 70e9 }

const circles = (svg: string, name: string) =>
  [...parseSvg(svg).querySelectorAll(`circle[class$="-${name}"]`)].map((circle) => ({
    x: Number(circle.getAttribute('cx')),
    y: Number(circle.getAttribute('cy')),
  }))
const textsIn = (svg: string) => [...parseSvg(svg).querySelectorAll('text')].map(({ textContent }) => textContent ?? '')

/** The corners of the staircase, from its path. */
const stairsIn = (svg: string) =>
  [
    ...(parseSvg(svg).querySelector('path[class$="-front"]')?.getAttribute('d') ?? '').matchAll(/[ML](\S+) ([\d.-]+)/g),
  ].map(([, x, y]) => ({ x: Number(x), y: Number(y) }))

describe('a Pareto front as SVG', () => {
  test('has a circle for each point, a staircase through those of the front, names beside them', () => {
    const svg = paretoSvg({ points: [behind, ...front], axes, marked: 'tp=8 pp=2' })
    const places = circles(svg, 'front-point').slice(0, 3)
    expect(places.map(({ x }) => x)).toEqual(places.map(({ x }) => x).sort((a, b) => a - b))
    const corners = stairsIn(svg)
    for (const place of places) expect(corners).toContainEqual(place)
    // Between points the line is level first: what is at least as bad as the left one lies above.
    expect(corners).toContainEqual({ x: places[1]?.x, y: places[0]?.y })
    expect(circles(svg, 'point')[0]?.x).toBe(places[2]?.x)
    expect(circles(svg, 'marked')[0]).toEqual(places[1])
    expect(textsIn(svg)).toEqual(expect.arrayContaining(front.map(({ name }) => name)))
    expect(svg).toContain('<title>tp=8 pp=2 · step time 4\u00a0s · memory 40.0\u00a0GB</title>')
  })

  test('a limit is a line between what keeps it and what does not, where it is near', () => {
    const lineIn = (svg: string) =>
      Number(/M\S+ (\S+)h/.exec(parseSvg(svg).querySelector('path[class$="-bound"]')?.getAttribute('d') ?? '')?.[1])
    const limited = (limit: number) =>
      paretoSvg({ points: [behind, ...front], axes: { ...axes, y: { ...axes.y, limit } } })
    const svg = limited(65e9)
    // Less memory is lower: one point is above the line, all of the front are below it.
    expect(circles(svg, 'point')[0]?.y).toBeLessThan(lineIn(svg))
    for (const { y } of circles(svg, 'front-point').slice(0, 3)) expect(y).toBeGreaterThan(lineIn(svg))
    expect(textsIn(svg).join(' ').replaceAll('\u00a0', ' ')).toContain('limit 65.0 GB')
    expect(limited(500e9)).not.toContain('limit')
  })

  test('the front is what no other point beats, whichever way is better', () => {
    const point = fc.record({ x: fc.nat(6), y: fc.nat(6) })
    const better = fc.constantFrom('less', 'more', undefined)
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 12 }), better, better, (places, x, y) => {
        const cost = (each: { x: number; y: number }) =>
          [x === 'more' ? -each.x : each.x, y === 'more' ? -each.y : each.y] as const
        const unbeaten = places.filter((each) => {
          const [a, b] = cost(each)
          return !places.map(cost).some(([c, d]) => c <= a && d <= b && (c < a || d < b))
        })
        const axis = (name: string, way: 'less' | 'more' | undefined) => ({ name, ...(way && { better: way }) })
        const svg = paretoSvg({
          points: places.map((each, index) => ({ ...each, name: `n${index}` })),
          axes: { x: axis('x', x), y: axis('y', y) },
        })
        // Equal ones stand at one place, and the legend has a sample.
        const drawn = new Set(unbeaten.map(({ x, y }) => `${x} ${y}`)).size
        expect(circles(svg, 'front-point')).toHaveLength(drawn + 1)
      }),
      { numRuns: 60 },
    )
  })

  test('is told to those who do not see it', () => {
    const description = parseSvg(paretoSvg({ points: [behind, ...front], axes, marked: 'tp=8 pp=2' })).querySelector(
      'desc',
    )
    expect(description?.textContent).toBe(
      '4 candidates by step time and memory; less step time and less memory are better. The front: ' +
        'tp=8 pp=1 · step time 3\u00a0s · memory 60.0\u00a0GB; tp=8 pp=2 · step time 4\u00a0s · memory 40.0\u00a0GB; ' +
        'tp=8 pp=4 · step time 6\u00a0s · memory 25.0\u00a0GB. Chosen: tp=8 pp=2 · step time 4\u00a0s · memory 40.0\u00a0GB.',
    )
  })

  test('turns with what is better: more throughput is above', () => {
    const more = { x: axes.x, y: { name: 'throughput', unit: 'tokens/s', better: 'more' } } as const
    const points = [1, 2, 3].map((x) => ({ name: `concurrency=${x}`, x, y: 1000 * x }))
    const svg = paretoSvg({ points, axes: more })
    const places = circles(svg, 'front-point').slice(0, 3)
    expect(places[2]?.y).toBeLessThan(places[0]?.y ?? 0)
    expect(stairsIn(svg)).toContainEqual({ x: places[1]?.x, y: places[0]?.y })
    expect(textsIn(svg)).toContain('throughput, tokens/s · more is better')
  })

  test('long names are numbered and listed with both metrics, no word lost', () => {
    const long = front.map((point) => ({
      ...point,
      name: `${point.name} microbatch=1 recompute=selective schedule=1f1b zero=1`,
    }))
    const texts = textsIn(paretoSvg({ points: long, axes }, { width: 420 }))
    expect(texts.filter((each) => each === '2')).toHaveLength(2)
    expect(texts.join(' ')).toContain('3\u00a0s')
    for (const word of new Set(long.flatMap(({ name }) => name.split(' '))))
      expect(
        texts.some((each) => each.split(' ').includes(word)),
        word,
      ).toBe(true)
  })

  test('what has no value is not drawn, and that is said', () => {
    const lost = { name: 'unknown', x: Number.NaN, y: 1 }
    const texts = textsIn(paretoSvg({ points: [lost, behind, ...front], axes }))
    expect(texts).toContain('1 without a value for both metrics not drawn')
    expect(texts).toContain('4 candidates · 3 on the front')
    expect(() => paretoSvg({ points: [lost], axes })).toThrow('no candidate has a number for both metrics')
  })

  test('refuses a mark that is no candidate, options that there are not, and what is no picture', () => {
    expect(() => paretoSvg({ points: front, axes, marked: 'tp=3' })).toThrow('called `tp=3`')
    expect(() => paretoSvg({ points: front, axes }, { colour: 'red' } as never)).toThrow('colour')
    expect(() => paretoSvg([] as never)).toThrow('not points and axes')
    expect(() => paretoSvg({ points: front } as never)).toThrow('not points and axes')
  })

  test('texts from outside are well-formed XML whatever they are, and the same input gives the same bytes', () => {
    fc.assert(
      fc.property(hostileTexts, hostileTexts, (name, unit) => {
        const picture = {
          points: [{ ...behind, name }, ...front.map((point, index) => ({ ...point, name: `${name}${index}` }))],
          axes: { x: { name: `x${name}`, unit }, y: { name: `y${name}` } },
          marked: `${name}1`,
        }
        const svg = paretoSvg(picture)
        expect(parseSvg(svg).querySelectorAll('script, foreignObject, image, a')).toHaveLength(0)
        expect(new Set(namesIn(svg).map((each) => each.split('-')[0])).size).toBe(1)
        expect(paretoSvg(picture)).toBe(svg)
      }),
      { numRuns: 50 },
    )
  })

  test('a front of thousands has a picture that can be read: 24 numbers, the chosen one among them', () => {
    const many = Array.from({ length: 2000 }, (_, index) => ({ name: `n=${index}`, x: index + 1, y: 2000 - index }))
    const svg = paretoSvg({ points: many, axes: { x: { name: 'x' }, y: { name: 'y' } }, marked: 'n=777' })
    const texts = textsIn(svg)
    const listed = texts.filter((each) => each.startsWith('n='))
    expect(listed).toHaveLength(25)
    expect(listed).toEqual(expect.arrayContaining(['n=0', 'n=777', 'n=1999']))
    // Every point has its circle, and the legend a sample.
    expect(circles(svg, 'front-point')).toHaveLength(2001)
    expect(texts.join(' ')).toContain('25 of 2,000 numbered below')
  })

  test.each([2, 23, 24, 60, 400])(
    '%i points that crowd are all drawn, and the legend counts those with a number',
    (count) => {
      const crowded = Array.from({ length: count }, (_, index) => ({
        name: `a name that is too long to stand beside its point ${index}`,
        x: 1e6 + index,
        y: 1e6 - index,
      }))
      const far = { name: 'a name that is far from all others', x: 1, y: 1e9 }
      const svg = paretoSvg({ points: [far, ...crowded], axes }, { width: 400 })
      expect(circles(svg, 'front-point')).toHaveLength(count + 2)
      const texts = textsIn(svg)
      const listed = texts.filter((each) => each.startsWith('a name that')).length
      const said = / (\d+) of (\d+) numbered below/.exec(texts.join(' '))?.slice(1).map(Number)
      expect(said).toEqual(listed === count + 1 ? undefined : [listed, count + 1])
    },
  )
})

describe('labels', () => {
  const place = fc.record({ x: fc.integer({ min: 0, max: 400 }), y: fc.integer({ min: 0, max: 300 }) })
  test('cover neither each other nor points, and stay within the frame', () => {
    fc.assert(
      fc.property(fc.array(place, { maxLength: 25 }), fc.integer({ min: 8, max: 90 }), (points, width) => {
        const frame = { x: 0, y: 0, width: 400, height: 300 }
        const labels = points.map((anchor) => ({ anchor, width, height: 15 }))
        const boxes = placeLabels(labels, { frame, points, radius: 5, lines: [], lesser: [] }).filter(
          (box) => box !== undefined,
        )
        const apart = (a: (typeof boxes)[number], b: (typeof boxes)[number]) =>
          a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
        for (const [index, box] of boxes.entries()) {
          expect(boxes.slice(index + 1).every((other) => apart(box, other))).toBe(true)
          expect(points.every(({ x, y }) => apart(box, { x: x - 5, y: y - 5, width: 10, height: 10 }))).toBe(true)
          expect([box.x >= 0, box.y >= 0, box.x + box.width <= 400, box.y + box.height <= 300]).not.toContain(false)
        }
      }),
    )
  })
})

describe('axes', () => {
  const values = fc.array(fc.double({ min: -1e200, max: 1e200, noNaN: true }), { minLength: 1, maxLength: 20 })
  const positive = fc.array(fc.double({ min: 1e-6, max: 1e12, noNaN: true }), { minLength: 1, maxLength: 20 })

  test('have room for all values in their order, and written values that differ', () => {
    fc.assert(
      fc.property(
        fc.oneof(values, positive),
        fc.constantFrom('s', 'B', 'tokens/s', ''),
        fc.integer({ min: 3, max: 9 }),
        (all, unit, about) => {
          const { place, ticks } = axisOf(all, unit, about)
          const places = [...all].sort((a, b) => a - b).map(place)
          for (const [index, at] of places.entries()) {
            expect(at).toBeGreaterThanOrEqual(0)
            expect(at).toBeLessThanOrEqual(1)
            expect(at).toBeGreaterThanOrEqual(places[index - 1] ?? 0)
          }
          for (const { at } of ticks) {
            expect(at).toBeGreaterThanOrEqual(-1e-6)
            expect(at).toBeLessThanOrEqual(1 + 1e-6)
          }
          expect(new Set(ticks.map(({ text }) => text)).size).toBe(ticks.length)
          expect(ticks.length).toBeLessThanOrEqual(2.5 * about + 2)
        },
      ),
    )
  })

  test('are written as people write them', () => {
    const texts = (list: readonly number[], unit = '', about = 6) => {
      const { ticks, unit: shown, logarithmic } = axisOf(list, unit, about)
      return `${ticks.map(({ text }) => text).join(' ')}${shown && ` ${shown}`}${logarithmic ? ' log' : ''}`
    }
    expect(texts([0, 10])).toBe('0 2 4 6 8 10')
    expect(texts([20e9, 80e9], 'B')).toBe('0 20 40 60 80 GB')
    expect(texts([0.012, 0.018], 's')).toBe('12 14 16 18 ms')
    expect(texts([1, 1000])).toBe('1 10 100 1,000 log')
    expect(texts([4, 300], 'tokens/s')).toBe('5 10 20 50 100 200 tokens/s log')
    expect(texts([-0.3, 0.3])).toBe('−0.2 0.0 0.2')
    expect(texts([10_000, 12_000])).toBe('10,000 10,500 11,000 11,500 12,000')
    expect(texts([7])).not.toBe('')
  })

  test('ticks from elsewhere than 0 are the multiples of their step in between', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1000, max: 1000 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 3, max: 12 }),
        (start, size, about) => {
          const ticks = ticksOf(start + size, about, start)
          const step = (ticks[1] ?? Number.NaN) - (ticks[0] ?? Number.NaN)
          expect(ticks.length).toBeGreaterThan(0)
          expect(ticks.length).toBeLessThanOrEqual(about + 2)
          for (const tick of ticks) {
            expect(tick).toBeGreaterThanOrEqual(start - 1e-6)
            expect(tick).toBeLessThanOrEqual(start + size + 1e-6)
            if (ticks.length > 1) expect(Math.abs(tick / step - Math.round(tick / step))).toBeLessThan(1e-6)
          }
        },
      ),
    )
  })
})
