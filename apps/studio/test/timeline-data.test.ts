import { loadSpec, type Simulation, type SpecInput, simulateLoaded } from 'shardloom'
import { stripFills, ticksPerSecond } from 'shardloom/charts'
import { makeSchedule, timeSchedule } from 'shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { buffersOf } from '../src/buffers.js'
import { timelineOfSimulation, timelinesOfSchedules } from '../src/timeline/data.js'
import { packSlices, type Slices, sliceAt, spentBetween, sumsOf } from '../src/timeline/slices.js'

const on = { model: 'gpt2', cluster: 'dgx-h100', seq: 512 } as const

const specs: Readonly<Record<string, SpecInput>> = {
  'a pipeline': { ...on, batch: 16, microbatch: 1, parallel: { pp: 4, dp: 2 } },
  'tensor parallel, recomputed': {
    ...on,
    model: 'llama-3.1-8b',
    batch: 4,
    parallel: { tp: 4, dp: 2 },
    options: { recompute: 'full' },
  },
  decode: { ...on, model: 'llama-3.1-8b', phase: 'decode', batch: 8, steps: 4, parallel: { tp: 2 } },
}

const simulated = async (spec: SpecInput): Promise<Simulation> => simulateLoaded(await loadSpec(spec))

function expectApart(slices: Slices, end: number) {
  for (let row = 0; row + 1 < slices.rowStart.length; row++) {
    let until = 0
    for (let at = slices.rowStart[row] ?? 0; at < (slices.rowStart[row + 1] ?? 0); at++) {
      expect(slices.start[at]).toBeGreaterThanOrEqual(until)
      expect(slices.end[at]).toBeGreaterThan(slices.start[at] ?? 0)
      until = slices.end[at] ?? 0
    }
    expect(until).toBeLessThanOrEqual(end)
  }
}

describe.each(Object.entries(specs))('the timeline of %s', (_, spec) => {
  test('no slice of a row lies over another, at any grain', async () => {
    const data = timelineOfSimulation(await simulated(spec), 'x')
    for (const slices of data.grains) expectApart(slices, data.end)
  })

  test('what rows spend in all is how long their streams are busy, and the idle share what is not computed', async () => {
    const simulation = await simulated(spec)
    const data = timelineOfSimulation(simulation, 'x')
    const [operators] = data.grains
    for (const [row, { rank, stream, idle }] of data.rows.entries()) {
      const step = simulation.step.ranks.find((each) => each.rank === rank)
      const spent = spentBetween(operators as Slices, data.sums, row, 0, data.end)
      const whole = spent.reduce((sum, ticks) => sum + ticks, 0)
      expect(whole / ticksPerSecond).toBeCloseTo(step?.busy[stream] ?? 0, 12)
      if (stream !== 'compute') continue
      const communicated = spent[stripFills.indexOf('communication')] ?? 0
      expect((whole - communicated) / ticksPerSecond).toBeCloseTo(step?.computing ?? 0, 12)
      expect(idle).toBeCloseTo(1 - (step?.computing ?? 0) / simulation.step.seconds, 12)
    }
  })

  test('a span is spent on what its slices are, cut at its ends, and spans add up', async () => {
    const data = timelineOfSimulation(await simulated(spec), 'x')
    const slices = data.grains[0] as Slices
    for (let row = 0; row < data.rows.length; row++) {
      const [a, b, c] = [0.21, 0.43, 0.87].map((share) => Math.floor(share * data.end)) as [number, number, number]
      let cut = 0
      for (let at = slices.rowStart[row] ?? 0; at < (slices.rowStart[row + 1] ?? 0); at++)
        cut += Math.max(0, Math.min(c, slices.end[at] ?? 0) - Math.max(a, slices.start[at] ?? 0))
      const sum = (from: number, to: number) =>
        spentBetween(slices, data.sums, row, from, to).reduce((total, ticks) => total + ticks, 0)
      expect(sum(a, c)).toBe(cut)
      expect(sum(a, b) + sum(b, c)).toBe(cut)
    }
  })

  test('a critical path is without gaps from the begin to the end, except for what takes no time', async () => {
    const data = timelineOfSimulation(await simulated(spec), 'x')
    const { start, end, row } = data.critical
    expect(end.at(-1)).toBe(data.end)
    for (let at = 1; at < start.length; at++) expect(start[at]).toBeGreaterThanOrEqual(end[at - 1] ?? 0)
    const operators = data.grains[0] as Slices
    for (let at = 0; at < start.length; at++) {
      const slice = sliceAt(operators, row[at] ?? 0, start[at] ?? 0)
      expect([operators.start[slice], operators.end[slice]]).toEqual([start[at], end[at]])
    }
  })

  test('arrows lead from one row to another, forwards in time, or join what ranks do together', async () => {
    const data = timelineOfSimulation(await simulated(spec), 'x')
    const slices = data.grains[0] as Slices
    const rowOf = (slice: number) => slices.rowStart.findLastIndex((first) => first <= slice)
    const { from, to } = data.flows
    expect(from.length).toBeGreaterThan(0)
    for (let at = 0; at < from.length; at++) {
      expect(rowOf(from[at] ?? 0)).not.toBe(rowOf(to[at] ?? 0))
      const [first, second] = [from[at] ?? 0, to[at] ?? 0]
      const together =
        slices.start[first] === slices.start[second] &&
        slices.end[first] === slices.end[second] &&
        slices.name[first] === slices.name[second]
      if (!together) expect(slices.end[first]).toBeLessThanOrEqual(slices.start[second] ?? 0)
    }
  })

  test('every buffer can be handed over', async () => {
    const data = timelineOfSimulation(await simulated(spec), 'x')
    const before = structuredClone(data)
    const moved = structuredClone(data, { transfer: buffersOf(data) })
    expect(moved).toEqual(before)
    expect(data.grains[0]?.start).toHaveLength(0)
  })
})

