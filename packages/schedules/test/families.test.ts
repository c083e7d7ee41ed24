import { makeSchedule, peakInFlight, scheduleNames, stepsOf, timeSchedule } from '@shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { most } from './every.js'

const costs = [
  { F: 1, I: 1, W: 1 },
  { F: 2, I: 2, W: 1 },
  { F: 3, I: 4, W: 2 },
  { F: 5, I: 5, W: 4 },
]
const sizes = [
  { p: 2, m: 4 },
  { p: 4, m: 8 },
  { p: 4, m: 12 },
  { p: 8, m: 16 },
  { p: 6, m: 24 },
]

/** What each rank idles, with B = I + W; in chunks where a rank has several. */
const bubbles: Record<string, (p: number, F: number, I: number, W: number) => number> = {
  // Huang et al. 2019, section 2.3; Narayanan et al. 2021, section 2.2.1.
  gpipe: (p, F, I, W) => (p - 1) * (F + I + W),
  '1f1b': (p, F, I, W) => (p - 1) * (F + I + W),
  // Narayanan et al. 2021, section 2.2.2: a v-th of the above, in the costs of a whole rank.
  interleaved1f1b: (p, F, I, W) => (p - 1) * (F + I + W),
  loopedbfs: (p, F, I, W) => (p - 1) * (F + I + W),
  // Qi et al. 2023, table 2: (p − 1)(F + I − W).
  zbh1: (p, F, I, W) => (p - 1) * (F + I - W),
  'interleaved-zb1p': (p, F, I, W) => (p - 1) * (F + I - W),
  // DeepSeek-V3 report 2024, table 2: (p/2 − 1)(F&B + B − 3W), F&B being F + B here. Exact where F = I.
  dualpipe: (p, F, I, W) => (p / 2 - 1) * (F + 2 * (I + W) - 3 * W),
  dualpipev: (p, F, I, W) => (p - 1) * (F + 2 * (I + W) - 3 * W),
}

describe('bubbles, of the makespan and of the own span', () => {
  for (const [name, bubble] of Object.entries(bubbles)) {
    for (const virtual of name.startsWith('interleaved') || name === 'loopedbfs' ? [2, 3, 4] : [undefined]) {
      test(`${name}${virtual ? ` with ${virtual} chunks` : ''}`, () => {
        for (const { p, m } of sizes) {
          for (const { F, I, W } of costs) {
            if (name.startsWith('dualpipe') && F !== I) continue
            const schedule = makeSchedule(name, { ranks: p, microbatches: m, ...(virtual ? { virtual } : {}) })
            const { idle } = timeSchedule(schedule, { F, I, W })
            const expected = Array.from({ length: p }, () => bubble(p, F, I, W))
            expect(idle.global, `p ${p} m ${m}`).toEqual(expected)
            expect(most(idle.ownSpan), `p ${p} m ${m}`).toBe(bubble(p, F, I, W))
          }
        }
      })
    }
  }

  test.each(['zbh2', 'zbv'])(
    '%s has none inside the own span of a rank when F = I = W; globally p − 1, the skew',
    (name) => {
      for (const p of [1, 2, 3, 4, 8]) {
        for (const m of [2 * p - 1, 2 * p, 5 * p]) {
          const { idle } = timeSchedule(makeSchedule(name, { ranks: p, microbatches: m }))
          expect(most(idle.ownSpan), `p ${p} m ${m}`).toBe(0)
          expect(most(idle.global), `p ${p} m ${m}`).toBe(p - 1)
        }
      }
    },
  )

  test('1F1B with few microbatches idles as much', () => {
    for (const m of [1, 2, 3]) {
      const { makespan } = timeSchedule(makeSchedule('1f1b', { ranks: 4, microbatches: m }))
      expect(makespan).toBe((m + 3) * 3)
    }
  })

  // Simulated with the authors' orders (Qi et al. 2024).
  test.each([
    ['vhalf', 5, 17],
    ['vmin', 11, 27],
  ])('%s idles %d and %d units on 4 and 8 ranks', (name, four, eight) => {
    const idle = (ranks: number, microbatches: number) =>
      most(timeSchedule(makeSchedule(name, { ranks, microbatches })).idle.global)
    expect([idle(4, 8), idle(8, 16)]).toEqual([four, eight])
  })
})

