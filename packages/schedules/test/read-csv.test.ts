import {
  checkTransfers,
  formatStep,
  makeSchedule,
  programOrder,
  readSchedule,
  readTransferLists,
  sendsAndReceives,
  stepsOf,
  timeSchedule,
  transferDisciplines,
  writeSchedule,
  writeTransferLists,
} from '@shardloom/schedules'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { everySchedule, thrown } from './every.js'

const row = (csv: string, rank: number) => stepsOf(readSchedule(csv), rank).map(formatStep).join(' ')

describe('what is read', () => {
  test('a schedule of one’s own', () => {
    const schedule = readSchedule('0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n', { name: 'mine' })
    expect(schedule).toMatchObject({ name: 'mine', ranks: 2, microbatches: 2, virtual: 1, directions: 1 })
    expect([...schedule.stageRanks]).toEqual([0, 1])
    expect(timeSchedule(schedule).makespan).toBe(9)
  })

  test('idle fields, spaces, quotes, carriage returns, a byte order mark and blank lines at the end', () => {
    expect(row('\uFEFF 0F0 ,,"0B0"\r\n,1F0,1B0\r\n\r\n', 0)).toBe('0F0 0B0')
  })

  test('older files: B is an input gradient and BW a full backward', () => {
    expect(row('0F0,0F1,0B0,0W0,0BW1', 0)).toBe('0F0 0F1 0I0 0W0 0B1')
    // W without I leaves no other reading; without either B is a full backward.
    expect(row('0F0,0B0,0W0', 0)).toBe('0F0 0I0 0W0')
    expect(row('0F0,0B0', 0)).toBe('0F0 0B0')
  })

  test('actions on parameters and transfers are left out', () => {
    const csv = '0UNSHARD,0F0,0SEND_F0,0RECV_B0,0B0,0REDUCE_GRAD,0RESHARD0\n1RECV_F0,1F0,1B0,1SEND_B0'
    expect(row(csv, 0)).toBe('0F0 0B0')
    expect(writeTransferLists(readTransferLists(csv))).toBe('0F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n')
  })

  test('overlapped pairs and two directions', () => {
    const schedule = makeSchedule('dualpipe', { ranks: 4, microbatches: 8 })
    expect(readSchedule(writeSchedule(schedule), { name: 'dualpipe' })).toEqual(schedule)
  })

  test('stages may lie in any way, also more on one rank than on another', () => {
    const schedule = readSchedule('0F0,2F0,2B0,0B0\n1F0,1B0')
    expect(schedule.virtual).toBe(2)
    expect([...schedule.stageRanks]).toEqual([0, 1, 0])
  })

  test('every schedule with idle fields', () => {
    for (const schedule of everySchedule(4, 8)) {
      expect(readSchedule(writeSchedule(schedule, { idle: true }), { name: schedule.name })).toEqual(schedule)
    }
    expect(writeSchedule(makeSchedule('1f1b', { ranks: 2, microbatches: 2 }), { idle: true })).toBe(
      '0F0,0F1,,0B0,,0B1\n,1F0,1B0,1F1,1B1\n',
    )
  })
})