test('a pipeline sends between stages: each arrow of a send ends on another rank', async () => {
  const data = timelineOfSimulation(await simulated(specs['a pipeline'] as SpecInput), 'x')
  const slices = data.grains[0] as Slices
  const rankOf = (slice: number) => data.rows[slices.rowStart.findLastIndex((first) => first <= slice)]?.rank
  const crossing = Array.from(data.flows.from, (from, at) => [rankOf(from), rankOf(data.flows.to[at] ?? 0)]).filter(
    ([from, to]) => from !== to,
  )
  // 8 microbatches over 3 borders, forwards and back.
  expect(crossing.length).toBeGreaterThanOrEqual(2 * 3)
})

test('schedules are 33 and 27 units long, and idle for 27 and 11 %: 1F1B and ZB-H1 of Qi et al. 2023 with p 4, m 8', () => {
  const timed = ['1f1b', 'zbh1'].map((name) =>
    timeSchedule(makeSchedule(name, { ranks: 4, microbatches: 8 }), { F: 1, I: 1, W: 1 }),
  )
  const all = timelinesOfSchedules(timed)
  expect(all.map(({ end }) => end)).toEqual([33, 27])
  expect(all.map(({ rows }) => rows.map(({ idle = 0 }) => Math.round(100 * idle)))).toEqual([
    [27, 27, 27, 27],
    [11, 11, 11, 11],
  ])
  for (const { grains, end } of all) for (const slices of grains) expectApart(slices, end)
})

test('overlapped pairs are one slice of two halves, and all of its time is spent', () => {
  const [data] = timelinesOfSchedules([
    timeSchedule(makeSchedule('dualpipev', { ranks: 4, microbatches: 10 }), { F: 1, I: 1, W: 1 }),
  ])
  const [slices] = data?.grains ?? []
  expect(slices?.partner?.kind.some((kind) => kind !== 255)).toBe(true)
  for (const [row, { idle = 0 }] of (data?.rows ?? []).entries()) {
    const spent = spentBetween(slices as Slices, data?.sums ?? sumsOf(packSlices([])), row, 0, data?.end ?? 0)
    expect(spent.reduce((sum, ticks) => sum + ticks, 0)).toBeCloseTo((1 - idle) * (data?.end ?? 0), 9)
  }
})
