import { checkProgram } from './argument.js'
import { chunksOf, coordinateOf, type Pipeline, runsAt } from './pipeline.js'
import {
  bodyAt,
  type Item,
  nodesOf,
  type OperatorNode,
  type Port,
  type Program,
  type Region,
  regionsOf,
} from './program.js'

/** The parts of a program by coordinate, and the first of those that are alike. */
interface Parts {
  readonly byCoordinate: Map<number, Program>
  readonly byShape: Map<string, Program>
  readonly like: Map<Program, Program>
}

/** The id in the whole program of what {@link programOf} gives a rank: that of the first direction, for what is of the second. */
export function wholeId(id: string): string {
  return id.endsWith('~') ? id.slice(0, -1) : id
}

const projections = new WeakMap<Program, Parts>()

/**
 * The part of a program that one rank runs, as a program of its own: without a pipeline the same object. Iterations that
 * the rank does not hold run an empty body, so that they keep their numbers. Of a pipeline with two directions the second
 * has microbatches of its own, whose ids end in `~`. Linear in the rolled program, once per coordinate.
 */
export function programOf(program: Program, rank: number): Program {
  checkProgram(program)
  const { pipeline } = program
  if (!pipeline) return program
  const coordinate = coordinateOf(program, rank)
  const { byCoordinate } = partsOf(program)
  const found = byCoordinate.get(coordinate) ?? project(program, pipeline, coordinate)
  byCoordinate.set(coordinate, found)
  return found
}

/**
 * The first part asked for that runs the same as the part of a rank, but for the numbers of its layers: middle stages are alike.
 * What is counted on one holds for the other, where their ranks hold equal shares. Linear in the rolled program, once per coordinate.
 */
export function partLike(program: Program, rank: number): Program {
  const part = programOf(program, rank)
  if (part === program) return program
  const { byShape, like } = partsOf(program)
  const known = like.get(part)
  if (known) return known
  const shape = shapeOf(part.items)
  const found = byShape.get(shape) ?? part
  byShape.set(shape, found)
  like.set(part, found)
  return found
}

function partsOf(program: Program): Parts {
  const known = projections.get(program) ?? { byCoordinate: new Map(), byShape: new Map(), like: new Map() }
  projections.set(program, known)
  return known
}

/** What items run, as text: equal for lists that differ in the numbers of iterations alone. */
function shapeOf(items: readonly Item[]): string {
  let text = ''
  for (const item of items) {
    text += `${item.id} `
    if (item.type === 'node') continue
    for (const { body, count } of item.select) if (item.bodies[body]?.items.length) text += `${body}*${count} `
    for (const body of item.bodies) text += `[${shapeOf(body.items)}]`
  }
  return text
}

function project(program: Program, pipeline: Pipeline, coordinate: number): Program {
  const { pipeline: _, ...rest } = program
  if (pipeline.directions === 1) return { ...rest, items: held(program.items, pipeline, coordinate, [0]) }
  const tensors = new Map(program.tensors)
  /** What this coordinate does not run of the whole body is renamed too, or it would read the other direction's. */
  const renamed = (items: readonly Item[], whole: readonly Item[]) => {
    const made = new Set<string>()
    for (const item of whole) collect(item, made)
    const name = (id: string) => (made.has(id) ? `${id}~` : id)
    for (const id of made) {
      const tensor = tensors.get(id)
      if (tensor) tensors.set(name(id), { ...tensor, id: name(id) })
    }
    const inside = new Set([...nodesOf(items), ...regionsOf(items)].map(({ id }) => id))
    return { name, items: items.map((item) => rename(item, name, inside)) }
  }
  const items = held(program.items, pipeline, coordinate, [0, 1]).map((item): Item => {
    const whole = program.items.find(({ id }) => id === item.id)
    const body = whole?.type === 'region' && whole.axis === 'microbatch' ? whole.bodies[0] : undefined
    if (item.type === 'node' || !body) return item
    const down = held(body.items, pipeline, coordinate, [0])
    const up = renamed(held(body.items, pipeline, coordinate, [1]), body.items)
    const half = item.extent / 2
    return {
      ...item,
      bodies: [
        { ...body, items: down },
        { name: `${body.name}~`, items: up.items },
      ],
      select: [0, 1].map((which) => ({ body: which, count: half })),
      ports: item.ports.map((port): Port => {
        if (port.kind === 'carry') return { ...port, next: [...port.next, up.name(port.next[0] ?? '')] }
        if (port.kind === 'reduce') return { ...port, inner: [...port.inner, up.name(port.inner[0] ?? '')] }
        return port
      }),
    }
  })
  return { ...rest, tensors, items }
}

