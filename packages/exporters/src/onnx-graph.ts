import {
  type Body,
  bodyAt,
  bodyCounts,
  type Item,
  iterationsOf,
  lookup,
  type OperatorNode,
  type Place,
  type Port,
  type Program,
  parseRule,
  type Region,
  regionsOf,
  type Tensor,
} from '@shardloom/core'
import type { Iterations } from '@shardloom/testing'
import type { OperatorWriter } from './onnx-operator.js'
import { checkType, pascal } from './onnx-operator.js'
import type { AttributeValue } from './onnx-schema.js'
import { Scope, type Value, valueAt } from './onnx-scope.js'
import { type LocalShapes, shardsOf } from './onnx-shapes.js'

/** The body of a region as a function: what its call reads and makes. */
interface BodyFunction {
  readonly name: string
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly attributes: readonly string[]
}

type Path = Place['path']

/** Writes a rank's part of a program: a function for each body of a region, called once for each iteration that runs it. */
export class GraphWriter {
  private readonly bodies = new Map<Region, (BodyFunction | undefined)[]>()
  private readonly leaving: ReadonlyMap<string, readonly string[]>
  private readonly regions: readonly Region[]
  /** Where tensors are made. */
  private readonly made: ReadonlyMap<string, Path>

  constructor(
    private readonly program: Program,
    private readonly shapes: LocalShapes,
    private readonly operators: OperatorWriter,
    /** Told how much is about to be written: names in calls. */
    private readonly expect: (names: number) => void,
  ) {
    this.made = madeIn(program)
    this.leaving = leavingOf(program, this.made)
    this.regions = regionsOf(program.items)
  }

  /** The main graph, and the values that it ends with. */
  main(): { readonly scope: Scope; readonly results: readonly string[] } {
    const scope = new Scope(this.program, this.shapes, [])
    this.items(this.program.items, scope, [])
    return { scope, results: this.close(scope, '').map(({ name }) => name) }
  }

  private items(items: readonly Item[], scope: Scope, path: Path): void {
    for (const item of items) {
      if (item.type === 'node') this.node(item, scope)
      else this.region(item, scope, path)
    }
  }

  private node(node: OperatorNode, scope: Scope): void {
    const { operands } = parseRule(node.rule)
    const inputs = node.inputs.map((id, index) => {
      const value = valueAt(this.program, id, new Map())
      const splits = operands[index]?.map((dim) => node.partition?.splits[dim] ?? [])
      return scope.fit(scope.read(value), value, node.communication?.from.shards ?? splits ?? [])
    })
    const outputs = node.outputs.map((id) => scope.make(valueAt(this.program, id, new Map())))
    const { record, uses } = this.operators.write(node, inputs, outputs, scope.axes)
    scope.add(record, uses)
  }

  private region(region: Region, scope: Scope, path: Path): void {
    const bodies = region.bodies.map((_, index) => this.body(region, index, scope, path))
    this.bodies.set(region, bodies)
    const counts = bodyCounts(region)
    this.expect(bodies.reduce((sum, body, at) => sum + (counts[at] ?? 0) * (body ? sizeOf(body) : 0), 0))
    for (let place = 0; place < region.extent; place++) {
      const iteration = region.order === 'reverse' ? region.extent - 1 - place : place
      const body = bodies[bodyAt(region, iteration)]
      if (body) this.call(region, body, iteration, scope)
    }
    for (const port of region.ports) this.results(region, port, scope)
  }

  /** One iteration: a call of its body's function. */
  private call(region: Region, body: BodyFunction, iteration: number, scope: Scope): void {
    const outside = ({ tensor, iterations }: Value): Value => ({
      tensor,
      iterations: new Map(iterations).set(region.axis, iteration),
    })
    const carried = new Map(region.ports.flatMap((port) => (port.kind === 'carry' ? [[port.inner, port]] : [])))
    const inputs = body.inputs.map((value) => {
      const port = carried.get(value.tensor.id)
      return port ? this.handed(region, port, iteration, outside(value), scope) : scope.read(outside(value))
    })
    const outputs = body.outputs.map((value) => scope.make(outside(value)))
    const attributes = Object.fromEntries(
      body.attributes.map((axis): [string, AttributeValue] => [
        axis,
        axis === region.axis ? iteration : { reference: axis },
      ]),
    )
    const uses = body.attributes.filter((axis) => axis !== region.axis)
    scope.add(
      { op: body.name, domain: 'shardloom', name: `${region.id}[${iteration}]`, inputs, outputs, attributes },
      uses,
    )
  }

