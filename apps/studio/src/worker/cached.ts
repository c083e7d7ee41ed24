import {
  createView,
  type LoadedSpec,
  loadSpec,
  type Plan,
  planLoaded,
  planServingLoaded,
  readSpecText,
  type Simulation,
  simulateLoaded,
} from 'shardloom'
import type { FoldableViews } from '../graph/fold.js'

/** What a text of a spec has come to so far: each thing is made when it is first asked for. */
export interface Known {
  readonly loaded: LoadedSpec
  /** The plans of its phases: one, or of serving two. */
  readonly plans: readonly Plan[]
  readonly plan: Plan
  readonly simulation: Simulation
  readonly views: FoldableViews
  /** The views of one rank; undefined: of the whole mesh. */
  readonly viewsOf: (rank: number | undefined) => FoldableViews
}

/** Texts that are remembered: the plan at hand, the one before, and what is compared with them. */
const most = 4
const known = new Map<string, Known>()

/** Reads and checks a spec; what follows from it is remembered for the last few texts. Throws a ShardloomError. */
export async function knownOf(text: string): Promise<Known> {
  const before = known.get(text)
  if (before) {
    known.delete(text)
    known.set(text, before)
    return before
  }
  const made = lazily(await loadSpec(readSpecText(text)))
  known.set(text, made)
  for (const oldest of known.keys()) if (known.size > most) known.delete(oldest)
  return made
}

/** Views of all levels have everything: what is too much is folded later. */
const whole = { nodes: Number.POSITIVE_INFINITY, edges: Number.POSITIVE_INFINITY }

function lazily(loaded: LoadedSpec): Known {
  let plans: readonly Plan[] | undefined
  let simulation: Simulation | undefined
  const views = new Map<number | undefined, FoldableViews>()
  return {
    loaded,
    get plans() {
      if (plans) return plans
      if (loaded.spec.phase !== 'serving') return (plans = [planLoaded(loaded)])
      const { prefill, decode } = planServingLoaded(loaded)
      return (plans = [prefill, decode])
    },
    get plan() {
      const [first] = this.plans
      if (!first) throw new Error('internal error: a spec without a plan')
      return first
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
