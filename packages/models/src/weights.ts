import type { DataType } from '@shardloom/core'
import type { ModelArchitecture } from './architecture.js'
import type { Graph } from './graph.js'
import type { LayerRuns } from './layer-runs.js'
import { parameterTensors } from './parameters.js'

/** Finds the tensor of a weight by the name it has in the list of weights. */
export interface ParameterIds {
  readonly top: (name: string) => string
  /** `body` is the name of a layer's body. */
  readonly layer: (body: string, name: string) => string
}

/**
 * Declares every weight that the graph holds: those of layers once per body, with one value per layer. Matrices of layers are stored as
 * `dtype` says, all else as the graph computes: quantised checkpoints keep norms, routers, embedding and head.
 */
export function addParameters(
  graph: Graph,
  architecture: ModelArchitecture,
  runs: LayerRuns,
  dtype: DataType,
): ParameterIds {
  const alternates = runs.names.length > 1
  for (const { name, dims, shape, layer, drawn } of parameterTensors(architecture)) {
    if (!drawn) continue
    if (layer === undefined) {
      graph.tensor(name, dims, shape, { role: 'parameter', per: [] })
      continue
    }
    runs.names.forEach((body, index) => {
      if (runs.kinds[index] !== layer) return
      graph.tensor(`${body}/${name}`, dims, shape, {
        role: 'parameter',
        per: ['layer'],
        ...(alternates && { body }),
        ...(dims.length > 1 && !/router|bias/.test(name) && { dtype }),
      })
    })
  }
  return { top: (name) => name, layer: (body, name) => `${body}/${name}` }
}
