import { loadSpec, planLoaded, planServingLoaded, readSpecText } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { withDegree, withPhase } from '../src/setup/fitting.js'
import { choicesOf } from '../src/worker/choices.js'

const full = `model: llama-3.1-8b
cluster: dgx-h100
batch: 16
microbatch: 1
seq: 512
parallel: {dp: 2, tp: 2, pp: 2}
options:
  zero: 1
  schedule: interleaved1f1b
  virtual: 2
  sequenceParallel: true
  recompute: full
  gradientDtype: bf16
`
const phases = ['training', 'prefill', 'decode', 'serving'] as const

const planned = async (text: string) => {
  const loaded = await loadSpec(readSpecText(text))
  return loaded.spec.phase === 'serving' ? planServingLoaded(loaded) : planLoaded(loaded)
}

describe('from a plan that uses what its phase has', () => {
  test.each(phases)('every phase is one press away, there and back: %s', async (phase) => {
    const there = withPhase(full, phase)
    await planned(there)
    for (const next of phases) await planned(withPhase(there, next))
  })

  test.each(['pp', 'tp', 'dp'])('one rank of %s can be chosen, and is planned', async (axis) => {
    expect((await choicesOf(full, `parallel.${axis}`)).legal).toContain(1)
    await planned(withDegree(full, axis, 1))
  })
})
