import { type OperatorDefinition, operatorTable, type Program } from '@shardloom/core'
import { onnxModel } from '@shardloom/exporters/onnx'
import { communicationTable } from '@shardloom/simulator'
import onnxProto from 'onnx-proto'
import { type Plan, plan, type SpecInput } from 'shardloom'
import { describe, expect, it } from 'vitest'
import { elementBytes } from '../src/onnx-elements.js'
import { graphPart, type NodeRecord } from '../src/onnx-schema.js'
import { attributeOf, bytesOf, readModel } from './onnx-reader.js'

const tiny: SpecInput = { model: 'tiny', phase: 'prefill', batch: 2, seq: 8 }
const modelOf = ({ program, operators }: Plan, rank = 0) => onnxModel(program, operators, { rank })

describe('the numbers of a node', () => {
  const read = (attributes: NonNullable<NodeRecord['attributes']>) => {
    const part = graphPart.node({ op: 'Any', inputs: [], outputs: ['x'], attributes })
    const [node] = onnxProto.onnx.GraphProto.decode(part.bytes()).node
    return (name: string) => node && attributeOf(node, name)
  }

  it('are exact up to 64 bits, numbers and bigints alike', () => {
    const of = read({
      a: 2 ** 31,
      b: 2n ** 31n,
      c: 2 ** 53,
      d: 2n ** 53n + 1n,
      e: -1,
      f: 2n ** 63n - 1n,
      g: -(2n ** 63n),
    })
    expect([of('a'), of('b'), of('c')]).toEqual(['2147483648', '2147483648', '9007199254740992'])
    expect([of('d'), of('e')]).toEqual(['9007199254740993', '-1'])
    expect([of('f'), of('g')]).toEqual(['9223372036854775807', '-9223372036854775808'])
    expect(read({ list: [1, 2 ** 40] })('list')).toEqual(['1', '1099511627776'])
  })

  it('beyond them are refused, since readers would see others', () => {
    expect(() => read({ a: 2n ** 63n })).toThrow('64 bits')
  })
})

describe('elements', () => {
  const hex = (values: readonly number[], type: 'fp16' | 'bf16') => {
    const bytes = elementBytes(values, type)
    return values.map((_, at) =>
      new DataView(bytes.buffer)
        .getUint16(2 * at, true)
        .toString(16)
        .padStart(4, '0'),
    )
  }

  it('of half precision are those of IEEE 754 binary16', () => {
    const values = [1, -2, 65504, 65520, 2 ** -24, 2 ** -14, 1 / 3, 0.1, Number.POSITIVE_INFINITY, -0]
    const wanted = ['3c00', 'c000', '7bff', '7c00', '0001', '0400', '3555', '2e66', '7c00', '8000']
    expect(hex(values, 'fp16')).toEqual(wanted)
  })

  it('of bf16 are the upper halves of singles, to the nearest even', () => {
    expect(hex([1, Math.PI, 0.1, 1 + 2 ** -8, 1 + 3 * 2 ** -8], 'bf16')).toEqual([
      '3f80',
      '4049',
      '3dcd',
      '3f80',
      '3f82',
    ])
    expect(hex([Number.NEGATIVE_INFINITY], 'bf16')).toEqual(['ff80'])
  })
})

