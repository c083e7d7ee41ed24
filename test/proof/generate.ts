import { bodyAt, lookup, nodesOf, type OperatorNode, type Program, regionsOf, type Tensor } from '@shardloom/core'
import { type BuildOptions, findPreset, type ModelArchitecture } from '@shardloom/models'
import { type Interpretation, type InterpretOptions, type Iterations, interpret, usualValues } from '@shardloom/testing'
import { type PoolCache, planCaches } from 'shardloom'
import { type Planned, type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import type { Degrees } from './prove.js'

/** How one pool runs its phase. */
export interface Pool {
  readonly degrees?: Degrees
  readonly options?: PlannedOptions
  readonly build?: Partial<BuildOptions>
}

type Prompts = readonly (readonly number[])[]

/** What a slot holds that nothing has written: large, so that whoever reads it is found out. */
const unwritten = 1e3

/** Tokens of prompts, below the model's vocabulary and the same on every call. */
export function promptsOf({ vocab }: ModelArchitecture, sequences: number, seq: number): Prompts {
  return Array.from({ length: sequences }, (_, b) =>
    Array.from({ length: seq }, (_, s) => (7 * b + 3 * s * s + 5 * s * b + 1) % vocab),
  )
}

/** Greedy generation on one device without any cache: for each token the whole sequence runs again. */
export function generatePlainly(model: ModelArchitecture | string, prompts: Prompts, count: number): number[][] {
  const sequences = prompts.map((prompt) => [...prompt])
  const start = prompts[0]?.length ?? 0
  for (let token = 0; token < count; token++) {
    const next = prefill(model, sequences, {}).tokens
    sequences.forEach((sequence, index) => sequence.push(next[index] ?? Number.NaN))
  }
  return sequences.map((sequence) => sequence.slice(start))
}

/** Greedy generation by a prefill and as many decode steps as it takes, each planned for a pool of its own. */
export function generate(
  model: ModelArchitecture | string,
  prompts: Prompts,
  count: number,
  pools: { readonly prefill?: Pool; readonly decode?: Pool; readonly prefix?: Prefilled; readonly transfer?: true },
): number[][] {
  const whole = prefill(model, prompts, pools.prefill ?? {}, pools.prefix)
  const steps = count - 1
  const first = pools.transfer ? received(whole, model, prompts, steps, pools.decode ?? {}) : whole
  const later = decode(model, prompts, first, steps, pools.decode ?? {})
  return prompts.map((_, index) => [first.tokens[index] ?? Number.NaN, ...(later[index] ?? [])])
}

/** An element of a cache: what belongs to one position of a sequence is counted row-major. */
interface Slot {
  readonly sequence: number
  readonly position: number
  readonly within: number
  readonly width: number
}

/** What prefill leaves: a token per sequence, and the keys and values of each layer by sequence and position. */
export interface Prefilled {
  readonly tokens: readonly number[]
  readonly cached: (name: string, layer: number, at: Slot) => number
  readonly program: Program
  /** An element that a rank holds of a cache of a layer when its send runs. */
  readonly sends: (cache: PoolCache, layer: number, rank: number, place: readonly number[]) => number
}

/**
 * What decode gets of a prefill that sends its cache block by block: from each rank what it holds itself, to each rank of
 * decode what the transfer says and nothing else.
 */
function received(
  before: Prefilled,
  model: ModelArchitecture | string,
  prompts: Prompts,
  steps: number,
  pool: Pool,
): Prefilled {
  const options = { phase: 'decode', seq: (prompts[0]?.length ?? 0) + 1, steps } as const
  const { program } = planFor(model, prompts, options, pool).plan
  const { caches } = planCaches(before.program, program)
  const elements = new Map<string, number>()
  for (const { name, from, to, layers, transfers } of caches) {
    const inner = lookup(program.tensors, to.tensor).shape.slice(2)
    for (const layer of layers) {
      for (const { from: rank, start, shape } of transfers) {
        const places = shape.reduce<number[][]>(
          (all, size, dim) =>
            all.flatMap((place) => Array.from({ length: size }, (_, each) => [...place, (start[dim] ?? 0) + each])),
          [[]],
        )
        for (const place of places) {
          const value = before.sends(from, layer, rank, place)
          const [sequence, position, ...rest] = place
          const within = rest.reduce((index, at, dim) => index * (inner[dim] ?? 1) + at, 0)
          const key = `${name} ${layer} ${sequence} ${position} ${within}`
          // Every rank that holds it gets the same.
          if ((elements.get(key) ?? value) !== value) throw new Error(`${key} comes in as two values`)
          elements.set(key, value)
        }
      }
    }
  }
  return {
    ...before,
    cached(name, layer, { sequence, position, within }) {
      return elements.get(`${name} ${layer} ${sequence} ${position} ${within}`) ?? unwritten
    },
  }
}

/**
 * What the target chooses in each step of speculative decoding, and how much of it is valid, by step and sequence; `drafts`
 * proposes the tokens behind a sequence of that length.
 */
export function speculate(
  model: ModelArchitecture | string,
  prompts: Prompts,
  steps: number,
  pool: Pool & { readonly build: { readonly draft: number; readonly keep: number } },
  drafts: (sequence: number, length: number) => readonly number[],
): { readonly chosen: number[][][]; readonly valid: number[][] } {
  const before = prefill(model, prompts, {})
  const { draft, keep } = pool.build
  const read = (sequence: number, step: number) => drafts(sequence, 1 + step * keep)
  const { plan, run, batch } = runDecode(
    model,
    prompts,
    before,
    steps,
    pool,
    (sequence, step, index) => read(sequence, step)[index],
  )
  const results = (op: string) => nodeOf(plan, op).outputs[0] ?? ''
  const each = (op: string) =>
    Array.from({ length: steps }, (_, step) => Array.from(run.whole(results(op), new Map([['decode_step', step]]))))
  const width = draft + 1
  const rows = (list: number[]) => Array.from({ length: batch }, (_, row) => list.slice(row * width, (row + 1) * width))
  return { chosen: each('sample').map(rows), valid: each('accept') }
}

/** Runs prefill. `prefix` holds the positions that are cached already. */
export function prefill(
  model: ModelArchitecture | string,
  prompts: Prompts,
  pool: Pool,
  prefix?: Prefilled,
): Prefilled {
  const seq = prompts[0]?.length ?? 0
  const { plan, microbatches, batch } = planFor(model, prompts, { phase: 'prefill', seq }, pool)
  const { cached = 0, chunk = seq - cached } = pool.build ?? {}
  const run = runWith(plan, ({ id, per, shape }, at, index) => {
    const start = cached + chunk * (at(per, 'chunk') ?? 0)
    if (id === 'inputs/positions') return start + index
    const sequence = (at(per, 'microbatch') ?? 0) * batch
    if (id === 'inputs/tokens') {
      const width = shape[1] ?? 1
      return prompts[sequence + Math.floor(index / width)]?.[start + (index % width)]
    }
    return cacheValue(
      id,
      shape,
      index,
      sequence,
      at(per, 'layer') ?? 0,
      prefix,
      slotPosition(cached + chunk - 1, cached),
    )
  })
  const iterations = (sequence: number, more: readonly [string, number][] = []) =>
    new Map([
      ...(microbatches > 1 ? [['microbatch', Math.floor(sequence / batch)] as const] : []),
      ...(chunk < seq ? [['chunk', (seq - cached) / chunk - 1] as const] : []),
      ...more,
    ])
  const caches = new Map<string, Float64Array>()
  const cache = (name: string, layer: number, at: Iterations) => {
    const key = `${name} ${[...at.values()]}`
    const known = caches.get(key)
    if (known) return known
    const values = run.whole(`prefill/${bodyOf(plan.program, layer)}/${name}_write`, at)
    caches.set(key, values)
    return values
  }
  return {
    program: plan.program,
    sends({ tensor, positions }, layer, rank, [sequence = 0, position = 0, ...rest]) {
      const { shape, per } = lookup(plan.program.tensors, tensor)
      const chunked = per.includes('chunk')
      const tokens = chunked ? (shape[1] ?? 1) : Number.POSITIVE_INFINITY
      const index = Math.floor((position - positions[0]) / tokens)
      const at = new Map([
        ...iterations(sequence),
        ['layer', layer] as const,
        ...(chunked ? [['chunk', index] as const] : []),
      ])
      const block = run.blocks(tensor, at)[rank]
      const slots = shape[1] ?? 1
      // A prefix lies in slots, the keys of a chunk from its first position on.
      const slot = chunked ? (position - positions[0]) % tokens : position % slots
      const found = [sequence % batch, slot, ...rest].map((each, dim) => block?.positions[dim]?.indexOf(each) ?? -1)
      if (found.includes(-1)) throw new Error(`rank ${rank} does not hold ${[sequence, position]} of ${tensor}`)
      const offset = found.reduce((sum, each, dim) => sum * (block?.positions[dim]?.length ?? 0) + each, 0)
      return block?.values[offset] ?? Number.NaN
    },
    tokens: prompts.map((_, sequence) => {
      const { outputs } = nodeOf(plan, 'sample')
      return run.whole(outputs[0] ?? '', iterations(sequence))[sequence % batch] ?? Number.NaN
    }),
    cached(name, layer, { sequence, position, within, width }) {
      const values = cache(name, layer, iterations(sequence, [['layer', layer]]))
      const slots = values.length / (batch * width)
      return values[((sequence % batch) * slots + (position % slots)) * width + within] ?? Number.NaN
    },
  }
}

function runDecode(
  model: ModelArchitecture | string,
  prompts: Prompts,
  before: Prefilled,
  steps: number,
  pool: Pool,
  drafted: (sequence: number, step: number, index: number) => number | undefined,
) {
  const position = prompts[0]?.length ?? 0
  const options = { phase: 'decode', seq: position + 1, steps } as const
  const { plan, microbatches, batch } = planFor(model, prompts, options, pool)
  const { draft = 0, keep = 1 } = pool.build ?? {}
  const run = runWith(plan, ({ id, per, shape }, at, index) => {
    const step = at(per, 'decode_step') ?? 0
    if (id === 'inputs/positions') return position + index + keep * step
    const sequence = (at(per, 'microbatch') ?? 0) * batch
    if (id === 'inputs/tokens') return before.tokens[sequence + index]
    if (id === 'inputs/drafts') return drafted(sequence + Math.floor(index / draft), step, index % draft)
    const positionOf = slotPosition(position + draft, position)
    return cacheValue(id, shape, index, sequence, at(per, 'layer') ?? 0, before, positionOf)
  })
  return { plan, run, microbatches, batch }
}

function decode(
  model: ModelArchitecture | string,
  prompts: Prompts,
  before: Prefilled,
  steps: number,
  pool: Pool,
): number[][] {
  const { plan, run, microbatches, batch } = runDecode(model, prompts, before, steps, pool, () => undefined)
  const { outputs } = nodeOf(plan, 'sample')
  return prompts.map((_, sequence) =>
    Array.from({ length: steps }, (_, step) => {
      const at: Iterations = new Map([
        ...(microbatches > 1 ? [['microbatch', Math.floor(sequence / batch)] as const] : []),
        ['decode_step', step] as const,
      ])
      return run.whole(outputs[0] ?? '', at)[sequence % batch] ?? Number.NaN
    }),
  )
}

/** The position in a slot of a cache that the first iteration fills up to `latest`, or −1 where `written` were not enough. */
const slotPosition = (latest: number, written: number) => (slot: number, slots: number) => {
  const position = latest - ((((latest - slot) % slots) + slots) % slots)
  return position < written ? position : -1
}

/** An element of a cache from outside; `positionOf` gives the position in a slot, negative where nothing was written. */
function cacheValue(
  id: string,
  shape: readonly number[],
  index: number,
  firstSequence: number,
  layer: number,
  before: Prefilled | undefined,
  positionOf: (slot: number, slots: number) => number,
): number | undefined {
  if (!id.startsWith('cache/')) return undefined
  const width = shape.slice(2).reduce((product, size) => product * size, 1)
  const row = Math.floor(index / width)
  const slots = shape[1] ?? 1
  const position = positionOf(row % slots, slots)
  if (position < 0 || !before) return unwritten
  const name = id.slice(id.indexOf('/', 'cache/'.length) + 1)
  const sequence = firstSequence + Math.floor(row / slots)
  return before.cached(name, layer, { sequence, position, within: index % width, width })
}

/** The body that a layer runs. */
function bodyOf({ items }: Program, layer: number): string {
  const [layers] = regionsOf(items).filter(({ axis }) => axis === 'layer')
  return layers?.bodies[bodyAt(layers, layer)]?.name ?? ''
}

type Value = (
  tensor: Tensor,
  at: (per: readonly string[], axis: string) => number | undefined,
  index: number,
) => number | undefined

function runWith({ program, operators }: Planned, value: Value): Interpretation {
  const weights = new Map<string, (index: number) => number>()
  /**
   * Larger weights than usual: small ones let a model repeat one token. Those of a layer are the same whichever body it runs:
   * at the borders of stages there are some of their own.
   */
  const weight = (tensor: Tensor, iterations: readonly number[]) => {
    const id = tensor.per.includes('layer') ? tensor.id.slice(tensor.id.indexOf('/') + 1) : tensor.id
    const key = `${id}@${iterations.join()}`
    const usual = weights.get(key) ?? usualValues({ ...tensor, id }, iterations, undefined)
    weights.set(key, usual)
    return usual
  }
  const initial: InterpretOptions['initial'] = (tensor, iterations, index) =>
    tensor.role === 'parameter'
      ? 3 * weight(tensor, iterations)(index)
      : value(tensor, (per, axis) => iterations[per.indexOf(axis)], index)
  return interpret(program, operators, { initial })
}

function planFor(model: ModelArchitecture | string, prompts: Prompts, options: BuildOptionsWithoutBatch, pool: Pool) {
  const microbatches = pool.build?.microbatches ?? 1
  const batch = prompts.length / microbatches
  const architecture = typeof model === 'string' ? findPreset(model) : model
  const plan = planned(architecture, { ...options, batch, ...pool.build }, pool.degrees ?? {}, pool.options)
  return { plan, microbatches, batch }
}

type BuildOptionsWithoutBatch = Omit<BuildOptions, 'batch'>

function nodeOf({ program }: Planned, op: string): OperatorNode {
  const node = nodesOf(program.items).find((each) => each.op === op)
  if (!node) throw new Error(`the program has no ${op}`)
  return node
}
