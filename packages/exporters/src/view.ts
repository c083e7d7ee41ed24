import {
  argumentError,
  checkOptions,
  checkProgram,
  type EdgeKind,
  type NodeKind,
  type OperatorTable,
  type Program,
  regionsOf,
  type Selector,
} from '@shardloom/core'
import { type Level, levels, outerAxes } from './card.js'
import type { EdgeRole } from './chain.js'
import { formatCount } from './format.js'
import { countOccurrences } from './occurrence.js'
import { paint } from './picture.js'
import { refuseEmpty } from './selection.js'
import { readableLimits, themes } from './tokens.js'

/** One node of a picture. */
export interface ViewNode {
  /** From structure; unique in the view. */
  readonly id: string
  readonly kind: NodeKind
  readonly title: string
  /** Lines under the title. */
  readonly facts: readonly string[]
  /** Folded communication, one line per set of axes: `tp · 2 · sends 33.6 MB`. */
  readonly chips: readonly string[]
  /** How often it runs inside its clusters: shown as `×N` when above 1. */
  readonly repeat: number
  /** The full id, or what is folded in. */
  readonly tooltip: string
  /** The id of the innermost cluster around it. */
  readonly cluster?: string
  /** It stands for a module next to the selection: what is left out of it has no numbers. */
  readonly outside?: true
}

/** A border around nodes. */
export interface ViewCluster {
  readonly id: string
  readonly title: string
  readonly repeat: number
  /** What is inside, summed for one pass: FLOPs and bytes sent. */
  readonly fact: string
  /** The id of the cluster around it. */
  readonly parent?: string
}

/** A dependency between two nodes. */
export interface ViewEdge {
  readonly from: string
  readonly to: string
  readonly kind: EdgeKind
  readonly role: EdgeRole
  readonly label?: string
  /** The result comes back the same way: operands of folded communication, and what it returns to the same node. */
  readonly both?: true
}

/** One line of the legend. */
export type LegendEntry =
  | { readonly type: 'node'; readonly kind: NodeKind; readonly text: string }
  | { readonly type: 'edge'; readonly kind: EdgeKind; readonly role: EdgeRole; readonly text: string }
  | { readonly type: 'note'; readonly sign: string; readonly text: string }

/** A picture of a program: plain readonly JSON, the same for every format. */
export interface View {
  readonly title: string
  /** Model, mesh, phase, element type, conventions, and whose numbers these are. */
  readonly subtitle: string
  /** What is shown instead of what was asked for; empty when nothing. */
  readonly notice: string
  readonly level: Level
  readonly direction: 'down' | 'right'
  readonly clusters: readonly ViewCluster[]
  readonly nodes: readonly ViewNode[]
  readonly edges: readonly ViewEdge[]
  /** Only what the picture contains. */
  readonly legend: readonly LegendEntry[]
}

/** The axes that a picture can unroll: iterations of a region, or the ranks of the mesh. */
export const unrollAxes = ['layer', 'microbatch', 'decode_step', 'chunk', 'rank'] as const
export type UnrollAxis = (typeof unrollAxes)[number]

/** What to draw. */
export interface ViewOptions {
  /** Default `operator`. */
  readonly level?: Level
  /** Axes to draw iteration by iteration, or rank by rank. Default none. */
  readonly unroll?: readonly UnrollAxis[]
  /**
   * The operators that are drawn; of the rest, only the modules that edges of theirs lead to. A body that several layers
   * share is drawn when one of them is meant. Default all.
   */
  readonly where?: Selector
  /** The rank whose numbers are shown. Default 0. */
  readonly rank?: number
  /** The ranks that `unroll: ['rank']` draws, both ends included. Default: up to eight, from 0. */
  readonly ranks?: readonly [number, number]
  /** Beyond this, the middle iterations and then the operators are folded. Default: what is still read in DOT. */
  readonly limit?: { readonly nodes: number; readonly edges: number }
}

/** What the options of pictures may be: one object serves to make a picture and to write it. */
const known = {
  level: levels.join('|'),
  unroll: `${unrollAxes.join('|')}[]`,
  rank: 'number',
  ranks: 'number[]',
  limit: 'object',
  where: 'object',
  theme: Object.keys(themes).join('|'),
  legend: 'boolean',
} satisfies Record<keyof ViewOptions | 'theme' | 'legend', string>

