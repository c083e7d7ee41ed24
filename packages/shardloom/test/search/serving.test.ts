import type { Candidate, Miss } from '@shardloom/search'
import { describe, expect, test } from 'vitest'
import { finish, type LoadedSpec, loadSpec, type SpecInput, simulateServingLoaded } from '../../src/index.js'
import { rerankWork } from '../../src/search/ask.js'
import type { Question } from '../../src/search/question.js'
import { servingAnswers } from '../../src/search/serving-answer.js'
import { ServingCosts } from '../../src/search/serving-costs.js'
import { specOfServing } from '../../src/search/serving-rerank.js'
import { servingSpace } from '../../src/search/serving-space.js'
import { choicesOf } from '../../src/search/serving-spec.js'
import { servingFixes, whyServing } from '../../src/search/serving-why.js'

const load = { input: { from: 820, to: 1024 }, output: { from: 102, to: 128 } }
const small: SpecInput = {
  model: 'llama-3.1-8b',
  cluster: 'dgx-h100',
  phase: 'serving',
  pricePerRankHour: 2,
  options: { serving: { load } },
}
const ask = (spec: SpecInput, more: Partial<Question> = {}): Question => ({
  schema: 'shardloom.question/1',
  spec,
  ranks: 4,
  objective: 'throughput',
  limits: [],
  choices: {},
  top: 5,
  parts: 1,
  ...more,
})
const answer = async (question: Question) => finish(servingAnswers(await loadSpec(question.spec), question).part(0))

/** Every point of a question's space, whatever bounds and limits say. */
function all(costs: ServingCosts, loaded: LoadedSpec, question: Question): (Candidate | Miss)[] {
  const space = servingSpace(loaded, question)
  const points = space.groups.flatMap((group) => {
    const { pools, types, engine } = group
    return (pools === 2 ? space.prefill : [undefined]).flatMap((other) =>
      space.counts(group, other).flatMap(([first, engines]) =>
        space.clients(engines).map((clients) => ({
          ...{ pools, types, engine, engines, clients },
          ...(other && { prefill: { engine: other, engines: first } }),
        })),
      ),
    )
  })
  return points.map((point) => whyServing(loaded, question, choicesOf(point), costs))
}

const limits = [
  { metric: 'tpot', most: 0.009 },
  { metric: 'ttft', most: 0.5 },
]
const clients = [2, 16, 96, 256]

describe('the answer is that of trying everything', async () => {
  const loaded = await loadSpec(small)
  // What searches know of engines, and what is known of them where every point is evaluated.
  const [searched, costs] = [new ServingCosts(loaded, ask(small)), new ServingCosts(loaded, ask(small))]
  const search = (question: Question, part = 0) => finish(servingAnswers(loaded, question, searched).part(part))
  const questions: Partial<Question>[] = [
    { limits },
    { objective: 'tpot', limits: [{ metric: 'tokens-per-second', least: 2000 }] },
    { objective: 'ttft', limits: [] },
    { objective: 'cost', limits, choices: { clients, cacheDtype: ['bf16', 'fp8'] } },
    { objective: 'memory-headroom', limits: [{ metric: 'throughput', least: 400 }] },
    { objective: 'ranks', limits: [{ metric: 'tokens-per-second', least: 2000 }, ...limits] },
    { objective: 'throughput', limits, choices: { clients, pools: [1, 2], pp: [1] } },
    { objective: 'throughput', front: ['tpot', '-throughput'] },
  ]
  test.each(questions)('%j', (more) => {
    const question = ask(small, { choices: { clients }, ...more })
    const [found, every] = [search(question), all(costs, loaded, question)]
    const kept = every.filter((each): each is Candidate => !('rule' in each))
    expect(kept.length).toBeGreaterThan(0)
    const best = [...kept].sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1)).slice(0, 5)
    expect(found.best).toEqual(best)
    // By itself a point is what it is where questions share what engines take.
    const [first] = best
    expect(whyServing(loaded, question, first?.choices ?? {})).toEqual(first)
    expect(found.counts.total).toBe(every.length)
    const rejected = Object.values(found.counts.rejected).reduce((sum, count) => sum + count, 0)
    expect(rejected + found.counts.bounded + found.counts.evaluated).toBe(every.length)
    expect(kept.length).toBe(found.counts.evaluated + found.counts.bounded - boundedMisses(every, found.counts))
    const [one, two] = question.front ?? []
    if (one === undefined || two === undefined) return
    const place = (each: Candidate, metric: string) => each.metrics[metric] ?? Number.NaN
    const front = kept.filter(
      (each) =>
        !kept.some(
          (other) =>
            place(other, one) <= place(each, one) &&
            place(other, two) <= place(each, two) &&
            (place(other, one) < place(each, one) || place(other, two) < place(each, two)),
        ),
    )
    expect(new Set(found.front.map(({ name }) => name))).toEqual(new Set(front.map(({ name }) => name)))
  })

  /** Of those that a bound left out, some break a rule as well. */
  function boundedMisses(every: readonly (Candidate | Miss)[], counts: { rejected: Readonly<Record<string, number>> }) {
    const misses = every.filter((each) => 'rule' in each).length
    return misses - Object.values(counts.rejected).reduce((sum, count) => sum + count, 0)
  }

  test('parts find it together', () => {
    const question = ask(small, { limits, choices: { clients } })
    const whole = search(question)
    const parts = [0, 1, 2].map((part) => search({ ...question, parts: 3 }, part))
    const merged = parts.flatMap(({ best }) => best).sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1))
    expect(merged.slice(0, 5)).toEqual(whole.best)
    expect(parts.reduce((sum, { counts }) => sum + counts.total, 0)).toBe(whole.counts.total)
  })
})

