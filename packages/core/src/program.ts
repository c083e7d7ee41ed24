import type { Mesh } from './mesh.js'
import type { Pipeline, Stage } from './pipeline.js'
import type { Placement } from './placement.js'
import type { Preference } from './preference.js'

/** A value that JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** What a node does. */
export type NodeKind = 'compute' | 'communication' | 'control' | 'memory'

/** How two nodes depend on each other. */
export type EdgeKind = 'data' | 'temporal' | 'communication'

/** Element types and their bytes. */
export const dataTypes = { bf16: 2, fp16: 2, fp32: 4, fp64: 8, fp8: 1, int8: 1, int32: 4, int64: 8 } as const

/** The name of an element type. */
export type DataType = keyof typeof dataTypes

/** What a tensor is for. `input` and `cache` come from outside the program, like parameters. */
export type TensorRole = 'activation' | 'parameter' | 'gradient' | 'optimizer' | 'input' | 'cache'

/** The roles of tensors that come from outside the program: they take the placement that their readers ask for. */
export const outsideRoles: readonly TensorRole[] = ['parameter', 'input', 'cache', 'optimizer']

/** The part of a phase that a node belongs to: the first segment of its id. */
export type Segment = 'forward' | 'backward' | 'optimizer' | 'prefill' | 'decode'

/** A tensor of the rolled program. Shapes are logical: of the whole tensor, over all ranks. */
export interface Tensor {
  readonly id: string
  readonly dims: readonly string[]
  /** Elements per position, for the first iteration where it grows. */
  readonly shape: readonly number[]
  readonly dtype: DataType
  readonly role: TensorRole
  /** The region axes over which it has one value per iteration, outermost first. */
  readonly per: readonly string[]
  /** The body whose iterations have it, when not all of the innermost region's have. */
  readonly body?: string
  /** Share of the elements that exist, such as topK/experts for dispatched tokens. It scales bytes, and FLOPs of readers. */
  readonly density?: readonly [number, number]
  /** A position that is longer by `by` in each iteration of `axis`, up to `limit` elements (a KV cache while decoding). */
  readonly growth?: { readonly position: number; readonly axis: string; readonly by: number; readonly limit?: number }
  /**
   * A position whose shards go round: in iteration `i` of `axis` (0 where it has none) a rank holds the shard that belongs
   * to the rank `offset` + `i` before it along `atoms`.
   */
  readonly rotation?: Rotation
  /**
   * Of a tensor from outside, a position whose elements are copies: its `i`-th holds what the model's own tensor, which is
   * shorter, has at `of[i]`.
   */
  readonly copies?: { readonly position: number; readonly of: readonly number[] }
  /** Set by the placement pass, except where `storage` says otherwise. */
  readonly placement?: Placement
  /**
   * A strategy chose its placement as the one that it is kept in, whatever its readers ask for. What forward gathers of a
   * parameter backward gathers anew (`use`) or finds (`keep`).
   */
  readonly storage?: 'use' | 'keep'
  /** The tensor that this one is another placement of. */
  readonly versionOf?: string
  /** The tensor from outside that this one is in the next step, where it must stand as that one does. */
  readonly nextOf?: string
}

/** How the shards of one position of a tensor have moved along the atoms that split it. */
export interface Rotation {
  readonly position: number
  readonly atoms: readonly string[]
  readonly axis?: string
  readonly offset: number
}

/**
 * How the ranks along an axis share dims, where not as consecutive runs. `zigzag`: of the positions that are left, each of
 * `n` ranks takes the `i`-th of the runs counted from the front and the `i`-th counted from the back, so that causal
 * attention costs all of them the same (Dubey et al. 2024, section 3.3.2). `round-robin`: position by position in turn, so
 * that a dim that grows stays where it is and shares differ by one at most; it need not divide.
 */
export interface DimLayout {
  readonly axis: string
  readonly dims: readonly string[]
  readonly order: 'zigzag' | 'round-robin'
}

/** Which dims of an operator are split over which atoms. */
export interface Partition {
  /** Dim → atoms, major first. */
  readonly splits: Readonly<Record<string, readonly string[]>>
  /**
   * Atom → the operands that are partial sums along it, which a linear operator passes on. None: only some of the ranks
   * along it, those of a stage, run the operator, so that its results are terms of a sum.
   */
  readonly partial: Readonly<Record<string, readonly number[]>>
  /** Atom → the strategy that asked for the choice. */
  readonly by: Readonly<Record<string, string>>
}

