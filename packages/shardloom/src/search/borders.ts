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

/**
 * Borders of so many chunks by Alpa's objective (Zheng et al. 2022, section 5.2), embedding and head counted. `least`: how many layers the
 * chunks of equal layers have at least.
 */
export function balancedBorders(
  blocks: BlockCosts,
  layers: readonly string[],
  { count, microbatches, least }: { readonly count: number; readonly microbatches: number; readonly least: 0 | 1 },
): readonly number[] | undefined {
  const [first, last] = [secondsIn(blocks, 'first'), secondsIn(blocks, 'last')]
  const kinds = new Map(Array.from(new Set(layers), (kind) => [kind, secondsIn(blocks, kind)]))
  const besides = (stage: number) => (stage === 0 ? first : 0) + (stage === count - 1 ? last : 0)
  const [one = 0, ...others] = new Set(kinds.values())
  const counts =
    others.length === 0
      ? balanceEqualLayers(
          layers.length,
          one,
          Float64Array.from({ length: count }, (_, at) => besides(at)),
          least,
        )
      : balanceStages({
          layers: layers.length,
          stages: count,
          microbatches: Math.max(2, microbatches),
          time: layerSums(
            layers.map((layer) => kinds.get(layer) ?? 0),
            besides,
          ),
        })?.stages.map((stage) => stage.end - stage.first)
  let border = 0
  return counts && [0, ...counts.map((each) => (border += each))]
}