describe('activations in flight, in stages on microbatches', () => {
  const peaks = (name: string, p: number, m: number, virtual?: number) =>
    peakInFlight(makeSchedule(name, { ranks: p, microbatches: m, ...(virtual ? { virtual } : {}) }))
  const perRank = (p: number, of: (rank: number) => number) => Array.from({ length: p }, (_, rank) => of(rank))

  test('GPipe and BFS hold all microbatches', () => {
    expect(peaks('gpipe', 4, 8).untilW).toEqual([8, 8, 8, 8])
    expect(peaks('loopedbfs', 4, 8, 2).untilW).toEqual([16, 16, 16, 16])
  })

  test('1F1B holds min(m, p − r)', () => {
    for (const [p, m] of [
      [4, 8],
      [8, 16],
      [8, 3],
    ] as const) {
      expect(peaks('1f1b', p, m).untilW).toEqual(perRank(p, (rank) => Math.min(m, p - rank)))
    }
  })

  test('interleaved holds (v − 1)p + 2(p − 1 − r) + 1; rank 0 pv + p − 1, which is Megatron’s penalty', () => {
    for (const [p, v, first] of [
      [4, 2, 11],
      [4, 4, 19],
      [8, 2, 23],
      [8, 4, 39],
    ] as const) {
      const { untilW } = peaks('interleaved1f1b', p, 2 * p, v)
      expect(untilW).toEqual(perRank(p, (rank) => (v - 1) * p + 2 * (p - 1 - rank) + 1))
      expect(untilW[0]).toBe(first)
      // Korthikanti et al. 2022, section 4.2.1: 1 + (p − 1)/(pv), of pv chunks.
      expect(first).toBeCloseTo(p * v * (1 + (p - 1) / (p * v)), 9)
    }
  })

  test('ZB-H1 holds p on every rank until W, p − r until I', () => {
    expect(peaks('zbh1', 8, 16).untilW).toEqual(perRank(8, () => 8))
    expect(peaks('zbh1', 8, 16).untilI).toEqual(perRank(8, (rank) => 8 - rank))
  })

  test('ZB-H2 holds 2(p − r) − 1 until I, and never more than 2p with I freeing half', () => {
    for (const m of [16, 24, 64]) {
      const { untilI, half } = peaks('zbh2', 8, m)
      expect(most(half)).toBeLessThanOrEqual(16)
      expect(untilI.slice(1)).toEqual(perRank(8, (rank) => 2 * (8 - rank) - 1).slice(1))
    }
    // Counted until W it reaches m on the late ranks.
    expect(peaks('zbh2', 8, 24).untilW[7]).toBe(24)
  })

  test('ZB-V holds 2p chunks on every rank; V-Half and V-Min fewer; DualPipe p + 1; DualPipeV 2p + 1', () => {
    expect(peaks('zbv', 8, 16).untilW).toEqual(perRank(8, () => 16))
    expect([most(peaks('vhalf', 4, 8).untilW), most(peaks('vhalf', 8, 16).untilW)]).toEqual([6, 10])
    expect([most(peaks('vmin', 4, 8).untilW), most(peaks('vmin', 8, 16).untilW)]).toEqual([4, 8])
    expect(most(peaks('dualpipe', 8, 20).untilW)).toBe(9)
    expect(most(peaks('dualpipev', 4, 10).untilW)).toBe(9)
  })
})

test('1F1B is DeepSpeed’s closed form', () => {
  for (const [p, m] of [
    [1, 3],
    [2, 4],
    [4, 8],
    [4, 2],
    [5, 7],
  ] as const) {
    const schedule = makeSchedule('1f1b', { ranks: p, microbatches: m })
    for (let rank = 0; rank < p; rank++) {
      // runtime/pipe/schedule.py, TrainSchedule: 2(m + p − 1) steps, even ones forward on even stages.
      const expected: string[] = []
      for (let step = 0; step < 2 * (m + p - 1); step++) {
        const half = Math.floor(rank / 2)
        const forward = step % 2 === rank % 2
        const microbatch = forward
          ? (step % 2 ? (step - 1) / 2 : step / 2) - half
          : step % 2
            ? (step - 1) / 2 - p + 1 + half
            : step / 2 - p + Math.floor((rank + 1) / 2)
        if (microbatch >= 0 && microbatch < m) expected.push(`${forward ? 'F' : 'B'}${microbatch}`)
      }
      const steps = stepsOf(schedule, rank).map((step) =>
        'microbatch' in step ? `${step.kind}${step.microbatch}` : '',
      )
      expect(steps, `p ${p} m ${m} rank ${rank}`).toEqual(expected)
    }
    // Its number of buffers, max(2, min(p − stage, m)), is what a rank holds, and two at least.
    const held = peakInFlight(schedule).untilW.map((peak) => Math.max(2, peak))
    expect(held).toEqual(Array.from({ length: p }, (_, stage) => Math.max(2, Math.min(p - stage, m))))
  }
})

test('interleaved 1F1B has the properties of Megatron’s order', () => {
  for (const group of [4, 5, 8]) {
    for (const virtual of [2, 3]) {
      const [p, m] = [4, 24]
      const schedule = makeSchedule('vpp', { ranks: p, microbatches: m, virtual, group })
      for (let rank = 0; rank < p; rank++) {
        // pipeline_parallel/schedules.py, convert_schedule_table_to_order: chunk + 1 forward, −(chunk + 1) backward.
        const order = stepsOf(schedule, rank).map((step) => {
          if (step.kind === 'OVERLAP_F_B') throw new Error('no pairs here')
          const chunk = Math.floor(step.stage / p) + 1
          return step.kind === 'F' ? chunk : -chunk
        })
        expect(order.length).toBe(2 * m * virtual)
        for (let chunk = 1; chunk <= virtual; chunk++) {
          let sum = 0
          for (const each of order.filter((value) => Math.abs(value) === chunk)) {
            sum += Math.sign(each)
            expect(sum).toBeGreaterThanOrEqual(0)
          }
          expect(sum).toBe(0)
        }
      }
    }
  }
})

test('one rank runs every schedule without idling', () => {
  for (const name of scheduleNames().filter((each) => each !== 'dualpipe')) {
    expect(timeSchedule(makeSchedule(name, { ranks: 1, microbatches: 4 })).idle.global, name).toEqual([0])
  }
})
