import {
  chunksOf,
  isShardloomError,
  type Mesh,
  type OperatorNode,
  type Pipeline,
  type Program,
  regionsOf,
  walk,
} from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { estimate } from '@shardloom/testing'
import { conventionsOf } from './conventions.js'
import { slotsOf } from './mesh-of-spec.js'
import { type LoadedSpec, layerBoundaries, type Plan, planLoaded } from './plan.js'
import { type PlannedSpec, positionsOf } from './sequence.js'
import { type SmallDegrees, shrinkDegrees } from './shrink-degrees.js'
import { fewLayers, fewLayersOfChunks, moveLayers } from './shrink-layers.js'
import { type Degree, fewCopies, type Scale, shrinkArchitecture, smallerSize } from './shrink-sizes.js'

/** A size that was made smaller, by the name that a spec or a model gives it. */
export interface Shrunk {
  readonly name: string
  readonly from: number
  readonly to: number
}

/** A small spec that stands for a large one. */
export interface SmallSpec {
  readonly loaded: LoadedSpec
  /** What is planned of it. */
  readonly plan: Plan
  readonly shrunk: readonly Shrunk[]
  /**
   * Nodes and regions that the two plans do not have in common: another operator, rule, partition, communication or port.
   * None: the small plan is the large one but for its sizes.
   */
  readonly unlike: readonly string[]
  /** What the large plan warns of. */
  readonly warnings: readonly string[]
}

/** Numbers of virtual ranks that are tried in turn; the first with a plan that is like the large one is taken. */
const mostRanks = [64, 32, 16, 8]

/** Hidden sizes that are tried, until the small plan has every node of the large one. */
const hiddenSizes = [16, 32, 64, 128]

/** What a proof may take at most: some ten seconds. */
const most = { points: 1e8, bytes: 5e8 }

/**
 * Makes a spec small enough to be run on virtual ranks: few layers of each kind, few tokens, narrow widths, and at most 64
 * ranks. Each size divides by the small degrees as it does by the large ones, and keeps its ratio to the others; sizes grow
 * until the small plan splits and communicates like the large one. A spec that is small enough stays as it is.
 */
export function shrinkSpec(loaded: LoadedSpec): SmallSpec {
  const full = planLoaded(loaded)
  if (full.program.mesh.world <= (mostRanks[0] ?? 1) && sizeOf(full.program, most.points / 10).fits)
    return { loaded, plan: full, shrunk: [], unlike: [], warnings: full.warnings }
  const wanted = outline(full)
  let best: (SmallSpec & Size) | undefined
  let refused: unknown
  for (const { degrees, hidden, divisible } of tries(loaded, full.program.mesh)) {
    const small = shrinkTo(loaded, degrees, hidden, divisible, full.program.pipeline)
    try {
      const plan = planLoaded(small)
      const { program } = plan
      const unlike = difference(wanted, outline(plan))
      const found = {
        loaded: small,
        plan,
        shrunk: changes(loaded, small),
        unlike,
        warnings: full.warnings,
        ...sizeOf(program),
      }
      if (!best || isBetter(found, best)) best = found
      if (found.fits && unlike.length === 0) break
    } catch (error) {
      // What the full sizes allow, some small ones do not; others are tried.
      if (!isShardloomError(error)) throw error
      refused ??= error
    }
  }
  if (!best) throw refused
  const { fits: _, points: __, ...small } = best
  return small
}

interface Size {
  readonly fits: boolean
  readonly points: number
}

function sizeOf(program: Program, limit = most.points): Size {
  const { points, bytes } = estimate(program)
  return { fits: points <= limit && bytes <= most.bytes, points }
}

function isBetter(a: SmallSpec & Size, b: SmallSpec & Size): boolean {
  if (a.fits !== b.fits) return a.fits
  return a.unlike.length === b.unlike.length ? !a.fits && a.points < b.points : a.unlike.length < b.unlike.length
}

/** Degrees and sizes to try, those that cost little and change little first. */
function* tries({ spec, architecture }: LoadedSpec, mesh: Mesh) {
  const seen = new Set<string>()
  for (const ranks of mostRanks) {
    const degrees = shrinkDegrees(spec, mesh, ranks)
    const key = JSON.stringify(degrees)
    if (seen.has(key)) continue
    seen.add(key)
    for (const size of hiddenSizes) {
      const hidden = Math.min(size, architecture.hidden)
      yield { degrees, hidden, divisible: false }
      yield { degrees, hidden, divisible: true }
    }
  }
}

