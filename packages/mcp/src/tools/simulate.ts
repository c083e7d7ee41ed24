import {
  ShardloomError,
  simulateLoaded,
  simulateServingLoaded,
  summariseServingSimulation,
  summariseSimulation,
} from 'shardloom'
import { z } from 'zod'
import { loadSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'

/** `simulate`: a step in time, or requests that are served. */
export const simulateTool = defineTool({
  name: 'simulate',
  title: 'Simulate a plan',
  description:
    'How long one step takes on a cluster and whether it fits in memory: step time, tokens/s, TTFT or TPOT, MFU, memory at the peak, exposed communication, critical path, bottleneck. Phase serving: TTFT, TPOT, throughput of requests under load. The spec needs a cluster. Example: {"spec": {"model": "llama-3.1-70b", "cluster": "dgx-h100", "phase": "decode", "batch": 32, "seq": 8192, "parallel": {"tp": 16}}, "whatIf": true}',
  units:
    'Seconds, bytes, tokens, joules; shares and relative errors are parts of 1 (0.07 is 7 %). conventions.peak in FLOP/s; fields of stages and spread in seconds. Differences below conventions.error are ties.',
  narrow: 'Leave `whatIf` out, or use fewer stages; `more` pages through one list.',
  input: {
    ...specInput,
    whatIf: z.boolean().optional().describe('simulate again with one change at a time; several times the work'),
    slowdown: z
      .record(z.string().regex(/^\d{1,10}$/, 'ranks are whole numbers'), z.number().positive().max(1e6))
      .optional()
      .describe('rank → how many times as long it computes, such as {"5": 1.3}'),
  },
  output: {
    model: z.string(),
    phase: z.string(),
    world: z.number().describe('ranks'),
    stepSeconds: z.number().optional(),
    tokensPerSecond: z.number().describe('all ranks together; serving: generated tokens'),
    tokensPerSecondPerRank: z.number(),
    ttftSeconds: z
      .number()
      .optional()
      .describe('time to first token: prefill without a queue; serving: mean over requests'),
    tpotSeconds: z.number().nullable().optional().describe('time per output token of one sequence'),
    mfu: z.number().optional().describe('model FLOPs over peak, part of 1'),
    memory: z
      .looseObject({
        peakBytes: z.number().describe('of the fullest device'),
        reserveBytes: z.number().describe('kept free beside it'),
        capacityBytes: z.number(),
        fits: z.boolean().describe('whether peakBytes + reserveBytes ≤ capacityBytes'),
      })
      .optional(),
    exposedCommunicationSeconds: z.record(z.string(), z.number()).optional(),
    bottleneck: z.array(z.string()).optional(),
    criticalPath: z.array(z.looseObject({ node: z.string(), seconds: z.number(), share: z.number() })).optional(),
    whatIf: z
      .array(z.looseObject({ change: z.string(), stepSeconds: z.number(), difference: z.number(), fits: z.boolean() }))
      .optional(),
    limits: z.array(z.string()).optional().describe('serving: what holds it back'),
    warnings: z.array(z.string()),
  },
  run: async ({ whatIf, slowdown, ...source }, context) => {
    const loaded = await loadSource(source, context)
    if (loaded.spec.phase !== 'serving') {
      const simulation = simulateLoaded(loaded, slowdown && { engine: { slowdown } })
      return summariseSimulation(simulation, { whatIf: whatIf === true })
    }
    if (whatIf !== undefined || slowdown !== undefined) {
      const subject = whatIf === undefined ? 'slowdown' : 'whatIf'
      throw new ShardloomError('ARGUMENTS', `\`${subject}\` is of one step, and serving is many.`, {
        subject,
        help: 'Leave it out, or simulate the phase prefill or decode, without `options.serving`.',
      })
    }
    return summariseServingSimulation(simulateServingLoaded(loaded))
  },
})
