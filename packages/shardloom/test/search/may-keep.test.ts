import { describe, expect, test } from 'vitest'
import { runWork } from '../../src/index.js'
import { loadSpec } from '../../src/plan.js'
import { bestWithKept, mayKeep } from '../../src/search/may-keep.js'
import { answersOf, type Miss, mergeAnswers, questionOf, rerankWork, simulationOf } from '../../src/search.js'

const miss = (name: string, rule: string, by: number, score: number): Miss => {
  return { name, choices: {}, score, metrics: {}, rule, by }
}

describe('of engines on the fewest ranks that keep a limit', async () => {
  const load = { clients: 64, input: 1024, output: { from: 100, to: 150 } }
  const loaded = await loadSpec({
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    phase: 'serving',
    options: { serving: { engine: 'vllm', load } },
  })
  const limit = { metric: 'tpot', most: 0.012 }
  const choices = { tp: [1], replicas: [3, 4] }
  const question = questionOf(loaded, { ranks: 8, objective: 'ranks', limits: [limit], choices, parts: 1 })
  const answer = mergeAnswers([await runWork(answersOf(loaded, question).part(0))], question)

  test('the winner is no worse than what the simulator itself says of those that nearly keep it', async () => {
    const near = answer.misses.filter(({ rule, by }) => rule.startsWith('tpot') && by < 0.01)
    expect(near.map(({ choices }) => choices['replicas'])).toContain(3)
    const outcomes = await Promise.all(near.map((each) => runWork(simulationOf(loaded, question, each))))
    const kept = outcomes.filter(({ metrics }) => (metrics?.['tpot'] ?? Number.POSITIVE_INFINITY) <= limit.most)
    const fewest = Math.min(...kept.map(({ metrics }) => metrics?.['ranks'] ?? Number.POSITIVE_INFINITY))
    const { best } = await runWork(rerankWork(loaded, question, answer))
    expect(best[0]?.metrics?.['ranks']).toBe(fewest)
    expect(fewest).toBe(3)
  })
})

describe('misses that may keep their limit', async () => {
  const loaded = await loadSpec({ model: 'tiny', batch: 8, cluster: 'dgx-h100' })
  const question = questionOf(loaded, { ranks: 8, limits: [{ metric: 'tokens-per-second', least: 1 }] })
  const winner = { candidate: miss('winner', '', 0, 5), spec: question.spec, score: 5, misses: [] }

  test('are those that would come first, of limits that were asked for and missed by little, a few', () => {
    const misses = [
      miss('beaten', 'tokens-per-second', 0.01, 6),
      miss('far', 'tokens-per-second', 0.5, 1),
      miss('memory', 'memory', 0.01, 1),
      ...[4, 1, 3, 2].map((place) => miss(`near ${place}`, 'tokens-per-second', place / 100, 4)),
    ]
    const names = mayKeep(question, misses, winner).map(({ name }) => name)
    expect(names).toEqual(['near 1', 'near 2', 'near 3'])
    expect(mayKeep(question, misses.slice(0, 1), undefined)).toHaveLength(1)
    expect(
      mayKeep(question, misses.slice(0, 1), { ...winner, misses: [{ rule: 'tokens-per-second', by: 0.1 }] }),
    ).toHaveLength(1)
  })

  test('take their places where they keep it as simulated, and change nothing where they do not', () => {
    const found = { best: [winner], outcomes: [winner], simulated: 1 }
    const tried = {
      candidate: miss('near', 'tokens-per-second', 0.01, 4),
      spec: question.spec,
      metrics: {},
      score: 4,
      misses: [],
    }
    expect(bestWithKept(found, [tried], 1)).toMatchObject({ best: [{ score: 4 }], simulated: 2, kept: [{ score: 4 }] })
    const missing = { ...tried, misses: [{ rule: 'tokens-per-second', by: 0.02 }] }
    expect(bestWithKept(found, [missing], 1)).toEqual({ ...found, kept: [] })
  })
})
