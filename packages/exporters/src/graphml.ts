import {
  coordinateOf,
  coordinates,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Program,
  regionsOf,
  type Tensor,
} from '@shardloom/core'
import { edgeKinds, type Iteration, programOf, type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import {
  changeAxis,
  grownShape,
  type Meter,
  meterOf,
  type NodeRow,
  nodeTable,
  representatives,
  unevenAtoms,
} from '@shardloom/simulator'
import { xmlText } from './xml-text.js'

/** What of a program becomes a graph. */
export interface GraphmlOptions {
  /** Iteration axes that become a node for each iteration, such as `layer`; default none: each body once. */
  readonly unroll?: readonly string[]
  /** Default: one rank of each stage of a pipeline, else rank 0. */
  readonly ranks?: readonly number[]
  /** Refuses to write more nodes (`UNROLL_SIZE`). Default a million, some 600 MB. */
  readonly limit?: number
}

type Attribute = readonly [name: string, type: 'string' | 'long' | 'int', of: 'node' | 'edge']

/** What nodes and edges have, in the order in which it is written; the id of a key is where its attribute is used and its name. */
const attributes = {
  label: ['label', 'string', 'node'],
  name: ['name', 'string', 'node'],
  kind: ['kind', 'string', 'node'],
  operator: ['operator', 'string', 'node'],
  phase: ['phase', 'string', 'node'],
  module: ['module', 'string', 'node'],
  layer: ['layer', 'string', 'node'],
  microbatch: ['microbatch', 'int', 'node'],
  iteration: ['iteration', 'string', 'node'],
  rank: ['rank', 'int', 'node'],
  stage: ['stage', 'int', 'node'],
  count: ['count', 'long', 'node'],
  flops: ['flops', 'long', 'node'],
  bytes: ['bytes', 'long', 'node'],
  axes: ['axes', 'string', 'node'],
  groupSize: ['groupSize', 'int', 'node'],
  sentBytes: ['sentBytes', 'long', 'node'],
  edgeKind: ['kind', 'string', 'edge'],
  edgeTensor: ['tensor', 'string', 'edge'],
  edgeBytes: ['bytes', 'long', 'edge'],
} as const satisfies Record<string, Attribute>

type Values = Partial<Record<keyof typeof attributes, string | number | bigint>>

/** Characters that are handed on at a time. */
const chunkSize = 65_536

/**
 * A program as GraphML (Brandes et al. 2002), which Gephi, yEd and networkx open: a node for each operator, with typed
 * attributes, and an edge for each dependency. `flops`, `bytes` (read and written) and `sentBytes` are of all `count`
 * executions in one step that a node stands for, on its rank; `bytes` of an edge are what passes at a time. The members of a
 * collective are a chain, never all pairs. Yields the text in parts; memory does not grow with the text.
 */
export function* graphml(
  program: Program,
  operators: OperatorTable,
  options: GraphmlOptions = {},
): Generator<string, void, undefined> {
  const { unroll: axes = [], ranks = representatives(program), limit = 1_000_000 } = options
  const graph = unroll(program, { axes, ranks, limit })
  let text = head(program, graph)
  const valuesOf = nodeValues(program, operators, graph, axes)
  for (let node = 0; node < graph.nodeCount; node++) {
    text += element(`node id="n${node}"`, valuesOf(node))
    if (text.length < chunkSize) continue
    yield text
    text = ''
  }
  const passing = edgeValues(program, operators, graph)
  for (let target = 0; target < graph.nodeCount; target++) {
    for (let at = graph.edgeStart[target] ?? 0; at < (graph.edgeStart[target + 1] ?? 0); at++) {
      const source = graph.edgeSource[at] ?? 0
      const kind = edgeKinds[graph.edgeKind[at] ?? 0] ?? 'data'
      const values = { edgeKind: kind, ...(kind !== 'temporal' && passing(source, target)) }
      text += element(`edge id="e${at}" source="n${source}" target="n${target}"`, values)
    }
    if (text.length < chunkSize) continue
    yield text
    text = ''
  }
  yield `${text}  </graph>\n</graphml>\n`
}

function head({ name }: Program, graph: UnrolledGraph): string {
  const keys = Object.entries<Attribute>(attributes).map(
    ([id, [attribute, type, of]]) => `  <key id="${id}" for="${of}" attr.name="${attribute}" attr.type="${type}"/>\n`,
  )
  return `<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
${keys.join('')}  <graph id="g" edgedefault="directed" parse.nodes="${graph.nodeCount}" parse.edges="${graph.edgeCount}">
    <desc>${xmlText(name)}</desc>
`
}

function element(start: string, values: Values): string {
  let data = ''
  for (const [key, value] of Object.entries(values))
    if (value !== '') data += `<data key="${key}">${typeof value === 'string' ? xmlText(value) : value}</data>`
  return `    <${start}>${data}</${start.slice(0, 4)}>\n`
}

/** What ranks that compute and hold the same have in common. */
interface Likes {
  readonly rows: ReadonlyMap<string, NodeRow>
  readonly meter: Meter
}

/** Finds rows and meter of a rank; alike ranks share them. */
function likesOf(program: Program, operators: OperatorTable): (rank: number) => Likes {
  const uneven = unevenAtoms(program, operators)
  const known = new Map<string, Likes>()
  return (rank) => {
    const at = coordinates(program.mesh, rank)
    const key = [coordinateOf(program, rank), ...uneven.map((atom) => at.get(atom))].join(' ')
    const made = known.get(key) ?? {
      rows: new Map([...nodeTable(program, operators, { rank })].map((row) => [row.id, row])),
      meter: meterOf(programOf(program, rank), operators, rank),
    }
    known.set(key, made)
    return made
  }
}

function nodeValues(program: Program, operators: OperatorTable, graph: UnrolledGraph, axes: readonly string[]) {
  const likes = likesOf(program, operators)
  /** How many nodes of the graph are of each template, on one rank. */
  const copies = new Map<string, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const key = `${graph.rankOf(node)} ${graph.template[node]}`
    copies.set(key, (copies.get(key) ?? 0) + 1)
  }
  return (place: number): Values => {
    const node = templateOf(graph, place)
    const rank = graph.rankOf(place)
    const { rows, meter } = likes(rank)
    const row = rows.get(node.id)
    if (!row) throw new Error(`internal error: ${node.id} has no row`)
    const same = copies.get(`${rank} ${graph.template[place]}`) ?? 1
    const iterations = graph.iterationsOf(place).filter(({ axis }) => axes.includes(axis))
    const of = (axis: string) => iterations.find((each) => each.axis === axis)?.iteration
    const layer = of('layer')
    const microbatch = of('microbatch')
    const count = row.executions / same
    const step = of(changeAxis(node, program) ?? '')
    const cost = step === undefined ? undefined : meter.node(node, step)
    const flops = cost ? cost.flops * BigInt(count) : row.flops / BigInt(same)
    const bytes = cost ? (cost.read + cost.written) * BigInt(count) : (row.bytesRead + row.bytesWritten) / BigInt(same)
    return {
      label: labelOf(node, iterations),
      name: nameOf(node, iterations),
      kind: row.kind,
      operator: row.op,
      phase: row.segment,
      module: row.module,
      layer: layer === undefined ? row.layers : String(layer),
      ...(microbatch !== undefined && { microbatch }),
      iteration: iterations.map(({ axis, iteration }) => `${axis}=${iteration}`).join(' '),
      rank,
      ...(row.stage !== undefined && { stage: row.stage }),
      count,
      flops,
      bytes,
      ...(row.axes.length > 0 && {
        axes: row.axes.join(' '),
        groupSize: row.groupSize,
        sentBytes: Math.round(row.bytesPerRank * count),
      }),
    }
  }
}

