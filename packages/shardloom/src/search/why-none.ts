import { formatCounted } from '@shardloom/exporters'
import { byStage, type Choices } from './choices.js'
import type { Question } from './question.js'

/** Degrees that ranks are multiplied from; others divide the same ranks once more. */
const multiplied = ['replicas', 'dp', 'cp', 'ulysses', 'tp', 'pp']

/** Why no candidate has these choices, and which would do; undefined where none of them says so. */
export function whyNone(asked: Choices, { ranks: most, choices, spec }: Question): string | undefined {
  /** What is chosen, by what is asked for or as the only value that there is. */
  const chosen = (name: string) => asked[name] ?? (choices[name]?.length === 1 ? choices[name][0] : undefined)
  return (
    whyNotOn(
      multiplied.map((axis) => Number(chosen(axis) ?? 1)),
      Number(asked['ranks'] ?? most),
    ) ??
    whyNotBoth(chosen) ??
    (spec.phase === 'serving' ? undefined : whyNotOf(chosen, Number(spec.batch)))
  )
}

/** Why ranks are no multiple of degrees. */
function whyNotOn(all: readonly number[], ranks: number): string | undefined {
  const degrees = all.filter((degree) => degree > 1)
  const product = degrees.reduce((so, degree) => so * degree, 1)
  if (ranks % product === 0) return undefined
  const said = degrees.length === 1 ? `${product}` : `${degrees.join(' × ')} = ${product}`
  const on = formatCounted(ranks, 'rank')
  if (product > ranks) return `${said} is more than ${on}: use smaller degrees, or more --ranks.`
  return `${said} does not divide ${on}: degrees have to divide the ranks; see --ranks.`
}

/** Which two choices exclude each other. */
function whyNotBoth(chosen: (name: string) => unknown): string | undefined {
  if (chosen('sequenceParallel') === true && chosen('tp') === 1)
    return 'sequenceParallel splits the sequence over the ranks of tp, and tp=1 is one rank: use a tp of 2 or more, or leave sequenceParallel out.'
  const [dcp, tp] = [Number(chosen('dcp') ?? 1), chosen('tp')]
  if (tp !== undefined && Number(tp) % dcp !== 0)
    return `dcp divides the ranks of tp, and ${dcp} does not divide ${String(tp)}: use a dcp that does.`
  if (chosen('recompute') === byStage && (chosen('offload') ?? 'none') !== 'none')
    return `recompute=${byStage} is not searched together with offload: use recompute=none or full, or offload=none.`
  return undefined
}

/** Why a batch has no such microbatches. */
function whyNotOf(chosen: (name: string) => unknown, batch: number): string | undefined {
  const [microbatch, dp] = ['microbatch', 'dp'].map((name) => Number(chosen(name) ?? 1)) as [number, number]
  if (!(batch > 0) || batch % (microbatch * dp) === 0) return undefined
  const of = dp > 1 ? ` of each of ${dp} dp ranks` : ''
  return `microbatch=${microbatch}${of} does not divide the batch of ${batch}: use one that does, or another batch.`
}
