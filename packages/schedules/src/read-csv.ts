import { B, F, I, kinds, MOST_CELLS, MOST_RANKS, OVERLAP, pack, W } from './action.js'
import { quote, ScheduleError } from './error.js'
import type { Schedule } from './schedule.js'
import { simulate } from './simulate.js'
import type { TransferLists } from './transfers.js'
import { checkRules, type Entry, whereIs } from './validate.js'

/** What a CSV does not say. */
export interface ReadOptions {
  /** The name of the schedule that is read; default `custom`. */
  readonly name?: string
}

const actionPattern = /^(\d{1,7})(F|I|W|BW|B|SEND_F|RECV_F|SEND_B|RECV_B|UNSHARD|RESHARD|REDUCE_GRAD)(\d{0,7})$/
const pairPattern = /^\(([^();]{1,32});([^();]{1,32})\)OVERLAP_F_B$/
const withoutMicrobatch = /^(UNSHARD|RESHARD|REDUCE_GRAD)$/

/**
 * Reads a schedule in PyTorch's form: one line per rank, one action per field, an empty field is idle. Files of older
 * versions, which write B for an input gradient and BW for a full backward, are recognised. Actions that gather or reduce
 * parameters and those that send or receive are left out; {@link readTransferLists} keeps the latter.
 *
 * The rules are checked: every stage belongs to one rank and runs F once for each of its microbatches, then either B, or
 * I and later W; and the ranks do not wait for each other for ever. Errors name line, rank and action: `BAD_SCHEDULE_CSV`
 * for what cannot be read, `INVALID_SCHEDULE` for a broken rule, `DEADLOCK`.
 */
export function readSchedule(text: string, options: ReadOptions = {}): Schedule {
  return readTransferLists(text, options).schedule
}

/** Like {@link readSchedule}, and keeps the sends and receives of the text as lists that can be checked. */
export function readTransferLists(text: string, options: ReadOptions = {}): TransferLists {
  const rows = parseRows(text)
  const entries = rows.flat()
  const { stageRanks, directions, microbatches } = checkRules(entries, rows.length)
  if (stageRanks.length * microbatches > MOST_CELLS) {
    throw new ScheduleError('BAD_SCHEDULE_CSV', `The schedule has more than ${MOST_CELLS} (stage, microbatch) pairs.`)
  }
  const code = ({ kind, stage, microbatch, overlaps }: Entry) =>
    pack(kind, stage, microbatch, microbatches) | (overlaps ? OVERLAP : 0)
  const lists = rows.map((row) => Int32Array.from(row, code))
  const orders = lists.map((list) => list.filter((each) => (each & 7) <= B))
  const perRank = new Int32Array(rows.length)
  for (const rank of stageRanks) perRank[rank] = (perRank[rank] as number) + 1
  const schedule: Schedule = {
    name: options.name ?? 'custom',
    ranks: rows.length,
    microbatches,
    virtual: perRank.reduce((most, count) => Math.max(most, count), 0),
    directions,
    stageRanks,
    orders,
  }
  simulate(schedule, { action: () => 1, pair: () => 1, send: 0 })
  return { schedule, lists }
}

function parseRows(text: string): Entry[][] {
  if (typeof text !== 'string') {
    throw new ScheduleError('BAD_SCHEDULE_CSV', 'The schedule is not text.', { help: 'Give the text of a CSV file.' })
  }
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  while (lines.length > 0 && lines.at(-1)?.trim() === '') lines.pop()
  if (lines.length === 0) {
    throw new ScheduleError('BAD_SCHEDULE_CSV', 'The schedule is empty.', {
      help: 'Write one line per rank, such as `0F0,0F1,0B0,0B1`.',
    })
  }
  if (lines.length > MOST_RANKS) {
    throw new ScheduleError(
      'BAD_SCHEDULE_CSV',
      `The schedule has ${lines.length} lines, more than ${MOST_RANKS} ranks.`,
      {
        help: 'Write one line per rank.',
      },
    )
  }
  const rows = lines.map(parseRow)
  const entries = rows.flat()
  const legacy =
    entries.some(({ legacyFull }) => legacyFull) ||
    (entries.some(({ kind }) => kind === W) && !entries.some(({ kind }) => kind === I))
  if (!legacy) return rows
  const renamed = ({ legacyFull, ...entry }: Entry): Entry => ({
    ...entry,
    kind: legacyFull ? B : entry.kind === B ? I : entry.kind,
  })
  return rows.map((row) => row.map(renamed))
}

function parseRow(line: string, rank: number): Entry[] {
  const row: Entry[] = []
  let column = 0
  for (const field of line.split(',')) {
    column++
    const text = field
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .trim()
    if (text === '') continue
    const place = { rank, column }
    const pair = pairPattern.exec(text)
    if (!pair) {
      const action = parseAction(text, place)
      if (action) row.push(action)
      continue
    }
    const forward = parseAction(pair[1] as string, place)
    const backward = parseAction(pair[2] as string, place)
    if (forward?.kind !== F || (backward?.kind !== B && backward?.kind !== I)) {
      throw new ScheduleError(
        'BAD_SCHEDULE_CSV',
        `${whereIs(place)}: ${quote(text)} is not a forward and a backward.`,
        {
          help: 'Write an overlapped pair as `(0F7;7B3)OVERLAP_F_B`, the forward first.',
        },
      )
    }
    if (forward.stage === backward.stage && forward.microbatch === backward.microbatch) {
      throw new ScheduleError(
        'INVALID_SCHEDULE',
        `${whereIs(place)}: ${quote(text)} overlaps a forward with its own backward, which needs its result.`,
      )
    }
    row.push({ ...forward, overlaps: true }, backward)
  }
  return row
}

/** One action, or undefined for one that computes and transfers nothing. */
function parseAction(text: string, place: { rank: number; column: number }): Entry | undefined {
  const match = actionPattern.exec(text)
  const kind = match?.[2] as string
  if (!match || (match[3] === '' && !withoutMicrobatch.test(kind))) {
    throw new ScheduleError('BAD_SCHEDULE_CSV', `${whereIs(place)}: ${quote(text)} is not an action.`, {
      help: `Write <stage><kind><microbatch>, such as \`3F0\`, with a kind of ${kinds.join(', ')}.`,
    })
  }
  if (withoutMicrobatch.test(kind)) return undefined
  const number = kind === 'BW' ? B : kinds.indexOf(kind as (typeof kinds)[number])
  const entry = { ...place, kind: number, stage: Number(match[1]), microbatch: Number(match[3]) }
  return kind === 'BW' ? { ...entry, legacyFull: true } : entry
}
