import { dirname } from 'node:path'
import {
  compare,
  cutMiddle,
  explain,
  formatCount,
  formatWholeBytes,
  isShardloomError,
  type LoadedSpec,
  loadSpec,
  type Plan,
  planLoaded,
  readSpecText,
  ShardloomError,
  simulateLoaded,
  summarise,
  toMermaid,
} from 'shardloom'
import { type Block, type BlockSpec, lineOfField, merged, readBlock } from './block.js'
import { type Changes, changesOf } from './changes.js'
import { digest, type Files, filesBelow } from './files.js'

/** Where a block stands. */
export interface Place {
  /** The path of the Markdown file. */
  readonly file: string
  /** What messages call it; default its path. */
  readonly name?: string
  /** The line of the fence that opens the block, from 1. */
  readonly line: number
  /** Files that blocks name lie below this folder. */
  readonly root: string
  /** Tells apart equal blocks of one page. */
  readonly occurrence: number
}

/** Cells of a table, as text. */
export interface Table {
  readonly head: readonly string[]
  readonly align: readonly ('left' | 'right')[]
  readonly rows: readonly (readonly string[])[]
}

/** One picture or table of a block. */
export interface Picture {
  /** `before` or `after` where there are two. */
  readonly name?: string
  readonly alt: string
  readonly svg?: string
  readonly mermaid?: string
  readonly table?: Table
}

/** Why one communication exists: where nodes of pictures lead to. */
export interface Reason {
  /** Unique in the page. */
  readonly id: string
  /** The nodes of the program that exist for it. */
  readonly nodes: readonly string[]
  readonly title: string
  readonly text: readonly string[]
}

/** A block, rendered: plain data, whatever the page is made by. */
export interface Rendered {
  /** What the ids of the block begin with. */
  readonly prefix: string
  readonly pictures: readonly Picture[]
  readonly caption?: string
  readonly reasons: readonly Reason[]
  readonly changes?: Changes
  readonly warnings: readonly string[]
}

/**
 * Renders the text of a block. Throws `BLOCK_*`, and what planning throws, with the Markdown file and the line in the message.
 */
export async function renderBlock(source: string, place: Place, files: Files): Promise<Rendered> {
  try {
    const block = readBlock(source, place.name ?? place.file, place.line)
    const prefix = `sl-${digest(`${source}\n${place.occurrence}`).slice(0, 8)}`
    const sides = []
    for (const spec of block.specs) sides.push(await renderSide(block, spec, files, `${prefix}-${sides.length}`))
    const [before, after] = sides
    return {
      prefix,
      pictures: sides.map(({ picture }) => picture),
      ...(block.caption !== undefined && { caption: block.caption }),
      reasons: sides.flatMap(({ reasons }) => reasons),
      ...(before && after && { changes: changesOf(before, after, compareOf(before.loaded, after.loaded)) }),
      warnings: [...new Set(sides.flatMap(({ plan }) => plan.warnings))],
    }
  } catch (error) {
    throw placed(error, source, place)
  }
}

/** Opens the files of a Markdown file. */
export const filesOf = (file: string, root: string): Files => filesBelow(root, dirname(file))

/** What one spec of a block became. */
export interface Side {
  readonly loaded: LoadedSpec
  readonly plan: Plan
  readonly picture: Picture
  readonly reasons: readonly Reason[]
}

