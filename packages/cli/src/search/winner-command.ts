import { checkSpec, type LoadedSpec, type SpecInput, specFields } from 'shardloom'
import { isFields } from '../fields.js'
import { camel, type Flags, shellWord, specArguments } from '../spec-flags.js'

/**
 * The command that simulates a candidate: what this call was given of the spec, and what the candidate has chosen. Undefined where
 * flags cannot say it, such as for what comes from standard input.
 */
export function winnerCommand(
  specPath: string | undefined,
  flags: Flags,
  { spec: given }: LoadedSpec,
  candidate: SpecInput,
): string | undefined {
  if (specPath === '-' || /:\s*-\s*$/.test(String(flags.import ?? ''))) return undefined
  const { model: _, cluster: __, plugins: ___, seq: ____, ...chosen } = checkSpec(candidate)
  const isTold = flags.import !== undefined && given.phase === 'training'
  const sets = differences(isTold ? withoutDerived(given) : given, chosen, [])
  if (!sets) return undefined
  const replaced = new Set(sets.flatMap(([flag]) => (flag === '--set' ? [] : [camel(flag.slice(2))])))
  const kept = Object.fromEntries(Object.entries(flags).filter(([name]) => !replaced.has(name)))
  const own = [...(specPath === undefined ? [] : [specPath]), ...specArguments(kept)]
  return ['shardloom simulate', ...[...own, ...sets.flat()].map(shellWord)].join(' ')
}

/** The spec without what a launcher's text may leave to degrees that are chosen: the command has to say that itself. */
function withoutDerived({ batch: _, parallel, options, ...rest }: LoadedSpec['spec']): unknown {
  const { dp: __, ...degrees } = parallel
  const { zero: ___, recompute: ____, ...others } = options
  return { ...rest, parallel: degrees, options: others }
}

/** A flag and its value. */
type Setting = readonly [string, string]

/** The flags of fields that `after` has otherwise than `before`; undefined where one would have to be taken away. */
function differences(before: unknown, after: unknown, path: readonly string[]): Setting[] | undefined {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  if (after === undefined) return undefined
  if (!isFields(after) || !isFields(before ?? {})) return [settingOf(path, after)]
  const was = Object(before) as Readonly<Record<string, unknown>>
  const keys = path.length === 0 ? Object.keys(after) : [...new Set([...Object.keys(was), ...Object.keys(after)])]
  const found = keys.map((key) => differences(was[key], after[key], [...path, key]))
  return found.every((each) => each !== undefined) ? found.flat() : undefined
}

function settingOf(path: readonly string[], value: unknown): Setting {
  const field = path.join('.')
  const flag = fields.get(field)
  if (field === 'order' && Array.isArray(value)) return ['--order', value.join(',')]
  return flag === undefined || isFields(value)
    ? ['--set', `${field}=${JSON.stringify(value)}`]
    : [`--${flag}`, String(value)]
}

const fields = new Map(specFields().map(({ path, flag }) => [path.join('.'), flag]))
