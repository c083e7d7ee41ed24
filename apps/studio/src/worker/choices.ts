import {
  checkSpec,
  describeModel,
  isShardloomError,
  type LoadedSpec,
  loadSpec,
  planLoaded,
  planServingLoaded,
  readSpecText,
} from 'shardloom'
import { idleAlone } from '../setup/fitting.js'
import type { Choice, Illegal } from './protocol.js'

/** Degrees of which clusters are made. */
const powers = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** What of a model the degrees of an axis may divide, besides powers of two. */
const divided: Readonly<Record<string, 'layers' | 'heads' | 'experts'>> = { pp: 'layers', tp: 'heads', ep: 'experts' }

/** Illegal values in a row, after which no larger one is tried. */
const patience = 3

/**
 * Which values a field may have while all others stay: those with which the spec can be planned. Of those that cannot, what they would
 * need is what the plan says.
 */
export async function choicesOf(text: string, path: string): Promise<Choice> {
  const loaded = await loadSpec(readSpecText(text))
  const [group, name = group] = path.split('.')
  if (group === undefined || name === undefined) return { path, legal: [], illegal: [] }
  const with_ = (value: number): LoadedSpec => {
    const { spec } = loaded
    if (group === name) return { ...loaded, spec: { ...spec, [name]: value } }
    // What says nothing about one rank goes with the others, as where the degree is chosen.
    const { options: usual } = value === 1 ? checkSpec({ model: spec.model }) : spec
    const idle = value === 1 ? (idleAlone[name] ?? []) : []
    const left = idle.map((option) => [option, (usual as Readonly<Record<string, unknown>>)[option]])
    const options = { ...spec.options, ...Object.fromEntries(left) }
    return { ...loaded, spec: { ...spec, options, parallel: { ...spec.parallel, [name]: value } } }
  }
  const legal: number[] = []
  const illegal: Illegal[] = []
  let misses = 0
  for (const value of await candidatesOf(loaded, name)) {
    const problem = problemOf(with_(value))
    if (!problem) {
      legal.push(value)
      misses = 0
    } else {
      illegal.push({ value, ...problem })
      if (++misses >= patience && powers.includes(value)) break
    }
  }
  return { path, legal, illegal }
}

/** Values worth a try, ascending: powers of two, and what divides the layers, heads or experts. */
async function candidatesOf({ spec }: LoadedSpec, name: string): Promise<number[]> {
  const whole = (await describeModel(spec.model))[divided[name] ?? 'layers'] ?? 1
  const dividing = divided[name]
    ? Array.from({ length: whole }, (_, at) => at + 1).filter((each) => whole % each === 0)
    : []
  return [...new Set([...powers, ...dividing, spec.parallel[name] ?? 1])].sort((a, b) => a - b)
}

function problemOf(loaded: LoadedSpec): Pick<Illegal, 'message' | 'help'> | undefined {
  try {
    if (loaded.spec.phase === 'serving') planServingLoaded(loaded)
    else planLoaded(loaded)
    return undefined
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return { message: error.message, ...(error.help !== undefined && { help: error.help }) }
  }
}