/** Refuses options of a picture that there are not, and values that they cannot have: `OPTION`. */
export function checkPictureOptions(options: object): void {
  checkOptions(options, known)
}

/** Refuses what is no view, such as a program: `ARGUMENT`. */
export function checkView(view: View): void {
  const { nodes, edges }: Partial<View> = view ?? {}
  if (Array.isArray(nodes) && Array.isArray(edges)) return
  throw argumentError('first', view, 'a view', 'Give what `createView(program, operators)` returns.')
}

const coarser: Readonly<Record<Level, Level | undefined>> = {
  operator: 'module',
  module: 'layer',
  layer: 'phase',
  stage: 'phase',
  phase: undefined,
}

/** Iterations that are drawn one by one before the middle ones become a single card. */
const keeps = [Number.POSITIVE_INFINITY, 3, 2]

/** More iterations than this lie side by side only when the limit is raised: nobody reads a picture so wide. */
const mostIterations = 8

/** Pictures of more operators than this, and than the limit, are not even tried before something is folded. */
const largestTrial = 20_000

/**
 * Makes the picture of a program. When it would exceed the limit, first the middle iterations of unrolled axes and then
 * whole levels are folded, and the notice says so. Throws `RANK` for ranks that the mesh does not have, `SELECTOR` when
 * `where` names no operator, and `LAYER_RANGE`.
 */
export function createView(program: Program, operators: OperatorTable, options: ViewOptions = {}): View {
  checkProgram(program, operators)
  checkPictureOptions(options)
  refuseEmpty(options.where, program)
  const limit = options.limit ?? readableLimits.dot
  const requested = options.level ?? 'operator'
  const fits = (view: View) => view.nodes.length <= limit.nodes && view.edges.length <= limit.edges
  let tooLarge = ''
  for (let level: Level | undefined = requested; level; level = coarser[level]) {
    const axes = axesAt(level, options.unroll)
    for (const keep of axes.size > 0 ? keeps : keeps.slice(0, 1)) {
      const whole = keep === Number.POSITIVE_INFINITY
      const longest = Math.max(0, ...regionsOf(program.items).map(({ axis, extent }) => (axes.has(axis) ? extent : 0)))
      if (whole && !options.where && longest > mostIterations && limit.nodes <= readableLimits.dot.nodes) {
        tooLarge ||= `${formatCount(longest)} iterations`
        continue
      }
      const size = whole ? countOccurrences(program, axes) : 0
      if (size > limit.nodes && ((level === 'operator' && !options.where) || size > largestTrial)) {
        tooLarge ||= requested === 'operator' ? `${formatCount(size)} nodes` : `${formatCount(size)} operators`
        continue
      }
      const view = paint(program, operators, { level, unrolling: { axes, keep }, options })
      const last = coarser[level] === undefined && keep === keeps[axes.size > 0 ? keeps.length - 1 : 0]
      if (fits(view) || last) {
        return { ...view, notice: [shownInstead(requested, level, tooLarge), view.notice].filter(Boolean).join(' · ') }
      }
      tooLarge ||= sizeText(view, limit)
    }
  }
  throw new Error('internal error: no level is the coarsest')
}

/** The iteration axes that show at a level: a phase has no layers. */
function axesAt(level: Level, unroll: readonly UnrollAxis[] = []): ReadonlySet<string> {
  const coarse = level === 'phase' || level === 'stage'
  return new Set(unroll.filter((axis) => axis !== 'rank' && (!coarse || outerAxes.includes(axis))))
}

function sizeText(view: View, limit: { readonly nodes: number }): string {
  return view.nodes.length > limit.nodes
    ? `${formatCount(view.nodes.length)} nodes`
    : `${formatCount(view.edges.length)} edges`
}

function shownInstead(requested: Level, level: Level, tooLarge: string): string {
  if (!tooLarge) return ''
  if (level !== requested) return `${level} level shown: ${requested} level has ${tooLarge}`
  return `first and last iterations shown: all have ${tooLarge}`
}
