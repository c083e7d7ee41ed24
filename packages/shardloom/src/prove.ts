import { lookup, type NodeKind, nodesOf, ShardloomError, type Tensor } from '@shardloom/core'
import {
  compareRuns,
  type Difference,
  type InitialValue,
  runReference,
  tolerance,
  usualValues,
} from '@shardloom/testing'
import { type LoadedSpec, loadSpec, type Plan, type PlanAccess, planLoaded, planOneDevice } from './plan.js'
import { type Shrunk, shrinkSpec } from './shrink.js'
import type { SpecInput } from './spec-schema.js'

/** What running a plan on virtual ranks showed; what `shardloom prove --json` prints. */
export interface Proof {
  readonly schema: 'shardloom.prove/1'
  /** Whether the partitioned plan computed what one device computes. */
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
  /** The largest max|a − b| / max|b| of all tensors compared. */
  readonly worst: { readonly error: number; readonly tensor: string }
  /** Above this relative error two runs differ. */
  readonly tolerance: number
  /** How often each operator and collective ran, over all ranks. */
  readonly executed: readonly { readonly op: string; readonly kind: NodeKind; readonly count: number }[]
  /** The first operator whose result differs. */
  readonly difference?: Difference
}

/**
 * Proves a spec by running it: plans it with small sizes, runs every rank in float64, and compares each tensor with the
 * same step on one device. Throws a ShardloomError for specs that cannot be planned or run.
 */
export async function prove(input: SpecInput, access: PlanAccess = {}): Promise<Proof> {
  return proveLoaded(await loadSpec(input, access))
}

/** Proves a loaded spec; see {@link prove}. */
export function proveLoaded(loaded: LoadedSpec): Proof {
  const { loaded: small, shrunk, unlike } = shrinkSpec(loaded)
  const { program, operators } = planLoaded(small)
  const one = planOneDevice(small)
  const options = { initial: naturalValues(one.tensors, small) }
  const kinds = new Map(nodesOf(program.items).map(({ op, kind }) => [op, kind]))
  const result = compareRuns(runReference(one, operators, options), program, operators, options)
  return {
    schema: 'shardloom.prove/1',
    equal: result.equal,
    model: small.architecture.name,
    phase: small.spec.phase,
    mesh: Object.fromEntries(program.mesh.axes.map(({ name, degree }) => [name, degree])),
    ranks: program.mesh.world,
    shrunk,
    unlike,
    compared: result.compared,
    worst: result.worst,
    tolerance,
    executed: [...result.executed]
      .map(([op, count]) => ({ op, kind: kinds.get(op) ?? 'compute', count }))
      .sort((a, b) => (a.op < b.op ? -1 : 1)),
    ...(result.difference && { difference: result.difference }),
  }
}

/**
 * Proves a spec and throws `NOT_EQUIVALENT` when its plan does not compute what one device computes: for tests of
 * strategies.
 */
export async function expectEquivalent(input: SpecInput, access: PlanAccess = {}): Promise<Proof> {
  const proof = await prove(input, access)
  if (proof.difference) {
    throw new ShardloomError('NOT_EQUIVALENT', proof.difference.message, {
      subject: proof.difference.node,
      help: 'Look at what communication stands between this operator and those before it: `shardloom explain`.',
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
  return (tensor, iterations, index) => {
    if (tensor.id === 'inputs/loss_scale') return 1 / (spec.batch * spec.seq)
    if (tensor.id === 'inputs/positions')
      return index + (spec.phase === 'decode' ? spec.seq - 1 + (iterations[0] ?? 0) : 0)
    const parameter = /^optimizer\/(.*)\.master$/.exec(tensor.id)?.[1]
    if (parameter === undefined || !tensors.has(parameter)) return undefined
    return usualValues(lookup(tensors, parameter), iterations, undefined)(index)
  }
}
