import { formatBytes, formatQuantity } from '@shardloom/exporters'
import { hostCopies } from './critical-kinds.js'
import type { SimulationSummary } from './summarise-simulation.js'
import { noticeable, type WhatIf } from './what-if.js'

type Told = Pick<
  SimulationSummary,
  'stepSeconds' | 'bubble' | 'exposedCommunicationSeconds' | 'memory' | 'criticalKinds' | 'whatIf' | 'whatIfPair'
>

const percent = (share: number) => `${(100 * share).toFixed(1)}\u00a0%`

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
  const copies = told.criticalKinds.some(({ kind }) => kind === hostCopies)
  const missing = peakBytes + reserveBytes - capacityBytes
  return [
    ...(first
      ? [`The largest part of the critical path is ${first.kind}: ${percent(first.share)}${then && `; then ${then}`}.`]
      : []),
    ...(bubble.global >= noticeable
      ? [
          `${staged ? 'Stages' : 'Ranks'} wait for each other${copies ? ` or for ${hostCopies}` : ''} ${percent(bubble.global)} of the step.`,
        ]
      : []),
    ...(exposed.length > 0 ? [`Nothing is computed beside communication over ${exposed.join(', ')} of the step.`] : []),
    ...(missing > 0
      ? [
          `It does not fit: ${formatBytes(missing)} are missing${perStage.length > 1 ? ` on the fullest ${staged ? 'stage' : 'rank'}` : ''}.`,
        ]
      : []),
    ...(missing > 0 ? whatFits(told.whatIf, memory) : whatHelps(told.whatIf)),
    ...whatPairs(told, memory.fits),
  ]
}

/** Which change of the plan makes a step fit, at least cost of time; or which comes nearest to it. */
function whatFits(tried: readonly WhatIf[], { peakBytes, reserveBytes, capacityBytes }: Told['memory']): string[] {
  const plans = tried.filter(({ of }) => of === 'plan')
  const [fastest, ...slower] = plans.filter(({ fits }) => fits).sort((a, b) => a.difference - b.difference)
  if (fastest) {
    const others = slower.map((each) => each.change).join(', or ')
    return [
      `It fits ${fastest.change}, in ${stepText(fastest)} and ${formatBytes(fastest.peakBytes)}${others && `; slower also ${others}`}.`,
    ]
  }
  const [nearest] = plans.sort((a, b) => a.peakBytes - b.peakBytes)
  if (!nearest) return []
  const none = 'No single change of the plan that was tried makes it fit'
  if (nearest.peakBytes >= peakBytes) return [`${none}, and none saves memory.`]
  const left = formatBytes(nearest.peakBytes + reserveBytes - capacityBytes)
  return [`${none}; it comes nearest ${nearest.change}, where ${left} are missing.`]
}

/** What makes a step shorter: a change of the plan that fits, else a machine that is not there. */
function whatHelps(tried: readonly WhatIf[]): string[] {
  const helpful = tried
    .filter(({ difference, fits }) => fits && difference <= -noticeable)
    .sort((a, b) => a.difference - b.difference)
  const plan = helpful.find(({ of }) => of === 'plan')
  if (plan) return [`Of the changes of the plan tried, this helps most: ${plan.change}, −${percent(-plan.difference)}.`]
  const [machine] = helpful
  if (!machine) return []
  return [
    `No change of the plan that was tried helps; of the machine, this would most: ${machine.change}, −${percent(-machine.difference)}.`,
  ]
}

/** What two changes come to at once, where that is worth more than the better of them. */
function whatPairs({ whatIf, whatIfPair: pair }: Pick<Told, 'whatIf' | 'whatIfPair'>, isFitting: boolean): string[] {
  if (!pair) return []
  const { changes, difference, sum } = pair
  const alone = whatIf.filter(({ change, fits }) => fits && changes.includes(change))
  if (alone.some((each) => difference > each.difference - noticeable)) return []
  const both = changes.join(' and ')
  if (!isFitting) return [`It fits ${both} at once, in ${stepText(pair)} and ${formatBytes(pair.peakBytes)}.`]
  const [more, less] = [difference < sum - noticeable, difference > sum + noticeable]
  const beside = more || less ? `, ${more ? 'more' : 'less'} than their sum of −${percent(-sum)}` : ''
  return [`Both at once, ${both}: −${percent(-difference)}${beside}.`]
}

const stepText = ({ stepSeconds, difference }: Pick<WhatIf, 'stepSeconds' | 'difference'>) =>
  `${formatQuantity(stepSeconds, 's')} (${difference < 0 ? '−' : '+'}${percent(Math.abs(difference))})`
