import type { Layer, ModelArchitecture } from '../architecture.js'

/** A model whose layers are all equal. */
export type UniformModel = Omit<ModelArchitecture, 'schema' | 'layers' | 'order'> & {
  /** The number of layers. */
  readonly depth: number
  readonly layer: Layer
}

/** Writes a model of equal layers in full. */
export function uniformModel({ depth, layer, ...rest }: UniformModel): ModelArchitecture {
  return {
    schema: 'shardloom.model/1',
    ...rest,
    layers: { layer },
    order: { runs: [{ layer: 'layer', count: depth }] },
  }
}

/** What pre-norm decoders without biases share: Llama and those after it. */
export const RMS_DECODER = { tiedEmbeddings: false, norm: { kind: 'rms', bias: false } } as const

/** How their layers stand around the residual. */
export const PRE_NORM = { residual: 'sequential', norms: 'pre' } as const
