import { explain, explainPasses, ShardloomError } from 'shardloom'
import { z } from 'zod'
import { phasesOf, planSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'
import { rankInput } from './plan.js'

/** `explain`: why a node exists and what it costs, or what each pass did. */
export const explainTool = defineTool({
  name: 'explain',
  title: 'Explain a node',
  description:
    'Why a node of the plan exists, how it is split and what it costs, in sentences and numbers. Ids come from plan (communication[].nodes), simulate (criticalPath[].node) or verify. Without `node`: what each pass changed. Example: {"spec": {"model": "llama-3.1-8b", "phase": "prefill", "batch": 4, "parallel": {"tp": 2}}, "node": "prefill/layer/ffn/down/all-reduce(tp)"}',
  units: 'Of one execution on one rank: FLOPs and bytes; `executions` per step. Shapes in elements.',
  narrow: 'Name one `node`.',
  input: {
    ...specInput,
    node: z.string().max(1000).optional().describe('the id of a node; default: all passes instead'),
    rank: rankInput,
  },
  output: {
    node: z.string().optional(),
    op: z.string().optional(),
    rule: z.string().optional().describe('dims of operands -> dims of the result'),
    text: z.array(z.string()).optional().describe('the explanation'),
    executions: z.number().optional(),
    flops: z.number().optional(),
    bytesRead: z.number().optional(),
    bytesWritten: z.number().optional(),
    communication: z
      .looseObject({ from: z.string(), to: z.string(), payloadBytes: z.number(), bytesPerRank: z.number() })
      .optional(),
    passes: z
      .array(z.looseObject({ pass: z.string(), phase: z.string() }))
      .optional()
      .describe('only without `node`'),
  },
  run: async ({ node, rank, ...source }, context) => {
    const phases = phasesOf(await planSource(source, context))
    const named = phases.find(({ program }) => node?.startsWith(`${program.phase}/`)) ?? phases[0]
    if (node !== undefined && named) return explain(named, node, rank === undefined ? {} : { rank })
    if (rank === undefined) {
      const passes = phases.flatMap((each) =>
        explainPasses(each).passes.map((pass) => ({ ...pass, of: each.program.phase })),
      )
      return { schema: 'shardloom.explain/1', passes }
    }
    throw new ShardloomError('ARGUMENTS', '`rank` says where a node runs, and no `node` came.', {
      subject: 'node',
      help: 'Name a node, or leave `rank` out to see what each pass changed.',
    })
  },
})
