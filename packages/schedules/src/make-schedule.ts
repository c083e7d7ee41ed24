import { MOST_CELLS, MOST_RANKS } from './action.js'
import { quote, ScheduleError } from './error.js'
import { controllableMemory } from './families/controllable-memory.js'
import { dualPipe, dualPipeV } from './families/dualpipe.js'
import { interleaved, interleavedZeroBubble } from './families/interleaved.js'
import { loopedBreadthFirst } from './families/looped-bfs.js'
import { gpipe, oneForwardOneBackward } from './families/sequential.js'
import { zeroBubbleH2 } from './families/zero-bubble-h2.js'
import { zeroBubbleV } from './families/zero-bubble-v.js'
import type { Schedule } from './schedule.js'

/** What a schedule is made for. */
export interface ScheduleOptions {
  /** p: how many ranks the pipeline has. */
  readonly ranks: number
  /** m: how many microbatches a step has, of both directions together. */
  readonly microbatches: number
  /** v: how many chunks each rank holds, where a schedule leaves it open; default 2 there. */
  readonly virtual?: number
  /**
   * How many consecutive microbatches an interleaved rank takes through one chunk before the next (Megatron's
   * `microbatch_group_size_per_vp_stage`); default the smallest that works, which is p when p divides m.
   */
  readonly group?: number
}

interface Entry {
  readonly make: (p: number, m: number, v: number, g: number) => Schedule
  /** Chunks per rank: as many as stand here, or any number from `atLeast` on. */
  readonly chunks: number | { readonly atLeast: number }
  /** Which schedule to take instead, for another number of chunks. */
  readonly otherwise?: string
  /** Whether it takes `group`. */
  readonly grouped?: true
  /** Why p and m do not go together, and what would work. */
  readonly refuses?: (p: number, m: number) => readonly [reason: string, help: string] | undefined
  /** Other spellings, in lower case without spaces, `-` and `_`. */
  readonly spellings: readonly string[]
}

const longEnough = (p: number, m: number): readonly [string, string] | undefined =>
  m < 2 * p
    ? [`it has ${m} microbatches for ${p} ranks, and needs two per rank`, `Use ${2 * p} microbatches or more.`]
    : undefined

const entries: Readonly<Record<string, Entry>> = {
  gpipe: { make: gpipe, chunks: 1, otherwise: 'loopedbfs', spellings: ['allforwardallbackward', 'afab', 'fthenb'] },
  '1f1b': {
    make: oneForwardOneBackward,
    chunks: 1,
    otherwise: 'interleaved1f1b',
    spellings: ['oneforwardonebackward', 'pipedreamflush', 'dapple'],
  },
  interleaved1f1b: {
    make: interleaved,
    chunks: { atLeast: 2 },
    otherwise: '1f1b',
    grouped: true,
    spellings: ['interleaved', '1f1binterleaved', 'vpp', 'virtualpipeline'],
  },
  loopedbfs: {
    make: loopedBreadthFirst,
    chunks: { atLeast: 1 },
    spellings: ['bfs', 'breadthfirst', 'breadthfirstpipeline', 'loopedbreadthfirst'],
  },
  zbh1: {
    make: (p, m) => interleavedZeroBubble('zbh1', p, m, 1, m),
    chunks: 1,
    otherwise: 'interleaved-zb1p',
    spellings: ['zb1p', 'zerobubbleh1', 'zerobubble1p', 'zerobubble'],
  },
  zbh2: {
    make: zeroBubbleH2,
    chunks: 1,
    otherwise: 'interleaved-zb1p',
    spellings: ['zb2p', 'zerobubbleh2', 'zerobubble2p'],
  },
  'interleaved-zb1p': {
    make: (p, m, v, g) => interleavedZeroBubble('interleaved-zb1p', p, m, v, g),
    chunks: { atLeast: 2 },
    otherwise: 'zbh1',
    grouped: true,
    spellings: ['interleavedzbh1', 'interleavedzerobubble', 'interleavedzb', 'zb1pinterleaved'],
  },
  zbv: { make: zeroBubbleV, chunks: 2, spellings: ['zbvzerobubble', 'zerobubblev', 'zbvtorch'] },
  vhalf: { make: (p, m) => controllableMemory('vhalf', p, m), chunks: 2, spellings: ['zbvhalf'] },
  vmin: { make: (p, m) => controllableMemory('vmin', p, m), chunks: 2, spellings: ['zbvmin'] },
  dualpipe: {
    make: dualPipe,
    chunks: 2,
    spellings: [],
    refuses: (p, m) => {
      if (p % 2) return [`${p} ranks cannot be halved between two directions`, `Use ${p + 1} ranks, or dualpipev.`]
      if (m % 2)
        return [
          `${m} microbatches cannot be halved between two directions`,
          `Use ${Math.max(2 * p, m + 1)} microbatches.`,
        ]
      return longEnough(p, m)
    },
  },
  dualpipev: { make: dualPipeV, chunks: 2, spellings: ['cutinhalf'], refuses: longEnough },
}

