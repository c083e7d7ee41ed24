import { formatBytes, formatFlops, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { exposedSeconds, near, readBytes } from '../figures-of.js'
import type { Lesson, Measured } from '../lesson.js'

const spec = (phase: 'prefill' | 'decode', batch: number, parallel = '') => `model: llama-3.1-8b
cluster: dgx-h100
phase: ${phase}
batch: ${batch}
seq: 4096
${parallel}`

const kvBytes = ({ summary }: Measured) => summary.perRank.kvBytesRead
const flopsPerByte = (plan: Measured) => plan.summary.perRank.flops / readBytes(plan)

/** The two halves of inference. */
export const prefillDecode: Lesson = {
  title: 'Prefill against decode',
  about: 'Reading a prompt and writing an answer are different machines: one multiplies, the other reads.',
  steps: [
    {
      title: 'The same layers, twice',
      text: [
        'Prefill reads a whole prompt in one pass. Decode makes one token per sequence and pass, and reads the keys and values of all tokens before it from the cache. The operators are the same; their sizes are not.',
        (_, given) =>
          `This prefill computes ${formatFlops(given.summary.perRank.flops)} and reads ${formatBytes(readBytes(given))}: ${formatQuantity(flopsPerByte(given), 'FLOP/B')}. MFU is ${formatShare(given.figures.mfu)}.`,
      ],
      plans: [{ name: 'One prompt', text: spec('prefill', 1) }],
      view: 'graph',
      graph: { level: 'module' },
      look: 'The FLOPs on the cards. With decode, some cards name bytes instead: there memory is what bounds them.',
      question: {
        ask: 'Decode one token instead: how many FLOPs are there per byte that is read?',
        knob: { path: 'phase', label: 'Phase', values: ['prefill', 'decode'], to: 'decode' },
        options: [
          {
            says: 'About as many',
            holds: (before, after) => near(flopsPerByte(after), flopsPerByte(before), 0.2),
          },
          {
            says: 'More than a hundred times fewer',
            holds: (before, after) => flopsPerByte(after) < flopsPerByte(before) / 100,
          },
          { says: 'More', holds: (before, after) => flopsPerByte(after) > 1.2 * flopsPerByte(before) },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatQuantity(flopsPerByte(before), 'FLOP/B')} became ${formatQuantity(flopsPerByte(after), 'FLOP/B')}. Every weight is read for a single token. On a roofline this lies far on the slope (Williams et al. 2009): the step takes ${formatSeconds(after.figures.stepSeconds)}, nearly all of it reading ${formatBytes(readBytes(after))}.`,
      },
    },
    {
      title: 'A batch is almost free',
      text: [
        (_, given) =>
          `A decode step takes ${formatSeconds(given.figures.stepSeconds)} for one sequence. Weights are read once per step, however many sequences share it (Pope et al. 2022).`,
        (_, given) => `So far that makes ${formatQuantity(given.figures.tokensPerSecond, 'tokens/s')}.`,
      ],
      plans: [{ name: 'Decode', text: spec('decode', 1) }],
      view: 'timeline',
      look: 'The slices of a layer, and how little they change.',
      question: {
        ask: 'Eight sequences at once: what does the step take?',
        knob: { path: 'batch', label: 'Batch', values: [1, 2, 4, 8], to: 8 },
        options: [
          {
            says: 'Eight times as long',
            holds: (before, after) => near(after.figures.stepSeconds, 8 * before.figures.stepSeconds, 0.1),
          },
          {
            says: 'Less than half as long again',
            holds: (before, after) =>
              after.figures.stepSeconds > 1.02 * before.figures.stepSeconds &&
              after.figures.stepSeconds < 1.5 * before.figures.stepSeconds,
          },
          {
            says: 'Not a bit longer',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds, 0.02),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatSeconds(before.figures.stepSeconds)} became ${formatSeconds(after.figures.stepSeconds)}, and ${formatQuantity(before.figures.tokensPerSecond, 'tokens/s')} became ${formatQuantity(after.figures.tokensPerSecond, 'tokens/s')}. What is longer is the cache: ${formatBytes(kvBytes(after))} of it are read now instead of ${formatBytes(kvBytes(before))}.`,
      },
    },
    {
      title: 'Then the cache takes over',
      text: [
        (plan) =>
          `With ${plan.figures.batch.sequences} sequences, ${formatBytes(kvBytes(plan))} of the ${formatBytes(readBytes(plan))} that a step reads are keys and values. Unlike weights, nobody shares them, and they fill the device.`,
      ],
      plans: [{ name: 'Decode', text: spec('decode', 64) }],
      view: 'memory',
      look: 'The KV cache against the weights.',
      question: {
        ask: 'A quarter of the context: what happens to the step?',
        knob: { path: 'seq', label: 'Sequence', values: [1024, 2048, 4096], to: 1024 },
        options: [
          {
            says: 'A quarter of the time',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds / 4, 0.1),
          },
          {
            says: 'Between a third and two thirds of it',
            holds: (before, after) =>
              after.figures.stepSeconds > before.figures.stepSeconds / 3 &&
              after.figures.stepSeconds < (2 * before.figures.stepSeconds) / 3,
          },
          {
            says: 'As long: one token is one token',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds, 0.05),
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatSeconds(before.figures.stepSeconds)} became ${formatSeconds(after.figures.stepSeconds)}: the cache is a quarter, ${formatBytes(kvBytes(after))} instead of ${formatBytes(kvBytes(before))}, and the weights are read as before.`,
      },
    },
    {
      title: 'Two machines',
      text: [
        'Since the two want different things, DistServe runs them on different devices, each with its own parallelism, and sends the cache from one to the other (Zhong et al. 2024).',
        (_, given) =>
          `Tensor parallelism shortens a decode step, because each rank reads a share of weights and cache. It also adds exchanges of very small messages. On one rank it takes ${formatSeconds(given.figures.stepSeconds)}.`,
      ],
      plans: [{ name: 'Decode', text: spec('decode', 64, 'parallel:\n  tp: 1\n') }],
      view: 'timeline',
      look: 'With tp 8, how much of a layer is communication.',
      question: {
        ask: 'Eight ranks of tp: how much shorter is the step?',
        knob: { path: 'parallel.tp', label: 'tp', values: [1, 2, 4, 8], to: 8 },
        options: [
          {
            says: 'Eight times',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds / 8, 0.1),
          },
          {
            says: 'Between three and five times',
            holds: (before, after) =>
              after.figures.stepSeconds < before.figures.stepSeconds / 3 &&
              after.figures.stepSeconds > before.figures.stepSeconds / 5,
          },
          { says: 'It is longer', holds: (before, after) => after.figures.stepSeconds > before.figures.stepSeconds },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatSeconds(before.figures.stepSeconds)} became ${formatSeconds(after.figures.stepSeconds)}, of which ${formatSeconds(exposedSeconds(after, 'tp'))} are waiting for all-reduces. Per rank, ${formatQuantity(before.figures.tokensPerSecondPerRank, 'tokens/s')} became ${formatQuantity(after.figures.tokensPerSecondPerRank, 'tokens/s')}: latency is bought with throughput.`,
      },
    },
  ],
  sources: ['williams', 'pope', 'zhong'],
}