/** The items that a coordinate runs in some of the directions; a list that it runs as a whole is the same object. */
function held(
  items: readonly Item[],
  pipeline: Pipeline,
  coordinate: number,
  directions: readonly number[],
): readonly Item[] {
  const runs = (node: OperatorNode, iteration?: number) => {
    const direction = directions.length === 1 ? directions[0] : undefined
    return runsAt(pipeline, node, iteration, direction)?.includes(coordinate) ?? true
  }
  return items.flatMap((item): Item[] => {
    if (item.type === 'node') return runs(item) ? [item] : []
    if (item.axis !== pipeline.over) {
      const bodies = item.bodies.map((body) => ({
        ...body,
        items: held(body.items, pipeline, coordinate, directions),
      }))
      return [{ ...item, bodies }]
    }
    const select: { body: number; count: number }[] = []
    const own = new Uint8Array(item.extent)
    for (const direction of directions)
      for (const { rank, from, to } of chunksOf(pipeline, direction)) if (rank === coordinate) own.fill(1, from, to)
    const first = own.indexOf(1)
    if (first < 0) return []
    for (let iteration = 0; iteration < item.extent; iteration++) {
      const body = own[iteration] ? bodyAt(item, iteration) : item.bodies.length
      const last = select.at(-1)
      if (last?.body === body) last.count++
      else select.push({ body, count: 1 })
    }
    const bodies = item.bodies.map((body) => {
      const some = body.items.filter((each) => each.type === 'region' || runs(each, first))
      return some.length === body.items.length ? body : { ...body, items: some }
    })
    return [elsewhere({ ...item, bodies, select })]
  })
}

/** The region with a further body, which is empty and hands on what it is given. */
function elsewhere(region: Region): Region {
  const ports = region.ports.map((port): Port => {
    if (port.kind === 'carry') return { ...port, next: [...port.next, port.inner] }
    if (port.kind === 'reduce') return { ...port, inner: [...port.inner, null] }
    return port
  })
  return { ...region, bodies: [...region.bodies, { name: 'elsewhere', items: [] }], ports }
}

function collect(item: Item, made: Set<string>): void {
  if (item.type === 'node') {
    for (const id of item.outputs) made.add(id)
    return
  }
  for (const port of item.ports) {
    if (port.kind === 'carry') made.add(port.inner).add(port.result)
    if (port.kind === 'reduce') made.add(port.result)
  }
  for (const body of item.bodies) for (const inner of body.items) collect(inner, made)
}

function rename(item: Item, name: (id: string) => string, inside: ReadonlySet<string>): Item {
  if (item.type === 'node')
    return {
      ...item,
      id: `${item.id}~`,
      inputs: item.inputs.map(name),
      outputs: item.outputs.map(name),
      ...(item.after && {
        after: item.after.map((each) => {
          if (typeof each === 'string') return inside.has(each) ? `${each}~` : each
          return each.turns ? each : { ...each, item: `${each.item}~` }
        }),
      }),
    }
  const ports = item.ports.map((port): Port => {
    if (port.kind === 'carry') {
      const { initial, inner, next, result } = port
      return { ...port, initial: name(initial), inner: name(inner), next: next.map(name), result: name(result) }
    }
    if (port.kind === 'reduce')
      return { ...port, inner: port.inner.map((id) => id && name(id)), result: name(port.result) }
    return { ...port, tensor: name(port.tensor) }
  })
  const bodies = item.bodies.map((body) => ({ ...body, items: body.items.map((inner) => rename(inner, name, inside)) }))
  return { ...item, id: `${item.id}~`, bodies, ports }
}
