import type { Activation, Layer } from '../architecture.js'
import type { ConfigFields, FieldName } from './config-fields.js'
import { everyLayer, type PerLayer } from './layer-order.js'

/** Reads the width of a dense gated network; `mlp_bias` is Llama's, absent elsewhere. */
export function readGatedFfn(fields: ConfigFields, name: FieldName = 'intermediate_size'): PerLayer<Layer['ffn']> {
  return everyLayer({
    kind: 'dense',
    intermediate: fields.size(name),
    activation: readActivation(fields, true),
    bias: fields.flag('mlp_bias', false),
  })
}

/** A dense network without a gate, as GPT-2 has it. */
export function plainFfn(fields: ConfigFields, intermediate: number, bias: boolean): PerLayer<Layer['ffn']> {
  return everyLayer({ kind: 'dense', intermediate, activation: readActivation(fields, false), bias })
}

/** The gated or plain form of the activation that the config names. */
export function readActivation(fields: ConfigFields, gated: boolean, fallback = gated ? 'silu' : 'gelu'): Activation {
  const name: FieldName = ['hidden_activation', 'hidden_act', 'activation_function', 'activation']
  const word = fields.word(name, fallback)
  const gelu = word.startsWith('gelu')
  if (gated && (word === 'silu' || word === 'swish')) return 'swiglu'
  if (gated && gelu) return 'geglu'
  if (!gated && gelu) return 'gelu'
  if (!gated && word === 'relu') return 'relu'
  return fields.unsupported(fields.value(name)?.name ?? 'hidden_act', word, gated ? 'silu and gelu' : 'gelu and relu')
}