const simplify = (name: string) =>
  name
    .toLowerCase()
    .replace(/^schedule(?=.)/, '')
    .replace(/[\s_-]/g, '')

/** The schedules that {@link makeSchedule} knows, by their own names. */
export function scheduleNames(): string[] {
  return Object.keys(entries)
}

/**
 * The own name of a schedule that may be spelled another way, such as `zb-h1`, `ZB1P`, `vpp`, `bfs` or `1F1B`, or
 * undefined when there is none of that name.
 */
export function resolveScheduleName(name: string): string | undefined {
  if (typeof name !== 'string' || name.length > 64) return undefined
  const simple = simplify(name)
  return Object.keys(entries).find((own) => simplify(own) === simple || entries[own]?.spellings.includes(simple))
}

/**
 * Makes a schedule by its name. Throws `UNKNOWN_SCHEDULE`, or `BAD_SCHEDULE_SIZE` for a number of ranks, microbatches,
 * chunks or a group that the schedule cannot take, saying which it can.
 */
export function makeSchedule(name: string, options: ScheduleOptions): Schedule {
  const own = resolveScheduleName(name)
  const entry = own === undefined ? undefined : entries[own]
  if (own === undefined || !entry) {
    throw new ScheduleError('UNKNOWN_SCHEDULE', `There is no schedule ${quote(name)}.`, {
      subject: 'schedule',
      help: `Use one of ${scheduleNames().join(', ')}.`,
    })
  }
  const p = counted(own, 'ranks', options?.ranks, MOST_RANKS)
  const m = counted(own, 'microbatches', options.microbatches)
  const v = chunksOf(own, entry, options.virtual)
  if (p * v * m > MOST_CELLS) {
    throw new ScheduleError(
      'BAD_SCHEDULE_SIZE',
      `${own} of ${p} ranks, ${v} chunks per rank and ${m} microbatches has more than ${MOST_CELLS} (stage, microbatch) pairs.`,
      { subject: 'microbatches', help: 'Use fewer microbatches: a schedule repeats after the first few of them.' },
    )
  }
  const refused = entry.refuses?.(p, m)
  if (refused) {
    throw new ScheduleError('BAD_SCHEDULE_SIZE', `Cannot make ${own}: ${refused[0]}.`, {
      subject: 'ranks',
      help: refused[1],
    })
  }
  return entry.make(p, m, v, groupOf(own, entry, p, m, options.group))
}

function counted(schedule: string, option: string, value: unknown, most = MOST_CELLS): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new ScheduleError('BAD_SCHEDULE_SIZE', `Cannot make ${schedule}: ${option} is ${quote(value)}.`, {
    subject: option,
    help: `Give ${option} as a whole number from 1 to ${most}.`,
  })
}

function chunksOf(own: string, { chunks, otherwise }: Entry, virtual: number | undefined): number {
  const fixed = typeof chunks === 'number'
  if (virtual === undefined) return fixed ? chunks : 2
  const v = counted(own, 'virtual', virtual)
  if (fixed ? v === chunks : v >= chunks.atLeast) return v
  const takes = fixed ? `has exactly ${chunks}` : `needs at least ${chunks.atLeast}`
  throw new ScheduleError('BAD_SCHEDULE_SIZE', `Cannot make ${own} with ${v} chunks per rank: it ${takes}.`, {
    subject: 'virtual',
    help: `Use virtual ${fixed ? chunks : chunks.atLeast}${otherwise ? `, or the schedule ${otherwise}` : ''}.`,
  })
}

/** A group works when every group, also the last, keeps all ranks busy, or when there is only one. */
function groupWorks(p: number, m: number, g: number): boolean {
  return g === m || (g >= p && g < m && (m % g === 0 || m % g >= p))
}

function groupOf(own: string, { grouped }: Entry, p: number, m: number, group: number | undefined): number {
  if (group !== undefined) {
    if (!grouped) {
      const takers = scheduleNames().filter((name) => entries[name]?.grouped)
      throw new ScheduleError('BAD_SCHEDULE_SIZE', `Cannot make ${own} with a group: it has no groups.`, {
        subject: 'group',
        help: `Leave the group out; ${takers.join(' and ')} take one.`,
      })
    }
    const g = counted(own, 'group', group)
    if (groupWorks(p, m, g)) return g
  } else {
    for (let g = Math.min(p, m); g < m; g++) if (groupWorks(p, m, g)) return g
    return m
  }
  const working: number[] = []
  for (let g = Math.min(p, m); g <= m && working.length < 8; g++) if (groupWorks(p, m, g)) working.push(g)
  throw new ScheduleError(
    'BAD_SCHEDULE_SIZE',
    `Cannot make ${own} of ${p} ranks and ${m} microbatches in groups of ${group}: a group smaller than the ranks ` +
      'lets them wait for each other.',
    { subject: 'group', help: `Use a group of ${working.join(', ')}${working.at(-1) === m ? '' : ', …'}.` },
  )
}
