import {
  finish,
  lookup,
  type NodeKind,
  nodesOf,
  ShardloomError,
  type Tensor,
  type Violation,
  type Work,
} from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import {
  compareRuns,
  type Difference,
  type InitialValue,
  perTensor,
  runReference,
  tolerance,
  usualValues,
} from '@shardloom/testing'
import { draftOf } from './draft.js'
import { type LoadedSpec, loadSpec, type Plan, type PlanAccess, planOneDevice } from './plan.js'
import { type Shrunk, shrinkSpec } from './shrink.js'
import { isSlope, type Slope, slopeOf } from './slope.js'
import type { SpecInput } from './spec-schema.js'

/** What running a plan on virtual ranks showed; what `shardloom prove --json` prints. */
export interface Proof {
  readonly schema: 'shardloom.prove/1'
  /** Whether the plan that ran computes what its operators compute on one device, and is the plan of the spec but for sizes. */
  readonly proven: boolean
  /** Whether the plan that ran computed what its operators compute on one device. */
  readonly equal: boolean
  /** The display name of the model. */
  readonly model: string
  readonly phase: Plan['spec']['phase']
  /** The degrees and the number of ranks that were run. */
  readonly mesh: Readonly<Record<string, number>>
  readonly ranks: number
  /** Sizes that were made smaller to run it. */
  readonly shrunk: readonly Shrunk[]
  /** Nodes in which the small plan is not the large one: what this proof says nothing about. */
  readonly unlike: readonly string[]
  /** Tensors compared, once per iteration. */
  readonly compared: number
  /** Tensors that only a partitioned run makes; what reads them is compared. */
  readonly uncompared: number
  /** The largest max|a − b| / max|b| of all tensors compared. */
  readonly worst: { readonly error: number; readonly tensor: string }
  /** Above this relative error two runs differ. */
  readonly tolerance: number
  /** How often each operator and collective ran, over all ranks. */
  readonly executed: readonly { readonly op: string; readonly kind: NodeKind; readonly count: number }[]
  /** Training: the gradients of one device against the slope of its loss. */
  readonly slope?: Slope
  /** What the verifier finds in the plan that ran. */
  readonly violations: readonly Violation[]
  /** What the full plan warns of. */
  readonly warnings: readonly string[]
  /** The first operator whose result differs. */
  readonly difference?: Difference
}

/**
 * Proves a spec by running it: plans it with small sizes, checks the verifier's rules, runs every rank in float64, and
 * compares each tensor with the same step on one device, whose gradients it compares with the slope of the loss. Throws a
 * ShardloomError for specs that cannot be planned or run.
 */
export async function prove(input: SpecInput, access: PlanAccess = {}): Promise<Proof> {
  return proveLoaded(await loadSpec(input, access))
}

/** Proves a loaded spec; see {@link prove}. */
export function proveLoaded(loaded: LoadedSpec): Proof {
  return finish(proofWork(loaded))
}

/** {@link proveLoaded} as work that can be stopped between its runs. */
export function* proofWork(loaded: LoadedSpec): Work<Proof> {
  refuseDropped(loaded)
  const of = loaded.spec.phase === 'training' ? 4 : 3
  yield { work: 'planning with small sizes', done: 0, of }
  const { loaded: small, plan, shrunk, unlike, warnings } = shrinkSpec(loaded)
  const { program, operators, rules } = plan
  const one = planOneDevice(small)
  const options = { initial: naturalValues(one.tensors, small) }
  const violations = verifyProgram(program, operators, rules).flatMap((rule) => rule.violations)
  const kinds = new Map(nodesOf(program.items).map(({ op, kind }) => [op, kind]))
  yield { work: 'running one device', done: 1, of }
  const reference = runReference(one, operators, options)
  yield { work: `running ${program.mesh.world} ranks`, done: 2, of }
  const result = compareRuns(reference, program, operators, options)
  if (of > 3) yield { work: 'measuring the slope of the loss', done: 3, of }
  const slope =
    program.phase === 'training'
      ? slopeOf(planOneDevice(small, ['build']), operators, options.initial, reference)
      : undefined
  return {
    schema: 'shardloom.prove/1',
    proven: result.equal && !violations.length && !unlike.length && !(slope && !isSlope(slope)),
    equal: result.equal,
    model: small.architecture.name,
    phase: small.spec.phase,
    mesh: Object.fromEntries(program.mesh.axes.map(({ name, degree }) => [name, degree])),
    ranks: program.mesh.world,
    shrunk,
    unlike,
    compared: result.compared,
    uncompared: result.uncompared,
    worst: result.worst,
    tolerance,
    executed: [...result.executed]
      .map(([op, count]) => ({ op, kind: kinds.get(op) ?? 'compute', count }))
      .sort((a, b) => (a.op < b.op ? -1 : 1)),
    ...(slope && { slope }),
    violations,
    warnings,
    ...(result.difference && { difference: result.difference }),
  }
}

