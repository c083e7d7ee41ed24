import type { Client } from '@modelcontextprotocol/client'
import { loadSpec, planLoaded, programFromJson, toJsonText } from 'shardloom'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectHttp, connectStdio, failure, type Listening, listen, result } from './server.js'

let server: Listening
const clients: Record<string, Client> = {}
beforeAll(async () => {
  server = await listen()
  clients['stdio'] = await connectStdio()
  clients['http'] = await connectHttp(server.url, 'sessions')
  clients['http without sessions'] = await connectHttp(server.url, 'modern')
})
afterAll(async () => {
  for (const client of Object.values(clients)) await client.close()
  await server.close()
})

/** The question of the guide: Llama 3.1 70B on 16 H100, contexts of 8,192 tokens. */
const large = {
  model: 'llama-3.1-70b',
  cluster: { preset: 'dgx-h100', nodes: 2 },
  phase: 'decode',
  batch: 32,
  seq: 8192,
  parallel: { tp: 8, dp: 2 },
}
const small = { model: 'llama-3.1-8b', phase: 'prefill', batch: 4, seq: 4096, parallel: { tp: 2, dp: 2 } }

describe.each(['stdio', 'http', 'http without sessions'])('over %s', (transport) => {
  const call = (name: string, input: object) => result(clients[transport] as Client, name, input) // beforeAll connects it
  const fail = (name: string, input: object) => failure(clients[transport] as Client, name, input)

  test('every tool says what it takes, gives and changes', async () => {
    const { tools } = await (clients[transport] as Client).listTools()
    expect(tools.map(({ name }) => name)).toEqual(
      'list_models describe_cluster plan verify explain simulate compare search export'.split(' '),
    )
    for (const { name, description, inputSchema, outputSchema, annotations } of tools) {
      expect(description, name).toMatch(/Example: \{/)
      const example = JSON.parse(/Example: (\{.*\})$/.exec(description ?? '')?.[1] ?? '')
      expect(Object.keys(inputSchema.properties ?? {}), name).toEqual(expect.arrayContaining(Object.keys(example)))
      expect(outputSchema?.type, name).toBe('object')
      expect(annotations?.readOnlyHint, name).toBe(name !== 'export')
      await call(name, example)
    }
    // What all descriptions together cost a model that reads them.
    expect(JSON.stringify(tools).length).toBeLessThan(40_000)
  })

  test('models: the counts that the checkpoints have', async () => {
    const { models } = await call('list_models', {})
    const of = (preset: string) => models.find((each: { preset: string }) => each.preset === preset)
    expect(of('llama-3.1-8b')).toMatchObject({ parameters: 8_030_261_248, layers: 32, heads: 32, kvHeads: 8 })
    expect(of('llama-3.1-70b')).toMatchObject({ parameters: 70_553_706_496, layers: 80 })
    expect(of('mixtral-8x7b')).toMatchObject({ parameters: 46_702_792_704, experts: 8, expertsPerToken: 2 })
    // Keys and values of 8 heads of 128 in 32 layers.
    expect(of('llama-3.1-8b').cacheElementsPerToken).toBe(2 * 8 * 128 * 32)
    const config = {
      model_type: 'llama',
      hidden_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 128,
      vocab_size: 100,
    }
    expect((await call('list_models', { model: config })).models[0]).toMatchObject({ layers: 2, hidden: 64 })
  })

  test('clusters: the figures of the data sheet', async () => {
    expect((await call('describe_cluster', {})).clusters).toContain('dgx-h100')
    const cluster = await call('describe_cluster', { cluster: { preset: 'dgx-h100', nodes: 2 } })
    // NVIDIA H100 SXM: 989.4 TFLOP/s dense in bf16, 3.35 TB/s; NVLink 4: 450 GB/s in each direction.
    expect(cluster.accelerator).toMatchObject({ memoryBytes: 80 * 2 ** 30, memoryBytesPerSecond: 3.35e12 })
    expect(cluster.accelerator.peakFlopsPerSecond.bf16).toBe(989.4e12)
    expect(cluster.levels[0].bytesPerSecond).toBe(450e9)
    expect(cluster).toMatchObject({ devices: 16, devicesPerNode: 8 })
  })

  test('plan: 70B on 16 H100', async () => {
    const plan = await call('plan', { spec: large })
    expect(plan).toMatchObject({ world: 16, phase: 'decode', warnings: [] })
    // An eighth of all matrices in two bytes each, and every norm.
    expect(plan.perRank.parameterBytes / ((2 * 70_553_706_496) / 8)).toBeCloseTo(1, 3)
    // 16 sequences of 8,192 positions, one KV head of 128 in 80 layers, two bytes an element.
    expect(plan.perRank.kvBytesRead).toBe(16 * 8192 * 2 * 128 * 80 * 2)
    // Shoeybi et al. 2019, section 3: two all-reduces in each layer; one more is of the embedding.
    const reductions = plan.communication.filter(({ op }: { op: string }) => op === 'all-reduce')
    expect(reductions.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(2 * 80 + 1)
    for (const { payloadBytes, bytesPerRank } of reductions) {
      expect(payloadBytes).toBe(16 * 8192 * 2)
      expect(bytesPerRank).toBe((2 * 7 * payloadBytes) / 8)
    }
  })

  test('plan: serving is both phases and what passes between them', async () => {
    const serving = {
      ...small,
      phase: 'serving',
      parallel: {},
      options: { serving: { prefill: { parallel: { tp: 4 } }, decode: { parallel: { tp: 2 } } } },
    }
    const plan = await call('plan', { spec: serving })
    expect(plan.prefill.mesh.tp).toBe(4)
    expect(plan.decode.mesh.tp).toBe(2)
    // The cache of four prompts.
    expect(plan.total.bytes).toBe(4 * 4096 * 65_536 * 2)
    expect((await call('verify', { spec: serving })).ok).toBe(true)
    expect((await fail('export', { spec: serving, format: 'dot' })).help).toMatch(/prefill or decode/)
    expect((await call('export', { spec: serving, format: 'dot', part: 'decode', level: 'module' })).text).toMatch(
      /^digraph/,
    )
  })

  test('verify: every rule, and a plan that warns', async () => {
    const verified = await call('verify', { spec: large })
    expect(verified.ok).toBe(true)
    expect(verified.rules.map(({ rule }: { rule: number }) => rule)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    const doubtful = { ...small, options: { tp: { where: { module: 'nothing' } } } }
    expect((await call('verify', { spec: doubtful })).warnings).not.toEqual([])
  })

  test('explain: a node that plan names, and the passes', async () => {
    const { communication } = await call('plan', { spec: small })
    const [node] = communication.at(-1).nodes
    const explained = await call('explain', { spec: small, node })
    expect(explained.node).toBe(node)
    expect(explained.text.join(' ')).toMatch(/tp/)
    const { passes } = await call('explain', { spec: small })
    expect(passes.map(({ pass }: { pass: string }) => pass)).toContain('tp/split-heads')
    expect(await fail('explain', { spec: small, node: 'prefill/layer/ffn/dwn' })).toMatchObject({
      code: 'UNKNOWN_NODE',
      help: expect.stringContaining('prefill/layer/ffn/down'),
    })
  })

  test('simulate: no faster than its memory allows, and one device is too small', async () => {
    const step = await call('simulate', { spec: large, whatIf: true })
    expect(step.memory.fits).toBe(true)
    // Weights and cache are read once: at 3.35 TB/s that alone takes as long.
    const { perRank } = await call('plan', { spec: large })
    expect(step.stepSeconds).toBeGreaterThan((perRank.parameterBytes + perRank.kvBytesRead) / 3.35e12)
    expect(step.tokensPerSecond).toBeCloseTo(32 / step.stepSeconds, 6)
    expect(step.whatIf.length).toBeGreaterThan(2)
    const one = await call('simulate', { spec: { ...large, parallel: {} } })
    expect(one.memory.fits).toBe(false)
    expect(one.warnings.join()).toMatch(/does not fit/)
    const slowed = await call('simulate', { spec: large, slowdown: { '3': 2 } })
    expect(slowed.stepSeconds).toBeGreaterThan(step.stepSeconds)
  })

  test('simulate: requests', async () => {
    const load = { clients: 4, requests: 16, input: { from: 100, to: 200 }, output: { from: 10, to: 20 } }
    const spec = {
      model: 'llama-3.1-8b',
      cluster: 'dgx-h100',
      phase: 'serving',
      parallel: {},
      options: { serving: { load } },
    }
    const served = await call('simulate', { spec })
    expect(served.ttftSeconds).toBeGreaterThan(0)
    expect(served.load).toMatchObject({ requests: 16, clients: 4 })
    expect(await fail('simulate', { spec, whatIf: true })).toMatchObject({ code: 'ARGUMENTS', subject: 'whatIf' })
  })

  test('compare: candidates side by side', async () => {
    const specs = [
      { name: 'tp 8, dp 2', spec: large },
      { name: 'tp 4, dp 4', spec: { ...large, parallel: { tp: 4, dp: 4 } } },
    ]
    const comparison = await call('compare', { specs })
    expect(comparison.parameters).toEqual([
      { field: 'parallel.dp', values: [2, 4] },
      { field: 'parallel.tp', values: [8, 4] },
    ])
    const peak = comparison.metrics.find(({ metric }: { metric: string }) => metric === 'peakBytes')
    expect(peak).toMatchObject({ unit: 'B', better: 'less' })
    expect(peak.values[1]).toBeGreaterThan(peak.values[0])
    expect(
      await fail('compare', { specs: [specs[0], { name: 'odd', spec: { ...large, phase: 'serving' } }] }),
    ).toMatchObject({
      code: 'COMPARE',
      message: expect.stringMatching(/^odd: /),
    })
  })

  test('search: 70B on 8 H100 needs two devices a copy, and says why one is too few', async () => {
    const question = {
      spec: {
        model: 'llama-3.1-70b',
        cluster: { preset: 'dgx-h100', nodes: 1 },
        phase: 'serving',
        options: { serving: { load: { input: { from: 400, to: 600 }, output: { from: 50, to: 150 }, requests: 200 } } },
      },
      limits: [{ metric: 'tpot', most: 0.05 }],
      choices: { pp: [1], clients: [16, 32] },
    }
    const found = await call('search', { ...question, top: 2 })
    expect(found).toMatchObject({ ranks: 8, objective: 'throughput' })
    const { total, rejected, bounded, evaluated } = found.counts
    const broken = Object.values(rejected as Record<string, number>).reduce((sum, count) => sum + count, 0)
    expect(broken + bounded + evaluated).toBe(total)
    for (const { choices, simulated, spec } of found.best) {
      // 70.6 G parameters of two bytes are 141 GB: more than the 80 GiB of one device.
      expect(choices.tp).toBeGreaterThan(1)
      expect(simulated.tpot).toBeLessThan(0.05)
      // What it says of a spec is what simulating that says.
      expect((await call('simulate', { spec })).tpotSeconds).toBeCloseTo(simulated.tpot, 9)
    }
    const { point } = await call('search', { ...question, why: { tp: 1, replicas: 8, clients: 16 } })
    expect(point.rule).toBe('memory')
    const training = { spec: { ...small, phase: 'training', cluster: 'dgx-h100' }, ranks: 8 }
    expect(await fail('search', { ...training, objective: 'tpot' })).toMatchObject({
      code: 'OBJECTIVE',
      help: expect.stringContaining('step-time'),
    })
  })

  test('export: a program read page by page is the program', async () => {
    const read = { spec: large, format: 'program' }
    let page = await call('export', read)
    let text: string = page.text
    while (page.truncated?.[0]?.next) {
      page = await call('export', { ...read, more: page.truncated[0].next })
      text += page.text
    }
    expect(text).toHaveLength(page.characters)
    const { program } = planLoaded(await loadSpec(large))
    expect(text).toBe(toJsonText(program))
    expect(programFromJson(JSON.parse(text))).toEqual(program)
  })

  test('export: pictures, folded where they would be too large', async () => {
    expect((await call('export', { spec: small, format: 'mermaid', level: 'module' })).text).toMatch(/^---\ntitle/)
    const picture = await call('export', { spec: small, format: 'view', where: { module: ['attention'] } })
    expect(picture.text).toContain('shardloom.view/1')
    const folded = await call('export', {
      spec: { ...large, parallel: { tp: 8, dp: 128 }, batch: 1024, cluster: undefined },
      format: 'dot',
      unroll: ['rank', 'layer'],
    })
    expect(folded.notice).not.toBe('')
  })

  test('errors say what would work', async () => {
    expect(await fail('plan', { spec: { model: 'llama-3.1-9b' } })).toMatchObject({
      code: 'UNKNOWN_PRESET',
      help: expect.stringContaining('llama-3.1-8b'),
    })
    expect(await fail('plan', { spec: { ...small, parallel: { dp: 3 } } })).toMatchObject({
      code: 'INDIVISIBLE',
      help: expect.stringMatching(/dp/),
    })
    expect(await fail('plan', { spec: { model: 'tiny', paralel: {} } })).toMatchObject({
      help: expect.stringContaining('parallel'),
    })
    expect(await fail('plan', {})).toMatchObject({ code: 'ARGUMENTS' })
    expect(await fail('plan', { spec: small, file: 'a.yaml' })).toMatchObject({ code: 'ARGUMENTS' })
    expect(await fail('plan', { spec: small, ranks: 3 })).toMatchObject({
      code: 'ARGUMENTS',
      help: expect.stringContaining('rank'),
    })
    expect(await fail('plan', { spec: small, rank: 4 })).toMatchObject({ code: 'RANK' })
    expect(await fail('simulate', { spec: small })).toMatchObject({
      code: 'NO_CLUSTER',
      help: expect.stringContaining('dgx-h100'),
    })
    expect(await fail('simulate', { spec: { ...large, parallel: { tp: 8, dp: 4 } } })).toMatchObject({
      code: 'CLUSTER_SIZE',
    })
    expect(await fail('plan', { spec: { model: '../../etc/passwd' } })).toMatchObject({ code: 'NO_ACCESS' })
    expect(await fail('plan', { spec: small, more: { path: 'communication.0' } })).toMatchObject({ code: 'MORE' })
  })

  test('specs beyond measure are refused', async () => {
    const ranks = await fail('export', {
      spec: { ...small, batch: 2 ** 31, parallel: { dp: 2 ** 31, tp: 2 } },
      format: 'dot',
      unroll: ['rank'],
    })
    expect(ranks.code).toMatch(/^[A-Z_]+$/)
    const config = {
      model_type: 'llama',
      hidden_size: 64,
      num_hidden_layers: 1e9,
      num_attention_heads: 4,
      intermediate_size: 128,
      vocab_size: 100,
    }
    const deep = await result(clients[transport] as Client, 'export', {
      spec: { model: config, phase: 'prefill', batch: 1 },
      format: 'dot',
      unroll: ['layer'],
    }).catch((error: Error) => JSON.parse(error.message).error)
    expect(deep.notice ?? deep.help).not.toBe('')
  })
})
