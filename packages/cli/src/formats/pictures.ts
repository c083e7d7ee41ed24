import { InvalidArgumentError, Option } from 'commander'
import {
  createView,
  type Level,
  levels,
  type Plan,
  readableLimits,
  toJsonText,
  toMermaid,
  type UnrollAxis,
  type ViewOptions,
  writeDot,
} from 'shardloom'
import { UsageError } from '../report-error.js'
import type { Flags } from '../spec-flags.js'
import { type ExportFormat, onePlan } from './format.js'
import { limitOption, partOption, ranksOption, shownRank, unrollOption } from './options.js'

type Where = NonNullable<ViewOptions['where']>

/** The fields of a selector that a flag can give. */
const whereFields = [
  'segment',
  'module',
  'operator',
  'name',
  'body',
  'layers',
  'role',
] as const satisfies readonly (keyof Where)[]

const levelOption = new Option('--level <level>', 'how fine the picture is (default: operator)').choices([...levels])
const whereOption = new Option('--where <field=value,...>', 'which operators are drawn').argParser(parseWhere)

/** The flags that say what of a program is drawn, and how finely. */
export const viewFlags: readonly Option[] = [
  levelOption,
  unrollOption,
  whereOption,
  partOption,
  shownRank,
  ranksOption,
  limitOption,
]

const whereHelp = `
--where takes the fields of a selector:
${whereFields.join(', ')}.
A field may come twice, for either of its values, and so may the option;
* in a value stands for any characters.`

/** The whole program or, where a picture is asked for, that as data. */
export const json: ExportFormat = {
  title: 'JSON',
  extensions: ['json'],
  options: viewFlags,
  help: `${whereHelp}

With --level, --unroll or --where, json is the picture (shardloom.view/1);
without, it is the whole program (shardloom.program/1).`,
  make: async (call) => {
    const plan = await onePlan(call)
    const options = viewOptions(call.flags)
    const asked = [call.flags.level, call.flags.unroll, call.flags.where].some((each) => each !== undefined)
    const whole = { nodes: Number.POSITIVE_INFINITY, edges: Number.POSITIVE_INFINITY }
    const text = () => {
      if (!asked) return toJsonText(plan.program)
      const view = createView(plan.program, plan.operators, { limit: whole, ...options })
      return `${JSON.stringify({ schema: 'shardloom.view/1', ...view }, undefined, 2)}\n`
    }
    return { warnings: plan.warnings, notice: '', chunks: [text()] }
  },
}

/** Graphviz DOT. */
export const dot = picture('Graphviz DOT', ['dot', 'gv'], readableLimits.dot, ({ program, operators }, options) => {
  const chunks: string[] = []
  writeDot(createView(program, operators, { limit: readableLimits.dot, ...options }), (chunk) => chunks.push(chunk))
  return chunks
})

/** Mermaid. */
export const mermaid = picture(
  'Mermaid',
  ['mmd', 'mermaid'],
  readableLimits.mermaid,
  ({ program, operators }, options) => [toMermaid(program, operators, options)],
)

/** A format that draws a view; what is drawn instead of what was asked for, where that would be too large, it says. */
function picture(
  title: string,
  extensions: readonly string[],
  limit: ViewOptions['limit'],
  draw: (plan: Plan, options: ViewOptions) => Iterable<string>,
): ExportFormat {
  return {
    title,
    extensions,
    options: viewFlags,
    make: async (call) => {
      const plan = await onePlan(call)
      const options = viewOptions(call.flags)
      const { notice } = createView(plan.program, plan.operators, { ...(limit && { limit }), ...options })
      return { warnings: plan.warnings, notice, chunks: draw(plan, options) }
    },
  }
}

/** The checked flags as options of a picture; each cast names what made the value. */
export function viewOptions(flags: Flags): ViewOptions {
  const limit = flags.limit as number | undefined // parseLimit
  const options: ViewOptions = {
    ...(flags.rank !== undefined && { rank: flags.rank as number }), // parseRank
    ...(flags.level !== undefined && { level: flags.level as Level }), // one of its choices
    ...(flags.unroll !== undefined && { unroll: flags.unroll as UnrollAxis[] }), // parseUnroll
    ...(flags.where !== undefined && { where: flags.where as WhereFields }), // parseWhere
    ...(flags.ranks !== undefined && { ranks: flags.ranks as [number, number] }), // parseRanks
    ...(limit !== undefined && { limit: { nodes: limit, edges: 2 * limit } }),
  }
  if (options.ranks === undefined || options.unroll?.includes('rank')) return options
  throw new UsageError('--ranks chooses among ranks that are not drawn one by one.', 'Add `--unroll rank`.')
}

type WhereFields = Partial<Record<(typeof whereFields)[number], readonly string[]>>

/** `module=moe,layers=0`, added to what earlier options said. */
function parseWhere(text: string, before: WhereFields = {}): WhereFields {
  const where = { ...before }
  for (const part of text.split(',')) {
    const [name = '', ...rest] = part.split('=')
    const field = whereFields.find((each) => each === name.trim())
    const value = rest.join('=').trim()
    if (!field || !value)
      throw new InvalidArgumentError(`Write FIELD=VALUE, joined by commas; fields are ${whereFields.join(', ')}.`)
    where[field] = [...(where[field] ?? []), value]
  }
  return where
}