function shrinkTo(
  loaded: LoadedSpec,
  { parallel: shrunk, pairs: degrees }: SmallDegrees,
  hidden: number,
  divisible: boolean,
  pipeline: Pipeline | undefined,
): LoadedSpec {
  const { spec, architecture } = loaded
  // A schedule from a file is for its ranks and microbatches.
  const fixed = loaded.schedule !== undefined
  const parallel = fixed ? { ...shrunk, pp: spec.parallel.pp } : shrunk
  const steps = Math.min(spec.steps, 3)
  const parts = partsOf(spec, parallel)
  const { seq, prefill, first } = shrinkPrompt(spec, [...degrees, ...parts])
  const slots = slotsOf(spec)
  const few =
    divisible || parts.length
      ? smallerSize(slots.microbatch, [...(divisible ? degrees : []), ...parts], 2)
      : Math.min(slots.microbatch, 2)
  // Two per rank suit every schedule that is made by name.
  const microbatches = fixed ? slots.microbatches : Math.min(slots.microbatches, pipeline ? 2 * parallel.pp : 2)
  const boundaries = layerBoundaries(spec)
  const chunks = pipeline && chunksOf(pipeline, 0)
  const count = chunks ? (chunks.length / spec.parallel.pp) * parallel.pp : 0
  const staged = chunks && fewLayersOfChunks(architecture, boundaries, chunks, count)
  const kept = staged ?? fewLayers(architecture, boundaries, aheadOf(spec, architecture))
  const all = pluginNamesLayers(spec)
  const order = all ? architecture.order : kept.order
  const moved = all ? spec.options : moveLayers(spec.options, kept)
  const { balance: _, ...pp } = moved.pp
  const staging = staged && !all ? { pp: { ...pp, layers: [...staged.sizes] } } : {}
  // How tokens are spread changes what is counted, not what is computed; counts are one per expert of the large model.
  const { tokens: __, ...ep } = moved.ep
  const last = { from: positionsOf(spec, spec.seq), to: positionsOf({ ...spec, steps }, seq) }
  const scale: Scale = { degrees, hidden, tokens: { first, last }, divisible, stored: spec.options.zero > 0, order }
  const small = shrinkArchitecture(architecture, scale)
  const degree = { from: spec.parallel.ep, to: parallel.ep }
  const redundant = ep.redundant && { redundant: fewCopies(ep.redundant, architecture, small, degree) }
  const options = { ...moved, ...staging, ep: { ...ep, ...redundant }, prefill }
  return {
    ...loaded,
    spec: {
      ...spec,
      parallel,
      seq,
      steps,
      microbatch: few,
      batch: parallel.replicas * parallel.dp * few * microbatches,
      options,
    },
    architecture: small,
  }
}

/** How many layers ahead of its use something is fetched; more than the model has bound nothing. */
function aheadOf(spec: PlannedSpec, architecture: ModelArchitecture): number {
  const { offload } = spec.options
  const reload = offload === 'none' ? 0 : typeof offload === 'object' ? (offload.prefetch ?? 1) : 1
  const ahead = [conventionsOf(spec).prefetch ?? 0, reload]
  return Math.max(0, ...ahead.filter((layers) => layers + 1 < layerCount(architecture)))
}

/** What overlap divides the tokens of a rank into: as many parts as in the large plan, of its share of a sequence too. */
function partsOf({ options, parallel: { tp } }: PlannedSpec, small: PlannedSpec['parallel']): Degree[] {
  const parts = options.tp.overlap
  const halves = options.interleave === 'none' ? [] : [{ from: 2, to: 2 }]
  return parts === undefined
    ? halves
    : [
        { from: parts, to: parts },
        { from: parts * tp, to: parts * small.tp },
      ]
}