  /** What an iteration is handed by the one before it, or the first by what stands before the region. */
  private handed(region: Region, port: Carry, iteration: number, to: Value, scope: Scope): string {
    const step = region.order === 'reverse' ? 1 : -1
    let before = iteration + step
    const inside = () => before >= 0 && before < region.extent
    const next = () => port.next[bodyAt(region, before)] ?? ''
    // A body that hands on what it is given.
    while (inside() && next() === port.inner) before += step
    const from = inside()
      ? valueAt(this.program, next(), new Map(to.iterations).set(region.axis, before))
      : valueAt(this.program, port.initial, to.iterations)
    return scope.grow(scope.fit(scope.read(from), from, shardsOf(to.tensor)), from, to)
  }

  private results(region: Region, port: Port, scope: Scope): void {
    if (port.kind !== 'carry' && port.kind !== 'reduce') return
    const tensor = lookup(this.program.tensors, port.result)
    if (port.kind === 'carry') {
      const inner = lookup(this.program.tensors, port.inner)
      // What an iteration was handed is also read behind the region, by the gradients.
      scope.define(inner.id, (iterations) =>
        this.handed(region, port, iterations.get(region.axis) ?? 0, { tensor: inner, iterations }, scope),
      )
      const end = region.order === 'reverse' ? -1 : region.extent
      scope.define(tensor.id, (iterations) => this.handed(region, port, end, { tensor, iterations }, scope))
      return
    }
    scope.define(tensor.id, (iterations) => {
      const terms = Array.from({ length: region.extent }, (_, iteration) => {
        const inner = port.inner[bodyAt(region, iteration)]
        if (!inner || !this.bodies.get(region)?.[bodyAt(region, iteration)]) return []
        const term = valueAt(this.program, inner, new Map(iterations).set(region.axis, iteration))
        return [scope.cast(scope.fit(scope.read(term), term, shardsOf(tensor)), term, tensor.dtype)]
      }).flat()
      return scope.sum(scope.nameOf({ tensor, iterations }), tensor, iterations, terms)
    })
  }

  /** The function of a body; undefined for one that is empty. */
  private body(region: Region, index: number, scope: Scope, path: Path): BodyFunction | undefined {
    const body = region.bodies[index]
    if (!body || body.items.length === 0 || !(bodyCounts(region)[index] ?? 0)) return undefined
    const axes = [...scope.axes, region.axis]
    const inner = new Scope(this.program, this.shapes, axes)
    const here = [...path, { region, body: index }]
    this.items(body.items, inner, here)
    const outputs = this.close(inner, pathText(here))
    const segment = region.id.includes('/') ? `${region.id.split('/')[0]} ` : ''
    const inputs = [...inner.inputs]
    const attributes = axes.filter((axis) => axis === region.axis || inner.uses.has(axis))
    const name = this.operators.define(pascal(`${segment}${body.name}`), {
      inputs: inputs.map(([input]) => input),
      outputs: outputs.map((output) => output.name),
      attributes,
      nodes: inner.nodes,
      description: `body ${body.name} of ${region.id}, which runs ${bodyCounts(region)[index]} of ${region.extent} iterations along ${region.axis}`,
    })
    return { name, inputs: inputs.map(([, value]) => value), outputs: outputs.map(({ value }) => value), attributes }
  }

  /** The values that leave a scope, each under a name that a node of the scope makes. */
  private close(scope: Scope, path: string): { readonly name: string; readonly value: Value }[] {
    const taken = new Set<string>()
    return (this.leaving.get(path) ?? []).flatMap((id) => {
      const tensor = lookup(this.program.tensors, id)
      return this.iterationsOf(tensor, scope).map((iterations) => {
        const value = { tensor, iterations }
        let name = scope.read(value)
        const own = scope.nameOf(value)
        // Results of the model have the names of their tensors; a function must make what it hands out.
        if (taken.has(name) || scope.inputs.has(name) || (path === '' && name !== own)) {
          const copy = scope.inputs.has(own) ? `${own}/out` : own
          scope.types.set(copy, scope.types.get(name) ?? this.shapes.type(tensor, iterations))
          scope.add({ op: 'Identity', name: copy, inputs: [name], outputs: [copy] })
          name = copy
        }
        taken.add(name)
        return { name, value }
      })
    })
  }

