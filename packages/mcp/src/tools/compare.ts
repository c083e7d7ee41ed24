import { compare, errorNaming, ShardloomError, type Simulation, simulateLoaded } from 'shardloom'
import { z } from 'zod'
import { loadSource, type SpecSource, specInput } from '../spec-input.js'
import { defineTool, type ToolContext } from '../tool.js'

const mostSpecs = 8

/** `compare`: a step of several specs, side by side. */
export const compareSpecs = defineTool({
  name: 'compare',
  title: 'Compare specs',
  description: `Simulates one step of 2 to ${mostSpecs} specs of one phase and says in which fields and figures they differ, and which differences are ties. Each needs a cluster. Example: {"specs": [{"name": "tp8", "spec": {"model": "llama-3.1-8b", "cluster": "dgx-h100", "phase": "decode", "batch": 8, "parallel": {"tp": 8}}}, {"name": "tp4", "spec": {"model": "llama-3.1-8b", "cluster": "dgx-h100", "phase": "decode", "batch": 8, "parallel": {"tp": 4}}}]}`,
  units:
    'Each metric names its `unit` (s, B, tokens/s, J, share of 1). differences are relative to the first spec: −0.18 is 18 % less; `tie`: smaller than the model errs.',
  narrow: 'Compare fewer specs.',
  input: {
    specs: z
      .array(z.strictObject({ name: z.string().min(1).max(80).describe('what to call it'), ...specInput }))
      .min(2)
      .max(mostSpecs),
  },
  output: {
    phase: z.string(),
    specs: z.array(
      z.looseObject({ name: z.string(), world: z.number(), fits: z.boolean().describe('in device memory') }),
    ),
    parameters: z
      .array(z.looseObject({ field: z.string(), values: z.array(z.unknown()) }))
      .describe('fields of the specs that differ'),
    metrics: z.array(
      z.looseObject({
        metric: z.string(),
        unit: z.string(),
        better: z.enum(['less', 'more']),
        values: z.array(z.number()).describe('one of each spec, in their order'),
        differences: z
          .array(z.looseObject({ relative: z.number().nullable(), tie: z.boolean() }))
          .describe('of each spec but the first'),
      }),
    ),
    error: z.number().describe('relative error that times are good for'),
    notes: z.array(z.string()),
  },
  run: async ({ specs }, context) => {
    const list = []
    for (const { name, ...source } of specs) list.push({ name, simulation: await named(name, source, context) })
    return compare(list)
  },
})

/** One step of a spec; errors say of which. */
async function named(name: string, source: SpecSource, context: ToolContext): Promise<Simulation> {
  try {
    const loaded = await loadSource(source, context)
    if (loaded.spec.phase !== 'serving') return simulateLoaded(loaded)
    throw new ShardloomError('COMPARE', 'serving is many steps, and one step is compared.', {
      subject: 'phase',
      help: 'Compare the phase prefill or decode, without `options.serving`; simulate tells of serving.',
    })
  } catch (cause) {
    throw errorNaming(name, cause)
  }
}
