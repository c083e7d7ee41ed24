import { formatBytes, formatCount, formatQuantity, formatSeconds } from 'shardloom'
import { exposedSeconds, near, sentBy, sentBytes, timesOf } from '../figures-of.js'
import type { Lesson } from '../lesson.js'

const spec = (degree: number, options = '') => `model: mixtral-8x7b
cluster: dgx-h100
batch: 32
seq: 4096
microbatch: 1
parallel:
  dp: 32
  ep: ${degree}
options:
  zero: 1
${options}`

const even = '  ep:\n    tokens:\n      powerLaw: 0\n'

/** Experts on different ranks. */
export const expertParallel: Lesson = {
  title: 'Expert parallelism',
  about:
    'Tokens travel to the ranks that have their experts: two exchanges each way, and what happens if many want the same.',
  steps: [
    {
      title: 'Tokens travel to weights',
      text: [
        'A mixture of experts has many feed-forward networks, and a router picks a few for each token. Expert parallelism gives each rank some of the experts. Tokens are sent to where theirs are, and the results come back: an all-to-all before the experts and one behind them (Lepikhin et al. 2020).',
        (plan) =>
          `Backward mirrors both, so that a rank takes part in ${formatCount(timesOf(plan, 'all-to-all'))} of them in this step and sends ${formatBytes(sentBy(plan, 'all-to-all'))}. The ranks are those of data parallelism: ep adds none.`,
      ],
      plans: [{ name: 'Experts', text: spec(8) }],
      view: 'graph',
      graph: { level: 'module', toggled: ['forward/layer/moe'] },
      selection: 'forward/layer/moe/dispatch/all-to-all(dp.1)',
      look: 'Router, dispatch, all-to-all, experts, all-to-all, combine, from top to bottom.',
    },
    {
      title: 'Why one would want it',
      text: [
        (_, given) =>
          `Without it every rank holds all experts: ${formatBytes(given.summary.perRank.parameterBytes)} of parameters here, though a token uses few of them. And their gradients are reduced over all ranks: a rank sends ${formatBytes(sentBytes(given, 'dp'))} for data parallelism.`,
        'With it, an expert’s gradient is reduced only over the ranks that have the same expert.',
      ],
      plans: [{ name: 'Experts everywhere', text: spec(1) }],
      view: 'memory',
      look: 'Parameters and gradients against the line of the device.',
      question: {
        ask: 'ep from 1 to 8: what does a rank send in all, exchanges of tokens included?',
        knob: { path: 'parallel.ep', label: 'ep', values: [1, 2, 4, 8], to: 8 },
        options: [
          {
            says: 'More: tokens come on top',
            holds: (before, after) => sentInAll(after) > sentInAll(before),
          },
          {
            says: 'Less than a quarter',
            holds: (before, after) => sentInAll(after) < sentInAll(before) / 4,
          },
          { says: 'About as much', holds: (before, after) => near(sentInAll(after), sentInAll(before), 0.1) },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatBytes(sentInAll(before))} became ${formatBytes(sentInAll(after))}, of which ${formatBytes(sentBy(after, 'all-to-all'))} are tokens. A rank holds ${formatBytes(after.summary.perRank.parameterBytes)} of parameters instead of ${formatBytes(before.summary.perRank.parameterBytes)}.`,
      },
    },
    {
      title: 'Favourites',
      text: [
        'Routers have favourites, and a step ends when the busiest rank ends. Switch Transformers gave experts a capacity and dropped what exceeds it, and trained with a loss that spreads tokens (Fedus et al. 2022).',
        (_, given) =>
          `Here all experts get as many tokens; the step takes ${formatSeconds(given.figures.stepSeconds)}. The slider gives expert i a share that falls with a power of i.`,
      ],
      plans: [{ name: 'Even', text: spec(8, even) }],
      view: 'timeline',
      look: 'The length of the experts’ slices on the rank that is shown, the busiest one.',
      question: {
        ask: 'A power of one half: what happens to the step?',
        knob: { path: 'options.ep.tokens.powerLaw', label: 'Power', values: [0, 0.25, 0.5], to: 0.5 },
        options: [
          {
            says: 'Nothing: the work of all ranks together is the same',
            holds: (before, after) => near(after.figures.stepSeconds, before.figures.stepSeconds),
          },
          {
            says: 'It is more than a quarter longer',
            holds: (before, after) => after.figures.stepSeconds > 1.25 * before.figures.stepSeconds,
          },
          {
            says: 'It is shorter',
            holds: (before, after) => after.figures.stepSeconds < 0.97 * before.figures.stepSeconds,
          },
        ],
        answer: 1,
        because: (before, after) =>
          `${formatSeconds(before.figures.stepSeconds)} became ${formatSeconds(after.figures.stepSeconds)}. The busiest rank gets ${formatQuantity(after.summary.allRanks.expertImbalance ?? 1, '')} times the mean, all others wait for it, and it needs memory for what it gets: ${formatBytes(after.figures.memory.peakBytes)} instead of ${formatBytes(before.figures.memory.peakBytes)}.`,
      },
    },
    {
      title: 'Near or far',
      text: [
        (plan) =>
          `All-to-all is the exchange that likes distance least: every rank sends to every other one. ${linkOf(plan.summary.links, 'ep')}. Exposed are ${formatSeconds(exposedSeconds(plan, 'ep'))} of a step of ${formatSeconds(plan.figures.stepSeconds)}.`,
        'DeepSeek-V3 spreads its experts over many nodes, and lets a token reach no more than a few of them (DeepSeek-AI 2024). “All of the set-up” starts from its prefill: deepseek-prefill.',
      ],
      plans: [{ name: 'Experts', text: spec(8) }],
      view: 'timeline',
      look: 'Exchanges of tokens in the communication row, on both sides of the experts.',
    },
  ],
  sources: ['lepikhin', 'fedus', 'deepseek'],
}

function sentInAll(measured: Parameters<typeof sentBytes>[0]): number {
  return sentBytes(measured, 'dp') + sentBytes(measured, 'expertDp') + sentBytes(measured, 'ep')
}

/** Where an axis runs, as a sentence without its end. */
function linkOf(links: readonly { readonly axis: string; readonly text: string }[] | undefined, axis: string): string {
  return `This plan places ${links?.find((each) => each.axis === axis)?.text ?? axis}`
}
