import { type SummaryOptions, summarise, summariseServing } from 'shardloom'
import { z } from 'zod'
import { describedSpecInput, planSource } from '../spec-input.js'
import { defineTool } from '../tool.js'

/** The rank of a call. */
export const rankInput = z
  .int()
  .min(0)
  .max(2 ** 31)
  .optional()
  .describe('the rank that is described, from 0; default 0')

const communication = z.looseObject({
  op: z.string(),
  axes: z.array(z.string()),
  groupSize: z.number(),
  count: z.number().describe('executions per step on this rank'),
  payloadBytes: z.number().describe('of the tensor logical to the group, per execution'),
  bytesPerRank: z.number().describe('that this rank sends, per execution'),
  reason: z.string(),
  nodes: z.array(z.string()).describe('ids for `explain`'),
})

const onePlan = {
  model: z.looseObject({ name: z.string(), parameters: z.number(), activeParameters: z.number() }).optional(),
  mesh: z.record(z.string(), z.number()).optional().describe('degree of each axis, outermost first'),
  world: z.number().optional().describe('ranks'),
  rank: z.number().optional(),
  batch: z.looseObject({ sequences: z.number(), microbatches: z.number(), seq: z.number() }).optional(),
  perRank: z
    .looseObject({
      parameters: z.number(),
      parameterBytes: z.number(),
      gradientBytes: z.number(),
      optimizerBytes: z.number(),
      flops: z.number().describe('FLOPs per step'),
      bytesRead: z.number(),
      bytesWritten: z.number(),
      kvBytesRead: z.number(),
    })
    .optional(),
  allRanks: z.looseObject({ flops: z.number(), replicatedFlops: z.number() }).optional(),
  nodes: z.looseObject({ total: z.number() }).optional(),
  edges: z.looseObject({ total: z.number() }).optional(),
  communication: z.array(communication).optional(),
  warnings: z.array(z.string()).optional(),
}

/** `plan`: one rank's share of a step, and its communication. */
export const planTool = defineTool({
  name: 'plan',
  title: 'Plan a spec',
  description:
    'The explicit graph of one step: what one rank holds, computes (FLOPs), moves (bytes) and communicates, each row with its reason. No times: see simulate. Example: {"spec": {"model": "llama-3.1-70b", "phase": "decode", "batch": 32, "seq": 8192, "parallel": {"tp": 8, "dp": 2}}}',
  units:
    'Of one rank and one step unless named allRanks: FLOPs, bytes, counts. seq in tokens. communication: bytes of one execution, `count` executions per step.',
  narrow: 'Choose another `rank`, or a spec with fewer microbatches; `more` pages through one list.',
  input: {
    ...describedSpecInput,
    rank: rankInput,
    fold: z.boolean().optional().describe('count nodes and edges of the rolled program (loops once)'),
  },
  output: {
    schema: z.string(),
    phase: z.string(),
    ...onePlan,
    prefill: z.looseObject({}).optional().describe('phase serving: such a result of prefill'),
    decode: z.looseObject({}).optional().describe('phase serving: such a result of decode'),
    transfer: z.array(z.looseObject({ cache: z.string(), bytes: z.number() })).optional(),
  },
  run: async ({ rank, fold, ...source }, context) => {
    const planned = await planSource(source, context)
    const options: SummaryOptions = { ...(rank !== undefined && { rank }), ...(fold !== undefined && { fold }) }
    return 'program' in planned ? summarise(planned, options) : summariseServing(planned, options)
  },
})
