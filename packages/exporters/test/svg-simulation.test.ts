import { resolveCluster } from '@shardloom/cluster'
import { memorySvg, timelineSvg, timelinesSvg } from '@shardloom/exporters/svg'
import { breakdown, machineOf, memory, simulate, ticksPerSecond } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { levelLabelAt } from '../src/svg/level-label.js'
import { memoryPanel } from '../src/svg/memory-chart.js'
import { simulationChart } from '../src/svg/simulation-chart.js'
import { namesIn, parseSvg } from './svg-page.js'

function simulated(model: string, degrees: Readonly<Record<string, number>>, schedule?: string) {
  const training = { phase: 'training', batch: 8, seq: 512, microbatches: 8 } as const
  const { program, operators } = planned(model, training, degrees, schedule ? { pp: { schedule } } : {})
  const machine = machineOf(resolveCluster('dgx-h100'), program.mesh)
  const timeline = simulate(program, operators, machine)
  return { program, operators, timeline, stages: memory(program, operators, timeline), machine }
}

const cases = [
  ['pp 4, 1F1B', simulated('gpt2', { pp: 4 }, '1f1b')],
  ['pp 4, ZB-H1', simulated('gpt2', { pp: 4 }, 'zbh1')],
  ['tp 2', simulated('tiny', { tp: 2 })],
  ['dp 2', simulated('gpt2', { dp: 2 })],
] as const

describe.each(cases)('a timeline of %s', (_, { timeline, program, stages, machine }) => {
  const chart = simulationChart(timeline, program)
  const [panel] = chart.panels
  const rows = panel?.rows ?? []

  test('no slice of a row lies over another', () => {
    for (const { slices, label } of rows)
      slices.slice(1).forEach((slice, index) => {
        expect(slice.start, label).toBeGreaterThanOrEqual((slices[index]?.end ?? 0) - 1e-9)
      })
  })

  test('the busy part of what is drawn is what the simulation computes', () => {
    const computing = breakdown(timeline, program.mesh).map((rank) => rank.computing / timeline.seconds)
    const drawn = rows.flatMap(({ idle }) => (idle === undefined ? [] : [1 - idle]))
    expect(drawn).toHaveLength(computing.length)
    drawn.forEach((share, index) => {
      expect(share).toBeCloseTo(computing[index] ?? -1, 9)
    })
    // Named for what it is: the bubble is only the waiting in the rest.
    const facts = rows.flatMap(({ fact }) => fact ?? [])
    expect(facts).toEqual(computing.map((share) => `computes ${Math.round(100 * share)}\u00a0%`))
  })

  test('a slice is never shorter than the nodes in it, and all of them are in one', () => {
    const perUnit = (panel?.end ?? 0) / timeline.seconds
    let busy = 0
    for (let node = 0; node < timeline.graph.nodeCount; node++)
      if (timeline.streamOf(node) === 'compute')
        busy += (timeline.times.end[node] ?? 0) - (timeline.times.start[node] ?? 0)
    const spans = rows.flatMap(({ idle, slices }) =>
      idle === undefined ? [] : slices.map(({ start, end }) => end - start),
    )
    const sum = spans.reduce((total, each) => total + each, 0) / perUnit
    expect(sum).toBeGreaterThanOrEqual(busy / ticksPerSecond - 1e-9)
    expect(sum).toBeLessThanOrEqual(timeline.seconds * timeline.ranks.length + 1e-9)
  })

  test('the critical path takes the whole step', () => {
    const path = panel?.critical ?? []
    expect(path[0]?.start).toBeCloseTo(0, 9)
    expect(path.at(-1)?.end).toBeCloseTo(panel?.end ?? -1, 9)
  })

  test('memory ends with what it began with, and its peak is on the curve', () => {
    for (const stage of stages) {
      const { bands, peak, seconds } = memoryPanel(stage, program, timeline.seconds)
      const at = (index: number) => bands.reduce((sum, { bytes }) => sum + (bytes.at(index) ?? 0), 0)
      expect(at(-1)).toBe(stage.parts.parameters + stage.parts.optimizer + stage.parts.cache)
      expect(Math.max(...seconds.map((_, index) => at(index)))).toBe(peak.bytes)
    }
  })

  test('pictures are well-formed and the same to the byte', () => {
    const pictures = () => [
      timelineSvg(timeline, program),
      memorySvg(stages, program, timeline.seconds, { limitBytes: machine.cluster.accelerator.memoryBytes }),
      memorySvg(stages, program, timeline.seconds, { limitBytes: (stages[0]?.peakBytes ?? 0) * 0.9 }),
    ]
    const drawn = pictures()
    expect(pictures()).toEqual(drawn)
    const seen = new Set<string>()
    for (const svg of drawn) {
      expect(svg).not.toMatch(/NaN|undefined|Infinity/)
      const document = parseSvg(svg)
      expect(document.querySelector('title')?.textContent).not.toBe('')
      expect(document.querySelector('desc')?.textContent?.length).toBeGreaterThan(40)
      const names = new Set(namesIn(svg))
      for (const name of names) expect(seen.has(name)).toBe(false)
      for (const name of names) seen.add(name)
    }
    expect(drawn[2]).toContain('too much')
  })
})

test('steps above each other have one axis: the shorter ends where it ends on the axis of the longer', () => {
  const [slow, quick] = [cases[0][1], cases[1][1]].map(({ timeline, program }, at) => ({
    name: `step ${at}`,
    timeline,
    program,
  })) as [Parameters<typeof timelinesSvg>[0][number], Parameters<typeof timelinesSvg>[0][number]]
  const svg = timelinesSvg([slow, quick], { theme: 'light' })
  parseSvg(svg)
  for (const word of ['step 0', 'step 1', 'schedule 1f1b', 'schedule zbh1']) expect(svg).toContain(word)
  const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"[^>]*class="[^"]*-idle"/g)].map(([, width]) =>
    Number(width),
  )
  const shorter =
    Math.min(slow.timeline.seconds, quick.timeline.seconds) / Math.max(slow.timeline.seconds, quick.timeline.seconds)
  expect(Math.min(...widths.filter((width) => width > 50)) / Math.max(...widths)).toBeCloseTo(shorter, 2)
})

test('the label of a limit covers nothing that rises over it', () => {
  const curve = (...heights: number[]) => heights.map((y, at) => ({ x: at * 50, until: at * 50 + 50, y }))
  const label = { level: 50, left: 0, right: 300, width: 60, height: 15, taken: [] }
  const at = (heights: number[]) => levelLabelAt(curve(...heights), label)
  expect(at([80, 80, 80, 80, 80, 80]).y).toBeLessThan(35)
  expect(at([80, 80, 80, 20, 20, 20]).x).toBeLessThanOrEqual(90)
  expect(at([20, 40, 20, 40, 20, 40]).y).toBeGreaterThan(50)
})
