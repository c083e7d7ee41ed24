import { ShardloomError } from '@shardloom/core'
import { receiveCaches, sendCaches } from './connect-pools.js'
import { checkSpec } from './parse-spec.js'
import { type LoadedSpec, loadSpec, type PassRecord, type Plan, type PlanAccess, planLoaded } from './plan.js'
import { type CacheTransfer, type Handover, misfit, planCaches } from './plan-caches.js'
import type { SpecInput } from './spec-schema.js'

/** A plan for each phase of serving, and how the KV cache passes between them. */
export interface ServingPlan {
  readonly phase: 'serving'
  /** 1: the same ranks run both phases. 2: each phase has ranks of its own. */
  readonly pools: 1 | 2
  readonly prefill: Plan
  readonly decode: Plan
  /** Per batch of decode. None: every rank of one pool holds already what it goes on with. */
  readonly transfer: readonly CacheTransfer[]
}

/** The specs of both phases of serving. */
export interface ServingSpecs {
  readonly pools: 1 | 2
  readonly prefill: LoadedSpec
  readonly decode: LoadedSpec
}

/** Plans a spec of the phase `serving`. Throws a ShardloomError. */
export async function planServing(input: SpecInput, access: PlanAccess = {}): Promise<ServingPlan> {
  return planServingLoaded(await loadSpec(input, access))
}

/**
 * Plans prefill and decode of a loaded spec, each on its own, and connects them: where a rank of decode reads what another
 * rank has written, prefill gets a send behind each cache write and decode a recv per layer before its first step. Throws
 * `POOLS` where the two do not fit together.
 */
export function planServingLoaded(loaded: LoadedSpec): ServingPlan {
  const specs = servingSpecs(loaded)
  const [prefill, decode] = [planLoaded(specs.prefill), planLoaded(specs.decode)]
  const handover = planCaches(prefill.program, decode.program, specs.pools === 1)
  return {
    phase: 'serving',
    pools: specs.pools,
    prefill: connected(prefill, 'serving/send-caches', sendCaches, handover),
    decode: connected(decode, 'serving/receive-caches', receiveCaches, handover),
    transfer: handover.caches,
  }
}

/** A plan with what passes to the other pool, and the pass that put it there. */
function connected(plan: Plan, name: string, connect: typeof sendCaches, handover: Handover): Plan {
  const before = plan.program
  const run = (program: Plan['program']) => (handover.caches.length ? connect(program, handover) : program)
  const program = run(before)
  const record: PassRecord = { pass: { name, phase: 'schedule', run }, before, after: program }
  return { ...plan, program, log: [...plan.log, record] }
}

/**
 * The specs of prefill and decode that a spec of serving stands for: `options.serving` says what a pool has of its own.
 * Decode begins behind the prompts: its `seq` is that of prefill and the new token.
 */
export function servingSpecs(loaded: LoadedSpec): ServingSpecs {
  const { spec } = loaded
  if (spec.phase !== 'serving') {
    const message = `The phase is ${spec.phase}, which is one plan and not two.`
    throw new ShardloomError('SERVING', message, { subject: 'phase', help: 'Use `plan`, or set `phase` to `serving`.' })
  }
  const { serving, prefill, decode, ...options } = spec.options
  const pools = [serving.prefill, serving.decode].some(({ parallel, cluster }) => parallel || cluster) ? 2 : 1
  const degrees = Object.entries(spec.parallel).filter(([, degree]) => degree > 1)
  const [idle] = degrees
  if (idle && serving.prefill.parallel && serving.decode.parallel) {
    const message = `\`parallel.${idle[0]}\` is ${idle[1]}, but both pools of \`options.serving\` have a \`parallel\` of their own.`
    throw new ShardloomError('OPTION', message, { subject: `parallel.${idle[0]}`, help: 'Leave it out.' })
  }
  const specOf = (phase: 'prefill' | 'decode'): LoadedSpec => {
    const { options: own, ...fields } = serving[phase]
    // What decode splits by position was written whole: a rank keeps its share of it.
    const parallel = phase === 'prefill' ? { ...spec.parallel, dcp: 1 } : spec.parallel
    const common = { ...spec, parallel, ...fields, phase }
    const phased =
      phase === 'prefill'
        ? { ...common, steps: 1, options: { ...options, prefill, ...own } }
        : { ...common, seq: spec.seq + 1, options: { ...options, decode, ...own } }
    return { ...onPool(loaded, phase), spec: { ...checkSpec(phased), seq: phased.seq } }
  }
  const specs = { pools, prefill: specOf('prefill'), decode: specOf('decode') } as const
  const [first, later] = [specs.prefill.spec, specs.decode.spec]
  if (first.options.dtype !== later.options.dtype)
    throw misfit('element types', first.options.dtype, later.options.dtype)
  if (later.batch % first.batch !== 0) {
    const help = 'A batch of decode takes whole batches of prefill in: use a multiple.'
    throw misfit('batches', `${first.batch} sequences`, `${later.batch}`, help)
  }
  return specs
}

/** A spec on the accelerators of one of its pools; constants of others are not theirs. */
function onPool(loaded: LoadedSpec, phase: 'prefill' | 'decode'): LoadedSpec {
  const cluster = loaded.pools?.[phase]
  if (!cluster) return loaded
  const { efficiency, ...rest } = loaded
  const known = efficiency?.accelerator === cluster.accelerator.name
  return { ...rest, cluster, ...(known && efficiency && { efficiency }) }
}
