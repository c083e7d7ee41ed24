import { lookup } from './draft.js'
import { ShardloomError } from './error.js'
import { holderOf, type Pipeline, pipelineAtoms, type Stage } from './pipeline.js'
import { replicated } from './placement.js'
import {
  bodyAt,
  bodyCounts,
  type Item,
  nodesOf,
  type OperatorNode,
  type Port,
  type Program,
  type Region,
  type Segment,
  type Tensor,
} from './program.js'
import { operandText } from './rule.js'

/** Where a value changes ranks around one region: into and out of each body, and before and behind the region. */
interface Borders {
  readonly enters: readonly boolean[]
  readonly leaves: readonly boolean[]
  readonly before: boolean
  readonly behind: boolean
}

/**
 * Puts a send and a recv wherever a carried value passes from one coordinate of the pipeline to another: at the end of the
 * body that makes it and at the start of the one that reads it. The sender has converted it already, so that both hold it
 * alike; whoever read the carried value in that body, backward included, reads what was received.
 */
export function transferProgram(program: Program): { items: readonly Item[]; tensors: readonly Tensor[] } {
  const { pipeline } = program
  const atoms = pipelineAtoms(program)
  const unchanged = { items: program.items, tensors: [] }
  if (!pipeline || atoms.length === 0) return unchanged
  const nodes = nodesOf(program.items)
  if (nodes.some(({ op, communication }) => op === 'recv' && communication?.shift === undefined)) return unchanged
  const created: Tensor[] = []
  const everywhere = new Map<string, string>()
  const inBodies = new Map<string, Map<string, string>>()
  const makers = new Map<string, OperatorNode>()
  for (const node of nodes) for (const id of node.outputs) makers.set(id, node)

  const node = (
    op: 'send' | 'recv',
    id: string,
    input: string,
    scope: Pick<Tensor, 'per' | 'body'> & { readonly segment: Segment; readonly module: string },
    reason: { readonly tensor: string; readonly producer: string | null; readonly consumer: string },
    stages?: readonly Stage[],
  ): OperatorNode => {
    const source = lookup(program.tensors, reason.tensor)
    const placement = source.placement ?? replicated(source.shape.length)
    const { body: _, nextOf: __, ...rest } = source
    const { segment, module, per, body } = scope
    created.push({
      ...rest,
      id,
      role: 'activation',
      per,
      ...(body !== undefined && { body }),
      placement,
      versionOf: source.versionOf ?? source.id,
    })
    const dims = operandText(source.dims)
    return {
      type: 'node',
      id,
      kind: 'communication',
      op,
      rule: `${dims} -> ${dims}`,
      inputs: [input],
      outputs: [id],
      segment,
      module,
      ...(stages && { stages }),
      communication: { atoms, from: placement, to: placement, reason: { ...reason, strategies: [pipeline.axis] } },
    }
  }

  const visit = (items: readonly Item[], per: readonly string[]): Item[] =>
    items.flatMap((item): Item[] => {
      if (item.type === 'node') return [item]
      const inner = [...per, item.axis]
      const bodies = item.bodies.map((body) => ({ ...body, items: visit(body.items, inner) }))
      const region = { ...item, bodies }
      if (item.axis === pipeline.over) return across(region, per)
      return [around(region, inner)]
    })

  /** A region that chunks divide. */
  const across = (region: Region, per: readonly string[]): Item[] => {
    if (!region.ports.some((port) => port.kind === 'carry')) return [region]
    const { enters, leaves, before, behind } = bordersOf(region, pipeline)
    const segment = nodesOf([region])[0]?.segment ?? 'forward'
    const [start, end]: readonly [Stage, Stage] = region.order === 'reverse' ? ['last', 'first'] : ['first', 'last']
    const ahead: Item[] = []
    const behindIt: Item[] = []
    const bodies = region.bodies.map((body) => ({ ...body, items: [...body.items] }))
    const single = bodies.length === 1
    const ports = region.ports.map((port): Port => {
      if (port.kind !== 'carry') return port
      const name = port.inner.slice(port.inner.lastIndexOf('/') + 1)
      const reason = { consumer: region.id }
      const made = (id: string) => makers.get(id)?.id ?? null
      const next = port.next.map((id, index) => {
        const body = bodies[index]
        if (!body) return id
        const scope = { per: [...per, region.axis], ...(!single && { body: body.name }), segment, module: '' }
        if (enters[index]) {
          const recv = `${segment}/${body.name}/${name}/recv`
          body.items.unshift(node('recv', recv, port.inner, scope, { ...reason, tensor: port.inner, producer: null }))
          const renamed = inBodies.get(body.name) ?? new Map<string, string>()
          inBodies.set(body.name, renamed.set(port.inner, recv))
        }
        if (!leaves[index]) return id
        const send = `${segment}/${body.name}/${name}/send`
        body.items.push(node('send', send, id, scope, { ...reason, tensor: id, producer: made(id) }))
        return send
      })
      let { initial } = port
      const outside = { per, segment, module: '' }
      if (before) {
        const send = `${segment}/${region.axis}s/${name}/send`
        ahead.push(
          node('send', send, initial, outside, { ...reason, tensor: initial, producer: made(initial) }, [start]),
        )
        initial = send
      }
      if (behind) {
        const recv = `${segment}/${region.axis}s/${name}/recv`
        behindIt.push(
          node('recv', recv, port.result, outside, { ...reason, tensor: port.result, producer: null }, [end]),
        )
        everywhere.set(port.result, recv)
      }
      return { ...port, initial, next }
    })
    return [...ahead, { ...region, bodies, ports }, ...behindIt]
  }

  /**
   * A region around the chunks: what its last stage hands on to its first goes there at the end of the body, for the next
   * iteration. Of a single one nobody reads it.
   */
  const around = (region: Region, per: readonly string[]): Region => {
    const bodies = region.bodies.map((body) => ({ ...body, items: [...body.items] }))
    const ports = region.ports.map((port): Port => {
      if (port.kind !== 'carry' || region.extent === 1) return port
      const readers = nodesOf([region])
        .filter(({ inputs }) => inputs.includes(port.inner))
        .flatMap(({ stages = [] }) => stages)
      const [to] = readers
      const next = port.next.map((id, index) => {
        const [from] = makers.get(id)?.stages ?? []
        const body = bodies[index]
        if (!from || !to || !body || holderOf(pipeline, from) === holderOf(pipeline, to)) return id
        const segment = makers.get(id)?.segment ?? 'decode'
        const scope = { per, segment, module: '', ...(bodies.length > 1 && { body: body.name }) }
        const reason = { tensor: id, producer: makers.get(id)?.id ?? null, consumer: region.id }
        const [send, recv] = (['send', 'recv'] as const).map((op) => `${port.inner}/${op}`)
        body.items.push(node('send', send ?? '', id, scope, reason, [from]))
        body.items.push(node('recv', recv ?? '', send ?? '', scope, reason, [to]))
        return recv ?? id
      })
      return { ...port, next }
    })
    return { ...region, bodies, ports }
  }

  const reread = (items: readonly Item[], names: ReadonlyMap<string, string>): Item[] =>
    items.map((item): Item => {
      const name = (id: string) => (item.id === names.get(id) ? id : (names.get(id) ?? id))
      if (item.type === 'node')
        return item.inputs.some((id) => names.has(id)) ? { ...item, inputs: item.inputs.map(name) } : item
      const bodies = item.bodies.map((body) => {
        const own = item.axis === pipeline.over ? inBodies.get(body.name) : undefined
        return { ...body, items: reread(body.items, own ? new Map([...names, ...own]) : names) }
      })
      const ports = item.ports.map((port) => {
        if (port.kind === 'carry') return { ...port, initial: name(port.initial), next: port.next.map(name) }
        return port.kind === 'reduce' ? { ...port, inner: port.inner.map((id) => id && name(id)) } : port
      })
      return { ...item, bodies, ports }
    })
  const items = visit(program.items, [])
  return created.length ? { items: reread(items, everywhere), tensors: created } : unchanged
}

