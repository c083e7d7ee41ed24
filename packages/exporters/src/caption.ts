import { type DataType, dataTypes, type Json, type Program, type Selector } from '@shardloom/core'
import type { Level } from './card.js'
import { isSavedRole } from './chain.js'
import { cutMiddle, formatCount, formatMesh } from './format.js'
import type { LaneRanks } from './lanes.js'
import type { Parts } from './picture.js'
import { selectionText } from './selection.js'
import { nodeShapes } from './tokens.js'
import type { LegendEntry, View } from './view.js'

/** What the caption depends on besides the program. */
export interface CaptionOptions {
  readonly level: Level
  readonly ranks: LaneRanks | undefined
  readonly rank: number
  /** What is drawn, if not everything. */
  readonly where: Selector | undefined
  /** Repeats whose border is left out, such as `microbatch ×8`. */
  readonly unframed: readonly string[]
  /** The numbers are those of all stages of a pipeline together. */
  readonly summed: boolean
}

/** Title and subtitle of a picture, and a notice about ranks that are left out. */
export function captionOf(
  program: Program,
  { level, ranks, rank, where, unframed, summed }: CaptionOptions,
): Pick<View, 'title' | 'subtitle' | 'notice'> {
  const { axes, world } = program.mesh
  const degrees = Object.fromEntries(axes.map(({ name, degree }) => [name, degree]))
  const model = program.notes.model
  const parts = [
    cutMiddle(typeof model === 'string' && model ? model : program.name, 60),
    formatMesh(degrees, world, ', ') || '1 rank',
    program.pipeline && program.phase === 'training' ? cutMiddle(`schedule ${program.pipeline.schedule}`, 40) : '',
    dataTypeOf(program),
    where ? cutMiddle(`only ${selectionText(where)}`, 60) : '',
    ...notesOf(program.notes),
    ...unframed.map((repeat) => `once per ${repeat}`),
    summed ? 'numbers of one rank of each stage, added up' : numbersOf(program, ranks, rank),
  ]
  const all = ranks && ranks.last - ranks.first + 1 < ranks.world
  return {
    title: `${program.phase} · ${level}s`,
    subtitle: parts.filter(Boolean).join(' · '),
    notice: all ? `ranks ${ranks.first}–${ranks.last} of ${formatCount(ranks.world)} shown` : '',
  }
}

function numbersOf(program: Program, ranks: LaneRanks | undefined, rank: number): string {
  return ranks || rank === 0 || program.mesh.world === 1 ? 'numbers per rank' : `numbers per rank, of rank ${rank}`
}

/** The element type that most parameters have. */
function dataTypeOf(program: Program): string {
  const counts = new Map<DataType, number>()
  for (const tensor of program.tensors.values()) {
    if (tensor.role === 'parameter') counts.set(tensor.dtype, (counts.get(tensor.dtype) ?? 0) + 1)
  }
  const known = Object.keys(dataTypes).filter((name): name is DataType => counts.has(name as DataType)) // keys of `dataTypes` are its names
  return known.sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0))[0] ?? ''
}

const mostNotes = 6

/** The short facts among a program's notes: `seq 8192`, `causal FLOPs whole`. */
function notesOf(notes: Readonly<Record<string, Json>>): string[] {
  const flat = Object.entries(notes).flatMap(([key, value]): [string, Json][] => {
    if (key === 'model' || key === 'dtype') return [] // named by themselves
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.entries(value)
    return [[key, value]]
  })
  // What FLOPs count and what is timed differ only in one word: side by side they would seem to contradict each other.
  const timed = flat.find(([key]) => key === 'causalTime')?.[1]
  const short = flat.filter(
    ([key, value]) => key !== 'causalTime' && (typeof value === 'string' || typeof value === 'number'),
  )
  return short.slice(0, mostNotes).map(([key, value]) => {
    const text = cutMiddle(`${wordsOf(key)} ${value}`, 40)
    return key === 'causal' && timed !== undefined ? `${text} as MFU counts, ${timed} as kernels are timed` : text
  })
}

/** `gradientDtype` as words. */
function wordsOf(key: string): string {
  if (key === 'causal') return 'causal FLOPs'
  return key.replace(/[a-z](?=[A-Z])/g, '$& ').toLowerCase()
}

/** The legend: each kind of node and edge that the picture contains, in a fixed order. */
export function legendOf({ nodes, clusters, edges }: Parts): LegendEntry[] {
  const kinds = ['compute', 'communication', 'control', 'memory'] as const
  const shown = kinds.filter((kind) => nodes.some((node) => node.kind === kind && !node.outside))
  const entries: LegendEntry[] = shown.map((kind) => ({ type: 'node', kind, text: kind }))
  const samples: readonly Extract<LegendEntry, { type: 'edge' }>[] = [
    { type: 'edge', kind: 'data', role: 'plain', text: 'data' },
    { type: 'edge', kind: 'data', role: 'saved', text: 'saved for backward' },
    { type: 'edge', kind: 'communication', role: 'plain', text: 'between ranks' },
    { type: 'edge', kind: 'temporal', role: 'plain', text: 'order only' },
  ]
  const has = (kind: string, saved: boolean) =>
    edges.some((edge) => edge.kind === kind && isSavedRole(edge.role) === saved)
  const notes: LegendEntry[] = []
  const folded = [
    ...nodes.flatMap(({ chips }) => chips),
    ...nodes.filter(({ title }) => title.includes(' · sends ')).map(({ title }) => title),
  ]
  const [axis] = folded[0]?.split(' · ') ?? []
  if (axis !== undefined) {
    const text = `${axis} · n · sends B: n collectives over ${axis}, bytes this rank sends`
    notes.push({ type: 'note', sign: nodeShapes.communication.glyph, text })
  }
  if (nodes.some(({ outside }) => outside)) notes.push({ type: 'note', sign: '…', text: 'beside the selection' })
  const most = [...nodes, ...clusters].reduce((largest, { repeat }) => Math.max(largest, repeat), 1)
  if (most > 1) notes.push({ type: 'note', sign: `×${formatCount(most)}`, text: `runs ${formatCount(most)} times` })
  return [...entries, ...samples.filter((sample) => has(sample.kind, sample.role === 'saved')), ...notes]
}
