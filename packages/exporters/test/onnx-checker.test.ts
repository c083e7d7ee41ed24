import { loadSpec, plan, type SpecInput } from 'shardloom'
import { onnxOf } from 'shardloom/onnx'
import { shrinkSpec } from 'shardloom/testing'
import { describe, expect, it } from 'vitest'
import { checkWithPython, python } from './onnx-reader.js'

const tiny = { model: 'tiny', batch: 4, seq: 16 }
const sequence = { sequenceParallel: true }

const cases: readonly (readonly [name: string, spec: SpecInput, rank: number])[] = [
  ['training on one device', { ...tiny, microbatch: 2 }, 0],
  ['prefill on one device', { ...tiny, phase: 'prefill' }, 0],
  ['decode on one device', { ...tiny, phase: 'decode', steps: 3 }, 0],
  ['a prompt in chunks', { ...tiny, phase: 'prefill', options: { prefill: { chunk: 4 } } }, 0],
  ['tensor and sequence parallel training', { ...tiny, parallel: { tp: 2 }, options: sequence }, 1],
  ['tensor and sequence parallel prefill', { ...tiny, phase: 'prefill', parallel: { tp: 2 }, options: sequence }, 0],
  ['tensor parallel decode over a shared cache', { ...tiny, phase: 'decode', parallel: { tp: 4, dcp: 2 } }, 0],
  ['the first stage of a pipeline', { ...tiny, microbatch: 1, parallel: { pp: 2 } }, 0],
  ['the last stage of a pipeline', { ...tiny, microbatch: 1, parallel: { pp: 2 } }, 1],
  ['two directions', { ...tiny, microbatch: 1, parallel: { pp: 2 }, options: { schedule: 'dualpipe' } }, 1],
  ['experts on ranks', { ...tiny, model: 'tiny-moe', parallel: { dp: 2, ep: 2 } }, 0],
  ['experts on ranks, prefill', { ...tiny, model: 'tiny-moe', phase: 'prefill', parallel: { dp: 2, ep: 2 } }, 1],
  ['context parallel, parameters sharded', { ...tiny, parallel: { dp: 2, cp: 2 }, options: { zero: 3 } }, 3],
  ['heads exchanged', { ...tiny, parallel: { ulysses: 2 } }, 0],
  ['half precision', { ...tiny, phase: 'prefill', options: { dtype: 'fp16' } }, 0],
  ['llama-3.1-405b', { model: 'llama-3.1-405b', phase: 'prefill', batch: 1, seq: 8192, parallel: { tp: 8 } }, 0],
]

describe.skipIf(python === undefined)("Python's onnx accepts, with full check,", () => {
  it.each(cases)('%s', async (_, spec, rank) => {
    const model = onnxOf(await plan(spec), { rank })
    const seen = checkWithPython(model)
    expect(seen.ir).toBe(8)
    expect(seen.functions).toEqual(model.functions)
  })

  it.each(['gpt2', 'gpt-oss-120b', 'deepseek-v3'])('%s with weights, made small', async (name) => {
    const { plan: small } = shrinkSpec(await loadSpec({ model: name, phase: 'prefill', batch: 2, seq: 16 }))
    expect(checkWithPython(onnxOf(small, { weights: true })).nodes).toBeGreaterThan(0)
  })

  it('bytes beyond 32 bits, as the plan has them', async () => {
    const parallel = { tp: 2 }
    const spec = { ...tiny, phase: 'prefill', batch: 65_536, seq: 2048, parallel } as const
    const { attributes } = checkWithPython(onnxOf(await plan(spec)))
    // batch · seq · hidden, two bytes each.
    expect(attributes['prefill/embedding/tokens/all-reduce(tp)']?.['bytes']).toBe(65_536 * 2048 * 64 * 2)
  })
})
