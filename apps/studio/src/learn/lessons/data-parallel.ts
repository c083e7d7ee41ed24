import { formatBytes, formatCount, formatSeconds } from 'shardloom'
import { exposedSeconds, near, partsAtPeak, sentBytes } from '../figures-of.js'
import type { Lesson } from '../lesson.js'

const spec = (options = '', batch = 8) => `model: llama-3.1-8b
cluster: dgx-h100
batch: ${batch}
seq: 4096
microbatch: 1
parallel:
  dp: 8
${options}`

/** Data parallelism, and what ZeRO and FSDP divide of it. */
export const dataParallel: Lesson = {
  title: 'Data parallelism, ZeRO and FSDP',
  about: 'Every rank trains on other sequences. What that costs in bytes and memory, and what can be divided.',
  steps: [
    {
      title: 'Same weights, other sequences',
      text: [
        'Each rank has the whole model and its own share of the batch. Forward and backward need nobody else: no card before the optimizer has a chip of communication.',
        'What every rank must agree on are the gradients. Each has summed over its own sequences only, so the sum over ranks is missing: an all-reduce per parameter, before the optimizer reads it. PyTorch’s DDP runs them in buckets while backward still works (Li et al. 2020).',
        (plan) =>
          `In this step a rank sends ${formatBytes(sentBytes(plan, 'dp'))} for that, and ${formatSeconds(exposedSeconds(plan, 'dp'))} of it are not hidden behind backward.`,
      ],
      plans: [{ name: 'Data parallel', text: spec() }],
      view: 'graph',
      graph: { level: 'layer' },
      selection: 'optimizer',
      look: 'The chip inside the optimizer: over dp, how often, how much. Enter opens the card; select an all-reduce in it, and the right side says why it exists.',
      question: {
        ask: 'Twice as many sequences per rank: how many more bytes does a rank send for gradients?',
        knob: { path: 'batch', label: 'Batch', values: [8, 16, 32], to: 16 },
        options: [
          {
            says: 'Twice as many',
            holds: (before, after) => near(sentBytes(after, 'dp'), 2 * sentBytes(before, 'dp')),
          },
          {
            says: 'As many as before',
            holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp')),
          },
          {
            says: 'Half as many',
            holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp') / 2),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(sentBytes(before, 'dp'))} before, ${formatBytes(sentBytes(after, 'dp'))} after: what is sent is as large as the gradients, and these are as large as the model. The step took ${formatSeconds(before.figures.stepSeconds)} and takes ${formatSeconds(after.figures.stepSeconds)}, so a larger batch pays for the same exchange with more work.`,
      },
    },
    {
      title: 'Everything is held by everyone',
      text: [
        (_, given) =>
          `A rank holds all ${formatCount(given.summary.model.parameters)} parameters. Beside each stand its gradient, and for Adam a master copy and two moments in fp32: here ${formatBytes(partsAtPeak(given).parameters)}, ${formatBytes(partsAtPeak(given).gradients)} and ${formatBytes(partsAtPeak(given).optimizer)}.`,
        (_, given) =>
          `The device has ${formatBytes(given.figures.memory.capacityBytes)}. All ${formatCount(given.summary.world)} ranks hold the same, which helps nobody.`,
        'ZeRO divides what is held and changes nothing about what is computed (Rajbhandari et al. 2020). Stage 1 gives each rank a share of the optimizer’s state: it then needs the sum of its own share of gradients only, a reduce-scatter, and hands its updated parameters to the others, an all-gather.',
      ],
      plans: [{ name: 'Data parallel', text: spec() }],
      view: 'memory',
      look: 'The optimizer’s band, and the line of what the device has.',
      question: {
        ask: 'ZeRO stage 1: how many bytes does a rank send, against the all-reduce?',
        knob: { path: 'options.zero', label: 'ZeRO stage', values: [0, 1, 2, 3], to: 1 },
        options: [
          { says: 'Exactly as many', holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp')) },
          {
            says: 'Three quarters',
            holds: (before, after) => near(sentBytes(after, 'dp'), 0.75 * sentBytes(before, 'dp')),
          },
          {
            says: 'One eighth',
            holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp') / 8),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(sentBytes(before, 'dp'))} before, ${formatBytes(sentBytes(after, 'dp'))} now. An all-reduce is a reduce-scatter and an all-gather. The first half is the same; the second now carries parameters in 2 bytes instead of gradients in 4. At its peak a rank holds ${formatBytes(after.figures.memory.peakBytes)} instead of ${formatBytes(before.figures.memory.peakBytes)}.`,
      },
    },
    {
      title: 'Parameters only when they are read',
      text: [
        'Stage 3 divides parameters as well, and is what FSDP does (Zhao et al. 2023). A layer’s parameters are gathered just before it runs and dropped after; backward gathers them once more.',
        (_, given) =>
          `With stage 1, as here, a rank sends ${formatBytes(sentBytes(given, 'dp'))} in a step and holds ${formatBytes(partsAtPeak(given).parameters)} of parameters all the time.`,
      ],
      plans: [{ name: 'ZeRO', text: spec('options:\n  zero: 1\n') }],
      view: 'timeline',
      look: 'The row of communication. With stage 3 it begins with the step, not with backward.',
      question: {
        ask: 'From stage 1 to stage 3: what does a rank hold of parameters, and what does it send?',
        knob: { path: 'options.zero', label: 'ZeRO stage', values: [1, 2, 3], to: 3 },
        options: [
          {
            says: 'An eighth, and it sends more',
            holds: (before, after) =>
              near(partsAtPeak(after).parameters, partsAtPeak(before).parameters / 8) &&
              sentBytes(after, 'dp') > 1.1 * sentBytes(before, 'dp'),
          },
          {
            says: 'An eighth, and it sends as much',
            holds: (before, after) =>
              near(partsAtPeak(after).parameters, partsAtPeak(before).parameters / 8) &&
              near(sentBytes(after, 'dp'), sentBytes(before, 'dp')),
          },
          {
            says: 'As much, and it sends less',
            holds: (before, after) =>
              near(partsAtPeak(after).parameters, partsAtPeak(before).parameters) &&
              sentBytes(after, 'dp') < sentBytes(before, 'dp'),
          },
        ],
        answer: 0,
        because: (before, after) =>
          `${formatBytes(partsAtPeak(before).parameters)} of parameters became ${formatBytes(partsAtPeak(after).parameters)}, and ${formatBytes(sentBytes(before, 'dp'))} sent became ${formatBytes(sentBytes(after, 'dp'))}: parameters now travel in forward and again in backward, instead of once per step.`,
      },
    },
    {
      title: 'What repeats in every microbatch',
      text: [
        'Stages 2 and 3 reduce in every microbatch, since there is no place for whole gradients to wait in. Stage 3 also gathers in every microbatch. So the more microbatches a step has, the more of it is exchange.',
        (plan) =>
          `Here a step has ${formatCount(plan.figures.batch.microbatches)} microbatches on each rank, and a rank sends ${formatBytes(sentBytes(plan, 'dp'))}.`,
      ],
      plans: [{ name: 'FSDP', text: spec('options:\n  zero: 3\n', 32) }],
      view: 'timeline',
      look: 'How communication repeats with each microbatch.',
      question: {
        ask: 'The same batch in one microbatch per rank: how much is sent?',
        knob: { path: 'microbatch', label: 'Microbatch', values: [1, 2, 4], to: 4 },
        options: [
          { says: 'As much', holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp')) },
          {
            says: 'A quarter',
            holds: (before, after) => near(sentBytes(after, 'dp'), sentBytes(before, 'dp') / 4),
          },
          {
            says: 'Four times as much',
            holds: (before, after) => near(sentBytes(after, 'dp'), 4 * sentBytes(before, 'dp')),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(sentBytes(before, 'dp'))} became ${formatBytes(sentBytes(after, 'dp'))}. The price is memory: activations of four sequences are alive at once, and the peak went from ${formatBytes(before.figures.memory.peakBytes)} to ${formatBytes(after.figures.memory.peakBytes)}.`,
      },
    },
  ],
  sources: ['li', 'rajbhandari', 'zhao'],
}
