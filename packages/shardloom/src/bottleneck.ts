import { formatBytes } from '@shardloom/exporters'
import type { SimulationSummary } from './summarise-simulation.js'

type Told = Pick<
  SimulationSummary,
  'stepSeconds' | 'bubble' | 'exposedCommunicationSeconds' | 'memory' | 'criticalKinds' | 'whatIf'
>

const percent = (share: number) => `${(100 * share).toFixed(1)}\u00a0%`

/** A share under which something is not worth a sentence. */
const noticeable = 0.01

/** What limits a step, in sentences: what its length consists of, what waits for what, and what of the changes tried helps most. */
export function bottleneckOf({ stepSeconds, bubble, exposedCommunicationSeconds, memory, ...told }: Told): string[] {
  const [first, ...others] = told.criticalKinds
  const next = others.slice(0, 2).filter(({ share }) => share >= noticeable)
  const then = next.map(({ kind, share }) => `${kind} ${percent(share)}`).join(', ')
  const exposed = Object.entries(exposedCommunicationSeconds)
    .filter(([, seconds]) => seconds / stepSeconds >= noticeable)
    .sort(([, a], [, b]) => b - a)
    .map(([axis, seconds]) => `${axis} for ${percent(seconds / stepSeconds)}`)
  const { peakBytes, reserveBytes, capacityBytes, perStage } = memory
  const staged = new Set(perStage.map(({ stage }) => stage)).size > 1
  const missing = peakBytes + reserveBytes - capacityBytes
  const best = [...told.whatIf].sort((a, b) => a.difference - b.difference)[0]
  return [
    ...(first
      ? [`Most of the critical path is ${first.kind}: ${percent(first.share)}${then && `; then ${then}`}.`]
      : []),
    ...(bubble.global >= noticeable
      ? [`${staged ? 'Stages' : 'Ranks'} wait for each other ${percent(bubble.global)} of the step.`]
      : []),
    ...(exposed.length > 0 ? [`Nothing is computed beside communication over ${exposed.join(', ')} of the step.`] : []),
    ...(missing > 0
      ? [
          `It does not fit: ${formatBytes(missing)} are missing${perStage.length > 1 ? ` on the fullest ${staged ? 'stage' : 'rank'}` : ''}.`,
        ]
      : []),
    ...(best && best.difference <= -noticeable
      ? [`Of the changes tried, this helps most: ${best.change}, −${percent(-best.difference)}.`]
      : []),
  ]
}
