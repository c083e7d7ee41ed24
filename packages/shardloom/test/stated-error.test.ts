import { describe, expect, test } from 'vitest'
import type { EfficiencyFile } from '../src/index.js'
import { loadSpec, simulateServingLoaded, summariseServingSimulation } from '../src/index.js'
import { statedError, statedServingError } from '../src/stated-error.js'

const file = (fit?: EfficiencyFile['fit']): EfficiencyFile => ({
  schema: 'shardloom.efficiency/1',
  accelerator: 'h100-sxm',
  source: 'here',
  ...(fit && { fit }),
  values: { matmul: 0.6 },
})

describe('what times are stated to be good for', () => {
  test('a fit claims no less than the error that it left', () => {
    const fit = { measurements: 20, steps: 20, constants: 11, meanError: 0.31 }
    expect(statedError({ fitted: true, file: file(fit) })).toBe(0.31)
    expect(statedError({ fitted: false, file: file({ ...fit, meanError: 0.01 }) })).toBe(statedError({ fitted: true }))
  })

  test('fewer steps than free constants settle them not, however well they fit, nor does a file that says nothing', () => {
    const usual = statedError({ fitted: false })
    // Twenty times the same step are one equation.
    const fit = { measurements: 20, steps: 1, constants: 7, meanError: 0.001 }
    expect(statedError({ fitted: true, file: file(fit) })).toBe(usual)
    expect(statedError({ fitted: true, file: file() })).toBe(usual)
    expect(statedError({ fitted: true, file: file({ ...fit, meanError: 0.4 }) })).toBe(0.4)
  })

  test('serving off the accelerator or the host of the rows is good for less', () => {
    const own = statedServingError({ fitted: true }, { accelerator: true, host: true })
    const others = [
      statedServingError({ fitted: true }, { accelerator: true, host: false }),
      statedServingError({ fitted: true }, { accelerator: false, host: true }),
      statedServingError({ fitted: true, file: file() }, { accelerator: true, host: true }),
      statedServingError({ fitted: false }, { accelerator: false, host: true }),
    ]
    for (const { tpot, ttft } of others) {
      expect(tpot).toBeGreaterThan(own.tpot)
      expect(ttft).toBeGreaterThan(own.ttft)
    }
  })

  test('SGLang was measured on H200, vLLM on H100', async () => {
    const errorOf = async (engine: string, cluster: string) => {
      const load = { clients: 1, requests: 1, input: 64, output: 4 }
      const spec = {
        model: 'llama-3.1-8b',
        cluster,
        phase: 'serving',
        seq: 1024,
        options: { serving: { engine, load } },
      }
      return summariseServingSimulation(simulateServingLoaded(await loadSpec(spec))).conventions.error
    }
    expect(await errorOf('vllm', 'dgx-h100')).toEqual({ tpot: 0.06, ttft: 0.2 })
    expect(await errorOf('sglang', 'dgx-h200')).toEqual({ tpot: 0.06, ttft: 0.2 })
    expect((await errorOf('vllm', 'dgx-b200')).tpot).toBeGreaterThan(0.15)
  })
})
