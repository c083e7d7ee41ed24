import { axesOf, type Mesh, type OperatorNode } from '@shardloom/core'
import { bodyName, type Crossing, type Occurrence } from './occurrence.js'

/** How far a picture goes into the hierarchy. A program without pipeline stages shows phases at stage level. */
export const levels = ['phase', 'stage', 'layer', 'module', 'operator'] as const

/** One of {@link levels}. */
export type Level = (typeof levels)[number]

/** A border drawn around cards. */
export interface Frame {
  readonly key: string
  readonly title: string
  readonly repeat: number
}

/** Where an occurrence is drawn. */
export interface CardPlace {
  readonly key: string
  readonly title: string
  /** The borders around the card, outermost first. */
  readonly frames: readonly Frame[]
  /** How often what the card shows runs inside its frames. */
  readonly repeat: number
  /** The regions whose iterations the card stands for, beyond its frames: its numbers cover them all. */
  readonly covered: readonly Crossing[]
}

/** How occurrences become cards. */
export interface CardStyle {
  readonly level: Level
  readonly mesh: Mesh
  /** Whether titles name the segment, because the program has several. */
  readonly segments: boolean
  /** Whether rolled microbatches and decode steps have a border of their own. */
  readonly outerFrames: boolean
  readonly moduleFrames: boolean
}

/** The axes of regions that stand around whole segments. */
export const outerAxes: readonly string[] = ['microbatch', 'decode_step', 'chunk']

/** Finds the card of an occurrence and the borders around it. */
export function placeOf(occurrence: Occurrence, style: CardStyle): CardPlace {
  const { node, path } = occurrence
  const frames: Frame[] = []
  const covered: Crossing[] = []
  const repeating = path.filter((crossing) => crossing.region.extent > 1)
  let key = ''
  for (const crossing of repeating) {
    const rest = repeating.slice(repeating.indexOf(crossing))
    if (!outerAxes.includes(crossing.region.axis)) continue
    if (crossing.form === 'rolled') {
      if (style.level === 'phase' || style.level === 'stage') covered.push(crossing)
      else if (style.outerFrames)
        frames.push({ key: `region ${crossing.region.id}`, title: crossing.region.axis, repeat: crossing.run.last + 1 })
      continue
    }
    key = join(key, crossing.region.axis + runText(crossing))
    if (crossing.form === 'elided') return elided(crossing, key, frames, rest)
    frames.push({ key: `iteration ${key}`, title: `${crossing.region.axis} ${crossing.run.first}`, repeat: 1 })
  }
  const inner = repeating.filter((crossing) => !outerAxes.includes(crossing.region.axis))
  key = join(key, node.segment)
  if (style.level === 'phase' || style.level === 'stage') {
    const repeat = covered.reduce((product, crossing) => product * crossing.count, 1)
    return { key, title: node.segment, frames, repeat, covered: [...covered, ...inner] }
  }
  // Updates of all parameters meet in one gradient norm: told apart by layer or module they would only form circles.
  if (style.level !== 'operator' && node.segment === 'optimizer') {
    return { key, title: node.segment, frames, repeat: 1, covered: [...covered, ...inner] }
  }
  const layer = inner.find((crossing) => crossing.region.axis === 'layer')
  const deeper = inner.filter((crossing) => crossing !== layer)
  const suffix = style.segments ? ` ${node.segment}` : ''
  if (layer) {
    const name = bodyName(layer)
    key = join(key, name + runText(layer))
    const shown = layer.form === 'single' ? `${name} ${layer.run.first}` : name
    if (layer.form === 'elided') return elided(layer, key, frames, inner)
    if (style.level === 'layer') {
      return { key, title: shown + suffix, frames, repeat: layer.count, covered: [...covered, ...inner] }
    }
    frames.push({ key: `layers ${layer.region.id} ${key}`, title: shown + suffix, repeat: layer.count })
  }
  const group = node.module.split('/')[0] || node.op
  if (style.level !== 'operator') {
    const title = layer ? group : group + suffix
    return { key: join(key, group), title, frames, repeat: 1, covered: [...covered, ...deeper] }
  }
  if (style.moduleFrames && node.module) {
    frames.push({ key: `module ${join(key, group)}`, title: layer ? group : group + suffix, repeat: 1 })
  }
  for (const crossing of deeper) {
    if (crossing.form === 'elided') return elided(crossing, join(key, node.module), frames, [crossing])
  }
  const singles = path.filter((crossing) => crossing.form === 'single')
  const iterations = singles.map((crossing) => `${crossing.region.axis}=${crossing.run.first}`).join(',')
  const repeat = deeper.reduce((product, crossing) => product * crossing.count, 1)
  return {
    key: iterations ? `${node.id}[${iterations}]` : node.id,
    title: operatorTitle(node, path, style),
    frames,
    repeat,
    covered: [...covered, ...deeper],
  }
}

/** What a node is called inside its frames: `q`, `all-reduce · tp`. */
function operatorTitle(node: OperatorNode, path: readonly Crossing[], style: CardStyle): string {
  if (node.communication?.pool) return `${node.op} · ${node.communication.pool.phase}`
  if (node.communication)
    return `${node.op} · ${axesOf(style.mesh, node.communication.atoms, node.communication.reason.strategies).join('.')}`
  const words = node.id.split('/')
  const enclosing = [node.segment, ...path.map(bodyName), node.module.split('/')[0] ?? '']
  while (words.length > 1 && words[0] !== undefined && enclosing.includes(words[0])) {
    enclosing.splice(0, enclosing.indexOf(words[0]) + 1)
    words.shift()
  }
  const title = words.join('/').replaceAll('_', ' ')
  return node.recompute ? `${title.replace(/\.recompute$/, '')} (again)` : title
}

function elided(crossing: Crossing, key: string, frames: readonly Frame[], rest: readonly Crossing[]): CardPlace {
  const { first, last } = crossing.run
  const title = `… ${last - first + 1} more ${crossing.region.axis}s …`
  return { key, title, frames, repeat: 1, covered: rest }
}

function runText(crossing: Crossing): string {
  const { first, last } = crossing.run
  if (crossing.form === 'rolled') return ''
  return first === last ? `[${first}]` : `[${first}-${last}]`
}

function join(prefix: string, name: string): string {
  return prefix ? `${prefix}/${name}` : name
}
