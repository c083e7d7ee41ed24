import { rankCorrelation } from './tau.js'

/** A value that was measured, with what the simulator says of it. `error` is predicted over measured, less 1. */
export interface Predicted {
  readonly source: string
  /** What it is summed up with. */
  readonly table: string
  readonly model: string
  readonly hardware: string
  readonly metric: string
  readonly unit: string
  readonly measured: number
  readonly predicted: number
  readonly error: number
  /** What kind of quantity the metric is: each has a summary of its own. */
  readonly family: string
  /** How it was run. */
  readonly layout: string
  /** The configuration: values of one configuration and family count once. */
  readonly configuration: string
  /** Fields that the source's reader recalled; the row itself, where it was not seen. */
  readonly recalled: readonly string[]
}

/** A row that is not predicted as it stands. Where only choices of its runner are open, `predicted` is the fastest that fits. */
export interface Listed {
  readonly source: string
  readonly model: string
  readonly hardware: string
  readonly metric: string
  readonly unit: string
  readonly lacks: readonly string[]
  readonly chosen?: string
  readonly measured?: number
  readonly predicted?: number
  readonly error?: number
}

/** How values of one table and family came out. Errors are shares; n counts configurations, not repeated rows. */
export interface Summary {
  readonly table: string
  readonly family: string
  /** Whether the rows say everything, or the fastest choice that fits stands in for what they leave open. */
  readonly open: boolean
  readonly n: number
  readonly rows: number
  /** Of how many configurations a row is one that constants were fitted to: its error is in-sample. */
  readonly fitted: number
  /** Mean size of errors: of each configuration that of its rows, so that errors of opposite sign do not cancel. */
  readonly meanError: number
  /** Mean of errors with their signs. */
  readonly bias: number
  /** The error of the row that is furthest off. */
  readonly worst: number
  /** Kendall's τ over `pairs` pairs whose measured values differ by more than `tie`; null without any. */
  readonly tau: number | null
  readonly pairs: number
  /** The error that the model states for such rows. */
  readonly statedError: number
  /** The share that values differ by at least where they are put in order: the stated error, or the mean error where that is more. */
  readonly tie: number
  /** Why rows of the table miss. */
  readonly remark?: string
}

/** The rows of one kind of measurement. */
export interface Section {
  readonly rows: readonly Predicted[]
  readonly listed: readonly Listed[]
  readonly summary: readonly Summary[]
}

/** A predicted value with what its summary needs. */
export interface Entry extends Predicted {
  readonly open: boolean
  /** Whether a constant was fitted to it. */
  readonly isFitted: boolean
  readonly statedError: number
  readonly remark?: string | undefined
}

/** The value without what only its summary needs. */
export function predictedOf({ open: _, isFitted: __, statedError: ___, remark: ____, ...rest }: Entry): Predicted {
  return rest
}

/** Sums up by table and family, rows that leave something open apart. */
export function summarise(entries: readonly Entry[]): Summary[] {
  const groups = new Map<string, Entry[]>()
  for (const entry of entries) {
    const key = JSON.stringify([entry.table, entry.family, entry.open])
    groups.set(key, [...(groups.get(key) ?? []), entry])
  }
  return [...groups.values()].map((group): Summary => {
    const [first] = group as [Entry, ...Entry[]] // a group has an entry
    const { table, family, open, statedError, remark } = first
    const configurations = new Map<string, Entry[]>()
    for (const entry of group) {
      const key = `${entry.configuration} ${entry.metric.replace(/.*(forward|backward).*|.*/, '$1')}`
      configurations.set(key, [...(configurations.get(key) ?? []), entry])
    }
    const errorsOf = [...configurations.values()].map((list) => list.map(({ error }) => error))
    const meanError = mean(errorsOf.map((errors) => mean(errors.map(Math.abs))))
    const tie = Math.max(statedError, meanError)
    const { tau, pairs } = rankCorrelation(group, tie)
    return {
      table,
      family,
      open,
      n: configurations.size,
      rows: group.length,
      fitted: [...configurations.values()].filter((list) => list.some(({ isFitted }) => isFitted)).length,
      meanError,
      bias: mean(errorsOf.map(mean)),
      worst: errorsOf.flat().reduce((most, each) => (Math.abs(each) > Math.abs(most) ? each : most), 0),
      tau,
      pairs,
      statedError,
      tie,
      ...(remark !== undefined && { remark }),
    }
  })
}

/** A section of rows that no constant was fitted to, and that no remark was written about. */
export function asOwn({ rows, listed, summary }: Section): Section {
  return { rows, listed, summary: summary.map(({ remark: _, ...each }) => ({ ...each, fitted: 0 })) }
}

const mean = (list: readonly number[]) => list.reduce((sum, each) => sum + each, 0) / list.length