describe('what is refused, with line, rank and action', () => {
  test.each([
    ['', 'BAD_SCHEDULE_CSV', 'The schedule is empty.'],
    ['0F0\n'.repeat(2000), 'BAD_SCHEDULE_CSV', 'The schedule has 2000 lines, more than 1024 ranks.'],
    ['0F0,\u001b[31m', 'BAD_SCHEDULE_CSV', 'action 2: `\uFFFD[31m` is not an action.'],
    ['0F0,0X0', 'BAD_SCHEDULE_CSV', 'line 1 (rank 0), action 2: `0X0` is not an action.'],
    ['0F0,0B', 'BAD_SCHEDULE_CSV', 'line 1 (rank 0), action 2: `0B` is not an action.'],
    ['0F99999999,0B0', 'BAD_SCHEDULE_CSV', 'line 1 (rank 0), action 1: `0F99999999` is not an action.'],
    [
      '0F0,(0B0;0F1)OVERLAP_F_B',
      'BAD_SCHEDULE_CSV',
      'action 2: `(0B0;0F1)OVERLAP_F_B` is not a forward and a backward.',
    ],
    ['(0F0;0B0)OVERLAP_F_B', 'INVALID_SCHEDULE', 'overlaps a forward with its own backward'],
    ['0F0,0B0\n\n1F0,1B0', 'INVALID_SCHEDULE', 'line 2 (rank 1) computes nothing.'],
    [
      '0F0,0B0\n0F1,0B1',
      'INVALID_SCHEDULE',
      'line 2 (rank 1), action 1: 0F1 is of stage 0, which line 1 (rank 0), action 1 has',
    ],
    ['0F0,0F0,0B0', 'INVALID_SCHEDULE', 'line 1 (rank 0), action 2: 0F0 runs a second time.'],
    ['0F0,0B0,0B0', 'INVALID_SCHEDULE', 'line 1 (rank 0), action 3: 0B0 runs a second time.'],
    ['0F0,0I0,0W0,0W0', 'INVALID_SCHEDULE', 'action 4: 0W0 runs a second time.'],
    ['0F0,0I0,0B0,0W0', 'INVALID_SCHEDULE', 'action 3: 0B0 runs a second time.'],
    ['0F1,0I1,0W1,0F0,0B0,0W0', 'INVALID_SCHEDULE', 'action 6: 0W0 repeats what 0B0 did.'],
    ['0B0,0F0', 'INVALID_SCHEDULE', 'line 1 (rank 0), action 1: 0B0 comes before 0F0.'],
    ['0F0,0W0,0I0', 'INVALID_SCHEDULE', 'line 1 (rank 0), action 2: 0W0 comes before 0I0.'],
    ['0F0,0F1,0B0', 'INVALID_SCHEDULE', 'line 1 (rank 0): 0B1 is missing.'],
    ['0F0,0I0,0F1,0B1', 'INVALID_SCHEDULE', 'line 1 (rank 0): 0W0 is missing.'],
    ['0F0,0F1,0B0,0B1\n1F0,1B0', 'INVALID_SCHEDULE', 'line 2 (rank 1): 1F1 is missing.'],
    ['0F9999999,0B9999999', 'INVALID_SCHEDULE', 'line 1 (rank 0): 0F0 is missing.'],
    ['9999999F0,9999999B0', 'INVALID_SCHEDULE', 'Stage 0 has no action'],
    ['0F0,1SEND_F0,0B0', 'INVALID_SCHEDULE', 'action 2: 1SEND_F0 is of a stage that rank 0 does not have.'],
    ['0F0,0SEND_F7,0B0', 'INVALID_SCHEDULE', 'action 2: 0SEND_F7 is of a microbatch that no stage computes.'],
    [
      '0F0,0B0,0F1,0B1\n1F1,1F0,1B1,1B0',
      'DEADLOCK',
      'rank 0 waits at action 2 (0B0) for 1I0 of rank 1; rank 1 waits at action 1 (1F1) for 0F1 of rank 0.',
    ],
  ])('%j', (csv, code, message) => {
    const error = thrown(() => readSchedule(csv))
    expect(error).toMatchObject({ name: 'ShardloomError', code })
    expect(error?.message).toContain(message)
  })

  test('what is not text', () => {
    expect(thrown(() => readSchedule(undefined as never))?.code).toBe('BAD_SCHEDULE_CSV')
  })
})

describe('fuzz: a schedule or a named error, at once, whatever is read', () => {
  const codes = ['BAD_SCHEDULE_CSV', 'INVALID_SCHEDULE', 'DEADLOCK']
  const check = (csv: string) => {
    const error = thrown(() => {
      const lists = readTransferLists(csv)
      timeSchedule(lists.schedule)
      for (const discipline of transferDisciplines) checkTransfers(lists, discipline)
    })
    if (error) expect(error.name, error.message).toBe('ShardloomError')
    if (error) expect(codes).toContain(error.code)
  }

  test('any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), check), { numRuns: 500 })
  })

  test('texts of the right letters', () => {
    const number = fc.oneof(fc.nat(3).map(String), fc.constantFrom('', '9999999', '123456789', '-1', '00'))
    const kind = fc.constantFrom('F', 'I', 'W', 'B', 'BW', 'SEND_F', 'RECV_B', 'RECV_F', 'UNSHARD', 'f', ' ')
    const action = fc.tuple(number, kind, number).map((parts) => parts.join(''))
    const pair = fc.tuple(action, action).map(([a, b]) => `(${a};${b})OVERLAP_F_B`)
    const line = fc.array(fc.oneof({ weight: 8, arbitrary: action }, pair, fc.constant('')), { maxLength: 8 })
    fc.assert(
      fc.property(fc.array(line, { maxLength: 4 }), (lines) =>
        check(lines.map((fields) => fields.join(',')).join('\n')),
      ),
      { numRuns: 1000 },
    )
  })

  test('good schedules and lists with fields swapped, dropped or repeated', () => {
    const texts = everySchedule(4, 8).flatMap((schedule) => [
      writeSchedule(schedule),
      writeTransferLists(sendsAndReceives(schedule)),
      writeTransferLists(programOrder(schedule)),
    ])
    const edit = fc.record({ from: fc.nat(), to: fc.nat(), kind: fc.constantFrom('swap', 'drop', 'repeat') })
    fc.assert(
      fc.property(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 3 }), (text, edits) => {
        const fields = text.split(/(?<=[,\n])/)
        for (const { from, to, kind } of edits) {
          const [a, b] = [from % fields.length, to % fields.length]
          if (kind === 'drop') fields.splice(a, 1)
          else if (kind === 'repeat') fields.splice(b, 0, fields[a] as string)
          else [fields[a], fields[b]] = [fields[b] as string, fields[a] as string]
        }
        check(fields.join(''))
      }),
      { numRuns: 500 },
    )
  })

  // Whatever grew faster than its text would take hours.
  test('a long line of nothing, and many lines', { timeout: 120_000 }, () => {
    check(','.repeat(500_000))
    check('\n'.repeat(200_000))
    check('(('.repeat(100_000))
    check('"'.repeat(200_000))
    check('0F0,'.repeat(100_000))
  })
})
