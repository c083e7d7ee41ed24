import {
  createView,
  type LoadedSpec,
  loadSpec,
  type Plan,
  planLoaded,
  planServingLoaded,
  readSpecText,
  type Simulation,
  servingSpecs,
  simulateLoaded,
} from 'shardloom'
import type { FoldableViews } from '../graph/fold.js'
import type { PlanSource } from './protocol.js'

/** What a plan has come to so far: each thing is made when it is first asked for. */
export interface Known {
  /** The spec of the plan; of serving that of one of its phases. */
  readonly loaded: LoadedSpec
  readonly plan: Plan
  readonly simulation: Simulation
  readonly views: FoldableViews
  /** The views of one rank; undefined: of the whole mesh. */
  readonly viewsOf: (rank: number | undefined) => FoldableViews
}

/** What a text of a spec has come to. */
export interface KnownSpec {
  readonly loaded: LoadedSpec
  /** The plans of its phases: one, or of serving two. */
  readonly plans: readonly Plan[]
  readonly of: (pool: PlanSource['pool']) => Known
}

/** Texts that are remembered: the plan at hand, the one before, and what is compared with them. */
const most = 4
const known = new Map<string, KnownSpec>()

/** Reads and checks a spec; what follows from it is remembered for the last few texts. Throws a ShardloomError. */
export async function knownSpec(text: string): Promise<KnownSpec> {
  const before = known.get(text)
  if (before) {
    known.delete(text)
    known.set(text, before)
    return before
  }
  const given = readSpecText(text)
  const loaded = await loadSpec(given)
  const made = specOf(hasBatch(given) ? loaded : looked(loaded))
  known.set(text, made)
  for (const oldest of known.keys()) if (known.size > most) known.delete(oldest)
  return made
}

/** What is known of one plan. */
export async function knownOf({ text, pool }: PlanSource): Promise<Known> {
  return (await knownSpec(text)).of(pool)
}

const hasBatch = (input: unknown): boolean => typeof input === 'object' && input !== null && 'batch' in input

/** Clients of each engine where the spec does not say, as the simulation of serving has them. */
const usualClients = 16

/**
 * Serving whose batches nobody gave, since its requests make them, with those that its steps are looked at with: a prompt for each engine, and
 * a token of each client.
 */
function looked(loaded: LoadedSpec): LoadedSpec {
  const { spec } = loaded
  const { serving } = spec.options
  if (spec.phase !== 'serving' || serving.prefill.batch !== undefined || serving.decode.batch !== undefined)
    return loaded
  const [prompts, copies] = ([serving.prefill, serving.decode] as const).map(({ parallel }) => {
    const { dp = 1, replicas = 1 } = { ...spec.parallel, ...parallel }
    return dp * replicas
  }) as [number, number]
  // Engines of both divide it.
  const most = Math.max(prompts, copies)
  const unit = most % Math.min(prompts, copies) === 0 ? most : prompts * copies
  const sequences = unit * Math.ceil((serving.load?.clients ?? usualClients * copies) / unit)
  const pools = {
    prefill: { ...serving.prefill, batch: prompts },
    decode: { ...serving.decode, batch: sequences },
  }
  return { ...loaded, spec: { ...spec, options: { ...spec.options, serving: { ...serving, ...pools } } } }
}

function specOf(loaded: LoadedSpec): KnownSpec {
  let served: Readonly<Record<PlanSource['pool'], Known>> | undefined
  let single: Known | undefined
  const serving = () => {
    if (served) return served
    const specs = servingSpecs(loaded)
    let plans: ReturnType<typeof planServingLoaded> | undefined
    const of = (pool: PlanSource['pool']) => lazily(specs[pool], () => (plans ??= planServingLoaded(loaded))[pool])
    return (served = { prefill: of('prefill'), decode: of('decode') })
  }
  const isServing = loaded.spec.phase === 'serving'
  const one = () => (single ??= lazily(loaded, () => planLoaded(loaded)))
  return {
    loaded,
    get plans() {
      return isServing ? [serving().prefill.plan, serving().decode.plan] : [one().plan]
    },
    of: (pool) => (isServing ? serving()[pool] : one()),
  }
}

/** Views of all levels have everything: what is too much is folded later. */
const whole = { nodes: Number.POSITIVE_INFINITY, edges: Number.POSITIVE_INFINITY }

function lazily(loaded: LoadedSpec, make: () => Plan): Known {
  let plan: Plan | undefined
  let simulation: Simulation | undefined
  const views = new Map<number | undefined, FoldableViews>()
  return {
    loaded,
    get plan() {
      return (plan ??= make())
    },
    get simulation() {
      return (simulation ??= simulateLoaded(loaded))
    },
    get views() {
      return this.viewsOf(undefined)
    },
    viewsOf(rank) {
      const before = views.get(rank)
      if (before) return before
      const { program, operators } = this.plan
      const at = (level: keyof FoldableViews) =>
        createView(program, operators, { level, limit: whole, ...(rank !== undefined && { rank }) })
      const made = { phase: at('phase'), layer: at('layer'), module: at('module'), operator: at('operator') }
      views.set(rank, made)
      return made
    },
  }
}