test('with more clients times and tokens per second rise, and memory and cost fall', async () => {
  const question = ask(small)
  const loaded = await loadSpec(small)
  const costs = new ServingCosts(loaded, question)
  for (const choices of [{ tp: 2, replicas: 2 }, { tp: 4 }, { tp: 2, pp: 2 }]) {
    const row = [1, 2, 4, 8, 16, 32, 64, 128, 256].map((count) =>
      whyServing(loaded, question, { ...choices, clients: 2 * count }, costs),
    )
    for (const [index, { metrics }] of row.entries()) {
      const before = row[index - 1]?.metrics
      if (!before) continue
      for (const name of ['ttft', 'tpot', 'throughput', 'requests-per-second'])
        expect(metrics[name], `${name} ${JSON.stringify(choices)}`).toBeGreaterThanOrEqual(before[name] ?? Number.NaN)
      for (const name of ['memory-headroom', 'cost']) expect(metrics[name]).toBeLessThan(before[name] ?? Number.NaN)
    }
  }
})

// Prompts shorter than what a step decodes, and longer than a step: of an engine that decodes no prompts beside.
test.each([
  { input: 16, output: 64 },
  { input: { from: 6000, to: 12_000 }, output: { from: 30, to: 60 } },
])('and where prompts stop decoding: %j', async (load) => {
  const spec = { ...small, options: { serving: { load, engine: 'sglang' } } }
  const question = ask(spec, { choices: { clients: [1, 8, 64] } })
  const loaded = await loadSpec(spec)
  const costs = new ServingCosts(loaded, question)
  const found = finish(servingAnswers(loaded, question, costs).part(0))
  const kept = all(costs, loaded, question).filter((each): each is Candidate => !('rule' in each))
  expect(found.best).toEqual([...kept].sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1)).slice(0, 5))
})

