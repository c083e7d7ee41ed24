import { finish, ShardloomError } from 'shardloom'
import {
  type Answer,
  answersOf,
  type Candidate,
  fixesOf,
  isMiss,
  type Limit,
  type Miss,
  mergeAnswers,
  pointOf,
  questionOf,
  rerankWork,
  type SearchOptions,
  whyNone,
} from 'shardloom/search'
import { z } from 'zod'
import { loadSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'

const value = z.union([z.string(), z.number(), z.boolean()])
const point = z.looseObject({ name: z.string(), metrics: z.looseObject({}) })
const metricsOfPhases =
  'training: step-time; prefill: ttft; decode: tpot; these: tokens-per-second, peak-memory; serving: ttft, tpot; all: throughput, memory-headroom, cost, ranks (the fewest of those tried that keep the limits)'

/** `search`: the best of many plans, and why others are none. */
export const searchTool = defineTool({
  name: 'search',
  title: 'Search for the best parallelism',
  description:
    'Which degrees, schedule, microbatch, ZeRO stage, recomputation (training; of prefill and decode what they have) or engines and clients (serving) are best: exact by an estimate, then simulated. And why others are not: the nearest miss of each rule, what would fix it. The spec says what is fixed: model, cluster, phase, batch, seq, load. Example: {"spec": {"model": "llama-3.1-8b", "cluster": {"preset": "dgx-h100", "nodes": 1}, "phase": "serving"}, "limits": [{"metric": "tpot", "most": 0.02}], "choices": {"pp": [1], "clients": [16, 64]}}',
  units:
    'Seconds, bytes, tokens/s (throughput: per rank); differences: estimate / simulation − 1; by: part of the limit. Nearer than 7 % (TTFT 20 %) is a tie.',
  narrow: 'Give fewer values to `choices`, or a smaller `top`.',
  input: {
    ...specInput,
    ranks: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe('default: those of the cluster; the most, where `ranks` are the objective or a choice'),
    objective: z.string().max(60).optional().describe(metricsOfPhases),
    limits: z
      .array(z.strictObject({ metric: z.string().max(60), most: z.number().optional(), least: z.number().optional() }))
      .max(20)
      .optional(),
    choices: z
      .record(z.string(), z.array(value).max(100))
      .optional()
      .describe('values to try in place of the usual, such as {"tp": [4, 8]}: fewer are faster'),
    top: z.int().min(1).max(20).optional().describe('default 5'),
    why: z
      .record(z.string(), value)
      .optional()
      .describe('judge this point, such as {"tp": 8, "pp": 4}, in place of searching'),
  },
  output: {
    ranks: z.number(),
    objective: z.string(),
    counts: z
      .looseObject({ total: z.number() })
      .optional()
      .describe('candidates: `rejected` by rule, `bounded` as no better, `evaluated`'),
    simulated: z.number().optional(),
    best: z.array(point).optional().describe('as simulated, best first, each with its `spec`'),
    misses: z.array(point).optional().describe('of each `rule` the nearest, with `fixes`'),
    point: point.optional().describe('of `why`; with `rule` where it breaks one'),
  },
  run: async ({ ranks, objective, limits, choices, top, why, ...source }, context) => {
    const loaded = await loadSource(source, context, { ranks })
    const options: SearchOptions = {
      ...(ranks !== undefined && { ranks }),
      ...(objective !== undefined && { objective }),
      ...(limits && { limits: limits.map(limitOf) }),
      ...(choices && { choices }),
      ...(top !== undefined && { top }),
      parts: 1,
    }
    const question = questionOf(loaded, options)
    const about = {
      schema: 'shardloom.search-summary/1',
      phase: loaded.spec.phase,
      ranks: question.ranks,
      objective: question.objective,
    }
    const withFixes = (miss: Miss) => ({ ...miss, fixes: changesOf(fixesOf(loaded, question, miss)) })
    const shown = (found: Candidate | Miss) => (isMiss(found) ? withFixes(found) : found)
    if (why) {
      const found = pointOf(loaded, question, why)
      if (found) return { ...about, point: shown(found), warnings: loaded.warnings ?? [] }
      throw new ShardloomError('CHOICE', 'No candidate has these choices.', {
        subject: 'why',
        help:
          whyNone(why, question) ??
          `Degrees multiply to ${question.ranks} ranks; values are those of \`choices\`, or the usual ones.`,
      })
    }
    const answer: Answer = mergeAnswers([finish(answersOf(loaded, question).part(0))], question)
    const { best, simulated } = finish(rerankWork(loaded, question, answer))
    return {
      ...about,
      counts: answer.counts,
      simulated,
      best: best.map(({ candidate, metrics, differences, misses, error, spec }) => ({
        name: candidate.name,
        choices: candidate.choices,
        metrics: candidate.metrics,
        ...(metrics && { simulated: metrics, differences }),
        ...(misses.length > 0 && { misses }),
        ...(error && { error: error.message }),
        spec,
      })),
      misses: answer.misses.map(withFixes),
      warnings: loaded.warnings ?? [],
    }
  },
})

const mostFixes = 3

function changesOf(fixes: ReturnType<typeof fixesOf>): string[] {
  return fixes.slice(0, mostFixes).map(({ change }) => change)
}

/** Without what was not given: a limit that says `undefined` is none in JSON. */
function limitOf({
  metric,
  most,
  least,
}: {
  readonly metric: string
  readonly most?: number | undefined
  readonly least?: number | undefined
}): Limit {
  return { metric, ...(most !== undefined && { most }), ...(least !== undefined && { least }) }
}
