import { z } from 'zod'
import { more } from './bounded.js'
import type { Files } from './files.js'

/** What a call may use beside its arguments. */
export interface ToolContext {
  readonly files: Files
}

/** What the server says of a tool. */
export interface ToolText {
  readonly name: string
  readonly title: string
  /** For models: what it answers, in which units, with one example of arguments. */
  readonly description: string
  /** In which units the numbers of a result are. */
  readonly units: string
  /** Which arguments make a result smaller, for results that are cut. */
  readonly narrow: string
  /** Whether it may write files below the root. */
  readonly writes?: true
}

/** One entry of the tool table. */
export interface Tool extends ToolText {
  readonly input: z.ZodObject
  readonly output: z.ZodObject
  /** Takes what `input` has parsed. */
  readonly run: (input: unknown, context: ToolContext) => object | Promise<object>
}

const cut = z.looseObject({ path: z.string(), next: z.looseObject({}).nullable() })

/** Makes an entry of the table: arguments that are not named are refused, results may have more fields than are described. */
export function defineTool<Input extends z.ZodRawShape>({
  input,
  output,
  run,
  ...text
}: ToolText & {
  readonly input: Input
  readonly output: z.ZodRawShape
  readonly run: (input: z.output<z.ZodObject<Input>>, context: ToolContext) => object | Promise<object>
}): Tool {
  return {
    ...text,
    input: z.strictObject({
      ...input,
      more: more.optional().describe('what an earlier result had cut away: its truncated[].next'),
    }),
    output: z.looseObject({
      ...output,
      units: z.string(),
      truncated: z
        .array(cut)
        .optional()
        .describe('fields that were cut: `shown` of `total` from `offset`; `next` as `more` goes on'),
      hint: z.string().optional().describe('which arguments make the result smaller'),
    }),
    run: (parsed, context) => run(parsed as z.output<z.ZodObject<Input>>, context), // runTool parses with `input`
  }
}