/** Fewer tokens, in fewer and smaller chunks after a shorter prefix, and the positions that the first step then reads. */
function shrinkPrompt({ seq, options }: PlannedSpec, degrees: Scale['degrees']) {
  const { cached = 0, chunk = seq - cached } = options.prefill
  const tokens = smallerSize(chunk, degrees, 5)
  if (chunk === seq) return { seq: tokens, prefill: {}, first: { from: seq, to: tokens } }
  const prefix = cached && smallerSize(cached, degrees, 2)
  const whole = prefix + tokens * Math.min((seq - cached) / chunk, 3)
  const prefill = { chunk: tokens, cached: prefix }
  return { seq: whole, prefill, first: { from: cached + chunk, to: prefix + tokens } }
}

/** Whether a plugin, which was made with its options, names layers by their depth: then they all have to stay. */
function pluginNamesLayers({ options }: PlannedSpec): boolean {
  const { tp: _, dp: __, sp: ___, ep: ____, pp: _____, recompute: ______, offload: _______, ...others } = options
  return JSON.stringify(others).includes('"layers"')
}

/**
 * What a plan does, apart from sizes: per node its operator, rule, operands and results, how it is split and what it
 * communicates; per region its order and ports. Numbers among attributes are sizes too, and which body comes first in a
 * model, and so which term first in a sum over bodies, is a matter of them.
 */
function outline({ program, operators }: Pick<Plan, 'program' | 'operators'>): ReadonlyMap<string, string> {
  const lines = new Map<string, string>()
  const text = (value: unknown) =>
    JSON.stringify(value, (key, inner: unknown) => {
      // As the density, they say how much there is.
      if (key === 'pairs') return undefined
      return isSize(inner) || isSizes(inner) ? 0 : inner
    }) ?? ''
  walk(program.items, (node: OperatorNode) => {
    const { density: _, partition, ...others } = node
    const sum = operators.get(node.op)?.joins
    const rest = sum ? { ...others, inputs: [...node.inputs].sort() } : others
    const splits = Object.entries(partition?.splits ?? {}).filter(([, atoms]) => atoms.length > 0)
    // Which operands are partial sums is told by their numbers.
    lines.set(
      node.id,
      `${text({ ...rest, splits })} ${JSON.stringify(partition?.partial ?? {})} ${node.communication?.shift}`,
    )
  })
  for (const { id, axis, order, ports, bodies } of regionsOf(program.items)) {
    const byBody = (list: readonly (string | null)[]) =>
      list.map((each, body) => `${bodies[body]?.name} ${each}`).sort()
    const said = ports.map((port) => {
      if (port.kind === 'carry') return text({ ...port, next: byBody(port.next) })
      return text(port.kind === 'reduce' ? { ...port, inner: byBody(port.inner) } : port)
    })
    lines.set(id, text({ axis, order, ports: said.sort() }))
  }
  return lines
}

const isSize = (value: unknown) => typeof value === 'number'
const isSizes = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isSize)

function difference(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const ids = [...new Set([...a.keys(), ...b.keys()])]
  return ids.filter((id) => a.get(id) !== b.get(id))
}

/** The sizes that differ between two specs, outermost first. */
function changes(from: LoadedSpec, to: LoadedSpec): Shrunk[] {
  const list: Shrunk[] = []
  const note = (name: string, a: number | undefined, b: number | undefined, where = '') => {
    if (a === undefined || b === undefined || a === b) return
    const same = list.find((each) => each.name === name)
    if (!same) list.push({ name, from: a, to: b })
    else if (same.from !== a || same.to !== b) list.push({ name: `${where} ${name}`, from: a, to: b })
  }
  for (const [axis, degree] of Object.entries(from.spec.parallel)) note(axis, degree, to.spec.parallel[axis])
  for (const field of ['batch', 'microbatch', 'seq', 'steps'] as const) note(field, from.spec[field], to.spec[field])
  note('redundant', from.spec.options.ep.redundant, to.spec.options.ep.redundant)
  const [a, b] = [from.architecture, to.architecture]
  note('layers', layerCount(a), layerCount(b))
  for (const field of ['hidden', 'vocab', 'learnedPositions'] as const) note(field, a[field], b[field])
  for (const [name, layer] of Object.entries(a.layers)) {
    const there: Note = (field, x, y) => note(field, x, y, name)
    for (const part of ['attention', 'ffn'] as const) compareFields(layer[part], b.layers[name]?.[part], there)
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
