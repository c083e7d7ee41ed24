import {
  checkTransfers,
  makeSchedule,
  programOrder,
  readTransferLists,
  scheduleNames,
  sendsAndReceives,
  type TransferDiscipline,
  transferDisciplines,
} from '@shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { everySchedule, thrown } from './every.js'

/** Which schedules of 4 ranks and 8 microbatches run in program order. */
const thatRun = (discipline: TransferDiscipline, ranks = 4) =>
  everySchedule(ranks, 2 * ranks)
    .filter((schedule) => checkTransfers(programOrder(schedule), discipline).ok)
    .map(({ name }) => name)

describe('receives just before, sends just after the computation', () => {
  test('one blocking stream per rank: only GPipe runs', () => {
    expect(thatRun('in-order')).toEqual(['gpipe'])
    expect(thatRun('in-order', 8)).toEqual(['gpipe'])
  })

  test('grouped between computations: GPipe, 1F1B and ZB-H1 run', () => {
    expect(thatRun('grouped')).toEqual(['gpipe', '1f1b', 'zbh1'])
    expect(thatRun('grouped', 8)).toEqual(['gpipe', '1f1b', 'zbh1'])
  })

  test('a queue per rank pair: on a V, forwards of one chunk and backwards of the other share it, and some get the wrong tensor', () => {
    const report = checkTransfers(programOrder(makeSchedule('zbv', { ranks: 4, microbatches: 8 })), 'per-pair')
    expect(report.transfers).toBe(96)
    expect(report.problems.filter(({ kind }) => kind === 'mismatch')).toHaveLength(9)
    expect(report.problems[0]?.message).toBe('rank 3, action 17 (4RECV_B0) gets what rank 2 sent as 2SEND_F4')
    for (const name of ['zbv', 'vhalf', 'vmin', 'dualpipev']) expect(thatRun('per-pair')).not.toContain(name)
  })

  test('a queue per border and direction: every schedule runs', () => {
    expect(thatRun('per-border')).toEqual(scheduleNames())
  })
})

describe('the safe lists', () => {
  test('run under every discipline, every schedule, up to 8 ranks', () => {
    for (let ranks = 1; ranks <= 8; ranks++) {
      for (const name of scheduleNames()) {
        if (name === 'dualpipe' && ranks % 2) continue
        for (const microbatches of [2 * ranks, 3 * ranks + (name === 'dualpipe' ? ranks % 2 : 1) + 1]) {
          const even = name === 'dualpipe' ? 2 * Math.ceil(microbatches / 2) : microbatches
          const schedule = makeSchedule(name, { ranks, microbatches: even })
          for (const costs of [undefined, { F: 1, I: 1, W: 1 }, { F: 3, I: 4, W: 2, send: 1 }, { F: 0, I: 0, W: 0 }]) {
            const lists = sendsAndReceives(schedule, costs)
            for (const discipline of transferDisciplines) {
              expect(checkTransfers(lists, discipline).problems, `${name} ${ranks} ${discipline}`).toEqual([])
            }
          }
        }
      }
    }
  })

  test('send each result that another rank needs once: m per border and direction', () => {
    for (const schedule of everySchedule(4, 8)) {
      const perStage = schedule.microbatches / schedule.directions
      let borders = 0
      for (let stage = 1; stage < schedule.stageRanks.length; stage++) {
        const crosses = schedule.stageRanks[stage] !== schedule.stageRanks[stage - 1]
        if (crosses && !(schedule.directions === 2 && stage === 4)) borders++
      }
      const { transfers } = checkTransfers(sendsAndReceives(schedule), 'in-order')
      expect(transfers, schedule.name).toBe(2 * borders * perStage)
    }
  })
})

describe('what is wrong with lists is named', () => {
  const problems = (csv: string, discipline: TransferDiscipline) => {
    const { problems, cycle } = checkTransfers(readTransferLists(csv), discipline)
    return { messages: problems.map(({ kind, message }) => `${kind}: ${message}`), cycle }
  }

  test('a circle of ranks', () => {
    const csv = '0F0,0SEND_F0,0RECV_B0,0B0\n1F0,1B0,1SEND_B0,1RECV_F0'
    expect(problems(csv, 'in-order')).toEqual({
      messages: [
        'missing: rank 1, action 1 (1F0) runs before its operand is received',
        'wait: rank 0, action 2 (0SEND_F0) waits for rank 1, which stands at 1SEND_B0',
        'wait: rank 1, action 3 (1SEND_B0) waits for rank 0, which stands at 0SEND_F0',
      ],
      cycle: [0, 1],
    })
  })

  test('a send without a receive', () => {
    const csv = '0F0,0SEND_F0,0RECV_B0,0B0\n1F0,1B0,1SEND_B0'
    expect(problems(csv, 'per-pair').messages).toEqual([
      'unmatched: rank 0, action 2 (0SEND_F0) stands 1 times in the lists, with 0 receives on rank 1',
      'missing: rank 1, action 1 (1F0) runs before its operand is received',
    ])
    expect(problems(csv, 'grouped').messages).toContain(
      'wait: rank 0, action 2 (0SEND_F0) waits for rank 1, which is at its end',
    )
  })

  test('a transfer over the end of the pipeline', () => {
    expect(problems('0F0,0SEND_F0,0B0', 'in-order').messages[0]).toBe(
      'unmatched: rank 0, action 2 (0SEND_F0) has no stage at the other end',
    )
  })

  test('an unknown discipline', () => {
    const lists = sendsAndReceives(makeSchedule('gpipe', { ranks: 2, microbatches: 2 }))
    expect(thrown(() => checkTransfers(lists, 'x' as never))).toMatchObject({ code: 'UNKNOWN_DISCIPLINE' })
  })
})