async function renderSide(block: Block, spec: BlockSpec, files: Files, prefix: string): Promise<Side> {
  const loaded = await loadSide(spec, files)
  const { view, format } = block
  const plan = planLoaded(loaded)
  const name = spec.name === undefined ? {} : { name: spec.name }
  const alt = block.alt ?? `${words[view]} of ${plan.architecture.name}${spec.name ? `, ${spec.name}` : ''}`
  if (view === 'table')
    return { loaded, plan, picture: { ...name, alt, table: tableOf(plan, block.rank) }, reasons: [] }
  const reasons = view === 'dag' && block.explain ? reasonsOf(plan, prefix, block.rank) : []
  const drawn = {
    ...(block.level && { level: block.level }),
    ...(block.unroll && { unroll: block.unroll }),
    ...(block.where && { where: block.where }),
    ...(block.rank !== undefined && { rank: block.rank }),
  }
  if (format === 'mermaid')
    return {
      loaded,
      plan,
      reasons,
      picture: {
        ...name,
        alt,
        mermaid: toMermaid(plan.program, plan.operators, {
          ...drawn,
          ...(block.theme !== 'auto' && { theme: block.theme }),
        }),
      },
    }
  const { renderView } = await import('shardloom/svg') // its layout is loaded only for this
  const svg = await renderView(view === 'dag' ? plan : simulateLoaded(loaded), {
    view,
    ...drawn,
    ...(block.direction && { direction: block.direction }),
    theme: block.theme,
    alt,
    prefix,
  })
  return { loaded, plan, reasons, picture: { ...name, alt, svg } }
}

const words = { dag: 'Graph', timeline: 'Timeline', memory: 'Memory over time', table: 'Communication' }

/** The spec of a side, read with what it names. Throws `BLOCK_VALUE` for serving, which is two programs. */
async function loadSide({ file, fields }: BlockSpec, files: Files): Promise<LoadedSpec> {
  const said = file === undefined ? {} : (readSpecText(await files.readText(file), file) ?? {})
  if (typeof said !== 'object')
    throw new ShardloomError('SPEC_VALUE', `${file} is no spec: it holds a ${typeof said}.`, {
      subject: 'file',
      help: 'Name a file with the fields of a spec, such as `model: llama-3.1-8b` and `parallel: {tp: 2}`, one a line.',
    })
  const loaded = await loadSpec(merged({ ...said }, fields), files)
  if (loaded.spec.phase !== 'serving') return loaded
  throw new ShardloomError('BLOCK_VALUE', 'Serving is two programs; a block shows one.', {
    subject: 'phase',
    help: 'Write `phase: prefill` or `phase: decode`, of a spec without `options.serving`.',
  })
}

/** The communication of one rank, a row for each kind. */
function tableOf(plan: Plan, rank = 0): Table {
  return {
    head: ['Communication', 'In', 'Group', 'Count', 'Payload', 'Sends', 'Why'],
    align: ['left', 'left', 'right', 'right', 'right', 'right', 'left'],
    rows: summarise(plan, { rank }).communication.map((row) => [
      row.axes.length > 0 ? `${row.op} · ${row.axes.join('.')}` : row.op,
      row.phase,
      formatCount(row.groupSize),
      formatCount(row.count),
      formatWholeBytes(row.payloadBytes),
      formatWholeBytes(row.bytesPerRank),
      row.reason,
    ]),
  }
}

/** Why each communication of a rank exists, once for the nodes that are alike. */
function reasonsOf(plan: Plan, prefix: string, rank = 0): Reason[] {
  return summarise(plan, { rank }).communication.flatMap(({ op, axes, count, nodes }, index) => {
    const [first] = nodes
    if (first === undefined) return []
    const more = nodes.length > 1 ? `, and ${nodes.length - 1} more` : ''
    return {
      id: `${prefix}-why-${index}`,
      nodes,
      title: `${op} · ${axes.join('.')} · ${cutMiddle(first, 60)}${more}`,
      text: [
        ...explain(plan, first, { rank }).text,
        ...(nodes.length > 1 ? [`With those that are alike, ${formatCount(count)} times a step.`] : []),
      ],
    }
  })
}

function compareOf(before: LoadedSpec, after: LoadedSpec) {
  if (!before.cluster || !after.cluster) return undefined
  return compare([
    { name: 'before', simulation: simulateLoaded(before) },
    { name: 'after', simulation: simulateLoaded(after) },
  ])
}

/** The error with where in the Markdown file it is. */
function placed(error: unknown, source: string, { file, name = file, line }: Place): unknown {
  if (!isShardloomError(error)) return error
  const at = line + lineOfField(source, error.subject ?? '')
  return new ShardloomError(error.code, `${name}:${at}: ${error.message}`, {
    cause: error,
    ...(error.help !== undefined && { help: error.help }),
    ...(error.subject !== undefined && { subject: error.subject }),
  })
}