describe('a model', () => {
  it('writes each kind of layer once, and calls it for each layer', async () => {
    const { graph, functions } = readModel(modelOf(await plan({ model: 'llama-3.1-405b', phase: 'prefill', batch: 1 })))
    const calls = graph.node.filter(({ opType }) => opType === 'PrefillLayer')
    expect(calls.map((call) => attributeOf(call, 'layer'))).toEqual(Array.from({ length: 126 }, (_, at) => String(at)))
    expect(functions.filter(({ name }) => name === 'PrefillLayer')).toHaveLength(1)
  })

  it('of 405 billion parameters has less than 200 kB, of a training step of a stage less than 500 kB', async () => {
    const spec = { model: 'llama-3.1-405b', seq: 8192 } as const
    const prefill = modelOf(await plan({ ...spec, phase: 'prefill', batch: 1, parallel: { tp: 8 } }))
    expect(prefill.bytes).toBeLessThan(200_000)
    const training = modelOf(await plan({ ...spec, batch: 128, parallel: { tp: 8, pp: 16, dp: 16 } }), 64)
    expect(training.bytes).toBeLessThan(500_000)
  })

  it('says its size before it is written, and is the same to the byte', async () => {
    const planned = await plan({ ...tiny, phase: 'training' })
    const model = modelOf(planned)
    expect(bytesOf(model)).toHaveLength(model.bytes)
    expect(bytesOf(modelOf(await plan({ ...tiny, phase: 'training' }))).equals(bytesOf(model))).toBe(true)
    expect(bytesOf(model).equals(bytesOf(model))).toBe(true)
  })

  it('has names for dims of any size, also where ranks share them', async () => {
    const spec = { ...tiny, parallel: { dp: 2, tp: 2 }, options: { sequenceParallel: true } }
    const { graph, metadata } = readModel(modelOf(await plan(spec)))
    const shapeOf = (name: string) =>
      graph.values
        .find((value) => value.name === name)
        ?.type?.tensorType?.shape?.dim?.map(({ dimParam, dimValue }) => dimParam || String(dimValue))
    expect(shapeOf('inputs/tokens')).toEqual(['batch/dp', 'seq'])
    expect(shapeOf('prefill/layer/ffn/residual[0]')).toEqual(['batch/dp', 'seq/tp', '64'])
    expect(JSON.parse(metadata['shardloom.dims'] ?? '')).toMatchObject({ 'batch/dp': 1, seq: 8, 'seq/tp': 4 })
  })

  it('says where each tensor stands, on which mesh, and which rank it is of', async () => {
    const { metadata } = readModel(modelOf(await plan({ ...tiny, parallel: { tp: 2, dp: 2 } }), 3))
    const placements = JSON.parse(metadata['shardloom.placements'] ?? '')
    expect(placements['layer/attention/q/weight']).toBe('kv_heads/tp')
    expect(placements['prefill/layer/ffn/down']).toBe('batch/dp · partial(sum)/tp')
    const { axes, ...mesh } = JSON.parse(metadata['shardloom.mesh'] ?? '')
    expect(mesh).toEqual({ world: 4, rank: 3 })
    expect([axes.tp, axes.dp]).toEqual([
      { degree: 2, coordinate: 1 },
      { degree: 2, coordinate: 1 },
    ])
  })

  it('moves the bytes that the plan moves', async () => {
    const planned = await plan({ ...tiny, phase: 'training', parallel: { tp: 2, dp: 2 }, options: { zero: 1 } })
    const { graph, functions } = readModel(modelOf(planned))
    const found = new Map(
      [graph, ...functions]
        .flatMap(({ node }) => node)
        .filter((node) => attributeOf(node, 'bytes_sent') !== undefined)
        .map((node) => [node.name, node] as const),
    )
    const rows = communicationTable(planned.program, planned.operators)
    expect(rows.length).toBeGreaterThan(3)
    for (const { nodes, payloadBytes, bytesPerRank, groupSize, axes } of rows) {
      for (const id of nodes) {
        const node = found.get(id)
        expect(node?.domain).toBe('shardloom')
        const read = ['bytes', 'bytes_sent', 'group_size', 'axes'].map((name) => node && attributeOf(node, name))
        expect(read).toEqual([
          String(Math.round(payloadBytes)),
          String(Math.round(bytesPerRank)),
          String(groupSize),
          axes,
        ])
      }
    }
    expect(found.size).toBe(rows.flatMap(({ nodes }) => nodes).length)
  })

  it('of a stage ends in sends, or begins with recvs', async () => {
    const planned = await plan({ ...tiny, phase: 'training', batch: 4, microbatch: 1, parallel: { pp: 2 } })
    const kinds = (rank: number) => {
      const { functions, metadata } = readModel(modelOf(planned, rank))
      const names = functions.flatMap(({ node }) => node).filter(({ opType }) => /^(Send|Recv)$/.test(opType ?? ''))
      return [names.map(({ name }) => name), JSON.parse(metadata['shardloom.pipeline'] ?? '').schedule]
    }
    expect(kinds(0)[0]).toEqual(['forward/layer-send/x/send', 'backward/layer-send/x.gradient/recv'])
    expect(kinds(1)).toEqual([['forward/layer-recv/x/recv', 'backward/layer-recv/x.gradient/send'], '1f1b'])
  })

  it("keeps an operator without a meaning as a node of its own, and takes a plugin's meaning", async () => {
    const { program, operators } = await plan(tiny)
    const replaced = (definition: Partial<OperatorDefinition>) => {
      const own = [...operators.values()].map(({ onnx, ...rest }) =>
        rest.name === 'activation' ? { ...rest, ...definition } : onnx ? { ...rest, onnx } : rest,
      )
      const { functions } = readModel(onnxModel(program, operatorTable(own)))
      const layer = functions.find(({ name }) => name === 'PrefillLayer')
      return layer?.node.find(({ name }) => name === 'prefill/layer/ffn/activation')
    }
    const opaque = replaced({})
    expect([opaque?.domain, opaque?.opType]).toEqual(['shardloom', 'Activation'])
    expect(opaque && attributeOf(opaque, 'function')).toBe('swiglu')
    const meant = replaced({ onnx: ([x = ''], { add }) => [add('Relu', [x])] })
    expect([meant?.domain, meant?.opType]).toEqual(['', 'Relu'])
  })

  it.each([
    ['control characters', 'a\0b\nc\u001b[31m', 'a\ufffdb\ufffdc\ufffd[31m'],
    ['half a pair', 'x\ud800y', 'x\ufffdy'],
    ['other scripts', 'модель 模型 😀', 'модель 模型 😀'],
    ['a megabyte', 'm'.repeat(1 << 20), 'm'.repeat(1 << 20)],
  ])('holds names of %s', async (_, name, wanted) => {
    const { program, operators } = await plan(tiny)
    const named: Program = { ...program, name, notes: { model: name } }
    const { graph, metadata } = readModel(onnxModel(named, operators))
    expect(graph.name).toBe(wanted)
    expect(Buffer.from(metadata['shardloom.notes'] ?? '').toString()).toBe(metadata['shardloom.notes'])
  })
})

describe('what is refused', () => {
  it.each<[string, SpecInput, object, string, string]>([
    [
      'weights of a large model',
      { model: 'llama-3.1-8b', phase: 'prefill', batch: 1 },
      { weights: true },
      'ONNX_SIZE',
      '16.1',
    ],
    ['calls without end', { ...tiny, phase: 'training', batch: 50_000_000, microbatch: 1 }, {}, 'ONNX_SIZE', 'GB'],
    ['8-bit floats', { ...tiny, options: { cacheDtype: 'fp8' } }, {}, 'ONNX_TYPE', 'fp8'],
    ['a rank that there is not', tiny, { rank: 1 }, 'RANK', 'There is no rank 1'],
    ['half a rank', tiny, { rank: 0.5 }, 'RANK', 'There is no rank 0.5'],
  ])('%s', async (_, spec, options, code, message) => {
    const { program, operators } = await plan(spec)
    expect(() => onnxModel(program, operators, options)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    )
  })
})
