import { layerRanges, type Selector } from '@shardloom/core'
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

/** Keeps the first two layers of each kind between two boundaries, in their order. */
export function fewLayers({ order }: ModelArchitecture, boundaries: readonly number[]): FewLayers {
  const period = order.runs.flatMap(({ layer, count }) => Array.from({ length: count }, () => layer))
  const kept: string[] = []
  const depths: number[] = []
  const seen = new Map<string, number>()
  for (let depth = 0; depth < period.length * (order.repeat ?? 1); depth++) {
    if (boundaries.includes(depth)) seen.clear()
    depths.push(kept.length)
    const layer = period[depth % period.length] ?? ''
    const count = seen.get(layer) ?? 0
    if (count >= layersOfAKind) continue
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

/** The options of this version's own, with the layers that they name counted among those that stayed. */
export function moveLayers(options: PlannedSpec['options'], { depthOf }: FewLayers): PlannedSpec['options'] {
  return {
    ...options,
    recompute: moved(options.recompute, depthOf),
    tp: moved(options.tp, depthOf),
    dp: moved(options.dp, depthOf),
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
