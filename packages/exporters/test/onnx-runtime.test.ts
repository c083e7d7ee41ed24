import { lookup } from '@shardloom/core'
import { interpret, outsideValues } from '@shardloom/testing'
import * as ort from 'onnxruntime-web'
import { loadSpec, type Plan, type SpecInput } from 'shardloom'
import { onnxOf } from 'shardloom/onnx'
import { shrinkSpec } from 'shardloom/testing'
import { beforeAll, describe, expect, it } from 'vitest'
import { bytesOf } from './onnx-reader.js'

beforeAll(() => {
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
})

const spec = { batch: 2, seq: 8, options: { dtype: 'fp32' } } as const

async function small(input: SpecInput): Promise<Plan> {
  return shrinkSpec(await loadSpec(input)).plan
}

/** A tensor and the iterations of its axes, from the name of a value such as `cache/layer/attention/k[1]`. */
function readName({ program }: Plan, name: string) {
  const [, id = '', list] = /^(.*?)(?:\[([\d,]+)\])?$/.exec(name) ?? []
  const tensor = lookup(program.tensors, id)
  const places = list?.split(',').map(Number) ?? []
  return { tensor, iterations: new Map(tensor.per.map((axis, index) => [axis, places[index] ?? 0])) }
}

/** Runs the model of a rank on what `outside` takes for tensors from outside, and returns its results by name. */
async function run(model: Plan, outside: Plan, rank: number) {
  const session = await ort.InferenceSession.create(bytesOf(onnxOf(model, { weights: true, rank })))
  const values = outsideValues(outside.program, outside.operators, { rank })
  const feeds = session.inputNames.map((name) => {
    const { tensor, iterations } = readName(outside, name)
    const data = values(tensor.id, iterations)
    const share = tensor.placement?.shards.some((atoms) => atoms.length > 0) ? outside.program.mesh.world : 1
    const shape = tensor.shape.map((size, at) => (tensor.placement?.shards[at]?.length ? size / share : size))
    return [
      name,
      tensor.dtype === 'int32'
        ? new ort.Tensor('int32', Int32Array.from(data), shape)
        : new ort.Tensor('float32', Float32Array.from(data), shape),
    ] as const
  })
  return session.run(Object.fromEntries(feeds))
}

/** The largest difference of each result from the interpreter's, over the largest element of that. */
async function differences(model: Plan, { outside = model, rank = 0 }: { outside?: Plan; rank?: number } = {}) {
  const results = await run(model, outside, rank)
  const interpretation = interpret(outside.program, outside.operators)
  const found = new Map<string, number>()
  for (const [name, { data }] of Object.entries(results)) {
    // The last of a cache that grows is longer than the first.
    if (name.startsWith('cache.after/')) continue
    const { tensor, iterations } = readName(outside, name)
    const wanted = interpretation.blocks(tensor.id, iterations)[rank]?.values ?? new Float64Array()
    expect(data.length, name).toBe(wanted.length)
    const size = wanted.reduce((largest, each) => Math.max(largest, Math.abs(each)), 0)
    const off = wanted.reduce((most, each, at) => Math.max(most, Math.abs(each - Number(data[at]))), 0)
    found.set(name, off / (size || 1))
  }
  return found
}

const largest = (found: ReadonlyMap<string, number>) => Math.max(...found.values())

describe('ONNX Runtime computes what the interpreter does', () => {
  it.each(['tiny', 'gpt2', 'tiny-moe', 'qwen3-8b', 'gpt-oss-120b', 'deepseek-v3'])('prefill of %s', async (model) => {
    const found = await differences(await small({ ...spec, model, phase: 'prefill' }))
    expect([...found.keys()]).toContain('prefill/head/logits')
    expect(largest(found)).toBeLessThan(1e-4)
  })

  it.each(['tiny', 'gpt2', 'tiny-moe', 'deepseek-v3'])(
    'a training step of %s: the loss and all states',
    async (model) => {
      const found = await differences(await small({ ...spec, model, microbatch: 1 }))
      expect([...found.keys()].filter((name) => name.includes('.moment2.next'))).not.toEqual([])
      expect(found.has('optimizer/report')).toBe(true)
      expect(largest(found)).toBeLessThan(1e-4)
    },
  )

  it('three steps of decoding, with the cache that they write', async () => {
    const found = await differences(await small({ ...spec, model: 'tiny', phase: 'decode', steps: 3 }))
    expect([...found.keys()].filter((name) => name.startsWith('decode/head/logits'))).toHaveLength(3)
    expect(largest(found)).toBeLessThan(1e-4)
  })

  it('one rank of two that share a batch', async () => {
    const plan = await small({ ...spec, model: 'tiny', phase: 'prefill', parallel: { dp: 2 } })
    expect(largest(await differences(plan, { rank: 1 }))).toBeLessThan(1e-4)
  })

  it('the same file at another batch and another length', async () => {
    const plan = await small({ ...spec, model: 'tiny', phase: 'prefill' })
    const other = await small({ ...spec, model: 'tiny', phase: 'prefill', batch: 3, seq: 5 })
    expect(largest(await differences(plan, { outside: other }))).toBeLessThan(1e-4)
  })
})
