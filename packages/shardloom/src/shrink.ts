import {
  divisors,
  isShardloomError,
  type OperatorNode,
  type Partition,
  type Placement,
  type Program,
  placementText,
  walk,
} from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { estimate } from '@shardloom/testing'
import { type LoadedSpec, layerBoundaries, planLoaded } from './plan.js'
import type { PlannedSpec } from './sequence.js'
import { fewLayers, moveLayers } from './shrink-layers.js'
import { type Scale, shrinkArchitecture, smallerSize } from './shrink-sizes.js'

/** A size that was made smaller, by the name that a spec or a model gives it. */
export interface Shrunk {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** A small spec that stands for a large one. */
export interface SmallSpec {
  readonly loaded: LoadedSpec
  readonly shrunk: readonly Shrunk[]
  /**
   * Nodes that the two plans do not have in common: another operator, partition or communication. None: the small plan
   * is the large one but for its sizes.
   */
  readonly unlike: readonly string[]
}

/** The most virtual ranks that a spec is proven on; replicas of the batch axis are dropped until fewer are left. */
const mostRanks = { all: 64, batch: 16 }

/** Hidden sizes that are tried, until the small plan has every node of the large one. */
const hiddenSizes = [16, 32, 64, 128]

/** The most points of iteration spaces that a proof may take: a few seconds. */
const mostPoints = 2e8

/**
 * Makes a spec small enough to be run on virtual ranks: few layers of each kind, few tokens, narrow widths, and no more
 * than 64 ranks. Each size keeps the common divisor that it has with the number of ranks, and its ratio to
 * the others; sizes grow until the small plan splits and communicates like the large one.
 */
export function shrinkSpec(loaded: LoadedSpec): SmallSpec {
  const full = planLoaded(loaded)
  const parallel = shrinkDegrees(loaded.spec)
  const wanted = outline(full.program)
  let best: SmallSpec | undefined
  let refused: unknown
  const tries = hiddenSizes.flatMap((hidden) => [false, true].map((divisible) => ({ hidden, divisible })))
  for (const { hidden, divisible } of tries) {
    const small = shrinkTo(loaded, parallel, Math.min(hidden, loaded.architecture.hidden), divisible)
    try {
      const { program } = planLoaded(small)
      if (best && estimate(program).points > mostPoints) continue
      const unlike = difference(wanted, outline(program))
      if (!best || unlike.length < best.unlike.length) best = { loaded: small, shrunk: changes(loaded, small), unlike }
      if (unlike.length === 0) return best
    } catch (error) {
      // What the full sizes allow, some small ones do not; others are tried.
      if (!isShardloomError(error)) throw error
      refused ??= error
    }
  }
  if (!best) throw refused
  return best
}

/** Divides degrees by their smallest prime until few enough ranks are left: the batch axis first, whose ranks are alike. */
function shrinkDegrees({ parallel }: PlannedSpec): PlannedSpec['parallel'] {
  const degrees: Record<string, number> = { ...parallel }
  const tooMany = (axis: string) =>
    Object.values(degrees).reduce((product, degree) => product * degree, 1) >
    (axis === 'dp' ? mostRanks.batch : mostRanks.all)
  const axes = Object.keys(degrees).sort((a, b) => Number(b === 'dp') - Number(a === 'dp'))
  for (const axis of axes) {
    for (let degree = degrees[axis] ?? 1; degree > 2 && tooMany(axis); degree = degrees[axis] ?? 1) {
      const factor = divisors(degree)[1] ?? degree
      degrees[axis] = factor === degree ? 2 : degree / factor
    }
  }
  return { ...parallel, ...degrees }
}

function shrinkTo(
  loaded: LoadedSpec,
  parallel: PlannedSpec['parallel'],
  hidden: number,
  divisible: boolean,
): LoadedSpec {
  const { spec, architecture } = loaded
  const ranks = Object.values(parallel).reduce((product, degree) => product * degree, 1)
  const steps = Math.min(spec.steps, 3)
  const seq = smallerSize(spec.seq, ranks, 5)
  // Sequences of one microbatch on a rank of the batch axis (training), or of the whole batch on one.
  const training = spec.phase === 'training'
  const each = training ? spec.microbatch : spec.batch / spec.parallel.dp
  const few = divisible ? smallerSize(each, ranks, 2) : Math.min(each, 2)
  const microbatches = training ? Math.min(spec.batch / (spec.parallel.dp * each), 2) : 1
  const kept = fewLayers(architecture, layerBoundaries(spec))
  const all = pluginNamesLayers(spec)
  const order = all ? architecture.order : kept.order
  const options = all ? spec.options : moveLayers(spec.options, kept)
  const scale: Scale = { ranks, hidden, seq: seq + steps - 1, fullSeq: spec.seq, divisible, order }
  return {
    ...loaded,
    spec: {
      ...spec,
      parallel,
      seq,
      steps,
      microbatch: training ? few : 1,
      batch: parallel.dp * few * microbatches,
      options,
    },
    architecture: shrinkArchitecture(architecture, scale),
  }
}

/** Whether a plugin, which was made with its options, names layers by their depth: then they all have to stay. */
function pluginNamesLayers({ options }: PlannedSpec): boolean {
  const { tp: _, dp: __, ...others } = options
  return JSON.stringify(others).includes('"layers"')
}

/** What a plan does, apart from sizes: per node its operator, how it is split, and what it communicates. */
function outline(program: Program): ReadonlyMap<string, string> {
  const lines = new Map<string, string>()
  const placed = (placement: Placement | undefined) => (placement ? placementText(placement) : '')
  const split = ({ splits, partial }: Partition) =>
    JSON.stringify([Object.entries(splits).filter(([, atoms]) => atoms.length > 0), partial])
  walk(program.items, (node: OperatorNode) => {
    const { op, inputs, partition, communication } = node
    const parts = [op, inputs.join(), partition ? split(partition) : '']
    if (communication) parts.push(communication.atoms.join(), placed(communication.from), placed(communication.to))
    lines.set(node.id, parts.join(' | '))
  })
  return lines
}

function difference(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const ids = [...new Set([...a.keys(), ...b.keys()])]
  return ids.filter((id) => a.get(id) !== b.get(id))
}

/** The sizes that differ between two specs, outermost first. */
function changes(from: LoadedSpec, to: LoadedSpec): Shrunk[] {
  const list: Shrunk[] = []
  const note = (name: string, a: number | undefined, b: number | undefined) => {
    if (a !== undefined && b !== undefined && a !== b && !list.some((each) => each.name === name && each.from === a))
      list.push({ name, from: a, to: b })
  }
  for (const [axis, degree] of Object.entries(from.spec.parallel)) note(axis, degree, to.spec.parallel[axis])
  for (const field of ['batch', 'microbatch', 'seq', 'steps'] as const) note(field, from.spec[field], to.spec[field])
  const [a, b] = [from.architecture, to.architecture]
  note('layers', layerCount(a), layerCount(b))
  for (const field of ['hidden', 'vocab', 'learnedPositions'] as const) note(field, a[field], b[field])
  for (const [name, layer] of Object.entries(a.layers)) {
    for (const part of ['attention', 'ffn'] as const) compareFields(layer[part], b.layers[name]?.[part], note)
  }
  return list
}

type Note = (name: string, from: number | undefined, to: number | undefined) => void

function compareFields(from: object, to: object | undefined, note: Note, prefix = ''): void {
  const other = new Map<string, unknown>(Object.entries(to ?? {}))
  for (const [field, value] of Object.entries(from)) {
    const small = other.get(field)
    if (typeof value === 'number' && typeof small === 'number') note(`${prefix}${field}`, value, small)
    else if (typeof value === 'object' && value !== null && typeof small === 'object' && small !== null)
      compareFields(value, small, note, `${field}.`)
  }
}

function layerCount({ order }: ModelArchitecture): number {
  return order.runs.reduce((sum, run) => sum + run.count, 0) * (order.repeat ?? 1)
}
