/** Interpreting: a training step of a small model on 16 virtual ranks in float64, one microbatch, warm. */
import { composePlugins, corePasses, createMesh, dimSizesOf, runPasses } from '@shardloom/core'
import { buildProgram, transformers } from '@shardloom/models'
import { dataParallel } from '@shardloom/strategy-dp'
import { tensorParallel } from '@shardloom/strategy-tp'
import { compareRuns, interpret, runReference } from '@shardloom/testing'

const model = {
  schema: 'shardloom.model/1',
  name: 'bench',
  family: 'llama',
  hidden: 16,
  vocab: 32,
  tiedEmbeddings: false,
  norm: { kind: 'rms', bias: false },
  layers: {
    layer: {
      attention: { kind: 'grouped', heads: 8, kvHeads: 4, headDim: 4, bias: { qkv: false, out: false }, rotary: true },
      ffn: { kind: 'dense', intermediate: 32, activation: 'swiglu', bias: false },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: 2 }] },
}

function planned(degrees) {
  const built = buildProgram(model, { phase: 'training', batch: 8, seq: 8 })
  const { operators, passes, axes } = composePlugins([transformers(), dataParallel(), tensorParallel()])
  const mesh = createMesh(
    Object.entries(degrees).map(([name, degree]) => {
      const factors = axes.find((axis) => axis.name === name)?.factors?.(degree, (dim) => dimSizesOf(built, dim))
      return { name, degree, ...(factors && { factors }) }
    }),
  )
  return {
    program: runPasses({ ...built, mesh }, [...passes, ...corePasses], { operators, warn: () => {} }),
    operators,
  }
}

/** The median of some runs, in milliseconds, after some that are not counted. */
function median(run) {
  for (let i = 0; i < 10; i++) run()
  const times = Array.from({ length: 15 }, () => {
    const start = performance.now()
    run()
    return performance.now() - start
  })
  return times.sort((a, b) => a - b)[7].toFixed(0)
}

export default function bench() {
  const one = planned({})
  const many = planned({ dp: 2, tp: 8 })
  const reference = runReference(one.program, one.operators)
  const { equal, compared, executed } = compareRuns(reference, many.program, many.operators)
  if (!equal) throw new Error('the plan on 16 ranks is not that of one device')
  const nodes = [...executed.values()].reduce((sum, count) => sum + count, 0)
  return [
    `training step of 2 layers on 16 ranks, ${nodes} executions: ${median(() => interpret(many.program, many.operators))} ms (aim: under 200)`,
    `the same, its ${compared} tensors compared with one device: ${median(() => compareRuns(reference, many.program, many.operators))} ms`,
    `one device: ${median(() => interpret(one.program, one.operators))} ms`,
  ]
}
