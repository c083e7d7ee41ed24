import { makeSchedule, peakInFlight, readSchedule, type Schedule, timeSchedule } from '@shardloom/schedules'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { everySchedule, thrown } from './every.js'

const twoRanks = () => readSchedule('0F0,0F1,0I0,0W0,0I1,0W1\n1F0,1B0,1F1,1B1')

describe('the times of a schedule', () => {
  test('starts and ends, to be read', () => {
    const { starts, ends, makespan, work, idle } = timeSchedule(twoRanks())
    expect(starts.map((each) => [...each])).toEqual([
      [0, 1, 4, 5, 7, 8],
      [1, 2, 4, 5],
    ])
    expect(ends.map((each) => [...each])).toEqual([
      [1, 2, 5, 6, 8, 9],
      [2, 4, 5, 7],
    ])
    expect(makespan).toBe(9)
    expect(work).toEqual([6, 6])
    expect(idle).toEqual({ global: [3, 3], ownSpan: [3, 0] })
  })

  test('the comparable makespan is the work of every schedule alike, and its own idle time', () => {
    // Conservation: however a model is cut, each of p ranks does a p-th of it for each of m microbatches.
    for (const schedule of everySchedule(4, 16)) {
      const { comparableMakespan, makespan, idle } = timeSchedule(schedule, { F: 2, I: 3, W: 1 })
      const mean = idle.global.reduce((sum, each) => sum + each, 0) / 4
      expect(comparableMakespan * (1 - mean / makespan), schedule.name).toBeCloseTo(16 * 6, 9)
    }
  })

  test('unequal costs, and costs per stage', () => {
    expect(timeSchedule(twoRanks(), { F: 2, I: 3, W: 1 }).makespan).toBe(18)
    const uneven = timeSchedule(twoRanks(), { F: [1, 5], I: [1, 1], W: Float64Array.of(1, 1) })
    expect([...(uneven.starts[1] ?? [])]).toEqual([1, 6, 8, 13])
  })

  test('actions that wait for nothing else start as they do anyway, and those that do start no sooner', () => {
    for (const schedule of everySchedule(4, 16)) {
      const plain = timeSchedule(schedule)
      expect(timeSchedule(schedule, { startOf: (_, { ready }) => ready }).ends, schedule.name).toEqual(plain.ends)
      const held = timeSchedule(schedule, {
        startOf: ({ kind }, { ready, free }) => Math.max(ready, kind === 'F' ? free : free + 1),
      })
      held.ends.forEach((ends, rank) =>
        ends.forEach((end, at) => expect(end).toBeGreaterThanOrEqual(plain.ends[rank]?.[at] ?? 0)),
      )
      expect(held.makespan).toBeGreaterThan(plain.makespan)
    }
  })

  test('one rank that is held after each action takes so much longer', () => {
    // Four forwards and four backwards of 1 and 2, held for 3 before each.
    const { makespan } = timeSchedule(makeSchedule('1f1b', { ranks: 1, microbatches: 4 }), {
      startOf: (_, { free }) => free + 3,
    })
    expect(makespan).toBe(4 * (1 + 2) + 8 * 3)
  })

  test('a result takes its time to another rank, and none to its own', () => {
    const near = readSchedule('0F0,1F0,1B0,0B0')
    expect(timeSchedule(near, { send: 10 }).makespan).toBe(timeSchedule(near).makespan)
    const far = readSchedule('0F0,0B0\n1F0,1B0')
    expect(timeSchedule(far, { send: 10 }).makespan).toBe(timeSchedule(far).makespan + 20)
  })

  test('an overlapped pair costs its parts unless told less, and both end together', () => {
    const schedule = makeSchedule('dualpipe', { ranks: 8, microbatches: 20 })
    expect(timeSchedule(schedule).makespan).toBe(66)
    expect(timeSchedule(schedule, { overlap: 3 }).makespan).toBe(66)
    expect(timeSchedule(schedule, { overlap: 2 }).makespan).toBeLessThan(66)
  })

  test.each([
    { F: -1 },
    { I: Number.NaN },
    { W: Infinity },
    { send: -1 },
    { overlap: -1 },
    { F: [1] },
    { F: '1' as never },
    { F: 1e308 },
    { send: Number.MAX_VALUE },
  ])('a cost of %j is refused', (costs) => {
    expect(thrown(() => timeSchedule(twoRanks(), costs))).toMatchObject({ code: 'BAD_COST', help: expect.any(String) })
  })

  test('ranks that wait for each other are named', () => {
    const schedule = makeSchedule('1f1b', { ranks: 2, microbatches: 2 })
    const broken: Schedule = {
      ...schedule,
      orders: [schedule.orders[0], schedule.orders[1]?.slice().reverse()] as Int32Array[],
    }
    expect(thrown(() => timeSchedule(broken))).toMatchObject({
      code: 'DEADLOCK',
      message:
        'The schedule 1f1b deadlocks: rank 0 waits at action 3 (0B0) for 1I0 of rank 1; ' +
        'rank 1 waits at action 1 (1B1) for 1F1 of rank 1.',
    })
  })
})

