import { verifyPlan } from 'shardloom'
import { z } from 'zod'
import { phasesOf, planSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'

/** `verify`: whether a plan keeps every rule. */
export const verifyTool = defineTool({
  name: 'verify',
  title: 'Verify a plan',
  description:
    'Checks the graph of a spec against every rule: acyclic, communication complete, sends meet receives, FLOPs and parameters conserved, caches written before they are read. `ok` is the verdict. It does not check memory: see simulate. Example: {"spec": {"model": "llama-3.1-8b", "batch": 8, "parallel": {"tp": 2, "dp": 2}}}',
  units: '`checked` counts things checked, such as nodes or tensors.',
  narrow: 'Mend the first violations, then verify again.',
  input: specInput,
  output: {
    ok: z.boolean().describe('whether no rule is violated'),
    rules: z.array(
      z.looseObject({
        rule: z.union([z.number(), z.string()]),
        name: z.string(),
        checked: z.number(),
        violations: z.array(z.looseObject({ node: z.string(), message: z.string(), help: z.string() })),
      }),
    ),
    warnings: z.array(z.string()).describe('what can hardly have been meant, although it is allowed'),
  },
  run: async (source, context) => {
    const planned = await planSource(source, context)
    const warnings = phasesOf(planned).flatMap((each) => each.warnings)
    return { ...verifyPlan(planned), warnings }
  },
})
