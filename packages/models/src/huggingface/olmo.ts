import type { GroupedAttention, ModelArchitecture } from '../architecture.js'
import { allOrNoBias, rotaryAttention, slidingAndFull } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { readGatedFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'
import { readMixture } from './mixture.js'

/** OLMo 2, with norms on each branch's output: https://arxiv.org/abs/2501.00656, section 2. */
export function readOlmo2(fields: ConfigFields): ModelArchitecture {
  return readOlmo(fields, 'olmo2', () => false)
}

/** OLMo 3: OLMo 2 with three layers of sliding attention before each full one. */
export function readOlmo3(fields: ConfigFields): ModelArchitecture {
  return readOlmo(fields, 'olmo3', (depth) => (depth + 1) % 4 !== 0)
}

function readOlmo(fields: ConfigFields, family: string, slidingAt: (depth: number) => boolean): ModelArchitecture {
  const layers = readDepth(fields)
  const attention = olmoAttention(fields)
  return readDecoder(fields, family, {
    layers,
    attention: slidingAndFull(fields, layers, attention, slidingAt, 4096),
    ffn: readGatedFfn(fields),
    norms: 'post',
    tied: false,
  })
}

/** OLMoE: https://arxiv.org/abs/2409.02060, section 2. */
export function readOlmoe(fields: ConfigFields): ModelArchitecture {
  return readDecoder(fields, 'olmoe', {
    layers: readDepth(fields),
    attention: everyLayer(olmoAttention(fields)),
    ffn: everyLayer(readMixture(fields, { experts: 'num_experts', width: 'intermediate_size', normalised: false })),
    tied: false,
  })
}

function olmoAttention(fields: ConfigFields): GroupedAttention {
  return rotaryAttention(
    fields,
    { kvHeads: 'heads', headDim: 'quotient' },
    { bias: allOrNoBias(fields), qkNorm: 'whole' },
  )
}
