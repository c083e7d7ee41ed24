import { ShardloomError } from '@shardloom/core'
import { checkSpec } from '../parse-spec.js'
import type { PlannedSpec } from '../sequence.js'

/** Fields of a spec, each taken by who can say it; what nobody takes and is not the default cannot be said. */
export interface SpecReader {
  /** The value at a path such as `options.zero`, which is thereby said. */
  readonly take: (path: string) => unknown
  /** The same of a number. */
  readonly number: (path: string) => number
  /** The same of a degree in `parallel`. */
  readonly degree: (axis: string) => number
  /** Throws `LAUNCHER`: a value that the launcher cannot say, why not, and what it can. */
  readonly refuse: (path: string, why: string, help: string) => never
  /** Something that gets lost without harm. */
  readonly note: (text: string) => void
}

/** What is about Shardloom's figures or the hardware: no launcher has to know. */
const own = ['schema', 'preset', 'model', 'cluster', 'plugins', 'order']
const figures = ['reserveBytes', 'tokens', 'pricePerRankHour', 'options.causal', 'options.engine', 'options.efficiency']

/** A reader, and the end of reading: what was noted. `finish` throws `LAUNCHER` for a field that was not taken. */
export function specReader(spec: PlannedSpec, title: string) {
  const values = leavesOf(spec)
  const defaults = leavesOf(checkSpec({ model: '' }))
  const taken = new Set<string>()
  const notes: string[] = []
  const take = (path: string) => {
    taken.add(path)
    return values.get(path)
  }
  const number = (path: string) => {
    const value = take(path)
    if (typeof value !== 'number') throw new Error(`internal error: ${path} is no number`)
    return value
  }
  const refuse = (path: string, why: string, help: string): never => {
    throw new ShardloomError('LAUNCHER', `\`${path}\` is ${JSON.stringify(valueAt(spec, path))}: ${why}.`, {
      subject: path,
      help,
    })
  }
  const reader: SpecReader = {
    take,
    number,
    degree: (axis) => number(`parallel.${axis}`),
    refuse,
    note: (text) => notes.push(text),
  }
  const said = (path: string) => [...own, ...figures].some((each) => path === each || path.startsWith(`${each}.`))
  const finish = (harmless: readonly string[] = []): readonly string[] => {
    const lost: string[] = []
    for (const [path, value] of values) {
      if (taken.has(path) || JSON.stringify(defaults.get(path)) === JSON.stringify(value)) continue
      if (harmless.some((each) => path.startsWith(each)) || figures.some((each) => path.startsWith(each)))
        lost.push(path)
      else if (!said(path)) {
        const [section = ''] = path.split('.')
        const known = [...taken].filter((each) => each.startsWith(`${section}.`)).map((each) => `\`${each}\``)
        refuse(path, `${title} has nothing to say that with`, `Leave it out. It can say ${known.join(', ')}.`)
      }
    }
    if (lost.length > 0) notes.push(`nothing there says ${lost.map((path) => `\`${path}\``).join(', ')}`)
    return notes
  }
  return { reader, finish, say: (path: string) => taken.add(path), paths: [...values.keys()] }
}

/** The value at a path, with all that is below it. */
export function valueAt(spec: unknown, path: string): unknown {
  const at = (value: unknown, key: string) => (value as Record<string, unknown> | null | undefined)?.[key]
  return path.split('.').reduce(at, spec)
}

/** The values of a spec by path; lists are values. */
function leavesOf(value: unknown, path = ''): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return new Map([[path, value]])
  const below = Object.entries(value).flatMap(([key, each]) => [...leavesOf(each, path ? `${path}.${key}` : key)])
  return new Map(below)
}

/** Throws `LAUNCHER` where ranks would lie otherwise than in one of the orders that the launcher has; tells which it is. */
export function orderAmong(
  { order, parallel }: PlannedSpec,
  title: string,
  orders: readonly (readonly string[])[],
): number {
  const used = (axes: readonly string[]) => axes.filter((axis) => (parallel[axis] ?? 1) > 1).join(', ')
  const found = orders.findIndex((axes) => used(axes) === used(order.filter((axis) => axes.includes(axis))))
  if (found >= 0) return found
  throw new ShardloomError('LAUNCHER', `\`order\` is ${used(order)}: ${title} lays its ranks otherwise.`, {
    subject: 'order',
    help: `From innermost to outermost it has ${orders.map((axes) => `[${axes.join(', ')}]`).join(' or ')}.`,
  })
}
