import { formatBytes, formatCount, formatSeconds, formatShare } from 'shardloom'
import { exposedSeconds, near, partsAtPeak, sentBytes } from '../figures-of.js'
import type { Lesson, Measured } from '../lesson.js'

const spec = (
  parallel: { readonly dp: number; readonly tp: number; readonly pp: number },
  batch = 64,
) => `model: llama-3.1-70b
cluster: dgx-h100
batch: ${batch}
seq: 8192
microbatch: 1
parallel:
  dp: ${parallel.dp}
  tp: ${parallel.tp}
  pp: ${parallel.pp}
options:
  zero: 1
  sequenceParallel: true
  schedule: 1f1b
`

const usual = { dp: 2, tp: 8, pp: 4 }

const axesOf = ({ summary }: Measured) =>
  Object.entries(summary.mesh)
    .filter(([, degree]) => degree > 1)
    .map(([axis, degree]) => `${axis} ${degree}`)
    .join(' × ')

const links = ({ figures }: Measured) => figures.mapping.map(({ text }) => text).join('; ')

/** Several axes at once. */
export const hybrids: Lesson = {
  title: 'Hybrids',
  about: 'Several axes at once: which goes over which links, what each has to give, and how they trade places.',
  steps: [
    {
      title: 'A mesh of axes',
      text: [
        (plan) =>
          `${formatCount(plan.summary.world)} ranks stand in a grid with one axis per strategy: ${axesOf(plan)}. A rank communicates along each axis with other ranks, and no strategy knows of the others.`,
        (plan) =>
          `What talks most goes over the fastest links (Narayanan et al. 2021). Here: ${links(plan)}. The first rank sends ${formatBytes(sentBytes(plan, 'tp'))} over tp, ${formatBytes(sentBytes(plan, 'dp'))} over dp and ${formatBytes(sentBytes(plan, 'pp'))} over pp in a step.`,
      ],
      plans: [{ name: 'Hybrid', text: spec(usual) }],
      view: 'graph',
      graph: { level: 'stage' },
      look: 'Inside each stage, chips say how often and how much it communicates over each axis.',
    },
    {
      title: 'Less tensor, more data',
      text: [
        (plan) =>
          `Of ${formatSeconds(plan.figures.stepSeconds)}, ${formatSeconds(exposedSeconds(plan, 'tp'))} are waiting for tp. A narrower tp waits less, and then another axis must be wider to use all ranks.`,
        'Both plans here use as many ranks. The slider sets the batch of the active one.',
      ],
      plans: [
        { name: 'tp 8, dp 2', text: spec(usual) },
        { name: 'tp 4, dp 4', text: spec({ dp: 4, tp: 4, pp: 4 }) },
      ],
      active: 0,
      view: 'compare',
      look: 'Which of the two fits in the device, and which has more idle time.',
      question: {
        ask: 'Twice the batch, with tp 8: what happens to MFU?',
        knob: { path: 'batch', label: 'Batch', values: [64, 128], to: 128 },
        options: [
          {
            says: 'It grows, since the bubble’s share falls',
            holds: (before, after) =>
              after.figures.mfu > before.figures.mfu && after.figures.bubble.global < before.figures.bubble.global,
          },
          { says: 'It falls, since more is sent', holds: (before, after) => after.figures.mfu < before.figures.mfu },
          { says: 'It stays exactly the same', holds: (before, after) => after.figures.mfu === before.figures.mfu },
        ],
        answer: 0,
        because: (before, after) =>
          `The bubble went from ${formatShare(before.figures.bubble.global)} to ${formatShare(after.figures.bubble.global)}, and MFU from ${formatShare(before.figures.mfu)} to ${formatShare(after.figures.mfu)}. Waiting for tp grew along with the work, and so did not matter to either share.`,
      },
    },
    {
      title: 'Deeper or wider',
      text: [
        (plan) =>
          `More stages hold less each, and fill and drain for longer. ZeRO divides the optimizer’s state over dp, so that fewer stages with more data parallelism hold as much of it (Rajbhandari et al. 2020): ${formatBytes(partsAtPeak(plan).optimizer)} here.`,
        (plan) => `At its peak, the fullest stage of this plan holds ${formatBytes(plan.figures.memory.peakBytes)}.`,
      ],
      plans: [{ name: 'Hybrid', text: spec(usual) }],
      view: 'memory',
      look: 'How the four stages differ: the first has most microbatches under way.',
      question: {
        ask: 'Eight stages instead of four, on twice the ranks: what does the fullest rank hold?',
        knob: { path: 'parallel.pp', label: 'pp', values: [4, 8], to: 8 },
        options: [
          {
            says: 'Half',
            holds: (before, after) => near(after.figures.memory.peakBytes, before.figures.memory.peakBytes / 2, 0.05),
          },
          {
            says: 'Less, but more than half',
            holds: (before, after) =>
              after.figures.memory.peakBytes < 0.97 * before.figures.memory.peakBytes &&
              after.figures.memory.peakBytes > 0.53 * before.figures.memory.peakBytes,
          },
          {
            says: 'As much',
            holds: (before, after) => near(after.figures.memory.peakBytes, before.figures.memory.peakBytes),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(before.figures.memory.peakBytes)} became ${formatBytes(after.figures.memory.peakBytes)}. Parameters, gradients and optimizer’s state are about halved. Activations are not: a stage has half the layers, and twice as many microbatches under way. They are ${formatBytes(partsAtPeak(before).activations)} and ${formatBytes(partsAtPeak(after).activations)}.`,
      },
    },
    {
      title: 'A rule of thumb, checked',
      text: [
        'Tensor parallelism up to a node’s size, pipeline stages until the model fits, data parallelism for the rest: so Megatron-LM’s authors sum up their measurements (Narayanan et al. 2021).',
        (plan) =>
          `This plan follows it: MFU ${formatShare(plan.figures.mfu)}, bubble ${formatShare(plan.figures.bubble.global)}, ${formatBytes(plan.figures.memory.peakBytes)} of ${formatBytes(plan.figures.memory.capacityBytes)}. A rule of thumb is where a search starts, not where it ends: change degrees under “All of the set-up” and see what you lose.`,
      ],
      plans: [{ name: 'Hybrid', text: spec(usual) }],
      view: 'timeline',
      look: 'The dark line below the slices: a chain of work and exchanges that is as long as the step. C hides and shows it.',
      question: {
        ask: 'Half the stages, on half the ranks: what happens to MFU?',
        knob: { path: 'parallel.pp', label: 'pp', values: [2, 4], to: 2 },
        options: [
          { says: 'It grows', holds: (before, after) => after.figures.mfu > 1.01 * before.figures.mfu },
          { says: 'It stays', holds: (before, after) => near(after.figures.mfu, before.figures.mfu, 0.01) },
          { says: 'It falls', holds: (before, after) => after.figures.mfu < 0.99 * before.figures.mfu },
        ],
        answer: 0,
        because: (before, after) =>
          `${formatShare(before.figures.mfu)} became ${formatShare(after.figures.mfu)}, with a bubble of ${formatShare(after.figures.bubble.global)}. What it costs is memory, ${formatBytes(after.figures.memory.peakBytes)} at the peak, and time: ${formatSeconds(after.figures.stepSeconds)} instead of ${formatSeconds(before.figures.stepSeconds)}, since fewer ranks work.`,
      },
    },
  ],
  sources: ['narayanan', 'rajbhandari'],
}