describe('Llama 3.1 70B on 8 H100', () => {
  const spec: SpecInput = {
    model: 'llama-3.1-70b',
    cluster: 'dgx-h100',
    phase: 'serving',
    options: { serving: { load: { input: { from: 1640, to: 2048 }, output: { from: 410, to: 512 } } } },
  }
  // 70.6 B parameters of 2 bytes are 141 GB, which one device of 80 GiB lacks (mlsysim, How Much Memory Does Llama-3 70B Actually Need: two, or
  // weights of fewer bytes).
  test('weights of two bytes need two devices, of one byte they fit on one', async () => {
    const loaded = await loadSpec(spec)
    const question = ask(spec, { ranks: 8 })
    const one = whyServing(loaded, question, { tp: 1, replicas: 8, clients: 8 })
    expect(one).toMatchObject({ rule: 'memory' })
    const missing = 70.55e9 * 2 + 3_758_096_384 - 0.9 * 80 * 2 ** 30
    expect((one.metrics['missing-bytes'] ?? 0) / missing).toBeCloseTo(1, 2)
    expect(whyServing(loaded, question, { tp: 2, clients: 1 })).not.toHaveProperty('rule')
    const crowded = whyServing(loaded, question, { tp: 2, clients: 64 })
    expect(crowded).toMatchObject({ rule: 'kv-cache' })
    const fixes = servingFixes(loaded, question, crowded as Miss).map(({ change }) => change)
    expect(fixes).toContain('weightDtype=fp8')
    const fewer = Number(fixes.find((change) => change.startsWith('clients='))?.slice('clients='.length))
    expect(whyServing(loaded, question, { tp: 2, clients: fewer + 1 })).toMatchObject({ rule: 'kv-cache' })
  })

  // Simulations send 10 requests per client, begin with empty engines and end with the last request: the estimate is the steady state between.
  test('the best under a bound on latency are as good when they are served event by event', async () => {
    const question = ask(spec, {
      ranks: 8,
      top: 3,
      choices: { pp: [1], clients: [64, 96, 128] },
      limits: [
        { metric: 'ttft', most: 2 },
        { metric: 'tpot', most: 0.05 },
      ],
    })
    const found = await answer(question)
    expect(found.best.map(({ name }) => name)).toContain('tp=8 clients=128')
    const { best: simulated } = finish(rerankWork(await loadSpec(spec), question, found))
    expect(simulated).toHaveLength(3)
    for (const { differences, misses } of simulated) {
      expect(misses).toEqual([])
      expect(Math.abs(differences?.['tpot'] ?? 1)).toBeLessThan(0.08)
      expect(Math.abs(differences?.['throughput'] ?? 1)).toBeLessThan(0.08)
      expect(Math.abs(differences?.['ttft'] ?? 1)).toBeLessThan(0.2)
    }
  })
})

// Batches in flight are not all alike, as the steady state has them.
test.each([
  { engine: 'vllm', tp: 2, pp: 1, within: { ttft: 0.2, tpot: 0.08, throughput: 0.08 } },
  { engine: 'sglang', tp: 2, pp: 1, within: { ttft: 0.2, tpot: 0.08, throughput: 0.08 } },
  { engine: 'tensorrt-llm', tp: 2, pp: 1, within: { ttft: 0.2, tpot: 0.08, throughput: 0.08 } },
  { engine: 'vllm', tp: 1, pp: 4, within: { ttft: 0.3, tpot: 0.15, throughput: 0.12 } },
  { engine: 'sglang', tp: 1, pp: 2, within: { ttft: 0.3, tpot: 0.15, throughput: 0.12 } },
])(
  'clients of $engine wait as long in steady state as when they are served, tp $tp and pp $pp',
  async ({ engine, tp, pp, within }) => {
    const spec = { ...small, options: { serving: { load, engine } } }
    const question = ask(spec, { choices: { tp: [tp], pp: [pp], clients: [64] }, ranks: tp * pp })
    const { best } = finish(rerankWork(await loadSpec(spec), question, await answer(question)))
    for (const [metric, error] of Object.entries(within))
      expect(Math.abs(best[0]?.differences?.[metric] ?? 1), metric).toBeLessThan(error)
  },
)

test('clients of two pools have no more tokens than engines of prefill that are never idle have begun (Muntz and Wong 1974)', async () => {
  const spec = { ...small, options: { serving: { load: { input: 2048, output: 64 } } } }
  const loaded = await loadSpec(spec)
  const rateOf = (prefill: number) => {
    const point = { pools: 2, 'prefill.pp': prefill, 'prefill.replicas': 2 / prefill, 'decode.tp': 2, clients: 256 }
    return whyServing(loaded, ask(spec), point).metrics['requests-per-second'] ?? 0
  }
  // A product of so many tokens takes about what the peak allows: 989 TFLOP/s of each of two H100 (NVIDIA 2023), 2 FLOPs of 7.5 B parameters.
  const most = (2 * 989e12) / (2048 * 2 * 7.5e9)
  const [one, two] = [rateOf(1), rateOf(2)]
  expect(two / one).toBeCloseTo(1, 1)
  for (const rate of [one, two]) {
    expect(rate).toBeLessThan(0.62 * most)
    expect(rate).toBeGreaterThan(0.4 * most)
  }
})

