import {
  compileSelector,
  nearest,
  type OperatorNode,
  type Place,
  type Preference,
  type Program,
  type Selector,
  walk,
} from '@shardloom/core'
import { formatCount } from '@shardloom/exporters'
import type { ModelArchitecture } from '@shardloom/models'
import { idleEngine } from './engine-names.js'
import { type PlannedSpec, positionsOf } from './sequence.js'

/** What a plan does although its user can hardly have meant it, read off the finished program. */
export function planWarnings(program: Program, spec: PlannedSpec, architecture: ModelArchitecture): string[] {
  const places: Placed[] = []
  walk(program.items, (node, place) => places.push({ node, place }))
  const nodes = places.map(({ node }) => node)
  return [
    ...unmatchedSelectors(program, places),
    ...idleAxes(program, nodes),
    ...idleEngine(program, nodes, spec),
    ...longSequence(spec, architecture),
  ]
}

interface Placed {
  readonly node: OperatorNode
  readonly place: Place
}

/** Axes along which nothing is split: all of their ranks do the same. */
function idleAxes({ mesh, pipeline }: Program, nodes: readonly OperatorNode[]): string[] {
  const used = new Set<string>()
  for (const { partition } of nodes) {
    for (const atoms of Object.values(partition?.splits ?? {})) for (const atom of atoms) used.add(atom)
    for (const atom in partition?.partial) used.add(atom)
  }
  const idle = mesh.axes.filter(({ degree, atoms, name }) => {
    return degree > 1 && name !== pipeline?.axis && !atoms.some((atom) => used.has(atom))
  })
  return idle.map(({ name, degree }) => `axis \`${name}\` splits nothing: its ${degree} ranks repeat the same work`)
}

/** Strategies all of whose preferences have selectors that match nothing. */
function unmatchedSelectors(program: Program, places: readonly Placed[]): string[] {
  const matches = (selector: Selector | undefined) => {
    const test = compileSelector(selector, (id) => program.tensors.get(id))
    return places.some(({ node, place }) => node.kind !== 'communication' && test(node, place))
  }
  const strategies = [...new Set(program.preferences.map(({ strategy }) => strategy))]
  return strategies.flatMap((strategy) => {
    const own = program.preferences.filter((preference) => preference.strategy === strategy)
    if (own.some(({ where }) => matches(where))) return []
    const where = shortest(own)
    const hint = hintFor(where, places, matches)
    return [`\`${strategy}\`'s selector ${selectorText(where)} matches no operator${hint && `; ${hint}`}`]
  })
}

/** The selector as its user wrote it: a strategy may have added fields to it in some preferences. */
function shortest(preferences: readonly Preference[]): Selector {
  const fields = (where: Selector) => Object.keys(where).length
  const selectors = preferences.map(({ where: { and: _, ...where } = {} }) => where)
  return selectors.reduce((best, each) => (fields(each) < fields(best) ? each : best))
}

function selectorText(selector: Selector): string {
  const fields = Object.entries(selector).map(([field, value]) => `${field}: ${[value].flat().join(', ')}`)
  return `{${fields.join('; ')}}`.slice(0, 120)
}

/** The nearest name to the first field that matches nothing even alone. */
function hintFor(
  selector: Selector,
  places: readonly Placed[],
  matches: (selector: Selector) => boolean,
): string | undefined {
  for (const [field, value] of Object.entries(selector)) {
    if (matches({ [field]: value })) continue
    if (field === 'layers') return layersText(places)
    const words = [value].flat().map(String)
    const known = [...new Set(places.flatMap(({ node, place }) => namesOf(field, node, place)))]
    const near = words.map((word) => nearest(word, known)).find((name) => name !== undefined)
    return near ? `did you mean \`${field}: ${near}\`?` : `its \`${field}\` names none of the program`
  }
  return 'no operator fits all of its fields at once'
}

function namesOf(field: string, node: OperatorNode, { path }: Place): string[] {
  switch (field) {
    case 'module':
      return node.module.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'))
    case 'operator':
      return node.kind === 'communication' ? [] : [node.op]
    case 'name':
      return node.kind === 'communication' ? [] : [node.id.slice(node.id.lastIndexOf('/') + 1)]
    case 'segment':
      return [node.segment]
    case 'body':
      return path.map(({ region, body }) => region.bodies[body]?.name ?? '')
    default:
      return []
  }
}

function layersText(places: readonly Placed[]): string | undefined {
  const layers = places.flatMap(({ place }) => place.path.map(({ region }) => region)).find((r) => r.axis === 'layer')
  return layers && `the layers are 0 to ${layers.extent - 1}`
}

/** A sequence beyond the positions that the model was made for. */
function longSequence(spec: PlannedSpec, { maxPositions, name }: ModelArchitecture): string[] {
  const positions = positionsOf(spec, spec.seq)
  if (maxPositions === undefined || positions <= maxPositions) return []
  const steps = positions > spec.seq ? ` (those that decode steps add included)` : ''
  return [
    `the sequence has ${formatCount(positions)} positions${steps}, but ${name} was made for at most ${formatCount(maxPositions)}`,
  ]
}