test('every action waits for what it needs and for the one before it, and for nothing else', () => {
  const cost = fc.integer({ min: 0, max: 9 })
  fc.assert(
    fc.property(
      fc.constantFrom(...everySchedule(4, 8), ...everySchedule(6, 12)),
      cost,
      cost,
      cost,
      cost,
      (schedule, F, I, W, send) => {
        const { starts, ends } = timeSchedule(schedule, { F, I, W, send })
        const { orders, stageRanks, microbatches: m, directions } = schedule
        const positions = stageRanks.length / directions
        const forward = new Map<number, number>()
        const backward = new Map<number, number>()
        const each = (visit: (code: number, rank: number, at: number) => void) => {
          for (const [rank, order] of orders.entries()) for (const [at, code] of order.entries()) visit(code, rank, at)
        }
        each((code, rank, at) => {
          const end = ends[rank]?.[at] as number
          if ((code & 7) === 0) forward.set(code >> 4, end)
          if ((code & 7) === 1 || (code & 7) === 3) backward.set(code >> 4, end)
        })
        each((code, rank, at) => {
          const kind = code & 7
          const cell = code >> 4
          const stage = Math.floor(cell / m)
          const paired = at > 0 && ((orders[rank]?.[at - 1] ?? 0) & 8) !== 0
          const needs = (of: number): number[] => {
            const needed: number[] = []
            const stageOf = Math.floor((of >> 4) / m)
            const arrival = (time: number, other: number) => time + (stageRanks[other] === rank ? 0 : send)
            if ((of & 7) === 0 && stageOf % positions > 0)
              needed.push(arrival(forward.get((of >> 4) - m) as number, stageOf - 1))
            if ((of & 7) !== 0) needed.push(((of & 7) === 2 ? backward : forward).get(of >> 4) as number)
            if (((of & 7) === 1 || (of & 7) === 3) && stageOf % positions < positions - 1) {
              needed.push(arrival(backward.get((of >> 4) + m) as number, stageOf + 1))
            }
            return needed
          }
          if (paired) return
          const partner = code & 8 ? [orders[rank]?.[at + 1] as number] : []
          const before = at > 0 ? (ends[rank]?.[at - 1] as number) : 0
          expect(starts[rank]?.[at], `${schedule.name} ${stage} ${kind}`).toBe(
            Math.max(before, ...[code, ...partner].flatMap(needs)),
          )
        })
      },
    ),
    { numRuns: 60 },
  )
})

test('what is in flight depends on what an input gradient frees', () => {
  const schedule = readSchedule('0F0,0I0,0F1,0I1,0F2,0I2,0W0,0W1,0W2')
  expect(peakInFlight(schedule)).toEqual({ untilI: [1], untilW: [3], half: [2] })
})
