import { makeSchedule, type Schedule, timeSchedule } from '@shardloom/schedules'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { leastSeconds, type Pipeline, Pipelines, pipelineTime, type StageSeconds } from '../../src/search/pipelines.js'

/** The chunks per rank of each schedule, and whether it runs gradients of weights apart. */
const schedules = {
  '1f1b': [[1], false],
  gpipe: [[1], false],
  interleaved1f1b: [[2, 3, 4], false],
  zbh1: [[1], true],
  zbv: [[2], true],
  dualpipev: [[2], true],
} as const

const pipelines = new Pipelines()
const size = { ranks: fc.constantFrom(2, 3, 4, 6, 8), rounds: fc.integer({ min: 1, max: 24 }) }
const seconds = fc.double({ min: 0.1, max: 1, noNaN: true })
const perStage = fc.array(seconds, { minLength: 32, maxLength: 32 })

/** The whole schedule, run action by action. */
function whole(schedule: Schedule, { forward, input, weight }: StageSeconds): number {
  return timeSchedule(schedule, { F: forward, I: input, W: weight }).makespan
}

/** What actions take: of one microbatch in one layer, by how many layers each stage has, and what the last stage has beside them. */
function secondsOf(
  { schedule: { stageRanks } }: Pipeline,
  [forward, input, weight]: readonly number[],
  layersOf: (stage: number) => number,
): StageSeconds {
  const of = (each = 0) => Float64Array.from(stageRanks, (_, stage) => each * layersOf(stage))
  return { forward: of(forward), input: of(input), weight: of(weight), send: 0 }
}

describe.each(Object.entries(schedules))('%s', (name, [chunks, isDivided]) => {
  const draw = fc.record({ ...size, virtual: fc.constantFrom(...chunks), seconds: fc.tuple(seconds, seconds, seconds) })
  const made = ({ ranks, rounds, virtual }: { ranks: number; rounds: number; virtual: number }) => {
    const microbatches = ranks * rounds
    const pipeline = pipelines.of(name, ranks, virtual, microbatches)
    fc.pre(typeof pipeline !== 'string')
    if (typeof pipeline === 'string') throw new Error(pipeline)
    return { pipeline, full: makeSchedule(name, { ranks, microbatches, virtual }) }
  }
  const given = (each: readonly number[]) => (isDivided ? each : [each[0] ?? 0, each[1] ?? 0, 0])

  test('with layers divided as evenly as they can be, and a head: the time of the whole schedule', () => {
    fc.assert(
      fc.property(draw, fc.nat(60), fc.double({ min: 0, max: 2, noNaN: true }), (drawn, beyond, head) => {
        const { pipeline, full } = made(drawn)
        const count = full.stageRanks.length
        const border = (stage: number) => Math.floor((stage * (count + beyond)) / count)
        const times = secondsOf(
          pipeline,
          given(drawn.seconds),
          (stage) => border(stage + 1) - border(stage) + (stage === count - 1 ? head : 0),
        )
        // Where ranks have more than one chunk, or gradients of weights to fill gaps with, a few begin to repeat themselves only later.
        const most = chunks[0] === 1 && !isDivided ? 1e-9 : 0.02
        expect(Math.abs(pipelineTime(pipeline, times).seconds / whole(full, times) - 1)).toBeLessThan(most)
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })

  test('with any stages: within five in a hundred, and never below what bounds it', () => {
    fc.assert(
      fc.property(draw, perStage, (drawn, stages) => {
        const { pipeline, full } = made(drawn)
        const times = secondsOf(pipeline, given(drawn.seconds), (stage) => stages[stage] ?? 1)
        const [found, exact] = [pipelineTime(pipeline, times).seconds, whole(full, times)]
        expect(Math.abs(found / exact - 1)).toBeLessThan(0.05)
        expect(leastSeconds(pipeline, times)).toBeLessThanOrEqual(Math.min(found, exact) * (1 + 1e-12))
      }),
      { numRuns: 60, seed: 5, endOnFailure: true },
    )
  })
})

test('a rank of GPipe keeps all microbatches, one less beside gradients; of 1F1B as many as stages come behind it', () => {
  const kept = (name: string) => {
    const pipeline = pipelines.of(name, 4, 1, 100)
    return typeof pipeline === 'string'
      ? pipeline
      : pipeline.inFlight.map((pairs) => pairs.map(({ kept }) => kept.reduce((sum, each) => sum + each, 0)))
  }
  expect(kept('gpipe')).toEqual([
    [100, 99],
    [100, 99],
    [100, 99],
    [100, 99],
  ])
  expect(kept('1f1b')).toEqual([[4], [3], [2], [1]])
})
