import { nodesOf } from '@shardloom/core'
import { meterOf } from '@shardloom/simulator'
import { loadSpec, simulateLoaded } from 'shardloom'
import { describe, expect, test } from 'vitest'

/**
 * Of tied embeddings each end of a pipeline has the gradient of its own use, and the two are summed between the stages (Shoeybi et al.
 * 2019; Narayanan et al. 2021, section 2.2).
 */
describe('tied embeddings on the first and the last of two stages', async () => {
  const loaded = await loadSpec({
    model: 'gpt2',
    cluster: 'dgx-h100',
    batch: 4,
    microbatch: 1,
    seq: 128,
    parallel: { pp: 2 },
  })
  const { timed, memory } = simulateLoaded(loaded)
  const { program, operators } = timed
  /** 50,257 words of 768 in two bytes. */
  const term = BigInt(50_257 * 768 * 2)

  test('each reads the one term that it has made', () => {
    const sum = nodesOf(program.items).find(({ id }) => id === 'backward/embedding/weight.sum')
    expect(sum?.inputs).toHaveLength(2)
    for (const rank of [0, 1]) expect(sum && meterOf(program, operators, rank).node(sum).read).toBe(term)
  })

  test('neither holds what the other makes', () => {
    const alive = memory.map((each) => new Set(each.alive.map(({ tensor }) => tensor)))
    expect(alive[0]?.has('backward/head/logits.weight')).toBe(false)
    expect(alive[1]?.has('backward/embedding/tokens.weight')).toBe(false)
  })
})
