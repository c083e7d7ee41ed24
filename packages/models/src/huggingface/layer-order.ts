import type { Layer, ModelArchitecture } from '../architecture.js'

/** Something that each layer has one of, in a few kinds: the attention, or the feed-forward network. */
export interface PerLayer<Part> {
  /** The kind at a depth, counted from 0: a word for the layer's name, such as `sliding` or `moe`. */
  readonly kindAt: (depth: number) => string
  readonly build: (kind: string) => Part
}

/** The same part at every depth. */
export function everyLayer<Part>(part: Part): PerLayer<Part> {
  return { kindAt: () => '', build: () => part }
}

/**
 * Finds the distinct layers and their order. A layer is named after those of its parts that differ between depths
 * (`sliding-layer`, `full-moe-layer`), and `layer` when all layers are equal.
 */
export function arrangeLayers(
  depths: number,
  attention: PerLayer<Layer['attention']>,
  ffn: PerLayer<Layer['ffn']>,
  rest: Pick<Layer, 'residual' | 'norms'>,
): Pick<ModelArchitecture, 'layers' | 'order'> {
  const pairs = Array.from({ length: depths }, (_, depth) => [attention.kindAt(depth), ffn.kindAt(depth)] as const)
  const attentionVaries = new Set(pairs.map(([kind]) => kind)).size > 1
  const ffnVaries = new Set(pairs.map(([, kind]) => kind)).size > 1
  const layers: Record<string, Layer> = {}
  const names = pairs.map(([attentionKind, ffnKind]) => {
    const name = [attentionVaries ? attentionKind : '', ffnVaries ? ffnKind : '', 'layer'].filter(Boolean).join('-')
    layers[name] ??= { attention: attention.build(attentionKind), ffn: ffn.build(ffnKind), ...rest }
    return name
  })
  return { layers, order: orderOf(names) }
}

/** Codes a list of layer names as runs of its shortest repeating part. */
function orderOf(names: readonly string[]): ModelArchitecture['order'] {
  const runs: { layer: string; count: number }[] = []
  const period = shortestPeriod(names)
  const unit = new Set(names).size === 1 ? names : names.slice(0, period)
  for (const layer of unit) {
    const last = runs.at(-1)
    if (last?.layer === layer) last.count++
    else runs.push({ layer, count: 1 })
  }
  return unit.length === names.length ? { runs } : { runs, repeat: names.length / unit.length }
}

/** The length of the shortest part that the list repeats a whole number of times, by the borders of its prefixes. */
function shortestPeriod(names: readonly string[]): number {
  const borders = new Uint32Array(names.length)
  for (let end = 1, border = 0; end < names.length; end++) {
    while (border > 0 && names[end] !== names[border]) border = borders[border - 1] ?? 0
    if (names[end] === names[border]) border++
    borders[end] = border
  }
  const period = names.length - (borders.at(-1) ?? 0)
  return names.length % period === 0 ? period : names.length
}
