/**
 * Orders that other implementations made: PyTorch's, DeepSeek's figures and the output of the zero-bubble authors. They
 * are found through the environment variable SHARDLOOM_REFERENCE.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkTransfers,
  makeSchedule,
  mergeBackwards,
  readSchedule,
  readTransferLists,
  type Schedule,
  sendsAndReceives,
  stepsOf,
  timeSchedule,
  writeSchedule,
  writeTransferLists,
} from '@shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { most } from './every.js'

const reference = process.env.SHARDLOOM_REFERENCE
const folder = reference === undefined ? undefined : join(reference, 'reference/schedules')
const filesOf = (name: string) => (folder === undefined ? [''] : readdirSync(join(folder, name)).sort())
const load = (...path: string[]) => readFileSync(join(folder ?? '', ...path), 'utf8')

/** `interleaved1f1b_p4_m8_v2.csv` → the schedule of that name and size. */
function scheduleOf(file: string): Schedule {
  const [, name = '', ranks, microbatches, virtual] = /^(.+?)_p(\d+)_m(\d+)(?:_v(\d+))?\.csv$/.exec(file) ?? []
  const size = { ranks: Number(ranks), microbatches: Number(microbatches) }
  return makeSchedule(name, virtual ? { ...size, virtual: Number(virtual) } : size)
}

const plain = (csv: string) => csv.replaceAll('\r', '').trim()

describe.skipIf(folder === undefined)('orders of others', () => {
  test.each(filesOf('derived'))('derived/%s: the same order', (file) => {
    expect(plain(writeSchedule(scheduleOf(file)))).toBe(plain(load('derived', file)))
  })

  // ZB-V, V-Half and V-Min are the output of a search that knows costs: equal in time and memory, not in order.
  test.each(filesOf('zero-bubble'))('zero-bubble/%s: the same order, or the same makespan and peaks', (file) => {
    const ours = scheduleOf(file)
    const theirs = readSchedule(load('zero-bubble', file))
    const [a, b] = [timeSchedule(ours), timeSchedule(theirs)]
    expect(a.makespan).toBe(b.makespan)
    expect(most(a.peakInFlight.untilW)).toBe(most(b.peakInFlight.untilW))
    expect(most(a.idle.ownSpan)).toBe(most(b.idle.ownSpan))
    if (!/^(zbv|vhalf|vmin)/.test(file)) expect(plain(writeSchedule(ours))).toBe(plain(load('zero-bubble', file)))
  })

  test('torch/dualpipev_4rank_10mb.csv: the same order', () => {
    const schedule = makeSchedule('dualpipev', { ranks: 4, microbatches: 10 })
    expect(plain(writeSchedule(schedule))).toBe(plain(load('torch/dualpipev_4rank_10mb.csv')))
  })

  test('torch/zb1p_2rank_2stagep_compute.csv: the same order, but for idle fields', () => {
    const schedule = makeSchedule('interleaved-zb1p', { ranks: 2, microbatches: 8, virtual: 2 })
    const theirs = readSchedule(load('torch/zb1p_2rank_2stagep_compute.csv'), { name: 'interleaved-zb1p' })
    expect(theirs).toEqual(schedule)
  })

  test('torch/zb1p_2rank_2stagep_comms.csv: the same sends and receives at the same places', () => {
    const schedule = makeSchedule('interleaved-zb1p', { ranks: 2, microbatches: 8, virtual: 2 })
    const text = load('torch/zb1p_2rank_2stagep_comms.csv')
    expect(plain(writeTransferLists(sendsAndReceives(mergeBackwards(schedule))))).toBe(plain(text))
    expect(checkTransfers(readTransferLists(text), 'in-order').ok).toBe(true)
  })

  test.each([
    ['dualpipe', 8, 20, 'dualpipe_8ranks_20mb_figure.txt'],
    ['dualpipev', 4, 10, 'dualpipev_4ranks_10mb_figure.txt'],
  ])('the published figure of %s: the same cells in the same order and time', (name, ranks, microbatches, file) => {
    const timed = timeSchedule(makeSchedule(name, { ranks, microbatches }))
    const figure = load('dualpipe', file).split('\n')
    expect(figure.filter((line) => /^[FBW.]+$/.test(line)).map((line) => line.length)).toEqual(
      Array.from({ length: ranks }, () => timed.makespan),
    )
    const cells = figure.filter((line) => line.includes('|') && !line.startsWith('#'))
    // The figure draws an overlapped pair as FBB, a full backward as BB, either gradient's input part as B.
    const rows = timed.schedule.orders.map((_, rank) =>
      stepsOf(timed.schedule, rank).map(
        (step) => ({ F: 'F', I: 'B', W: 'W', B: 'BB', OVERLAP_F_B: 'FBB' })[step.kind as 'F'],
      ),
    )
    expect(rows).toEqual(
      cells.map((line) =>
        line
          .replaceAll('.', '')
          .split('|')
          .filter((cell) => cell !== ''),
      ),
    )
  })
})
