import {
  formatStep,
  makeSchedule,
  readSchedule,
  resolveScheduleName,
  type Schedule,
  scheduleNames,
  stepsOf,
  timeSchedule,
  writeSchedule,
} from '@shardloom/schedules'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { everySchedule, thrown } from './every.js'

const text = (schedule: Schedule) =>
  schedule.orders.map((_, rank) => stepsOf(schedule, rank).map(formatStep).join(' ')).join('\n')

test('the names', () => {
  expect(scheduleNames()).toEqual([
    'gpipe',
    '1f1b',
    'interleaved1f1b',
    'loopedbfs',
    'zbh1',
    'zbh2',
    'interleaved-zb1p',
    'zbv',
    'vhalf',
    'vmin',
    'dualpipe',
    'dualpipev',
  ])
})

test.each([
  ['1F1B', '1f1b'],
  ['GPipe', 'gpipe'],
  ['interleaved', 'interleaved1f1b'],
  ['vpp', 'interleaved1f1b'],
  ['Interleaved 1F1B', 'interleaved1f1b'],
  ['bfs', 'loopedbfs'],
  ['LoopedBFS', 'loopedbfs'],
  ['breadth-first', 'loopedbfs'],
  ['zb1p', 'zbh1'],
  ['zb-h1', 'zbh1'],
  ['ZB-H2', 'zbh2'],
  ['zb2p', 'zbh2'],
  ['InterleavedZeroBubble', 'interleaved-zb1p'],
  ['ScheduleZBVZeroBubble', 'zbv'],
  ['zb-v', 'zbv'],
  ['V-Half', 'vhalf'],
  ['v_min', 'vmin'],
  ['DualPipe', 'dualpipe'],
  ['ScheduleDualPipeV', 'dualpipev'],
  ['constructor', undefined],
  ['', undefined],
])('%s means %s', (spelling, name) => {
  expect(resolveScheduleName(spelling)).toBe(name)
})

test('small schedules, to be read', () => {
  expect(text(makeSchedule('gpipe', { ranks: 2, microbatches: 2 }))).toBe('0F0 0F1 0B0 0B1\n1F0 1F1 1B0 1B1')
  expect(text(makeSchedule('1f1b', { ranks: 2, microbatches: 3 }))).toBe(
    '0F0 0F1 0B0 0F2 0B1 0B2\n1F0 1B0 1F1 1B1 1F2 1B2',
  )
  expect(text(makeSchedule('zbh1', { ranks: 2, microbatches: 3 }))).toBe(
    '0F0 0F1 0I0 0W0 0F2 0I1 0W1 0I2 0W2\n1F0 1I0 1F1 1I1 1W0 1F2 1I2 1W1 1W2',
  )
  expect(text(makeSchedule('dualpipe', { ranks: 2, microbatches: 4 })).split('\n')[0]).toBe(
    '0F0 3F2 0F1 3B2 (3F3;0B0)OVERLAP_F_B 3B3 0I1 0W1',
  )
})

test('stages lie looped, or on a V', () => {
  expect([...makeSchedule('interleaved1f1b', { ranks: 3, microbatches: 6 }).stageRanks]).toEqual([0, 1, 2, 0, 1, 2])
  expect([...makeSchedule('zbv', { ranks: 3, microbatches: 6 }).stageRanks]).toEqual([0, 1, 2, 2, 1, 0])
  expect(makeSchedule('dualpipe', { ranks: 4, microbatches: 8 })).toMatchObject({ directions: 2, virtual: 2 })
})

