import { dirname, join } from 'node:path'
import { ShardloomError } from 'shardloom'
import { z } from 'zod'
import { type Format, type FormatOption, formatNames, formatOptions, formats } from '../formats.js'
import { loadSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'

/** `export`: the plan as a picture, as data, or as what other tools are told. */
export const exportTool = defineTool({
  name: 'export',
  title: 'Export a plan',
  description:
    'The plan as a picture (`mermaid`, `dot`, `svg`: also a simulated step, see `view`), as its nodes and edges (`view`), as a table of nodes or of communication (`table`: JSON, `csv`), as the whole program that can be read back (`program`); the spec as YAML (`spec`); or what starts it: flags of `megatron`, `vllm` or `sglang`, a file of `torchtitan` or `deepspeed`. The text comes in the result, or goes to `out` below the root. Large pictures are folded, which `notice` says. Example: {"spec": {"model": "llama-3.1-8b", "phase": "prefill", "batch": 4, "parallel": {"tp": 2}}, "format": "mermaid", "level": "module"}',
  units: '`characters` of the whole text. Facts in pictures carry their units, columns of tables name theirs.',
  narrow: 'Choose a coarser `level` (phase, stage, layer, module), narrow `where`, unroll less, or write to `out`.',
  writes: true,
  input: {
    ...specInput,
    format: z.enum(formatNames).describe('what to write'),
    ...formatOptions,
    out: z
      .string()
      .min(1)
      .max(1000)
      .optional()
      .describe('path of a new file below the root; default: the text comes in the result'),
    overwrite: z.boolean().optional().describe('whether `out` may replace a file'),
  },
  output: {
    format: z.string(),
    notice: z.string().describe('what is drawn instead of what was asked for; empty when nothing'),
    notes: z.array(z.string()).optional().describe('launchers: what the text does not say, or is up to you'),
    characters: z.number(),
    out: z.string().optional().describe('the file that was written, relative to the root'),
    text: z.string().optional(),
    files: z
      .array(z.looseObject({ name: z.string(), text: z.string().optional() }))
      .optional()
      .describe('what has to stand beside it; with `out` it was written there, and `name` is its path'),
    warnings: z.array(z.string()),
  },
  run: async ({ format, out, overwrite = false, spec, file, launch, ...options }, context) => {
    const { extensions, options: own, make }: Format = formats[format]
    refuseOthers(format, own, options)
    const loaded = await loadSource({ spec, file, launch }, context)
    const { text, notice = '', notes, files = [], warnings } = await make(loaded, options, out)
    const document = {
      schema: 'shardloom.export/1',
      format,
      notice,
      ...(notes && { notes }),
      characters: text.length,
      warnings,
    }
    if (out === undefined) return { ...document, text, ...(files.length > 0 && { files }) }
    const beside = []
    for (const each of files) {
      const path = join(dirname(out), each.name)
      beside.push({ name: await context.files.write(path, each.text, { extensions: ['.csv'], overwrite }) })
    }
    const written = await context.files.write(out, text, { extensions, overwrite })
    return { ...document, out: written, ...(beside.length > 0 && { files: beside }) }
  },
})

/** Refuses an argument of other formats, which would change nothing. */
function refuseOthers(format: string, own: readonly FormatOption[], options: Partial<Record<FormatOption, unknown>>) {
  const names = Object.keys(formatOptions) as FormatOption[] // the keys of a literal
  const subject = names.find((name) => options[name] !== undefined && !own.includes(name))
  if (subject === undefined) return
  const others = formatNames.filter((name) => (formats[name] as Format).options.includes(subject))
  throw new ShardloomError('ARGUMENTS', `\`${subject}\` is not of the format ${format}.`, {
    subject,
    help: `Leave it out, or use one of the formats ${others.join(', ')}.`,
  })
}
