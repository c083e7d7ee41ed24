/**
 * One full evaluation of a strategy that the process has not seen before: plan, what each kernel takes, one step in time, memory. And
 * how many events a second run where every node does.
 */
import { unroll } from '@shardloom/core/unroll'
import { machineOf, ranksToRun, runEvents, runStep, workOf } from '@shardloom/simulator'
import { loadSpec, planLoaded } from 'shardloom'
import { questionOf, StepTree } from 'shardloom/search'

/**
 * Milliseconds of planning and of running, each the median of `count` evaluations after `warm` more: as much code as this runs is not
 * compiled before some fifty of them.
 */
function evaluated(loaded, shorter, { warm = 60, count = 11 } = {}) {
  const times = { plan: [], step: [], all: [] }
  for (let i = 0; i < warm + count; i++) {
    const start = performance.now()
    const { program, operators } = planLoaded({
      ...loaded,
      spec: { ...loaded.spec, seq: loaded.spec.seq - shorter * i },
    })
    const planned = performance.now()
    runStep(program, operators, machineOf(loaded.cluster, program.mesh))
    const end = performance.now()
    if (i < warm) continue
    times.plan.push(planned - start)
    times.step.push(end - planned)
    times.all.push(end - start)
  }
  const median = (list) => list.sort((a, b) => a - b)[list.length >> 1]
  return { plan: median(times.plan), step: median(times.step), all: median(times.all) }
}

/**
 * Milliseconds of estimating a strategy as a search does, by samples of its layers and its schedule: where strategies of another `near` point,
 * which decide the same, are planned, and where nothing is known of the model. Each the median of `count` evaluations after `warm` more, the
 * former one after the other for `together` models, so that they wait for no garbage of planning.
 */
function estimated(loaded, shorter, choices, near, { warm = 199, count = 41, together = 10 } = {}) {
  const all = warm + count
  const specs = Array.from({ length: all }, (_, i) => ({
    ...loaded,
    spec: { ...loaded.spec, seq: loaded.spec.seq - shorter * (all - 1 - i) },
  }))
  const treeOf = (other) => new StepTree(other, questionOf(other, { ranks: loaded.ranks }))
  const judge = (tree, chosen) => {
    const { score } = tree.judge(tree.leafOf(chosen))
    if (!(score > 0)) throw new Error(`the strategy is refused: ${JSON.stringify(chosen)}`)
  }
  const taken = (run) => {
    const start = performance.now()
    run()
    return performance.now() - start
  }
  const whole = specs.map((other) => taken(() => judge(treeOf(other), choices)))
  const known = []
  for (let first = 0; first < specs.length; first += together) {
    const trees = specs.slice(first, first + together).map(treeOf)
    for (const tree of trees) judge(tree, near)
    for (const tree of trees) known.push(taken(() => judge(tree, choices)))
  }
  const median = (list) => list.slice(warm).sort((a, b) => a - b)[count >> 1]
  return { known: median(known), all: median(whole) }
}

export default async function bench({ baseline }) {
  const gpt = await loadSpec({
    model: 'gpt3-175b',
    cluster: 'dgx-a100',
    batch: 64,
    seq: 2048,
    parallel: { pp: 8, tp: 8 },
    options: { schedule: 'interleaved1f1b', virtual: 3 },
  })
  const llama = await loadSpec({ preset: 'llama3-405b', cluster: 'dgx-h100' })
  const text = ({ plan, step, all }) =>
    `${all.toFixed(1)} ms (plan ${plan.toFixed(1)}, kernels, step and memory ${step.toFixed(1)}), ${(all / baseline).toFixed(2)} of the baseline`
  const interleaved = { schedule: 'interleaved1f1b', microbatch: 1, sequenceParallel: true }
  const gptPoint = { ...interleaved, tp: 8, pp: 8, virtual: 3 }
  const estimatedSmall = estimated({ ...gpt, ranks: 64 }, 8, gptPoint, { ...gptPoint, tp: 4, pp: 16, virtual: 2 })
  const long = await loadSpec({ model: 'llama-3.1-405b', cluster: 'dgx-h100', batch: 128, seq: 131072 })
  const longPoint = { ...interleaved, tp: 8, cp: 16, pp: 16, virtual: 4, zero: 1 }
  const estimatedLarge = estimated({ ...long, ranks: 16384 }, 512, longPoint, { ...longPoint, tp: 4, pp: 8 })
  // What a search does not run has not been seen by what it runs.
  const small = evaluated(gpt, 8)
  const large = evaluated(llama, 1024)
  const estimate = ({ known, all }) =>
    `${known.toFixed(1)} ms in degrees never measured, ${all.toFixed(1)} ms with nothing planned, ${(known / baseline).toFixed(3)} and ${(all / baseline).toFixed(2)} of the baseline`
  const { program, operators } = planLoaded(gpt)
  const machine = machineOf(gpt.cluster, program.mesh)
  const work = workOf(unroll(program, { ranks: ranksToRun(program, operators, machine) }), program, operators, machine)
  const fastest = Math.min(
    ...Array.from({ length: 7 }, () => {
      const start = performance.now()
      runEvents(work)
      return performance.now() - start
    }),
  )
  return [
    `GPT-175B, tp 8 pp 8, 3 chunks, 64 microbatches, as a search estimates it: ${estimate(estimatedSmall)} (aim: under 3 ms)`,
    `  event by event: ${text(small)}`,
    `Llama 3.1 405B on 16,384 ranks (tp 8, cp 16, pp 16), as a search estimates it: ${estimate(estimatedLarge)} (aim: under 20 ms)`,
    `  event by event, with FSDP 8: ${text(large)}`,
    `running all ${work.nodeCount.toLocaleString('en')} nodes of GPT-175B's step: ${(work.nodeCount / fastest / 1e3).toFixed(2)} million a second (aim: 2)`,
  ]
}
