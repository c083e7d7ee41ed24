import { B, F, I, kinds, W } from './action.js'
import { ScheduleError } from './error.js'

/** One action as it was read, with its place. */
export interface Entry {
  readonly rank: number
  /** The number of its field on the line, from 1. */
  readonly column: number
  readonly kind: number
  readonly stage: number
  readonly microbatch: number
  /** Whether it overlaps with the entry after it. */
  readonly overlaps?: boolean
  /** Whether it was written as BW, which only older files do. */
  readonly legacyFull?: boolean
}

/** What the actions of all ranks say about the pipeline. */
export interface Shape {
  readonly stageRanks: Int32Array
  readonly directions: 1 | 2
  readonly microbatches: number
}

/** `line 2 (rank 1), action 7`: ranks count from 0, lines and fields from 1. */
export function whereIs({ rank, column }: Pick<Entry, 'rank' | 'column'>): string {
  return `line ${rank + 1} (rank ${rank}), action ${column}`
}

const nameOf = ({ stage, kind, microbatch }: Pick<Entry, 'stage' | 'kind' | 'microbatch'>) =>
  `${stage}${kinds[kind]}${microbatch}`

function invalid(entry: Entry, message: string, help: string): ScheduleError {
  return new ScheduleError('INVALID_SCHEDULE', `${whereIs(entry)}: ${nameOf(entry)} ${message}.`, {
    subject: nameOf(entry),
    help,
  })
}

/**
 * Checks the rules that concern one rank at a time: a stage belongs to one rank; per (stage, microbatch) F once, then
 * either B, or I and later W. Memory and time are linear in the number of entries, whatever numbers they carry.
 */
export function checkRules(entries: readonly Entry[], ranks: number): Shape {
  const owners = new Map<number, Entry>()
  /** Per (stage, microbatch) the kinds that have run, as bits. */
  const seen = new Map<number, number>()
  let mostMicrobatch = -1
  const byRank = new Int32Array(ranks)
  for (const entry of entries) {
    const { rank, kind, stage, microbatch } = entry
    if (kind > B) continue
    byRank[rank] = (byRank[rank] as number) + 1
    const owner = owners.get(stage)
    if (!owner) owners.set(stage, entry)
    else if (owner.rank !== rank) {
      throw invalid(
        entry,
        `is of stage ${stage}, which ${whereIs(owner)} has on rank ${owner.rank}`,
        'A stage belongs to one rank.',
      )
    }
    const key = keyOf(stage, microbatch)
    const before = seen.get(key) ?? 0
    const again = before & (1 << kind) || ((kind === I || kind === B) && before & ((1 << I) | (1 << B)))
    if (again)
      throw invalid(
        entry,
        'runs a second time',
        'Each stage runs each of F, I and W once per microbatch; B is both I and W.',
      )
    if (kind !== F && !(before & (1 << F))) {
      throw invalid(
        entry,
        `comes before ${stage}F${microbatch}`,
        'A backward needs what its own forward saved: put the forward before it.',
      )
    }
    if (kind === W && !(before & (1 << I))) {
      const message =
        before & (1 << B) ? `repeats what ${stage}B${microbatch} did` : `comes before ${stage}I${microbatch}`
      throw invalid(entry, message, 'A weight gradient follows the input gradient of its stage and microbatch.')
    }
    seen.set(key, before | (1 << kind))
    mostMicrobatch = Math.max(mostMicrobatch, microbatch)
  }
  const idle = byRank.indexOf(0)
  if (idle >= 0) {
    throw new ScheduleError('INVALID_SCHEDULE', `line ${idle + 1} (rank ${idle}) computes nothing.`, {
      help: 'Write one line per rank, and no other lines.',
    })
  }
  const stageRanks = Int32Array.from({ length: owners.size }, (_, stage) => owners.get(stage)?.rank ?? -1)
  const absent = stageRanks.indexOf(-1)
  if (absent >= 0) {
    throw new ScheduleError('INVALID_SCHEDULE', `Stage ${absent} has no action, and there is one of a later stage.`, {
      help: 'Number the stages from 0 without gaps.',
    })
  }
  const shape = {
    stageRanks,
    directions: directionsOf(seen, owners.size, mostMicrobatch + 1),
    microbatches: mostMicrobatch + 1,
  }
  checkComplete(seen, shape)
  for (const entry of entries) if (entry.kind > B) checkTransfer(entry, shape)
  return shape
}

/** Two where the first half of the stages sees the first half of the microbatches, and the second half the others. */
function directionsOf(seen: Map<number, number>, stages: number, microbatches: number): 1 | 2 {
  if (stages % 2 || microbatches % 2) return 1
  for (const key of seen.keys()) {
    const { stage, microbatch } = fromKey(key)
    if (stage < stages / 2 !== microbatch < microbatches / 2) return 1
  }
  return 2
}

/** Every stage must have run every microbatch that it sees, forward and backward. */
function checkComplete(seen: Map<number, number>, { stageRanks, directions, microbatches }: Shape): void {
  const perStage = microbatches / directions
  const missing = (stage: number, microbatch: number, kind: string) => {
    const rank = stageRanks[stage] as number
    return new ScheduleError(
      'INVALID_SCHEDULE',
      `line ${rank + 1} (rank ${rank}): ${stage}${kind}${microbatch} is missing.`,
      {
        subject: `${stage}${kind}${microbatch}`,
        help: `Each stage runs F, and B or I and W, for each of ${perStage} microbatches.`,
      },
    )
  }
  // The first cell that is missing comes after at most as many as there are.
  for (let stage = 0; stage < stageRanks.length; stage++) {
    const first = directions === 2 && stage >= stageRanks.length / 2 ? perStage : 0
    for (let microbatch = first; microbatch < first + perStage; microbatch++) {
      const bits = seen.get(keyOf(stage, microbatch)) ?? 0
      if (!(bits & (1 << F))) throw missing(stage, microbatch, 'F')
      if (!(bits & ((1 << I) | (1 << B)))) throw missing(stage, microbatch, 'B')
      if (bits & (1 << I) && !(bits & (1 << W))) throw missing(stage, microbatch, 'W')
    }
  }
}

function checkTransfer(entry: Entry, { stageRanks, microbatches }: Shape): void {
  if (stageRanks[entry.stage] !== entry.rank) {
    throw invalid(
      entry,
      `is of a stage that rank ${entry.rank} does not have`,
      'Name a transfer by the stage of its own rank.',
    )
  }
  if (entry.microbatch >= microbatches) {
    throw invalid(entry, 'is of a microbatch that no stage computes', `Microbatches go from 0 to ${microbatches - 1}.`)
  }
}

/** Both numbers have at most seven digits. */
const keyOf = (stage: number, microbatch: number) => stage * 10_000_000 + microbatch
const fromKey = (key: number) => ({ stage: Math.floor(key / 10_000_000), microbatch: key % 10_000_000 })
