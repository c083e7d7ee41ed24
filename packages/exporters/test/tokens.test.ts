import { themes } from '@shardloom/exporters'
import { readableOn } from '@shardloom/exporters/charts'
import { describe, expect, test } from 'vitest'
import { closest, contrast, difference } from './colour.js'

describe.each(Object.entries(themes))('the %s theme', (_, theme) => {
  const kinds = Object.values(theme.kinds)

  test('text is read on every fill', () => {
    const fills = [theme.page, theme.surface, ...kinds.map((paint) => paint.fill)]
    for (const fill of fills) {
      expect(contrast(theme.ink, fill), `ink on ${fill}`).toBeGreaterThanOrEqual(11)
      expect(contrast(theme.secondary, fill), `secondary on ${fill}`).toBeGreaterThanOrEqual(5.5)
    }
  })

  test('strokes of kinds stand out from page, surface and their own fill', () => {
    for (const { fill, stroke } of kinds) {
      for (const ground of [theme.page, theme.surface, fill])
        expect(contrast(stroke, ground), `${stroke} on ${ground}`).toBeGreaterThanOrEqual(3.95)
    }
    for (const edge of [theme.secondary, theme.kinds.communication.stroke]) {
      expect(contrast(edge, theme.page)).toBeGreaterThanOrEqual(4)
      expect(contrast(edge, theme.surface)).toBeGreaterThanOrEqual(4)
    }
    expect(contrast(theme.accent, theme.page)).toBeGreaterThanOrEqual(4)
  })

  test('names are read on the bands of memory', () => {
    for (const band of Object.values(theme.bands))
      expect(contrast(readableOn(band, theme), band), band).toBeGreaterThanOrEqual(4.5)
  })

  test('text is read on slices, and pale slices have an outline', () => {
    const slices = {
      ...theme.slices,
      communication: theme.kinds.communication.stroke,
      memory: theme.kinds.memory.stroke,
    }
    for (const name of ['F', 'I', 'W', 'optimizer', 'communication', 'memory'] as const) {
      expect(contrast(theme.sliceText[name], slices[name]), name).toBeGreaterThanOrEqual(4.7)
    }
    for (const outline of Object.values(theme.sliceOutlines))
      expect(contrast(outline, theme.page)).toBeGreaterThanOrEqual(4.6)
  })

  test('colour-blind readers tell kinds and slices apart', () => {
    const strokes = kinds.map((paint) => paint.stroke)
    const { F, I, W } = theme.slices
    const timeline = [F, I, W, theme.slices.optimizer, theme.kinds.communication.stroke, theme.kinds.memory.stroke]
    for (const colours of [strokes, timeline]) {
      expect(closest(colours, 'protanopia')).toBeGreaterThanOrEqual(14.4)
      expect(closest(colours, 'deuteranopia')).toBeGreaterThanOrEqual(15.9)
      expect(closest(colours, 'tritanopia')).toBeGreaterThanOrEqual(8.3)
    }
  })

  test('forward, input gradient and weight gradient grow lighter, so that grey print works', () => {
    const [f = 0, i = 0, w = 0] = [theme.slices.F, theme.slices.I, theme.slices.W].map((colour) =>
      contrast(colour, '#000000'),
    )
    expect(f < i && i < w).toBe(true)
  })

  test('neighbouring bands of memory differ, and any two do', () => {
    const bands = Object.values(theme.bands)
    expect(closest(bands)).toBeGreaterThanOrEqual(10)
    for (const [index, band] of bands.slice(1).entries())
      expect(closest([band, bands[index] ?? ''])).toBeGreaterThanOrEqual(13.5)
  })
})

test('the colour difference is CIEDE2000: the published test pairs', () => {
  const pairs: readonly (readonly [readonly [number, number, number], readonly [number, number, number], number])[] = [
    [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
    [[50, 3.1571, -77.2803], [50, 0, -82.7485], 2.8615],
    [[50, 2.8361, -74.02], [50, 0, -82.7485], 3.4412],
    [[50, -1.3802, -84.2814], [50, 0, -82.7485], 1],
    [[50, 0, 0], [50, -1, 2], 2.3669],
    [[50, 2.49, -0.001], [50, -2.49, 0.0009], 7.1792],
    [[50, -0.001, 2.49], [50, 0.0009, -2.49], 4.8045],
    [[50, 2.5, 0], [50, 0, -2.5], 4.3065],
    [[50, 2.5, 0], [73, 25, -18], 27.1492],
    [[50, 2.5, 0], [61, -5, 29], 22.8977],
    [[50, 2.5, 0], [56, -27, -3], 31.903],
    [[50, 2.5, 0], [58, 24, 15], 19.4535],
    [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
    [[63.0109, -31.0961, -5.8663], [62.8187, -29.7946, -4.0864], 1.263],
    [[22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373],
    [[90.8027, -2.0831, 1.441], [91.1528, -1.6435, 0.0447], 1.4441],
    [[6.7747, -0.2908, -2.4247], [5.8714, -0.0985, -2.2286], 0.6377],
    [[2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082],
  ]
  for (const [one, other, expected] of pairs) expect(difference(one, other)).toBeCloseTo(expected, 4)
})
