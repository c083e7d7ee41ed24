import { formatBytes, formatCount, formatSeconds, formatShare } from 'shardloom'
import { activationBytes, near, sentBytes } from '../figures-of.js'
import type { Lesson, Measured } from '../lesson.js'

const spec = (schedule: string, batch = 8) => `model: llama-3.1-8b
cluster: dgx-h100
batch: ${batch}
seq: 4096
microbatch: 1
parallel:
  pp: 4
options:
  schedule: ${schedule}
`

const bubble = ({ figures }: Measured) => figures.bubble.global

/** Pipelines, and the order of their work. */
export const pipelineParallel: Lesson = {
  title: 'Pipeline parallelism and its schedules',
  about: 'Layers divided into stages: where they wait, and how GPipe, 1F1B, zero-bubble and DualPipe order the work.',
  steps: [
    {
      title: 'Stages wait',
      text: [
        'Each rank holds a run of layers. A microbatch goes through all of them, and its gradient comes back. While the first one is on its way, later stages have nothing to do, and at the end it is the other way round: the bubble.',
        (plan) =>
          `With p stages and m microbatches of equal cost it is (p−1)/(m+p−1) of the time (Huang et al. 2019). Here p is ${plan.summary.mesh['pp'] ?? 1} and m is ${plan.figures.batch.microbatches}; the simulated share is ${formatShare(bubble(plan))}, since the last stage has the head on top.`,
        (plan) =>
          `Little is sent: ${formatBytes(sentBytes(plan, 'pp'))} by the first rank in a step. That is why pipelines can cross slow links.`,
      ],
      plans: [{ name: 'GPipe', text: spec('gpipe') }],
      view: 'timeline',
      look: 'The hatched triangles before and after the work of each stage.',
      question: {
        ask: 'Four times as many microbatches: what happens to the bubble?',
        knob: { path: 'batch', label: 'Batch', values: [8, 16, 32], to: 32 },
        options: [
          { says: 'It stays the same share', holds: (before, after) => near(bubble(after), bubble(before), 0.05) },
          { says: 'Its share falls', holds: (before, after) => bubble(after) < 0.9 * bubble(before) },
          { says: 'Its share grows', holds: (before, after) => bubble(after) > 1.1 * bubble(before) },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatShare(bubble(before))} became ${formatShare(bubble(after))}: filling and draining take as long as before, of a longer step. But GPipe keeps the activations of all microbatches until backward begins: ${formatBytes(activationBytes(before))} became ${formatBytes(activationBytes(after))} on the fullest stage.`,
      },
    },
    {
      title: 'One forward, one backward',
      text: [
        '1F1B starts backward of a microbatch as soon as its forward has ended, and from then on takes turns. A stage never has more microbatches under way than there are stages behind it and itself (Narayanan et al. 2021).',
        (_, given) =>
          `GPipe, with which this step begins, keeps ${formatBytes(activationBytes(given))} of activations on its fullest stage, ${formatCount(given.figures.batch.microbatches)} microbatches at once.`,
      ],
      plans: [{ name: 'GPipe', text: spec('gpipe') }],
      view: 'memory',
      look: 'How high the activations stand on each stage.',
      question: {
        ask: 'GPipe to 1F1B: what changes?',
        knob: { path: 'options.schedule', label: 'Schedule', values: ['gpipe', '1f1b'], to: '1f1b' },
        options: [
          {
            says: 'Less bubble, as much memory',
            holds: (before, after) =>
              bubble(after) < 0.9 * bubble(before) && near(activationBytes(after), activationBytes(before)),
          },
          {
            says: 'The same bubble, less memory',
            holds: (before, after) =>
              near(bubble(after), bubble(before)) && activationBytes(after) < 0.9 * activationBytes(before),
          },
          {
            says: 'Less of both',
            holds: (before, after) =>
              bubble(after) < 0.9 * bubble(before) && activationBytes(after) < 0.9 * activationBytes(before),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `The bubble is ${formatShare(bubble(after))} as before, and activations went from ${formatBytes(activationBytes(before))} to ${formatBytes(activationBytes(after))}. So the number of microbatches can grow without memory growing with it.`,
      },
    },
    {
      title: 'Backward is two things',
      text: [
        'Backward makes gradients of inputs, which the stage before waits for, and of weights, which nobody waits for. Zero-bubble schedules split the two, and put the second where a stage would wait (Qi et al. 2023).',
        'Both variants stand on one axis of time, the same plan but for the order of its work.',
      ],
      plans: [
        { name: '1F1B', text: spec('1f1b') },
        { name: 'Zero bubble', text: spec('zbh1') },
      ],
      active: 1,
      view: 'compare',
      look: 'The timelines below the table: pale slices of weight gradients fill what is hatched in the one above.',
      question: {
        ask: 'ZB-H2 begins with more forwards. What does it cost?',
        knob: { path: 'options.schedule', label: 'Schedule', values: ['zbh1', 'zbh2'], to: 'zbh2' },
        options: [
          {
            says: 'More memory for activations',
            holds: (before, after) => activationBytes(after) > 1.1 * activationBytes(before),
          },
          {
            says: 'More bytes on the links',
            holds: (before, after) => sentBytes(after, 'pp') > 1.1 * sentBytes(before, 'pp'),
          },
          { says: 'Nothing', holds: (before, after) => near(activationBytes(after), activationBytes(before)) },
        ],
        answer: 0,
        because: (before, after) =>
          `${formatBytes(activationBytes(before))} of activations became ${formatBytes(activationBytes(after))}. The bubble went from ${formatShare(bubble(before))} to ${formatShare(bubble(after))}: zero bubble needs stages of equal cost, and here the one with the head takes longer than the others.`,
      },
    },
    {
      title: 'From both ends',
      text: [
        'DualPipe lets microbatches enter at both ends, and computes a forward of one beside a backward of the other, so that communication of either is hidden (DeepSeek-AI 2024).',
        (_, given) =>
          `1F1B, with which this step begins, waits ${formatShare(bubble(given))} of a step of ${formatSeconds(given.figures.stepSeconds)}, and the first rank holds ${formatBytes(given.summary.perRank.parameterBytes)} of parameters.`,
      ],
      plans: [{ name: '1F1B', text: spec('1f1b') }],
      view: 'timeline',
      look: 'With DualPipe, microbatches that start on the last rank.',
      question: {
        ask: '1F1B to DualPipe: what does a rank hold of parameters?',
        knob: { path: 'options.schedule', label: 'Schedule', values: ['1f1b', 'zbv', 'dualpipe'], to: 'dualpipe' },
        options: [
          {
            says: 'As much',
            holds: (before, after) => near(after.summary.perRank.parameterBytes, before.summary.perRank.parameterBytes),
          },
          {
            says: 'Twice as much',
            holds: (before, after) =>
              near(after.summary.perRank.parameterBytes, 2 * before.summary.perRank.parameterBytes),
          },
          {
            says: 'Half',
            holds: (before, after) =>
              near(after.summary.perRank.parameterBytes, before.summary.perRank.parameterBytes / 2),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(before.summary.perRank.parameterBytes)} became ${formatBytes(after.summary.perRank.parameterBytes)}: a rank is a stage of both directions, and so has the layers of two. For that the bubble went from ${formatShare(bubble(before))} to ${formatShare(bubble(after))}.`,
      },
    },
  ],
  sources: ['huang', 'narayanan', 'qi', 'deepseek'],
}