/** Why a communication node exists. */
export interface CommunicationReason {
  /** The tensor as its producer made it. */
  readonly tensor: string
  readonly producer: string | null
  /** The node, or the port of a region, that asked for the other placement. */
  readonly consumer: string
  /** The strategies whose splits disagree here. */
  readonly strategies: readonly string[]
}

/** The communication attributes of a node. */
export interface Communication {
  readonly atoms: readonly string[]
  readonly reduction?: 'sum' | 'max' | 'lse'
  /**
   * Send, recv: how far along the atoms the partner stands, counted around (a ring hop is 1, its recv −1). Absent: the
   * partner is the rank of the pipeline that holds the next place, or the place before.
   */
  readonly shift?: number
  /**
   * Send, recv: the partner is in the program of that phase, which other ranks run. Of all that the ranks of this pool hold
   * together, copies counted, `share` passes.
   */
  readonly pool?: { readonly phase: Phase; readonly share: readonly [number, number] }
  readonly from: Placement
  readonly to: Placement
  readonly reason: CommunicationReason
}

/**
 * An item of the region around a node, in the iteration that runs `distance` (1 or more) before the node's own, in the
 * region's order. It says nothing where there is no such iteration, or where that one runs a body without the item.
 */
export interface Earlier {
  readonly item: string
  readonly distance: number
  /**
   * The distance is one in turns, and the item a node wherever it stands. A turn of a rank begins with each node that waits so, and
   * lasts until the next one, in the order in which the rank runs them: over the borders of regions and, in a pipeline, from action to action.
   */
  readonly turns?: true
}

/** One operator, communication, control or memory node. */
export interface OperatorNode {
  readonly type: 'node'
  /** A path from structure, such as `forward/layer/attention/q`. */
  readonly id: string
  readonly kind: NodeKind
  /** The operator's name in the operator table, or a communication kind such as `all-reduce`. */
  readonly op: string
  readonly rule: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly segment: Segment
  /** Path of modules inside the layer or the model, such as `attention` or `moe/experts`. */
  readonly module: string
  readonly attributes?: Readonly<Record<string, Json>>
  /** Share of the iteration space that is computed: routed tokens, causal halves, windows. */
  readonly density?: readonly [number, number]
  /** Nodes with the same name in one body run as one kernel: tensors between them never touch memory. */
  readonly fusion?: string
  /** The forward node that this one is the derivative of. */
  readonly differentiates?: string
  /** Runs a forward operator again because its result was not kept. */
  readonly recompute?: true
  /** The tensor whose placement an optimizer operator takes. */
  readonly updates?: string
  /** Where it stands in a pipeline; absent: at its iteration's place, or with all ranks. */
  readonly stages?: readonly Stage[]
  /** Backward in a pipeline: whether the gradient that leaves the chunk needs it (I), or parameters alone (W). */
  readonly gradient?: 'input' | 'weight'
  /** Items that must come before, without a tensor passing: of a body that it stands in, or of an earlier iteration. */
  readonly after?: readonly (string | Earlier)[]
  /** The atoms along which all ranks wait for each other here. */
  readonly barrier?: readonly string[]
  readonly partition?: Partition
  readonly communication?: Communication
}

/** How a region meets its outside. */
export type Port =
  /** The value handed from iteration to iteration; `next` gives each body's result, in the order of the bodies. */
  | {
      readonly kind: 'carry'
      readonly initial: string
      readonly inner: string
      readonly next: readonly string[]
      readonly result: string
    }
  /** One value per iteration that crosses the border. */
  | { readonly kind: 'each'; readonly tensor: string }
  /** The same value for all iterations. */
  | { readonly kind: 'const'; readonly tensor: string }
  /** An order-free sum over iterations; `inner` gives each body's term (null: none). */
  | { readonly kind: 'reduce'; readonly inner: readonly (string | null)[]; readonly result: string }

/** One of the graphs that a region repeats. Items are in topological order. */
export interface Body {
  readonly name: string
  readonly items: readonly Item[]
}

