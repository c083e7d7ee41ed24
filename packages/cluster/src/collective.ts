import { nearest, orList, ShardloomError } from '@shardloom/core'
import { type Algorithm, type CollectiveOp, candidates, type Route, routes } from './algorithm.js'
import type { Group } from './group.js'

/** A collective to be timed. */
export interface Collective {
  readonly op: CollectiveOp
  /**
   * The payload logical to the group, as `plan` counts it: the reduced tensor, the gathered tensor, the tensor before
   * its reduce-scatter, all that all ranks exchange in an all-to-all (each holds 1/p of it), what is broadcast or sent.
   */
  readonly bytes: number
  /** Default: the fastest of {@link candidates}. */
  readonly algorithm?: Algorithm | undefined
}

/** The time of a collective, and what it consists of. Seconds. */
export interface CollectiveCost {
  /** The sum of the four parts. */
  readonly seconds: number
  readonly algorithm: Algorithm | 'none'
  readonly launchSeconds: number
  /** Steps times the latency of their levels. */
  readonly stepSeconds: number
  /** Bytes over bandwidths. */
  readonly transferSeconds: number
  /** What filling the pipeline of chunks adds. */
  readonly fillSeconds: number
  readonly steps: number
  /** Steps, and bytes that one rank sends, at each level that the group spans. */
  readonly levels: readonly { readonly level: string; readonly steps: number; readonly bytes: number }[]
}

/** An algorithm on a group: seconds = launch + `latency` + t + 2√(fill·t) with t = bytes · `perByte`. */
interface Curve {
  readonly algorithm: Algorithm
  readonly route: Route
  readonly latency: number
  readonly perByte: number
}

const curves = new WeakMap<Group, Map<CollectiveOp, readonly Curve[]>>()

/**
 * The time of a collective of a group in seconds:
 *
 *     T = a0 + Σ steps·α + t + 2√(τ·t),   t = bytes sent / bandwidth + bytes copied / C + bytes added / γ
 *
 * where a0 is the launch, α the latency of a step at its level, τ the time in which the pipeline of chunks fills, C and γ
 * the rates of local copies and additions. A transfer in chunks pays for each chunk and waits for the first; the best size
 * of chunks leaves the root (Sanders, Speck and Träff 2009). With a0 = τ = 0 and no local work it is the α-β model
 * (Hockney 1994). A group of one and an
 * empty payload take no time. Fast enough for event simulation: an op's algorithms are worked out once per group.
 * Throws `COLLECTIVE` for an algorithm that does not apply and for bytes that are no amount.
 */
export function collectiveSeconds(group: Group, collective: Collective): number {
  const best = fastest(group, collective)
  return best ? seconds(group, best, collective.bytes) : 0
}

/** The time of a collective like {@link collectiveSeconds}, with the algorithm, the parts, and bytes per level. */
export function collectiveCost(group: Group, collective: Collective): CollectiveCost {
  const { bytes } = collective
  const best = fastest(group, collective)
  if (!best) {
    const parts = { launchSeconds: 0, stepSeconds: 0, transferSeconds: 0, fillSeconds: 0 }
    return { seconds: 0, algorithm: 'none', ...parts, steps: 0, levels: [] }
  }
  const transferSeconds = bytes * best.perByte
  return {
    seconds: seconds(group, best, bytes),
    algorithm: best.algorithm,
    launchSeconds: group.launch,
    stepSeconds: best.latency,
    transferSeconds,
    fillSeconds: 2 * Math.sqrt(group.fill * transferSeconds),
    steps: best.route.steps.reduce((sum, steps) => sum + steps, 0),
    levels: group.levels.map(({ name }, index) => ({
      level: name,
      steps: best.route.steps[index] ?? 0,
      bytes: bytes * (best.route.bytes[index] ?? 0),
    })),
  }
}

function seconds(group: Group, { latency, perByte }: Curve, bytes: number): number {
  const transfer = bytes * perByte
  return group.launch + latency + transfer + 2 * Math.sqrt(group.fill * transfer)
}

function fastest(group: Group, { op, bytes, algorithm }: Collective): Curve | undefined {
  if (!(bytes >= 0 && bytes < Infinity)) {
    throw new ShardloomError('COLLECTIVE', `The payload of the ${op} is ${bytes} bytes.`, {
      help: 'Give it a number of at least 0.',
      subject: op,
    })
  }
  if (algorithm !== undefined) return forced(group, op, algorithm, bytes)
  if (group.size === 1 || bytes === 0) return undefined
  let byOp = curves.get(group)
  if (!byOp) curves.set(group, (byOp = new Map()))
  let list = byOp.get(op)
  if (!list) byOp.set(op, (list = candidates(op, group).flatMap((each) => curveOf(group, op, each) ?? [])))
  let best: Curve | undefined
  let least = Infinity
  for (const curve of list) {
    const time = seconds(group, curve, bytes)
    if (time < least) {
      best = curve
      least = time
    }
  }
  return best
}

function forced(group: Group, op: CollectiveOp, algorithm: string, bytes: number): Curve | undefined {
  const names = Object.keys(routes)
  const name = Object.hasOwn(routes, algorithm) ? (algorithm as Algorithm) : undefined // a key of `routes`
  if (name === undefined) {
    const near = nearest(algorithm, names)
    throw new ShardloomError('COLLECTIVE', `There is no algorithm \`${algorithm}\`.`, {
      help: near ? `Did you mean \`${near}\`?` : `Use ${orList(names)}.`,
      subject: algorithm,
    })
  }
  if (group.size === 1 || bytes === 0) return undefined
  const curve = curveOf(group, op, name)
  if (curve) return curve
  const levels = group.levels.map((level) => level.name).join(', ')
  const able = names.filter((each) => routes[each as Algorithm](op, group)) // the keys of `routes`
  throw new ShardloomError('COLLECTIVE', `\`${name}\` does not carry out ${op} over ${group.size} ranks (${levels}).`, {
    help: `Use ${orList(able)}.`,
    subject: name,
  })
}

function curveOf(group: Group, op: CollectiveOp, algorithm: Algorithm): Curve | undefined {
  const route = routes[algorithm](op, group)
  if (!route) return undefined
  let latency = 0
  let moved = 0
  group.levels.forEach((level, index) => {
    const switched = route.inSwitch ? level.reduction : undefined
    latency += (route.steps[index] ?? 0) * (switched ?? level).latency
    const perByte = (route.bytes[index] ?? 0) / (switched ?? level).bandwidth
    moved = route.pipelined ? Math.max(moved, perByte) : moved + perByte
  })
  const local = (route.copied ?? 0) / group.copyBandwidth + (route.reduced ?? 0) / group.reduceBandwidth
  return { algorithm, route, latency, perByte: moved + local }
}

/**
 * What nccl-tests multiply the algorithm bandwidth of an op over `ranks` by to get its bus bandwidth, which compares with the
 * rate of a link.
 */
export function busFactor(op: CollectiveOp, ranks: number): number {
  if (op === 'broadcast' || op === 'send') return 1
  return ((op === 'all-reduce' ? 2 : 1) * (ranks - 1)) / ranks
}

/**
 * The bus bandwidth, B/s, as nccl-tests print it. They count an all-to-all by the buffer of one rank, `bytes` here is the
 * payload logical to the group as in {@link Collective}.
 */
export function busBandwidth(group: Group, collective: Collective): number {
  const size = collective.op === 'all-to-all' ? collective.bytes / group.size : collective.bytes
  return (size / collectiveSeconds(group, collective)) * busFactor(collective.op, group.size)
}