test.each(['vllm', 'tensorrt-llm'])(
  'requests that come at a rate to %s wait for room as they do when they are served',
  async (engine) => {
    // Beside 70 GB of weights a pair of GPUs has room for few requests at a time.
    const load = { input: { from: 1000, to: 3000 }, output: { from: 100, to: 400 }, rate: 2.5, requests: 400 }
    const spec: SpecInput = {
      phase: 'serving',
      model: 'llama-3.1-70b',
      cluster: { preset: 'dgx-h100', nodes: 1 },
      options: { serving: { load, engine } },
    }
    const loaded = await loadSpec(spec)
    const question = ask(spec, { ranks: 8, choices: { tp: [2], pp: [1], replicas: [4] } })
    const { best } = finish(rerankWork(loaded, question, await answer(question)))
    expect(Math.abs(best[0]?.differences?.['ttft'] ?? 1)).toBeLessThan(0.2)
    expect(Math.abs(best[0]?.differences?.['tpot'] ?? 1)).toBeLessThan(0.08)
  },
)

test('pools may have accelerators of their own, and what they hand over passes the slower network', async () => {
  const spec: SpecInput = {
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    phase: 'serving',
    options: { serving: { decode: { cluster: { preset: 'dgx-h200', nodes: 1 } }, load } },
  }
  const question = ask(spec, { choices: { pools: [2], clients: [16], pp: [1] } })
  const found = await answer(question)
  const [best] = found.best
  expect(best?.choices).toMatchObject({ pools: 2, clients: 16 })
  const simulation = simulateServingLoaded(await loadSpec(specOfServing(question, best as Candidate)))
  expect(simulation.pools.map(({ cluster }) => cluster.accelerator.name)).toEqual(['h100-sxm', 'h200-sxm'])
  // Decode reads its weights from memory of 4.8 TB/s in place of 3.35 (NVIDIA, data sheets of H200 and H100).
  const [own, alike] = await Promise.all(
    [spec, small].map(async (each) => whyServing(await loadSpec(each), ask(each), { tp: 2, pools: 2, clients: 16 })),
  )
  const gain = (alike?.metrics['tpot'] ?? Number.NaN) / (own?.metrics['tpot'] ?? Number.NaN)
  expect(gain).toBeGreaterThan(1)
  expect(gain).toBeLessThan(4.8 / 3.35)
})

describe('what cannot be asked', () => {
  test.each([
    [{ objective: 'step-time' }, 'OBJECTIVE', /throughput/],
    [{ limits: [{ metric: 'tpott', most: 1 }] }, 'OBJECTIVE', /`tpot`/],
    [
      {
        limits: [
          { metric: 'tpot', most: 1 },
          { metric: 'tpot', least: 2 },
        ],
      },
      'LIMITS',
      /Leave/,
    ],
    [{ front: ['tpot', 'throughput'] }, 'OBJECTIVE', /-throughput/],
    [{ choices: { microbatch: [1] } }, 'CHOICE', /replicas/],
    [{ choices: { tp: [0] } }, 'CHOICE', /Give/],
  ] as const)('%j', async (more, code, help) => {
    await expect(answer(ask(small, more as Partial<Question>))).rejects.toMatchObject({
      code,
      help: expect.stringMatching(help),
    })
  })

  test('a cost without a price', async () => {
    const { pricePerRankHour: _, ...free } = small
    await expect(answer(ask(free, { objective: 'cost' }))).rejects.toMatchObject({ code: 'OBJECTIVE' })
  })

  test('more requests per second than engines serve', async () => {
    const spec = { ...small, options: { serving: { load: { ...load, rate: 1000 } } } }
    const { best, misses } = await answer(ask(spec, { choices: { pp: [1] } }))
    expect(best).toEqual([])
    expect(misses.map(({ rule }) => rule)).toEqual(['rate'])
    // Most of the rate is not served, and some of it is.
    expect(misses[0]?.by).toBeGreaterThan(0.5)
    expect(misses[0]?.by).toBeLessThan(1)
  })
})
