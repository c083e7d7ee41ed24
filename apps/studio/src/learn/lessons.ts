import type { Lessons } from './lesson.js'
import { bottleneck } from './lessons/bottleneck.js'
import { dataParallel } from './lessons/data-parallel.js'
import { expertParallel } from './lessons/expert-parallel.js'
import { hybrids } from './lessons/hybrids.js'
import { pipelineParallel } from './lessons/pipeline-parallel.js'
import { prefillDecode } from './lessons/prefill-decode.js'
import { sequenceParallel } from './lessons/sequence-parallel.js'
import { tensorParallel } from './lessons/tensor-parallel.js'

export { sources } from './sources.js'

/** Every guided page: a script of its own, which the page loads when somebody wants to learn. */
export const lessons: Lessons = {
  dp: dataParallel,
  tp: tensorParallel,
  pp: pipelineParallel,
  ep: expertParallel,
  sp: sequenceParallel,
  hybrids,
  'prefill-decode': prefillDecode,
  bottleneck,
}