/** A part of the graph that repeats: iteration `i` runs the body that `select` gives it. */
export interface Region {
  readonly type: 'region'
  readonly id: string
  /** The iteration axis: `layer`, `microbatch`, `decode_step`, … */
  readonly axis: string
  readonly extent: number
  readonly order: 'forward' | 'reverse' | 'parallel'
  readonly bodies: readonly Body[]
  /** Run-length coded choice of bodies; the whole list repeats until `extent` iterations are covered. */
  readonly select: readonly { readonly body: number; readonly count: number }[]
  readonly ports: readonly Port[]
}

export type Item = OperatorNode | Region

/** The phases that are modelled. */
export type Phase = 'training' | 'prefill' | 'decode'

/** The rolled graph with its mesh: what the pipeline turns from one device's graph into a partitioned one. */
export interface Program {
  readonly schema: 'shardloom.program/1'
  readonly name: string
  readonly phase: Phase
  readonly mesh: Mesh
  /** Every tensor by id, in order of creation. */
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly items: readonly Item[]
  readonly preferences: readonly Preference[]
  /** How ranks run different parts of it; absent: all run the whole. */
  readonly pipeline?: Pipeline
  /** At most one per axis and dim; without one, shards are consecutive runs. */
  readonly layouts?: readonly DimLayout[]
  /** Whether a dim may be split into shares that differ by one element, or must divide. */
  readonly uneven: 'refuse' | 'ragged'
  /**
   * Dim → how much of what exists of it (`density`) falls to each position, in whole numbers of any unit, such as tokens
   * per expert. Dims that it leaves out are filled evenly.
   */
  readonly loads?: Readonly<Record<string, readonly number[]>>
  /** Facts about the source that outputs name: conventions, model, options. */
  readonly notes: Readonly<Record<string, Json>>
}

const runEnds = new WeakMap<Region['select'], readonly number[]>()

/** The body index that iteration `iteration` of a region runs. O(log runs), after O(runs) for a choice not yet seen. */
export function bodyAt({ select }: Region, iteration: number): number {
  let sum = 0
  const ends = runEnds.get(select) ?? select.map((run) => (sum += run.count))
  runEnds.set(select, ends)
  const place = iteration % (ends.at(-1) || 1)
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ends[middle] ?? 0) > place) high = middle
    else low = middle + 1
  }
  return select[low]?.body ?? 0
}

/** How many iterations of a region run each body. O(runs). */
export function bodyCounts(region: Region): number[] {
  const counts = region.bodies.map(() => 0)
  const period = region.select.reduce((total, run) => total + run.count, 0)
  if (!period) return counts
  const whole = Math.floor(region.extent / period)
  let rest = region.extent % period
  for (const run of region.select) {
    const last = Math.min(rest, run.count)
    rest -= last
    counts[run.body] = (counts[run.body] ?? 0) + whole * run.count + last
  }
  return counts
}

/** Where an item stands while walking a program. */
export interface Place {
  /** The regions around it, outermost first, with the index of the body in each. */
  readonly path: readonly { readonly region: Region; readonly body: number }[]
  /** How often it runs in one step. */
  readonly executions: number
}

/** Visits every node in program order. */
export function walk(items: readonly Item[], visit: (node: OperatorNode, place: Place) => void): void {
  const inside = (list: readonly Item[], place: Place) => {
    for (const item of list) {
      if (item.type === 'node') visit(item, place)
      else {
        const counts = bodyCounts(item)
        item.bodies.forEach((body, index) => {
          const path = [...place.path, { region: item, body: index }]
          inside(body.items, { path, executions: place.executions * (counts[index] ?? 0) })
        })
      }
    }
  }
  inside(items, { path: [], executions: 1 })
}

/** Every node in program order. */
export function nodesOf(items: readonly Item[]): OperatorNode[] {
  const nodes: OperatorNode[] = []
  walk(items, (node) => nodes.push(node))
  return nodes
}

/** Every region in program order, outer ones first. */
export function regionsOf(items: readonly Item[]): Region[] {
  const regions = items.filter((item): item is Region => item.type === 'region')
  return regions.flatMap((region) => [region, ...region.bodies.flatMap((body) => regionsOf(body.items))])
}
