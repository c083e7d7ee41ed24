import { formatBytes, formatSeconds, formatShare } from 'shardloom'
import { activationBytes, exposedSeconds, near } from '../figures-of.js'
import type { Lesson, Measured } from '../lesson.js'

const spec = (batch: number, recompute = 'none') => `model: llama-3.1-8b
cluster: dgx-h100
batch: ${batch}
seq: 8192
microbatch: 1
parallel:
  tp: 4
  pp: 2
options:
  sequenceParallel: true
  recompute: ${recompute}
`

const exposed = (plan: Measured) =>
  Object.keys(plan.figures.exposedCommunicationSeconds).reduce((sum, axis) => sum + exposedSeconds(plan, axis), 0)

/** Where the time of a step goes. */
export const bottleneck: Lesson = {
  title: 'Reading a bottleneck',
  about: 'Where the time of a step goes, which number says so, and what to change first.',
  steps: [
    {
      title: 'Three ways to lose time',
      text: [
        (plan) =>
          `A rank computes, waits for communication of its own, or waits for other stages. Of this step’s ${formatSeconds(plan.figures.stepSeconds)}, communication is exposed for ${formatSeconds(exposed(plan))} and stages wait ${formatShare(plan.figures.bubble.global)} of the time.`,
        (plan) =>
          `MFU is what remains to show for it: the model’s FLOPs over what the devices could do at their peak, ${formatShare(plan.figures.mfu)} here (Chowdhery et al. 2022). Work that is done twice does not count as the model’s.`,
      ],
      plans: [{ name: 'A step', text: spec(16) }],
      view: 'timeline',
      look: 'Idle shares at the ends of rows, gaps inside them, and the strip below the page.',
      question: {
        ask: 'A quarter of the batch: which loss grows?',
        knob: { path: 'batch', label: 'Batch', values: [4, 8, 16], to: 4 },
        options: [
          {
            says: 'The share of waiting for stages',
            holds: (before, after) => after.figures.bubble.global > 1.5 * before.figures.bubble.global,
          },
          {
            says: 'The share of exposed communication',
            holds: (before, after) =>
              exposed(after) / after.figures.stepSeconds > (1.5 * exposed(before)) / before.figures.stepSeconds,
          },
          {
            says: 'Neither',
            holds: (before, after) => after.figures.bubble.global <= before.figures.bubble.global,
          },
        ],
        answer: 0,
        because: (before, after) =>
          `Waiting for stages went from ${formatShare(before.figures.bubble.global)} to ${formatShare(after.figures.bubble.global)}; exposed communication is ${formatShare(exposed(before) / before.figures.stepSeconds)} and ${formatShare(exposed(after) / after.figures.stepSeconds)}. MFU fell from ${formatShare(before.figures.mfu)} to ${formatShare(after.figures.mfu)}.`,
      },
    },
    {
      title: 'Compute, or the way to it',
      text: [
        'Within compute, an operator is as slow as the slower of two things: its FLOPs over the device’s peak, and its bytes over the memory’s bandwidth. That is the roofline (Williams et al. 2009). Matmuls of many tokens lie under its flat part; norms, sums and decode lie on the slope.',
        'Cards of operators name FLOPs where those bound them, and bytes where memory does.',
      ],
      plans: [{ name: 'A step', text: spec(16) }],
      view: 'graph',
      graph: { level: 'module', toggled: ['forward/layer/ffn'] },
      look: 'Which operators of the feed-forward network say “moved”.',
    },
    {
      title: 'Memory buys time, time buys memory',
      text: [
        (plan) =>
          `Activations that are kept for backward take ${formatBytes(activationBytes(plan))} on the fullest stage. Recomputing a layer in backward keeps only its input, for one more forward pass (Korthikanti et al. 2022).`,
        'The hardware’s share, HFU, counts that pass. MFU does not.',
      ],
      plans: [{ name: 'A step', text: spec(16) }],
      view: 'memory',
      look: 'Activations, and the line of the device.',
      question: {
        ask: 'Recompute everything: what happens to MFU and HFU?',
        knob: {
          path: 'options.recompute',
          label: 'Recompute',
          values: ['none', 'full'],
          to: 'full',
        },
        options: [
          {
            says: 'Both fall alike',
            holds: (before, after) =>
              near(after.figures.mfu / before.figures.mfu, after.figures.hfu / before.figures.hfu),
          },
          {
            says: 'MFU falls, HFU hardly changes',
            holds: (before, after) =>
              after.figures.mfu < 0.9 * before.figures.mfu && near(after.figures.hfu, before.figures.hfu, 0.05),
          },
          { says: 'Both stay', holds: (before, after) => near(after.figures.mfu, before.figures.mfu) },
        ],
        answer: 1,
        because: (before, after) =>
          `MFU went from ${formatShare(before.figures.mfu)} to ${formatShare(after.figures.mfu)}, HFU from ${formatShare(before.figures.hfu)} to ${formatShare(after.figures.hfu)}. Devices are as busy as before, with less to show. Activations went from ${formatBytes(activationBytes(before))} to ${formatBytes(activationBytes(after))}.`,
      },
    },
    {
      title: 'Change what is on the path',
      text: [
        'Making something faster helps only if the step waits for it. A critical path is a chain of work and exchanges, each waiting for the one before, as long as the whole step. What is not on any of them can be slower without harm.',
        (plan) =>
          `Here tp is exposed for ${formatSeconds(exposedSeconds(plan, 'tp'))} and pp for ${formatSeconds(exposedSeconds(plan, 'pp'))}: that says which links are worth money.`,
      ],
      plans: [{ name: 'A step', text: spec(8) }],
      view: 'timeline',
      look: 'The dark line below the slices, which steps between the rows. C hides and shows it.',
      question: {
        ask: 'tp 2 instead of 4, on half the ranks: what is exposed of communication?',
        knob: { path: 'parallel.tp', label: 'tp', values: [2, 4], to: 2 },
        options: [
          {
            says: 'A smaller share of the step',
            holds: (before, after) =>
              exposed(after) / after.figures.stepSeconds < (0.8 * exposed(before)) / before.figures.stepSeconds,
          },
          {
            says: 'The same share',
            holds: (before, after) =>
              near(exposed(after) / after.figures.stepSeconds, exposed(before) / before.figures.stepSeconds, 0.1),
          },
          {
            says: 'A larger share',
            holds: (before, after) =>
              exposed(after) / after.figures.stepSeconds > (1.2 * exposed(before)) / before.figures.stepSeconds,
          },
        ],
        answer: 0,
        because: (before, after) =>
          `${formatShare(exposed(before) / before.figures.stepSeconds)} became ${formatShare(exposed(after) / after.figures.stepSeconds)}, and MFU went from ${formatShare(before.figures.mfu)} to ${formatShare(after.figures.mfu)}. The step is longer, ${formatSeconds(after.figures.stepSeconds)} instead of ${formatSeconds(before.figures.stepSeconds)}, with half the ranks.`,
      },
    },
  ],
  sources: ['chowdhery', 'williams', 'korthikanti'],
}
