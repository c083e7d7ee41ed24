import { type Region, ShardloomError } from '@shardloom/core'
import type { Layer, ModelArchitecture } from './architecture.js'

/** The distinct bodies of the layer region and which of them each depth runs. */
export interface LayerRuns {
  readonly names: readonly string[]
  readonly layers: readonly Layer[]
  /** The kind of layer, in the architecture's words, behind each body. */
  readonly kinds: readonly string[]
  readonly select: Region['select']
  readonly extent: number
}

/** The most layers of a model: a plan asks of each depth where it runs, and no published model has 200. */
const mostLayers = 100_000

/**
 * The bodies of a model's layers, a new one after each of `boundaries`. Throws `ARCHITECTURE` for a layer that is not described, and
 * `MODEL_SIZE` for more layers than are planned.
 */
export function layerRuns(architecture: ModelArchitecture, boundaries: readonly number[]): LayerRuns {
  const { runs, repeat = 1 } = architecture.order
  const period = runs.reduce((sum, run) => sum + run.count, 0)
  const extent = period * repeat
  if (extent > mostLayers)
    throw new ShardloomError('MODEL_SIZE', `The model has ${extent} layers; at most ${mostLayers} are planned.`, {
      subject: 'model',
      help: 'Layers of one kind are alike: plan fewer of them, and multiply.',
    })
  const cuts = [...new Set(boundaries)].filter((cut) => cut > 0 && cut < extent).sort((a, b) => a - b)
  const names: string[] = []
  const kinds: string[] = []
  const layers: Layer[] = []
  const select: { body: number; count: number }[] = []
  const bodyOf = (kind: string, part: number) => {
    const name = cuts.length === 0 ? kind : `${kind}-${part}`
    const known = names.indexOf(name)
    if (known >= 0) return known
    const layer = architecture.layers[kind]
    if (!layer)
      throw new ShardloomError('ARCHITECTURE', `The model orders a layer \`${kind}\`, which it does not describe.`)
    names.push(name)
    kinds.push(kind)
    layers.push(layer)
    return names.length - 1
  }
  const rounds = cuts.length === 0 ? 1 : repeat
  let depth = 0
  for (let round = 0; round < rounds; round++) {
    for (const run of runs) {
      let left = run.count
      while (left > 0) {
        const part = cuts.filter((cut) => cut <= depth).length
        const next = cuts[part] ?? Number.POSITIVE_INFINITY
        const count = Math.min(left, next - depth)
        select.push({ body: bodyOf(run.layer, part), count })
        depth += count
        left -= count
      }
    }
  }
  return { names, layers, kinds, select, extent }
}