/** `forward/layer/attention/q[layer=3]`: the id, with the iterations that are nodes of their own. */
function nameOf({ id }: OperatorNode, iterations: readonly Iteration[]): string {
  if (iterations.length === 0) return id
  return `${id}[${iterations.map(({ axis, iteration }) => `${axis}=${iteration}`).join(',')}]`
}

/** The last parts of the id, with the iterations: `attention/q 3`. */
function labelOf(node: OperatorNode, iterations: readonly Iteration[]): string {
  const name = node.id.split('/').slice(-2).join('/')
  return [name, ...iterations.map(({ iteration }) => iteration)].join(' ')
}

const templateOf = (graph: UnrolledGraph, place: number) => graph.templates[graph.template[place] ?? 0] as OperatorNode // of its own graph

/** What passes along an edge: the tensor, and its bytes on the rank of the source. */
function edgeValues(program: Program, operators: OperatorTable, graph: UnrolledGraph) {
  const likes = likesOf(program, operators)
  const origins = originsOf(program)
  const known = new Map<string, string>()
  const tensorBetween = (from: OperatorNode, to: OperatorNode): string => {
    const key = `${from.id} ${to.id}`
    const found = known.get(key) ?? from.outputs.find((id) => origins(to).has(id)) ?? from.outputs[0] ?? ''
    known.set(key, found)
    return found
  }
  return (source: number, target: number): Values => {
    const id = tensorBetween(templateOf(graph, source), templateOf(graph, target))
    const tensor = lookup(program.tensors, id)
    const { meter } = likes(graph.rankOf(source))
    const grown = tensor.growth ? grownAt(tensor, graph, source) : tensor
    return { edgeTensor: id, edgeBytes: Math.round(meter.bytes(grown)) }
  }
}

function grownAt(tensor: Tensor, graph: UnrolledGraph, place: number): Tensor {
  const at = graph.iterationsOf(place).find(({ axis }) => axis === tensor.growth?.axis)
  return { ...tensor, shape: grownShape(tensor, at?.iteration ?? 0) }
}

/** The tensors of other nodes that a node reads, through whatever ports they come. */
function originsOf(program: Program): (node: OperatorNode) => ReadonlySet<string> {
  const before = new Map<string, string[]>()
  const comes = (id: string | null | undefined, from: readonly (string | null)[]) => {
    if (id) before.set(id, [...(before.get(id) ?? []), ...from.filter((each) => each !== null)])
  }
  for (const { ports } of regionsOf(program.items)) {
    for (const port of ports) {
      if (port.kind === 'carry') comes(port.inner, [port.initial, ...port.next])
      if (port.kind === 'carry') comes(port.result, [port.initial, ...port.next])
      if (port.kind === 'reduce') comes(port.result, port.inner)
    }
  }
  const known = new Map<string, ReadonlySet<string>>()
  return (node) => {
    const done = known.get(node.id)
    if (done) return done
    const found = new Set(node.inputs)
    for (const id of found) for (const other of before.get(id) ?? []) found.add(other)
    known.set(node.id, found)
    return found
  }
}
