import { formatBytes, formatCount, formatFlops, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { activationBytes, exposedSeconds, near, sentBytes, timesOf } from '../figures-of.js'
import type { Lesson, Measured } from '../lesson.js'

const spec = (degree: number, options = '') => `model: llama-3.1-8b
cluster: dgx-h100
batch: 8
seq: 8192
microbatch: 1
parallel:
  tp: ${degree}
${options}`

/** Over which links the axis runs. */
const placeOf = ({ figures }: Measured) => figures.mapping.find(({ axis }) => axis === 'tp')?.text ?? 'one rank'

const sequenceParallel = 'options:\n  sequenceParallel: true\n'

/** Tensor parallelism: one layer on several ranks. */
export const tensorParallel: Lesson = {
  title: 'Tensor parallelism',
  about: 'One layer divided over ranks: why there are two all-reduces in it, and why they stay inside a node.',
  steps: [
    {
      title: 'Heads and columns',
      text: [
        'Each rank takes some attention heads and some columns of the feed-forward network. Up to the output projection no rank needs what another one has. The projection then sums over heads, of which each rank has only some: every rank holds a partial sum of the whole result, and an all-reduce adds them up. The feed-forward network repeats the pattern (Shoeybi et al. 2019).',
        (plan) =>
          `A rank computes ${formatFlops(plan.summary.perRank.flops)} in this step and takes part in ${formatCount(timesOf(plan, 'all-reduce'))} all-reduces, ${formatBytes(sentBytes(plan, 'tp'))} of sending in all.`,
      ],
      plans: [{ name: 'Tensor parallel', text: spec(2) }],
      view: 'graph',
      graph: { level: 'module', toggled: ['forward/layer/attention'] },
      selection: 'forward/layer/attention/out/all-reduce(tp)',
      look: 'The hexagon behind the output projection.',
      keys: 'Press G to light up its group.',
      question: {
        ask: 'From 2 to 8 ranks: what becomes of a rank’s FLOPs, and of what it sends?',
        knob: { path: 'parallel.tp', label: 'tp', values: [2, 4, 8], to: 8 },
        options: [
          {
            says: 'Both a quarter',
            holds: (before, after) =>
              near(after.summary.perRank.flops, before.summary.perRank.flops / 4) &&
              near(sentBytes(after, 'tp'), sentBytes(before, 'tp') / 4),
          },
          {
            says: 'A quarter of the FLOPs, and more is sent',
            holds: (before, after) =>
              near(after.summary.perRank.flops, before.summary.perRank.flops / 4) &&
              sentBytes(after, 'tp') > sentBytes(before, 'tp'),
          },
          {
            says: 'A quarter of the FLOPs, as much is sent',
            holds: (before, after) =>
              near(after.summary.perRank.flops, before.summary.perRank.flops / 4) &&
              near(sentBytes(after, 'tp'), sentBytes(before, 'tp')),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatFlops(before.summary.perRank.flops)} became ${formatFlops(after.summary.perRank.flops)}, but what is reduced are whole activations, however many ranks share the work: ${formatBytes(sentBytes(before, 'tp'))} became ${formatBytes(sentBytes(after, 'tp'))}. A ring sends 2(n−1)/n of them. So MFU fell from ${formatShare(before.figures.mfu)} to ${formatShare(after.figures.mfu)}.`,
      },
    },
    {
      title: 'What stays whole',
      text: [
        'Norms and residual sums between the two pairs are not divided: every rank computes and keeps the same. Sequence parallelism lets each rank take other positions there. An all-reduce becomes a reduce-scatter behind the pair and an all-gather before the next (Korthikanti et al. 2022).',
        (_, given) => `Without it, a rank keeps ${formatBytes(activationBytes(given))} of activations for backward.`,
      ],
      plans: [{ name: 'Tensor parallel', text: spec(8) }],
      view: 'memory',
      look: 'The activations’ band as it grows in forward and is used up in backward.',
      question: {
        ask: 'Divide the sequence too: what happens to activations?',
        knob: {
          path: 'options.sequenceParallel',
          label: 'Sequence parallel',
          values: [false, true],
          to: true,
        },
        options: [
          {
            says: 'They stay as large',
            holds: (before, after) => near(activationBytes(after), activationBytes(before)),
          },
          {
            says: 'Less than half is left',
            holds: (before, after) => activationBytes(after) < activationBytes(before) / 2,
          },
          { says: 'They grow', holds: (before, after) => activationBytes(after) > 1.05 * activationBytes(before) },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(activationBytes(before))} became ${formatBytes(activationBytes(after))}. The step took ${formatSeconds(before.figures.stepSeconds)} and takes ${formatSeconds(after.figures.stepSeconds)}: forward sends what it sent, and backward gathers again what it needs instead of keeping it.`,
      },
    },
    {
      title: 'Out of the node',
      text: [
        (plan) =>
          `Tensor parallelism waits for its exchanges several times per layer: here ${formatSeconds(exposedSeconds(plan, 'tp'))} of ${formatSeconds(plan.figures.stepSeconds)} in which nothing is computed. It is therefore kept where links are fastest (Narayanan et al. 2021).`,
        (plan) =>
          `Where the group lies now: ${placeOf(plan)}. With more ranks than a node has, part of it is the network; with more than the model has KV heads, keys and values are held more than once.`,
      ],
      plans: [{ name: 'Tensor parallel', text: spec(8, sequenceParallel) }],
      view: 'timeline',
      look: 'White gaps between slices of compute, and the communication above which they stand.',
      question: {
        ask: 'From 8 to 16 ranks: how many tokens per second does each rank bring?',
        knob: { path: 'parallel.tp', label: 'tp', values: [8, 16], to: 16 },
        options: [
          {
            says: 'About as many: twice the ranks, half the time',
            holds: (before, after) =>
              near(after.figures.tokensPerSecondPerRank, before.figures.tokensPerSecondPerRank, 0.1),
          },
          {
            says: 'Clearly fewer',
            holds: (before, after) =>
              after.figures.tokensPerSecondPerRank < 0.9 * before.figures.tokensPerSecondPerRank,
          },
          {
            says: 'More',
            holds: (before, after) =>
              after.figures.tokensPerSecondPerRank > 1.1 * before.figures.tokensPerSecondPerRank,
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatQuantity(before.figures.tokensPerSecondPerRank, '')} per rank became ${formatQuantity(after.figures.tokensPerSecondPerRank, '')}. Work was halved once more; what is exchanged was not, and part of it now crosses the network (${placeOf(after)}): ${formatSeconds(exposedSeconds(after, 'tp'))} of ${formatSeconds(after.figures.stepSeconds)} are spent waiting for it.`,
      },
    },
  ],
  sources: ['shoeybi', 'korthikanti', 'narayanan'],
}
