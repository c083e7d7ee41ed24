import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { composePlugins, corePasses, nodesOf, type Program, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import {
  type BuildOptions,
  buildProgram,
  countParameters,
  findPreset,
  fromHuggingFace,
  type ModelArchitecture,
  presetNames,
  presets,
  transformers,
} from '@shardloom/models'
import { measure } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'

const reference = process.env['SHARDLOOM_REFERENCE']
const { operators, passes } = composePlugins([transformers()])

function plan(model: ModelArchitecture, options: BuildOptions): Program {
  return runPasses(buildProgram(model, options), [...passes, ...corePasses], { operators, warn: () => {} })
}

const sixDigits = (value: bigint | number) => Number(Number(value).toPrecision(6))

/** Bytes of the weights of linear layers inside the layers. */
function layerWeightBytes(program: Program): number {
  const weights = new Set(
    nodesOf(program.items)
      .filter((node) => node.op === 'einsum' && node.module !== 'head')
      .flatMap((node) => node.inputs),
  )
  let bytes = 0
  for (const id of weights) {
    const tensor = program.tensors.get(id)
    if (tensor?.role === 'parameter') bytes += 2 * tensor.shape.reduce((product, size) => product * size, 1)
  }
  return bytes
}

describe('FLOPs and bytes', () => {
  /** LLM-Viewer and GenZ, two independent tools, agree on these to six digits (multiply-add = 2, attention whole, no head). */
  const rows = [
    {
      model: 'llama-2-7b',
      phase: 'prefill',
      batch: 1,
      linear: 2.65257e13,
      attention: 2.19902e12,
      weights: 1.2952e10,
      kv: 1.07374e9,
      layers: 32,
    },
    {
      model: 'llama-2-7b',
      phase: 'decode',
      batch: 16,
      linear: 2.07232e11,
      attention: 1.71799e10,
      weights: 1.2952e10,
      kv: 1.71799e10,
      layers: 32,
    },
  ] as const

  it.each(rows)('$model $phase batch $batch', ({ model, phase, batch, linear, attention, weights, kv, layers }) => {
    const program = plan(findPreset(model), { phase, batch, seq: 2048 })
    const { flopsByClass, kvBytesRead } = measure(program, operators)
    expect(sixDigits(flopsByClass.linear)).toBe(linear)
    expect(sixDigits(flopsByClass.attention)).toBe(attention)
    expect(sixDigits(layerWeightBytes(program) * layers)).toBe(weights)
    expect(sixDigits(kvBytesRead)).toBe(kv)
  })

  it.skipIf(!reference)('every row of the reference table', () => {
    interface Row {
      readonly model: string
      readonly phase: 'prefill' | 'decode'
      readonly batch: number
      readonly tokens: number
      readonly linearFlops: number
      readonly attentionMatmulFlops: number
      readonly layerWeightBytes: number
      readonly kvReadBytes: number
      readonly modelParams: { readonly num_hidden_layers: number }
    }
    const table = JSON.parse(readFileSync(join(reference ?? '', 'reference', 'flops-bytes.json'), 'utf8')) as {
      rows: Row[]
    } // the file's documented shape
    for (const row of table.rows) {
      const config = readFileSync(join(reference ?? '', 'models', `${row.model.replace('/', '--')}.json`), 'utf8')
      const program = plan(fromHuggingFace(JSON.parse(config)), { phase: row.phase, batch: row.batch, seq: row.tokens })
      const { flopsByClass, kvBytesRead } = measure(program, operators)
      expect(sixDigits(flopsByClass.linear), row.model).toBe(row.linearFlops)
      expect(sixDigits(flopsByClass.attention), row.model).toBe(row.attentionMatmulFlops)
      expect(sixDigits(layerWeightBytes(program) * row.modelParams.num_hidden_layers)).toBe(row.layerWeightBytes)
      expect(sixDigits(kvBytesRead)).toBe(row.kvReadBytes)
    }
    expect(table.rows.length).toBeGreaterThan(0)
  })

  it('backward of a linear layer is two products of the same size: training is three times the forward pass', () => {
    for (const name of ['tiny', 'gpt2', 'mixtral-8x7b', 'deepseek-v3']) {
      const forward = measure(buildProgram(findPreset(name), { phase: 'training', batch: 2, seq: 64 }), operators)
      const training = measure(plan(findPreset(name), { phase: 'training', batch: 2, seq: 64 }), operators)
      expect(training.flopsByClass.linear, name).toBe(3n * forward.flopsByClass.linear)
      expect(training.flopsByClass.head, name).toBe(3n * forward.flopsByClass.head)
    }
  })

  /** Dao 2023, section 3.1.2: the backward pass has five products where the forward pass has two; without it, four. */
  it('flash attention computes scores again in backward', () => {
    for (const [attention, sevenths] of [
      ['flash', 7n],
      ['materialised', 6n],
    ] as const) {
      const options = { phase: 'training', batch: 2, seq: 64, attention } as const
      const forward = measure(buildProgram(findPreset('tiny'), options), operators).flopsByClass.attention
      expect(2n * measure(plan(findPreset('tiny'), options), operators).flopsByClass.attention).toBe(sevenths * forward)
    }
  })

  it('a materialised score touches memory, a fused one does not', () => {
    const read = (attention: 'flash' | 'materialised') =>
      measure(plan(findPreset('tiny'), { phase: 'prefill', batch: 1, seq: 256, attention }), operators)
    const scores = 2n * 4n * 256n * 256n * 2n // layers × heads × seq² × bytes
    // Written once each and read once each: scores and probabilities.
    expect(read('materialised').bytesWritten - read('flash').bytesWritten).toBe(2n * scores)
    expect(read('materialised').bytesRead - read('flash').bytesRead).toBe(2n * scores)
  })

  it('halved causal attention is half of whole', () => {
    const flops = (causal: 'whole' | 'halved') =>
      measure(plan(findPreset('llama-2-7b'), { phase: 'prefill', batch: 1, seq: 2048, causal }), operators).flopsByClass
    expect(2n * flops('halved').attention).toBe(flops('whole').attention)
    expect(flops('halved').linear).toBe(flops('whole').linear)
  })

  /** A later chunk attends to all before it: Σ c · (i + 1)c over n chunks is seq² · (n + 1) / 2n pairs. */
  it('prefill in chunks costs what the whole does; counted in full, without the pairs of keys that are yet to come', () => {
    const flops = (name: string, causal: 'whole' | 'halved', more: Partial<BuildOptions> = {}) =>
      measure(plan(findPreset(name), { phase: 'prefill', batch: 2, seq: 2048, causal, ...more }), operators)
    // Grouped attention; windows of 128 positions in every second layer.
    for (const name of ['llama-2-7b', 'gpt-oss-120b']) {
      for (const chunk of [1024, 512, 256]) {
        const [whole, chunks] = [flops(name, 'halved'), flops(name, 'halved', { chunk })]
        expect(chunks.flopsByClass.attention, name).toBe(whole.flopsByClass.attention)
        expect(chunks.flopsByClass.linear, name).toBe(whole.flopsByClass.linear)
        expect(chunks.flopsByClass.head, name).toBe(whole.flopsByClass.head)
        expect(chunks.kvBytesWritten, name).toBe(whole.kvBytesWritten)
      }
    }
    const [whole, chunks] = [flops('llama-2-7b', 'whole'), flops('llama-2-7b', 'whole', { chunk: 512 })]
    expect(8n * chunks.flopsByClass.attention).toBe(5n * whole.flopsByClass.attention)
    expect(8n * chunks.kvBytesRead).toBe(20n * whole.kvBytesRead) // each chunk reads what is there: (1 + 2 + 3 + 4) / 4
  })

  it('a cached prefix is not computed again, but attended to', () => {
    const cost = (seq: number, cached = 0) =>
      measure(plan(findPreset('llama-2-7b'), { phase: 'prefill', batch: 2, seq, cached, causal: 'halved' }), operators)
    const [whole, prefix, rest] = [cost(2048), cost(512), cost(2048, 512)]
    expect(rest.flopsByClass.attention).toBe(whole.flopsByClass.attention - prefix.flopsByClass.attention)
    expect(4n * rest.flopsByClass.linear).toBe(3n * whole.flopsByClass.linear)
    expect(rest.kvBytesRead).toBe(whole.kvBytesRead)
    expect(rest.kvBytesWritten).toBe(whole.kvBytesWritten - prefix.kvBytesWritten)
    expect(rest.parameterBytes).toBe(whole.parameterBytes)
  })

  it.each([
    [{ chunk: 3000 }, 'chunk', /2,?048/],
    [{ chunk: 4096 }, 'chunk', /512, 1024 or 2048/],
    [{ cached: 2048 }, 'cached', /0 to 2047/],
    [{ cached: 48, chunk: 512 }, 'chunk', /500/],
    [{ cached: -1 }, 'cached', /0 to/],
  ])('%j is refused with what works', (more, subject, help) => {
    const build = () => buildProgram(findPreset('tiny'), { phase: 'prefill', batch: 1, seq: 2048, ...more })
    expect(build).toThrow(expect.objectContaining({ code: 'OPTION', subject, help: expect.stringMatching(help) }))
  })

  it('n decode steps are the sum of n single steps at growing positions', () => {
    for (const name of ['tiny', 'gpt-oss-120b', 'deepseek-v3']) {
      const single = (seq: number) => measure(plan(findPreset(name), { phase: 'decode', batch: 3, seq }), operators)
      const four = measure(plan(findPreset(name), { phase: 'decode', batch: 3, seq: 126, steps: 4 }), operators)
      const singles = [126, 127, 128, 129].map(single)
      for (const field of ['flops', 'bytesRead', 'bytesWritten', 'kvBytesRead', 'kvBytesWritten'] as const) {
        expect(four[field], `${name} ${field}`).toBe(singles.reduce((sum, each) => sum + each[field], 0n))
      }
    }
  })

  it('decode reads the experts that its tokens are expected to touch: the mean over all ways to choose', () => {
    const pairs = Array.from({ length: 8 }, (_, a) => a).flatMap((a) => Array.from({ length: a }, (_, b) => [a, b]))
    /** The sum of distinct experts over all ways in which `tokens` more tokens choose two of eight. */
    const distinct = (tokens: number, chosen: ReadonlySet<number>): number =>
      tokens === 0
        ? chosen.size
        : pairs.reduce((sum, pair) => sum + distinct(tokens - 1, new Set([...chosen, ...pair])), 0)
    const moe = findPreset('mixtral-8x7b')
    const bytes = (batch: number) =>
      Number(measure(plan(moe, { phase: 'decode', batch, seq: 16 }), operators).bytesRead) / (32 * 3 * 4096 * 14336 * 2)
    const touched = [1, 2, 3].map((tokens) => distinct(tokens, new Set()) / pairs.length ** tokens)
    expect(touched[0]).toBe(2)
    // A token's own activations are below a thousandth of an expert.
    for (const tokens of [2, 3])
      expect(bytes(tokens) - bytes(1)).toBeCloseTo((touched[tokens - 1] ?? 0) - (touched[0] ?? 0), 2)
    expect(bytes(129) - bytes(128)).toBeCloseTo(0, 2) // all eight are touched already
  })

  it('wide decode reads what the batch touches, not top-k experts: E(1 − (1 − k/E)^T) of 256 in DeepSeek-V3', () => {
    const moe = findPreset('deepseek-v3')
    const bytes = (batch: number) =>
      Number(measure(plan(moe, { phase: 'decode', batch, seq: 2 }), operators).bytesRead) / (58 * 3 * 7168 * 2048 * 2)
    const touched = bytes(64) - bytes(1) + 8
    expect(touched).toBeGreaterThan(222) // 256 (1 − (31/32)^64) = 222.4, with activations
    expect(touched).toBeLessThan(226)
  })
})

describe('every model is drawn from the same list of weights that is counted', () => {
  const check = (name: string, model: ModelArchitecture) => {
    for (const phase of ['training', 'prefill', 'decode'] as const) {
      const program = plan(model, { phase, batch: 2, seq: 32 })
      for (const report of verifyProgram(program, operators))
        expect(report.violations, `${name} ${phase} ${report.name}`).toEqual([])
      if (phase === 'training')
        expect(measure(program, operators).parameters, name).toBe(BigInt(countParameters(model).total))
    }
  }

  it('presets', () => {
    for (const name of presetNames()) check(name, presets[name] ?? findPreset(name))
  })

  it.skipIf(!reference)('reference configs; the others name what they lack', () => {
    const folder = join(reference ?? '', 'models')
    const files = readdirSync(folder).filter((file) => file.endsWith('.json') && file !== 'INDEX.json')
    const refused: string[] = []
    for (const file of files) {
      const model = fromHuggingFace(JSON.parse(readFileSync(join(folder, file), 'utf8')))
      if (!model.undrawn?.length) {
        check(file, model)
        continue
      }
      refused.push(file)
      expect(() => buildProgram(model, { phase: 'prefill', batch: 1, seq: 8 }), file).toThrow(model.undrawn[0])
    }
    expect(files).toHaveLength(73)
    expect(
      refused.every((file) => /MiniMax-M1|V3\.2|GLM-5|gemma-3-(4|27)b|falcon/i.test(file)),
      refused.join(),
    ).toBe(true)
  })
})

describe('structure', () => {
  it('every parameter has one gradient and one update', () => {
    for (const name of ['tiny', 'tiny-moe', 'gpt2', 'gpt-oss-120b', 'deepseek-v3', 'qwen3-8b']) {
      const program = plan(findPreset(name), { phase: 'training', batch: 1, seq: 16 })
      const parameters = [...program.tensors.values()]
        .filter((tensor) => tensor.role === 'parameter')
        .map((tensor) => tensor.id)
      const updated = nodesOf(program.items)
        .filter((node) => node.op === 'adam')
        .map((node) => node.updates)
      expect(updated.sort(), name).toEqual(parameters.filter((id) => !id.endsWith('correction')).sort())
    }
  })

  it('prefill and decode write and read the cache; training has none', () => {
    const memory = (phase: 'training' | 'prefill' | 'decode') =>
      nodesOf(plan(findPreset('tiny'), { phase, batch: 1, seq: 16 }).items)
        .filter((node) => node.kind === 'memory')
        .map((node) => node.op)
    expect(memory('training')).toEqual([])
    expect(memory('prefill').sort()).toEqual(['cache_read', 'cache_read', 'cache_write', 'cache_write'])
    expect(memory('decode').sort()).toEqual(['cache_read', 'cache_read', 'cache_write', 'cache_write'])
  })

  it('an alternating model is one region with a periodic choice of bodies', () => {
    const program = buildProgram(findPreset('gpt-oss-120b'), { phase: 'prefill', batch: 1, seq: 16 })
    const region = program.items.find((item) => item.type === 'region')
    expect(region).toMatchObject({
      axis: 'layer',
      extent: 36,
      select: [
        { body: 0, count: 1 },
        { body: 1, count: 1 },
      ],
    })
  })

  it('layer boundaries give ranges of layers bodies of their own', () => {
    const program = buildProgram(findPreset('llama-2-7b'), {
      phase: 'prefill',
      batch: 1,
      seq: 16,
      layerBoundaries: [10, 21],
    })
    const region = program.items.find((item) => item.type === 'region')
    expect(region).toMatchObject({
      extent: 32,
      select: [
        { body: 0, count: 10 },
        { body: 1, count: 11 },
        { body: 2, count: 11 },
      ],
    })
  })

  it('refuses more positions than were learned, and sizes that are no counts', () => {
    expect(() => buildProgram(findPreset('gpt2'), { phase: 'prefill', batch: 1, seq: 2048 })).toThrow(/learned 1024/)
    for (const batch of [0, -1, 1.5, Number.NaN])
      expect(() => buildProgram(findPreset('tiny'), { phase: 'prefill', batch, seq: 8 })).toThrow(/whole number|is/)
  })
})

describe('accumulation over microbatches', () => {
  it('learned positions have one gradient like any other weight, reduced once per step', () => {
    const program = plan(findPreset('gpt2'), { phase: 'training', batch: 2, microbatches: 4, seq: 64 })
    const result = program.tensors.get('gradient/embedding/positions')
    expect(result).toMatchObject({ shape: [1024, 768], dtype: 'fp32', role: 'gradient' })
  })

  it('writes and reads the accumulator in the gradient type', () => {
    const parameters = BigInt(countParameters(findPreset('tiny')).total)
    const bytes = (microbatches: number, gradientDtype: 'fp32' | 'bf16') =>
      measure(
        plan(findPreset('tiny'), { phase: 'training', batch: 1, microbatches, seq: 16, gradientDtype }),
        operators,
      )
    // Four bytes instead of two per parameter and microbatch; read by every microbatch but the first, and by the optimizer twice.
    for (const microbatches of [1, 3]) {
      const wide = bytes(microbatches, 'fp32')
      const narrow = bytes(microbatches, 'bf16')
      expect(wide.bytesWritten - narrow.bytesWritten).toBe(2n * parameters * BigInt(microbatches))
      expect(wide.bytesRead - narrow.bytesRead).toBe(2n * parameters * BigInt(microbatches + 1))
    }
  })
})
