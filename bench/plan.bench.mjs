/**
 * Planning: from an architecture to the partitioned, communicating, verified program, rolled. Every measured plan is one
 * that the process has not made before.
 */
import { composePlugins, corePasses, createMesh, dimSizesOf, runPasses } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { measure } from '@shardloom/simulator'
import { dataParallel } from '@shardloom/strategy-dp'
import { tensorParallel } from '@shardloom/strategy-tp'
import { loadSpec, planLoaded } from 'shardloom'

/** Plans `model` over `degrees` without the front door. */
export function planned(model, options, degrees) {
  const built = buildProgram(findPreset(model), options)
  const { operators, passes, axes } = composePlugins([transformers(), dataParallel(), tensorParallel()])
  const mesh = createMesh(
    Object.entries(degrees).map(([name, degree]) => {
      const factors = axes
        .find((axis) => axis.name === name)
        ?.factors?.(
          degree,
          (dim) => dimSizesOf(built, dim),
          (other) => degrees[other] ?? 1,
        )
      return { name, degree, ...(factors && { factors }) }
    }),
  )
  const program = runPasses({ ...built, mesh }, [...passes, ...corePasses], { operators, warn: () => {} })
  return { program, operators }
}

/** Fewer runs, for plans that take longer. */
const few = { warm: 20, count: 20 }

/** Median and worst milliseconds of `run(i)` for 0 ≤ i < count, after `warm` unmeasured runs. */
function timed(run, { warm = 60, count = 40 } = {}) {
  for (let i = 0; i < warm; i++) run(i)
  const times = Array.from({ length: count }, (_, i) => {
    const start = performance.now()
    run(warm + i)
    return performance.now() - start
  }).sort((a, b) => a - b)
  return `median ${times[count >> 1].toFixed(2)} ms, worst ${times[count - 1].toFixed(2)} ms of ${count}`
}

export default async function bench() {
  const training = (i) => ({ phase: 'training', batch: 2, microbatches: 1 + i, seq: 8192 + i })
  const llama = (i) => planned('llama-3.1-405b', training(i), { dp: 2, tp: 8 })
  const deepseek = (i) => planned('deepseek-v3', training(i), { dp: 2, tp: 8 })
  const once = llama(10_000)
  const loaded = await loadSpec({ preset: 'llama3-405b' })
  const whole = (i) => planLoaded({ ...loaded, spec: { ...loaded.spec, seq: loaded.spec.seq - 1024 * i } })
  const experts = await loadSpec({
    model: 'deepseek-v3',
    batch: 15_360,
    seq: 8192,
    parallel: { pp: 16, dp: 128, ep: 64 },
    options: { schedule: 'dualpipe', zero: 1 },
  })
  const deep = (i) => planLoaded({ ...experts, spec: { ...experts.spec, seq: experts.spec.seq - i } })
  return [
    `plan of Llama-3.1-405B training, 126 layers, tp 8 dp 2, rolled: ${timed(llama)} (aim: under 20 ms)`,
    `plan of DeepSeek-V3 training, 61 layers of two kinds, tp 8 dp 2: ${timed(deepseek)}`,
    `plan of Llama 3 405B on 16,384 ranks (tp 8, cp 16, pp 16, FSDP 8): ${timed(whole, few)} (aim: under 100 ms)`,
    `plan of DeepSeek-V3 on 2,048 ranks (pp 16 DualPipe, ep 64, ZeRO-1): ${timed(deep, few)} (aim: under 100 ms)`,
    `measuring Llama-3.1-405B on tp 8 dp 2: ${timed(() => measure(once.program, once.operators))}`,
    `verifying it: ${timed(() => verifyProgram(once.program, once.operators))}`,
  ]
}
