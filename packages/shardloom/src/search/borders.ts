import { balanceEqualLayers, balanceStages, layerSums } from '@shardloom/search'
import { type BlockCosts, secondsIn } from './samples.js'

/** How many layers lie between borders. */
export function sizesOf(borders: readonly number[]): number[] {
  return borders.slice(1).map((border, chunk) => border - (borders[chunk] ?? 0))
}

/** Whether borders are the same. */
export function areSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index])
}

/** Chunks to divide layers among. */
interface Chunks {
  readonly count: number
  readonly microbatches: number
  /** How many layers the chunks of equal layers have at least. */
  readonly least: 0 | 1
}

/** By costs: many pipelines have as many chunks. */
const known = new WeakMap<BlockCosts, Map<string, readonly number[] | undefined>>()

/** Borders of so many chunks by Alpa's objective (Zheng et al. 2022, section 5.2), embedding and head counted. `layers` are those of the model. */
export function balancedBorders(
  blocks: BlockCosts,
  layers: readonly string[],
  chunks: Chunks,
): readonly number[] | undefined {
  const kinds = new Map(Array.from(new Set(layers), (kind) => [kind, secondsIn(blocks, kind)]))
  const areAlike = new Set(kinds.values()).size === 1
  const key = `${chunks.count} ${areAlike ? chunks.least : chunks.microbatches}`
  const all = known.get(blocks) ?? new Map<string, readonly number[] | undefined>()
  known.set(blocks, all)
  if (!all.has(key)) all.set(key, bordersOf(blocks, layers, chunks, areAlike ? undefined : kinds))
  return all.get(key)
}

function bordersOf(
  blocks: BlockCosts,
  layers: readonly string[],
  { count, microbatches, least }: Chunks,
  kinds: ReadonlyMap<string, number> | undefined,
): readonly number[] | undefined {
  const [first, last] = [secondsIn(blocks, 'first'), secondsIn(blocks, 'last')]
  const besides = (stage: number) => (stage === 0 ? first : 0) + (stage === count - 1 ? last : 0)
  const counts = kinds
    ? balanceStages({
        layers: layers.length,
        stages: count,
        microbatches: Math.max(2, microbatches),
        time: layerSums(
          layers.map((layer) => kinds.get(layer) ?? 0),
          besides,
        ),
      })?.stages.map((stage) => stage.end - stage.first)
    : balanceEqualLayers(
        layers.length,
        secondsIn(blocks, layers[0] ?? ''),
        Float64Array.from({ length: count }, (_, at) => besides(at)),
        least,
      )
  let border = 0
  return counts && [0, ...counts.map((each) => (border += each))]
}
