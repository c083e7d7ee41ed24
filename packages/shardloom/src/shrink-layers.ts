import { type Chunk, layerRanges, type Selector } from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { selectorFields } from './plan.js'
import type { PlannedSpec } from './sequence.js'

/** How many layers of a kind are enough: one hands its result to the next. */
const layersOfAKind = 2

/** A model's layers, thinned out, and where a depth of the whole model stands among those that stayed. */
export interface FewLayers {
  readonly order: ModelArchitecture['order']
  readonly depthOf: (depth: number) => number
}

/**
 * Keeps the first two layers of each kind between two boundaries, in their order, and as many more as something is fetched ahead of
 * the layer that needs it.
 */
export function fewLayers({ order }: ModelArchitecture, boundaries: readonly number[], ahead: number): FewLayers {
  const period = order.runs.flatMap(({ layer, count }) => Array.from({ length: count }, () => layer))
  const kept: string[] = []
  const depths: number[] = []
  const seen = new Map<string, number>()
  for (let depth = 0; depth < period.length * (order.repeat ?? 1); depth++) {
    if (boundaries.includes(depth)) seen.clear()
    depths.push(kept.length)
    const layer = period[depth % period.length] ?? ''
    const count = seen.get(layer) ?? 0
    if (count >= layersOfAKind + ahead) continue
    seen.set(layer, count + 1)
    kept.push(layer)
  }
  const runs: { layer: string; count: number }[] = []
  for (const layer of kept) {
    const last = runs.at(-1)
    if (last?.layer === layer) last.count++
    else runs.push({ layer, count: 1 })
  }
  return { order: { runs }, depthOf: (depth) => depths[depth] ?? kept.length }
}

/**
 * The same for a pipeline, chunk by chunk: of each the first layer, the last one and two of each kind between, where
 * values come and go. When there are fewer chunks now, the first, the last and some of each other sort stand for all.
 */
export function fewLayersOfChunks(
  { order }: ModelArchitecture,
  boundaries: readonly number[],
  chunks: readonly Chunk[],
  count: number,
): FewLayers & { readonly sizes: readonly number[] } {
  const period = order.runs.flatMap(({ layer, count: repeated }) => Array.from({ length: repeated }, () => layer))
  const kindOf = (depth: number) => period[depth % period.length] ?? ''
  const partOf = (depth: number) => boundaries.filter((boundary) => boundary <= depth).length
  const thinned = chunks.map(({ from, to }) => {
    const seen = new Map<string, number>()
    return Array.from({ length: to - from }, (_, index) => from + index).filter((depth) => {
      if (depth === from || depth === to - 1) return true
      const key = `${kindOf(depth)} ${partOf(depth)}`
      const already = seen.get(key) ?? 0
      seen.set(key, already + 1)
      return already < layersOfAKind
    })
  })
  const sorts = new Set<string>()
  const between = chunks.map((_, index) => index).slice(1, -1)
  const isNew = (index: number) => {
    const sort = thinned[index]?.map((depth) => `${kindOf(depth)} ${partOf(depth)}`).join() ?? ''
    return !sorts.has(sort) && sorts.add(sort)
  }
  const different = between.filter(isNew)
  const others = between.filter((index) => !different.includes(index))
  const chosen = [0, ...[...different, ...others].slice(0, count - 2).sort((a, b) => a - b), chunks.length - 1]
  const kept = chosen.map((index) => thinned[index] ?? [])
  const depths = kept.flat()
  const runs: { layer: string; count: number }[] = []
  for (const depth of depths) {
    const last = runs.at(-1)
    if (last?.layer === kindOf(depth)) last.count++
    else runs.push({ layer: kindOf(depth), count: 1 })
  }
  return {
    order: { runs },
    depthOf: (depth) => depths.filter((each) => each < depth).length,
    sizes: kept.map(({ length }) => length),
  }
}

/** The options of this version's own, with the layers that they name counted among those that stayed. */
export function moveLayers(options: PlannedSpec['options'], { depthOf }: FewLayers): PlannedSpec['options'] {
  return {
    ...options,
    offload: moved(options.offload, depthOf),
    recompute: moved(options.recompute, depthOf),
    tp: moved(options.tp, depthOf),
    dp: moved(options.dp, depthOf),
    sp: moved(options.sp, depthOf),
    ep: moved(options.ep, depthOf),
  }
}

function moved<Options extends string | object>(options: Options, depthOf: FewLayers['depthOf']): Options {
  if (typeof options === 'string') return options
  const fields = Object.entries<Selector>({ ...options }).map(([field, where]) => {
    if (!selectorFields.some((each) => each === field) || where.layers === undefined) return [field, where]
    const layers = layerRanges(where).map(([first, last]) => {
      const start = depthOf(first)
      // A range beyond the last layer names none, and goes on naming none.
      return `${start}-${Math.max(start, depthOf(last + 1) - 1)}`
    })
    return [field, { ...where, layers }]
  })
  return Object.fromEntries(fields) as Options // the same fields, which Object.entries forgets
}