/** Throws `DROPS_TOKENS` for a plan that may drop tokens: what it computes then is not what one device computes. */
function refuseDropped({ spec, architecture }: LoadedSpec): void {
  const factor = spec.options.ep.capacityFactor
  if (factor === undefined) return
  const least = Object.values(architecture.layers).reduce(
    (most, { ffn }) => (ffn.kind === 'moe' ? Math.max(most, ffn.experts / ffn.topK) : most),
    0,
  )
  if (factor >= least) return
  const message = `\`ep.capacityFactor\` is ${factor}: tokens that find no room are dropped, so the plan does not compute what one device computes.`
  throw new ShardloomError('DROPS_TOKENS', message, {
    subject: 'options.ep.capacityFactor',
    help: `Leave it out, or use ${least} or more, with which every token has room: all else of the plan is the same.`,
  })
}

/**
 * Proves a spec and throws `NOT_EQUIVALENT` when its plan does not compute what one device computes, or when no small plan
 * is like the one of the spec: for tests of strategies.
 */
export async function expectEquivalent(input: SpecInput, access: PlanAccess = {}): Promise<Proof> {
  const proof = await prove(input, access)
  if (proof.difference) {
    throw new ShardloomError('NOT_EQUIVALENT', proof.difference.message, {
      subject: proof.difference.node,
      help: 'Look at what communication stands between this operator and those before it: `shardloom explain`.',
    })
  }
  const [broken] = proof.violations
  if (broken) throw new ShardloomError('NOT_EQUIVALENT', broken.message, { subject: broken.node, help: broken.help })
  if (proof.slope && !isSlope(proof.slope)) {
    const names = proof.slope.parameters.slice(0, 3).join('`, `')
    const whose = names ? `The gradient of \`${names}\`` : 'The gradient of all parameters together'
    throw new ShardloomError('NOT_EQUIVALENT', `${whose} is not the slope of the loss.`, {
      subject: proof.slope.parameters[0] ?? '',
      help: 'Look at the `derivative` of the operators between these parameters and the loss.',
    })
  }
  if (!proof.proven) {
    const nodes = proof.unlike.slice(0, 3).join('`, `')
    const message = `The small plan that ran is not the plan of the spec: \`${nodes}\` and ${proof.unlike.length} nodes in all differ.`
    throw new ShardloomError('NOT_EQUIVALENT', message, {
      subject: proof.unlike[0] ?? '',
      help: 'Use smaller sizes or degrees in the spec: a spec that is small enough runs as it is.',
    })
  }
  return proof
}

/**
 * Values that mean something where random ones would do: the loss is the mean over the global batch, positions count from
 * the first token, and Adam's master copies are the parameters. Moments are not zero, or Adam would hide the scale of
 * gradients.
 */
function naturalValues(tensors: ReadonlyMap<string, Tensor>, { spec }: LoadedSpec): InitialValue {
  return perTensor((tensor, iterations) => {
    if (tensor.id === 'inputs/loss_scale') return () => 1 / (spec.batch * spec.seq)
    if (tensor.id === 'inputs/positions') return (index) => index + firstPosition(spec, iterations[0] ?? 0)
    const parameter = /^optimizer\/(.*)\.master$/.exec(tensor.id)?.[1]
    if (parameter === undefined || !tensors.has(parameter)) return undefined
    return usualValues(lookup(tensors, parameter), iterations, undefined)
  })
}

/** The position of the first token of a decode step or of a chunk of prefill. */
function firstPosition({ phase, seq, options }: LoadedSpec['spec'], iteration: number): number {
  if (phase === 'decode') return seq - 1 + (draftOf(options.decode).keep ?? 1) * iteration
  const { cached = 0, chunk = seq - cached } = options.prefill
  return cached + chunk * iteration
}