describe('what a schedule cannot take', () => {
  test.each([
    ['nonsense', { ranks: 2, microbatches: 2 }, 'UNKNOWN_SCHEDULE', /no schedule `nonsense`/, /gpipe, 1f1b/],
    ['1f1b', { ranks: 0, microbatches: 2 }, 'BAD_SCHEDULE_SIZE', /ranks is `0`/, /whole number from 1/],
    ['1f1b', { ranks: 2000, microbatches: 2 }, 'BAD_SCHEDULE_SIZE', /ranks is `2000`/, /from 1 to 1024/],
    ['1f1b', { ranks: 2, microbatches: 1.5 }, 'BAD_SCHEDULE_SIZE', /microbatches is `1.5`/, /whole number/],
    ['1f1b', { ranks: 2, microbatches: 4, virtual: 2 }, 'BAD_SCHEDULE_SIZE', /exactly 1/, /interleaved1f1b/],
    ['zbh1', { ranks: 2, microbatches: 4, virtual: 2 }, 'BAD_SCHEDULE_SIZE', /exactly 1/, /interleaved-zb1p/],
    ['interleaved1f1b', { ranks: 2, microbatches: 4, virtual: 1 }, 'BAD_SCHEDULE_SIZE', /at least 2/, /1f1b/],
    ['zbv', { ranks: 2, microbatches: 4, virtual: 1 }, 'BAD_SCHEDULE_SIZE', /exactly 2/, /virtual 2/],
    ['1f1b', { ranks: 2, microbatches: 4, group: 2 }, 'BAD_SCHEDULE_SIZE', /no groups/, /interleaved1f1b/],
    ['vpp', { ranks: 4, microbatches: 12, group: 3 }, 'BAD_SCHEDULE_SIZE', /groups of 3/, /4, 6, 7, 8, 12\./],
    ['dualpipe', { ranks: 3, microbatches: 6 }, 'BAD_SCHEDULE_SIZE', /3 ranks/, /4 ranks/],
    ['dualpipe', { ranks: 4, microbatches: 9 }, 'BAD_SCHEDULE_SIZE', /9 microbatches/, /10/],
    ['dualpipe', { ranks: 4, microbatches: 6 }, 'BAD_SCHEDULE_SIZE', /two per rank/, /8 microbatches/],
    ['dualpipev', { ranks: 4, microbatches: 7 }, 'BAD_SCHEDULE_SIZE', /two per rank/, /8 microbatches/],
    ['1f1b', { ranks: 1024, microbatches: 8192 }, 'BAD_SCHEDULE_SIZE', /more than 4194304/, /fewer/],
  ])('%s of %o', (name, options, code, message, help) => {
    const error = thrown(() => makeSchedule(name, options))
    expect(error).toMatchObject({ name: 'ShardloomError', code })
    expect(error?.message).toMatch(message)
    expect(error?.help).toMatch(help)
  })

  test('never anything but a schedule or such an error', () => {
    const value = fc.oneof(
      fc.integer({ min: -2, max: 40 }),
      fc.constantFrom(0.5, Number.NaN, Infinity, 1e300, '4', null),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...scheduleNames(), 'x', '__proto__'),
        value,
        value,
        value,
        value,
        (name, p, m, v, g) => {
          const options = { ranks: p, microbatches: m, virtual: v ?? undefined, group: g ?? undefined } as never
          const error = thrown(() => timeSchedule(makeSchedule(name, options)))
          if (error) expect(error).toMatchObject({ name: 'ShardloomError', help: expect.any(String) })
          if (error) expect(error.code).not.toBe('DEADLOCK')
        },
      ),
      { numRuns: 500 },
    )
  })
})

/** Names with numbers of ranks, microbatches and chunks that they can take. */
const made = fc
  .record({
    name: fc.constantFrom(...scheduleNames()),
    p: fc.integer({ min: 1, max: 9 }),
    m: fc.integer({ min: 1, max: 24 }),
    v: fc.integer({ min: 2, max: 4 }),
    group: fc.integer({ min: 1, max: 24 }),
  })
  .map(({ name, p, m, v, group }) => {
    const ranks = name === 'dualpipe' ? 2 * Math.ceil(p / 2) : p
    const microbatches = name.startsWith('dualpipe') ? 2 * ranks + (name === 'dualpipe' ? 2 * m : m) : m
    const several = ['interleaved1f1b', 'interleaved-zb1p', 'loopedbfs'].includes(name)
    const options = { ranks, microbatches, ...(several ? { virtual: v } : {}) }
    const grouped = { ...options, group: Math.min(group, microbatches) }
    const takesGroup = several && name !== 'loopedbfs' && thrown(() => makeSchedule(name, grouped)) === undefined
    return makeSchedule(name, takesGroup ? grouped : options)
  })

test('every schedule keeps the rules, runs through, and survives CSV', () => {
  fc.assert(
    fc.property(made, (schedule) => {
      // Reading checks each (stage, microbatch) once, the order on a rank, stages per rank, and that nothing deadlocks.
      const read = readSchedule(writeSchedule(schedule), { name: schedule.name })
      expect({ ...read, virtual: schedule.virtual }).toEqual(schedule)
      const { makespan, work, idle } = timeSchedule(schedule)
      for (const [rank, busy] of work.entries()) {
        expect(busy).toBe(
          (3 * schedule.stageRanks.length * schedule.microbatches) / schedule.directions / schedule.ranks,
        )
        expect(idle.global[rank]).toBe(makespan - busy)
        expect(idle.ownSpan[rank]).toBeLessThanOrEqual(idle.global[rank] as number)
      }
    }),
    { numRuns: 300 },
  )
})

test('every schedule is made the same each time', () => {
  expect(everySchedule(4, 10)).toEqual(everySchedule(4, 10))
})

test('the default group is the smallest that works, which is p where p divides m', () => {
  const order = (microbatches: number, group?: number) =>
    text(makeSchedule('vpp', { ranks: 4, microbatches, ...(group ? { group } : {}) }))
  expect(order(12)).toBe(order(12, 4))
  // PyTorch: max(1, ⌊m/p⌋) rounds of m/rounds microbatches.
  expect(order(10)).toBe(order(10, 5))
  expect(order(3)).toBe(order(3, 3))
})
