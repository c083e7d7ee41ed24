import { formatBytes, formatCount, formatSeconds } from 'shardloom'
import { exposedSeconds, near, partsAtPeak, sentBytes, timesOf } from '../figures-of.js'
import type { Lesson } from '../lesson.js'

const spec = (parallel: string, options = '') => `model: llama-3.1-8b
cluster: dgx-h100
phase: prefill
batch: 1
seq: 131072
parallel:
  ${parallel}
${options}`

const gather = 'options:\n  sp:\n    attention: gather\n'
const ring = 'options:\n  sp:\n    attention: ring\n'

/** One sequence on several ranks. */
export const sequenceParallel: Lesson = {
  title: 'Sequence and context parallelism',
  about: 'One long sequence on many ranks: what attention still needs of all of it, and three ways to bring it there.',
  steps: [
    {
      title: 'Only attention looks around',
      text: [
        'Give each rank a run of positions. Norms, projections and the feed-forward network work on one position at a time and notice nothing. Attention does: a query may look at every key before it. So keys and values are gathered, and nothing else is.',
        (plan) =>
          `Reading ${formatCount(plan.figures.batch.seq)} tokens takes ${formatSeconds(plan.figures.stepSeconds)} on ${plan.summary.world} ranks, and a rank sends ${formatBytes(sentBytes(plan, 'cp'))}.`,
      ],
      plans: [{ name: 'Context parallel', text: spec('cp: 8', gather) }],
      view: 'graph',
      graph: { level: 'module', toggled: ['prefill/layer/attention'] },
      selection: 'prefill/layer/attention/k_read/all-gather(cp)',
      look: 'The two hexagons of keys and values. Queries have none.',
      question: {
        ask: 'On 2 ranks instead of 8: what becomes of the time until the first token?',
        knob: { path: 'parallel.cp', label: 'cp', values: [2, 4, 8], to: 2 },
        options: [
          {
            says: 'About four times as long',
            holds: (before, after) => near(after.figures.stepSeconds, 4 * before.figures.stepSeconds, 0.1),
          },
          {
            says: 'About as long: exchanges cost what work saves',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds, 0.1),
          },
          {
            says: 'Sixteen times as long: attention is quadratic',
            holds: (before, after) => near(after.figures.stepSeconds, 16 * before.figures.stepSeconds, 0.1),
          },
        ],
        answer: 0,
        because: (before, after) =>
          `${formatSeconds(after.figures.stepSeconds)} on 2 ranks, ${formatSeconds(before.figures.stepSeconds)} on 8. All pairs of queries and keys are still computed, but divided evenly: positions lie in zigzag, so that no rank has only early ones, which look at few keys.`,
      },
    },
    {
      title: 'A ring instead',
      text: [
        'Ring attention gathers nothing. Each rank passes its block of keys and values to the next one, and computes with the block that it has while the next one is on its way (Liu et al. 2023).',
        (_, given) =>
          `With the gather, as this step begins, a rank waits ${formatSeconds(exposedSeconds(given, 'cp'))} for it, in ${formatCount(timesOf(given, 'all-gather'))} gathers.`,
      ],
      plans: [{ name: 'Gather', text: spec('cp: 8', gather) }],
      view: 'timeline',
      look: 'Zoom in to a few layers: gaps in the row of compute before attention. With the ring they close.',
      question: {
        ask: 'From gather to ring: what does a rank send, and how long does it wait?',
        knob: { path: 'options.sp.attention', label: 'Attention', values: ['gather', 'ring'], to: 'ring' },
        options: [
          {
            says: 'Less, and it waits less',
            holds: (before, after) =>
              sentBytes(after, 'cp') < 0.9 * sentBytes(before, 'cp') &&
              exposedSeconds(after, 'cp') < exposedSeconds(before, 'cp') / 2,
          },
          {
            says: 'As much, and it waits less',
            holds: (before, after) =>
              near(sentBytes(after, 'cp'), sentBytes(before, 'cp')) &&
              exposedSeconds(after, 'cp') < exposedSeconds(before, 'cp') / 2,
          },
          {
            says: 'As much, and it waits as long',
            holds: (before, after) =>
              near(sentBytes(after, 'cp'), sentBytes(before, 'cp')) &&
              near(exposedSeconds(after, 'cp'), exposedSeconds(before, 'cp'), 0.1),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(sentBytes(before, 'cp'))} before and ${formatBytes(sentBytes(after, 'cp'))} after: every block still reaches every rank. But ${formatSeconds(exposedSeconds(before, 'cp'))} of waiting became ${formatSeconds(exposedSeconds(after, 'cp'))}, hidden behind attention.`,
      },
    },
    {
      title: 'Or trade positions for heads',
      text: [
        'Ulysses turns the question round: inside attention each rank takes all positions of some heads. An all-to-all turns positions into heads, and another one turns them back (Jacobs et al. 2023).',
        (plan) =>
          `Here a rank sends ${formatBytes(sentBytes(plan, 'ulysses'))}, and waits ${formatSeconds(exposedSeconds(plan, 'ulysses'))}.`,
        'It can be no wider than there are heads to give away. Ring and gather have no such bound, and both kinds can be combined.',
      ],
      plans: [
        { name: 'Gather', text: spec('cp: 8', gather) },
        { name: 'Ulysses', text: spec('ulysses: 8') },
        { name: 'Ring', text: spec('cp: 8', ring) },
      ],
      active: 1,
      view: 'compare',
      look: 'The differences in words, and the timelines below the table.',
      question: {
        ask: 'Ulysses on 4 ranks instead of 8: how much does one rank send?',
        knob: { path: 'parallel.ulysses', label: 'ulysses', values: [2, 4, 8], to: 4 },
        options: [
          {
            says: 'Less',
            holds: (before, after) => sentBytes(after, 'ulysses') < 0.9 * sentBytes(before, 'ulysses'),
          },
          {
            says: 'As much',
            holds: (before, after) => near(sentBytes(after, 'ulysses'), sentBytes(before, 'ulysses')),
          },
          {
            says: 'More',
            holds: (before, after) => sentBytes(after, 'ulysses') > 1.1 * sentBytes(before, 'ulysses'),
          },
        ],
        answer: 2,
        because: (before, after) =>
          `${formatBytes(sentBytes(before, 'ulysses'))} on 8 became ${formatBytes(sentBytes(after, 'ulysses'))} on 4. In an all-to-all a rank sends its own share of activations, and with fewer ranks that share is larger. Gathered keys and values are as large for every rank, however many there are.`,
      },
    },
    {
      title: 'The cache is divided too',
      text: [
        (plan) =>
          `What is computed is also kept: each rank holds the keys and values of its positions, ${formatBytes(partsAtPeak(plan).cache)} of cache beside ${formatBytes(partsAtPeak(plan).parameters)} of weights.`,
        'Weights are not divided by any of this. In practice, context parallelism therefore stands beside tensor parallelism, whose own sequence parallelism divides norms and residual sums (Korthikanti et al. 2022).',
      ],
      plans: [{ name: 'Context parallel', text: spec('cp: 8', ring) }],
      view: 'memory',
      look: 'The KV cache beside the weights: its room is taken for the whole step.',
      question: {
        ask: 'On 4 ranks instead of 8: what does a rank hold of the cache?',
        knob: { path: 'parallel.cp', label: 'cp', values: [2, 4, 8], to: 4 },
        options: [
          { says: 'As much', holds: (before, after) => near(partsAtPeak(after).cache, partsAtPeak(before).cache) },
          {
            says: 'Twice as much',
            holds: (before, after) => near(partsAtPeak(after).cache, 2 * partsAtPeak(before).cache),
          },
          { says: 'Half', holds: (before, after) => near(partsAtPeak(after).cache, partsAtPeak(before).cache / 2) },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(partsAtPeak(before).cache)} on 8 ranks, ${formatBytes(partsAtPeak(after).cache)} on 4. Weights are ${formatBytes(partsAtPeak(after).parameters)} on either.`,
      },
    },
  ],
  sources: ['liu', 'jacobs', 'korthikanti'],
}