  /** The iterations, outside of a scope, in which there is a tensor. */
  private iterationsOf(tensor: Tensor, scope: Scope): Iterations[] {
    let all: Iterations[] = [new Map()]
    for (const axis of scope.free(tensor)) {
      const own = this.iterationsAlong(axis, tensor)
      all = all.flatMap((iterations) => own.map((iteration) => new Map(iterations).set(axis, iteration)))
    }
    return all
  }

  private iterationsAlong(axis: string, { id, body }: Tensor): readonly number[] {
    const around = this.made.get(id)?.find(({ region }) => region.axis === axis)
    if (around) return iterationsOf(around.region, around.body)
    // The result of a port stands behind a region whose bodies make it layer by layer.
    const isMeant = (each: Body) => each.items.length > 0 && (body ?? each.name) === each.name
    const region = this.regions.find((each) => each.axis === axis && each.bodies.some(isMeant))
    return (region?.bodies ?? [])
      .flatMap((each, index) => (region && isMeant(each) ? iterationsOf(region, index) : []))
      .sort((a, b) => a - b)
  }
}

type Carry = Extract<Port, { kind: 'carry' }>

const sizeOf = ({ inputs, outputs }: BodyFunction) => inputs.length + outputs.length + 1

const pathText = (path: Path) => path.map(({ region, body }) => `${region.id}#${body}`).join(' > ')

/** The places at which a program makes its tensors; what a region carries stands at the region. */
function madeIn({ items }: Program): ReadonlyMap<string, Path> {
  const made = new Map<string, Path>()
  const visit = (list: readonly Item[], path: Path) => {
    for (const item of list) {
      if (item.type === 'node') {
        for (const id of item.outputs) made.set(id, path)
        continue
      }
      for (const [index, body] of item.bodies.entries()) visit(body.items, [...path, { region: item, body: index }])
      for (const port of item.ports) {
        if (port.kind === 'carry') made.set(port.inner, path)
        if ('result' in port) made.set(port.result, path)
      }
    }
  }
  visit(items, [])
  return made
}

/**
 * By place, the tensors that are made in it and read outside of it, in the order in which they are made. What nobody reads leaves
 * all places: it is a result. So do caches that are written and not handed on, and what tokens are chosen from.
 */
function leavingOf(
  { items, tensors }: Program,
  made: ReadonlyMap<string, Path>,
): ReadonlyMap<string, readonly string[]> {
  const readers = new Map<string, string[]>()
  const handedOn = new Set<string>()
  const chosenFrom = new Set<string>()
  const isWhole = (id: string) => lookup(tensors, id).dtype.startsWith('int')
  const read = (id: string, place: string) => readers.set(id, [...(readers.get(id) ?? []), place])
  const visit = (list: readonly Item[], path: Path) => {
    const place = pathText(path)
    for (const item of list) {
      if (item.type === 'node') {
        for (const id of item.inputs) read(id, place)
        if (item.kind === 'control' && item.outputs.length > 0 && item.outputs.every(isWhole))
          for (const id of item.inputs) if (!isWhole(id)) chosenFrom.add(id)
        continue
      }
      for (const [index, body] of item.bodies.entries()) visit(body.items, [...path, { region: item, body: index }])
      for (const port of item.ports) {
        if (port.kind !== 'carry' && port.kind !== 'reduce') continue
        const ids = port.kind === 'carry' ? [port.initial, ...port.next] : port.inner
        for (const id of ids) if (id) read(id, place)
        if (port.kind === 'carry') for (const id of [port.inner, ...port.next]) handedOn.add(id)
      }
    }
  }
  visit(items, [])
  const leaving = new Map<string, string[]>()
  const leave = (place: string, id: string) => leaving.set(place, [...(leaving.get(place) ?? []), id])
  for (const [id, path] of made) {
    const { role, nextOf } = lookup(tensors, id)
    const isLast = !readers.has(id) || role === 'cache' || nextOf !== undefined
    const isResult = (isLast && !handedOn.has(id)) || chosenFrom.has(id)
    const places = [...(readers.get(id) ?? []), ...(isResult ? [''] : [])]
    for (let depth = 1; depth <= path.length; depth++) {
      const place = pathText(path.slice(0, depth))
      if (places.some((reader) => reader !== place && !reader.startsWith(`${place} > `))) leave(place, id)
    }
    if (isResult) leave('', id)
  }
  return leaving
}

/** Throws `ONNX_TYPE` for a tensor from outside whose elements this version of ONNX cannot hold. */
export const checkValue = ({ tensor }: Value) => checkType(tensor.dtype, tensor)
