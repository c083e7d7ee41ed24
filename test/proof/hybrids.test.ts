import {
  composePlugins,
  corePasses,
  dimSizesOf,
  isShardloomError,
  type Plugin,
  type Program,
  programToJson,
  runPasses,
} from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, transformers } from '@shardloom/models'
import { replication } from '@shardloom/simulator'
import fc from 'fast-check'
import { loadSpec, planLoaded, type SpecInput } from 'shardloom'
import { proveLoaded } from 'shardloom/testing'
import { expect, test } from 'vitest'
import { meshOfSpec, slotsOf } from '../../packages/shardloom/src/mesh-of-spec.js'
import { planOneDevice } from '../../packages/shardloom/src/plan.js'
import { builtInStrategies } from '../../packages/shardloom/src/strategies.js'

const degree = (...degrees: number[]) => fc.constantFrom(...degrees)

/** A random tiny model: heads, widths and kinds of layers that random degrees may or may not divide. */
const model = fc
  .record({
    layers: fc.integer({ min: 2, max: 5 }),
    kvHeads: degree(1, 2, 4),
    group: degree(1, 2, 3),
    experts: degree(0, 4, 6),
    shared: fc.boolean(),
    tied: fc.boolean(),
  })
  .map(({ layers, kvHeads, group, experts, shared, tied }) => {
    const attention = {
      kind: 'grouped',
      heads: kvHeads * group,
      kvHeads,
      headDim: 2,
      bias: { qkv: false, out: false },
      rotary: true,
    }
    const dense = { kind: 'dense', intermediate: 12, activation: 'swiglu', bias: false }
    const flags = { bias: false, routerBias: false, correctionBias: false }
    const moe = {
      kind: 'moe',
      experts,
      topK: 2,
      intermediate: 12,
      activation: 'swiglu',
      ...flags,
      ...(shared && { shared: { intermediate: 12, gate: false } }),
    }
    const layer = { residual: 'sequential', norms: 'pre', attention }
    return {
      schema: 'shardloom.model/1',
      name: `tiny-${layers}-${kvHeads}-${group}-${experts}-${shared}-${tied}`,
      family: 'llama',
      hidden: 12,
      vocab: 24,
      norm: { kind: 'rms', bias: false },
      tiedEmbeddings: tied,
      layers: { dense: { ...layer, ffn: dense }, ...(experts > 0 && { moe: { ...layer, ffn: moe } }) },
      order: {
        runs:
          experts > 0
            ? [
                { layer: 'dense', count: 1 },
                { layer: 'moe', count: layers - 1 },
              ]
            : [{ layer: 'dense', count: layers }],
      },
    }
  })

/** A random mixture of the five strategies; many are not legal, and then refused. */
const spec = fc
  .record({
    model,
    phase: fc.constantFrom('training', 'training', 'prefill', 'decode'),
    parallel: fc.record({
      dp: degree(1, 2, 3),
      tp: degree(1, 2, 3, 4),
      pp: degree(1, 1, 2, 3),
      cp: degree(1, 1, 2),
      ulysses: degree(1, 1, 2),
      ep: degree(1, 2, 3, 4),
    }),
    microbatches: degree(1, 2, 4),
    zero: degree(0, 0, 1, 2, 3),
    sequenceParallel: fc.boolean(),
    schedule: fc.constantFrom('gpipe', '1f1b', 'zbh1'),
  })
  .map(({ parallel, microbatches, zero, sequenceParallel, schedule, ...rest }) => {
    const training = rest.phase === 'training'
    const options = {
      ...(training && parallel.dp > 1 && zero && { zero }),
      ...(parallel.tp > 1 && rest.phase !== 'decode' && sequenceParallel && { sequenceParallel }),
      ...(training && parallel.pp > 1 && { schedule }),
    }
    const batch = training ? parallel.dp * microbatches : parallel.dp * 2
    const moe = 'moe' in rest.model.layers
    return { ...rest, seq: 12, batch, parallel: { ...parallel, ep: moe ? parallel.ep : 1 }, options }
  })
  .filter(
    ({ parallel: { dp, tp, pp, cp, ulysses } }) => dp * tp * pp * cp * ulysses <= 24 && dp * tp * pp * cp * ulysses > 1,
  )

/** Loads and plans a spec, or undefined where the mixture is refused in words. */
async function legal(input: unknown) {
  try {
    const loaded = await loadSpec(input as SpecInput) // checked by the schema
    return { loaded, plan: planLoaded(loaded) }
  } catch (error) {
    if (isShardloomError(error) && error.help) return undefined
    throw error
  }
}

test('random mixtures of all strategies verify, conserve FLOPs and parameters, and do not depend on their order', async () => {
  let planned = 0
  await fc.assert(
    fc.asyncProperty(spec, fc.infiniteStream(fc.nat()), async (input, numbers) => {
      const found = await legal(input)
      fc.pre(found !== undefined)
      planned++
      const { program, operators, rules } = found.plan
      for (const { violations } of verifyProgram(program, operators, rules)) expect(violations).toEqual([])
      const one = replication(planOneDevice(found.loaded), operators)
      const all = replication(program, operators)
      expect(all.flops - all.replicatedFlops).toBe(one.flops)
      expect(all.parameters - all.replicatedParameters).toBe(one.parameters)
      const shuffled = [...builtInStrategies(found.loaded.spec)]
      shuffled.sort(() => ((numbers.next().value ?? 0) % 2 ? 1 : -1))
      expect(bare(compose(found.loaded, shuffled))).toEqual(bare(program))
    }),
    { numRuns: 40, seed: 20261122, maxSkipsPerRun: 40 },
  )
  expect(planned).toBeGreaterThanOrEqual(40)
})

test('random mixtures of all strategies compute what one device computes', async () => {
  await fc.assert(
    fc.asyncProperty(spec, async (input) => {
      const found = await legal(input)
      fc.pre(found !== undefined)
      const proof = proveLoaded(found.loaded)
      expect(proof.difference?.message, JSON.stringify(input)).toBeUndefined()
      expect(proof.violations).toEqual([])
      expect(proof.worst.error).toBeLessThan(1e-9)
    }),
    { numRuns: 25, seed: 4, maxSkipsPerRun: 40 },
  )
})

function bare(program: Program): unknown {
  const { preferences: _, ...rest } = programToJson(program) as { preferences: unknown } // an object, as the function says
  return rest
}

function compose(
  { spec: loaded, architecture }: Awaited<ReturnType<typeof loadSpec>>,
  strategies: readonly Plugin[],
): Program {
  const { axes, passes, operators } = composePlugins([...strategies, transformers()])
  const { phase, seq, steps, options } = loaded
  if (phase === 'serving') throw new Error('not here')
  const built = buildProgram(architecture, {
    phase,
    ...slotsOf(loaded),
    seq,
    steps,
    gradientDtype: options.gradientDtype,
  })
  const mesh = meshOfSpec(loaded, axes, (dim) => dimSizesOf(built, dim))
  return runPasses({ ...built, mesh, notes: built.notes }, [...passes, ...corePasses], { operators, warn: () => {} })
}
