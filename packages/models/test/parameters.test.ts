import { describe, expect, test } from 'vitest'
import type { ModelArchitecture } from '../src/architecture.js'
import { countParameters, parameterTensors } from '../src/parameters.js'
import { findPreset } from '../src/presets/index.js'

/** The weights of a model, one a line: layer, name, named dims, and marks. */
function listing(architecture: ModelArchitecture): string[] {
  return parameterTensors(architecture).map(({ name, dims, shape, layer, instances, routed, drawn }) => {
    const sizes = dims.map((dim, index) => `${dim} ${shape[index]}`).join(', ')
    const where = layer === undefined ? '' : `${layer} x${instances} `
    return `${where}${name} [${sizes}]${routed ? ' routed' : ''}${drawn ? '' : ' undrawn'}`
  })
}

const latent: ModelArchitecture = {
  ...findPreset('tiny'),
  layers: {
    layer: {
      attention: {
        kind: 'latent',
        heads: 4,
        queryRank: 24,
        kvRank: 12,
        nopeDim: 16,
        ropeDim: 8,
        valueDim: 20,
        indexer: { heads: 2, headDim: 5 },
      },
      ffn: { kind: 'dense', intermediate: 128, activation: 'gelu', bias: true },
      residual: 'sequential',
      norms: 'sandwich',
    },
  },
}

describe('the list of weights', () => {
  test('a dense decoder', () => {
    expect(listing(findPreset('tiny'))).toEqual([
      'embedding/weight [vocab 256, hidden 64]',
      'layer x2 attention_norm/gain [hidden 64]',
      'layer x2 attention/q/weight [hidden 64, kv_heads 2, group 2, head_dim 16]',
      'layer x2 attention/k/weight [hidden 64, kv_heads 2, head_dim 16]',
      'layer x2 attention/v/weight [hidden 64, kv_heads 2, head_dim 16]',
      'layer x2 attention/out/weight [kv_heads 2, group 2, head_dim 16, hidden 64]',
      'layer x2 ffn_norm/gain [hidden 64]',
      'layer x2 ffn/gate/weight [hidden 64, ffn 128]',
      'layer x2 ffn/up/weight [hidden 64, ffn 128]',
      'layer x2 ffn/down/weight [ffn 128, hidden 64]',
      'final_norm/gain [hidden 64]',
      'head/weight [vocab 256, hidden 64]',
    ])
  })

  test('routed experts', () => {
    expect(listing(findPreset('tiny-moe')).filter((line) => line.includes('moe/'))).toEqual([
      'layer x2 moe/router/weight [hidden 64, experts 4]',
      'layer x2 moe/experts/gate/weight [experts 4, hidden 64, ffn 64] routed',
      'layer x2 moe/experts/up/weight [experts 4, hidden 64, ffn 64] routed',
      'layer x2 moe/experts/down/weight [experts 4, ffn 64, hidden 64] routed',
    ])
  })

  test('latent attention, a plain network with biases and sandwich norms', () => {
    expect(listing(latent).filter((line) => line.startsWith('layer'))).toEqual([
      'layer x2 attention_norm/gain [hidden 64]',
      'layer x2 attention/q_down/weight [hidden 64, q_rank 24]',
      'layer x2 attention/q_norm/gain [q_rank 24]',
      'layer x2 attention/q/weight [q_rank 24, kv_heads 4, qk_dim 24]',
      'layer x2 attention/kv_down/weight [hidden 64, kv_rank 12]',
      'layer x2 attention/k_rope/weight [hidden 64, rope_dim 8]',
      'layer x2 attention/kv_norm/gain [kv_rank 12]',
      'layer x2 attention/k_up/weight [kv_rank 12, kv_heads 4, nope_dim 16]',
      'layer x2 attention/v_up/weight [kv_rank 12, kv_heads 4, value_dim 20]',
      'layer x2 attention/indexer/q/weight [q_rank 24, index_heads 2, index_dim 5] undrawn',
      'layer x2 attention/indexer/k/weight [hidden 64, index_dim 5] undrawn',
      'layer x2 attention/indexer/k_norm/gain [index_dim 5] undrawn',
      'layer x2 attention/indexer/k_norm/bias [index_dim 5] undrawn',
      'layer x2 attention/indexer/weights/weight [hidden 64, index_heads 2] undrawn',
      'layer x2 attention/out/weight [kv_heads 4, value_dim 20, hidden 64]',
      'layer x2 attention_post_norm/gain [hidden 64]',
      'layer x2 ffn_norm/gain [hidden 64]',
      'layer x2 ffn/up/weight [hidden 64, ffn 128]',
      'layer x2 ffn/up/bias [ffn 128]',
      'layer x2 ffn/down/weight [ffn 128, hidden 64]',
      'layer x2 ffn/down/bias [hidden 64]',
      'layer x2 ffn_post_norm/gain [hidden 64]',
    ])
  })

  test('learned positions, biases and a tied head', () => {
    const lines = listing(findPreset('gpt2'))
    expect(lines).toContain('embedding/positions [positions 1024, hidden 768]')
    expect(lines).toContain('layer x12 attention/q/bias [kv_heads 12, group 1, head_dim 64]')
    expect(lines).toContain('final_norm/bias [hidden 768]')
    expect(lines.join()).not.toContain('head/weight')
  })

  test('a layer kind that no run names has no weights', () => {
    const tiny = findPreset('tiny')
    const unused = { ...tiny, layers: { ...tiny.layers, ...findPreset('deepseek-v3').layers } }
    expect(listing(unused)).toEqual(listing(tiny))
  })
})

describe('the count', () => {
  test('a repeated order multiplies its runs', () => {
    const tiny = findPreset('tiny')
    const sixteen = { ...tiny, order: { runs: [{ layer: 'layer', count: 2 }], repeat: 8 } }
    const layersOf = (architecture: ModelArchitecture) => countParameters(architecture).total - 2 * 256 * 64 - 64
    expect(layersOf(sixteen)).toBe(8 * layersOf(tiny))
  })

  test('a token uses top k of the experts', () => {
    const { modules, total, active } = countParameters(findPreset('tiny-moe'))
    const each = 3 * 64 * 64
    expect(modules.get('moe.routed_experts')).toEqual({ instances: 8, parameters: 8 * each, active: 4 * each })
    expect(total - active).toBe(4 * each)
  })

  test('the modules add up to the total', () => {
    const { modules, total, active } = countParameters(findPreset('deepseek-v3'))
    const sum = (key: 'parameters' | 'active') => [...modules.values()].reduce((all, module) => all + module[key], 0)
    expect(sum('parameters')).toBe(total)
    expect(sum('active')).toBe(active)
  })

  test('extras count and are not drawn', () => {
    const architecture = { ...findPreset('tiny'), extras: [{ module: 'vision.tower', parameters: 1000 }] }
    expect(countParameters(architecture).total).toBe(countParameters(findPreset('tiny')).total + 1000)
    expect(listing(architecture)).toContain('extras/vision.tower [parameters 1000] undrawn')
  })
})