/** Throws `PIPELINE` when iterations of one body differ in where their values come from or go. */
function bordersOf(region: Region, pipeline: Pipeline): Borders {
  const { extent, order, bodies } = region
  const step = order === 'reverse' ? -1 : 1
  const place = (iteration: number): number | Stage => {
    if (iteration < 0) return 'first'
    return iteration >= extent ? 'last' : iteration
  }
  // Both directions are cut at the same places.
  const moves = (a: number | Stage, b: number | Stage) => holderOf(pipeline, a) !== holderOf(pipeline, b)
  const enters: (boolean | undefined)[] = bodies.map(() => undefined)
  const leaves: (boolean | undefined)[] = bodies.map(() => undefined)
  for (let iteration = 0; iteration < extent; iteration++) {
    const body = bodyAt(region, iteration)
    const [into, out] = [moves(place(iteration - step), iteration), moves(iteration, place(iteration + step))]
    if ((enters[body] ?? into) !== into || (leaves[body] ?? out) !== out) {
      throw new ShardloomError(
        'PIPELINE',
        `The body \`${bodies[body]?.name}\` of \`${region.id}\` runs at borders of stages and inside of them.`,
        { subject: region.id, help: 'Give the layers at borders a body of their own before differentiation.' },
      )
    }
    enters[body] = into
    leaves[body] = out
  }
  const counts = bodyCounts(region)
  const used = (list: readonly (boolean | undefined)[]) => list.map((each, body) => each === true && counts[body] !== 0)
  const [first, last] = step > 0 ? [0, extent - 1] : [extent - 1, 0]
  return {
    enters: used(enters),
    leaves: used(leaves),
    before: moves(place(first - step), first),
    behind: moves(last, place(last + step)),
  }
}
