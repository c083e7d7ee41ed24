import {
  type Body,
  bodyAt,
  closePorts,
  type Item,
  nodesOf,
  type Port,
  type Program,
  type Region,
  type Tensor,
} from '@shardloom/core'

/** Which variant of its body an iteration runs; empty: the body itself. */
export type Variant = (iteration: number) => string

/** A copy of a body, and what an id of the body is called in it. */
interface Copy {
  readonly body: string
  readonly rename: (id: string) => string
}

/** What became of a body that had variants: its copies, and whether it is still run itself. */
interface Divided {
  readonly copies: readonly Copy[]
  readonly kept: boolean
}

/**
 * Gives the iterations of the regions over an axis that run a variant of their body a body of their own: a copy under the
 * name `body-variant`, whose nodes, parameters and caches are called after it. Before differentiation, which follows them.
 */
export function splitBodies(program: Program, axis: string, variant: Variant): Program {
  const splitter = new Splitter(program.tensors, axis, variant)
  const items = splitter.visit(program.items)
  return { ...program, tensors: splitter.tensors, items: closePorts(items, splitter.tensors) }
}

class Splitter {
  readonly tensors: Map<string, Tensor>
  /** By the tensors of the body. */
  private readonly divided = new Map<string, Divided>()

  constructor(
    tensors: ReadonlyMap<string, Tensor>,
    private readonly axis: string,
    private readonly variant: Variant,
  ) {
    this.tensors = new Map(tensors)
  }

  visit(items: readonly Item[]): Item[] {
    return items.map((item): Item => {
      if (item.type === 'node') return item
      if (item.axis === this.axis) return this.divide(item)
      const bodies = item.bodies.map((body) => ({ ...body, items: this.visit(body.items) }))
      return { ...item, bodies, ports: item.ports.flatMap((port) => this.carried(port)) }
    })
  }

  private divide(region: Region): Region {
    const found: { source: number; kind: string }[] = []
    const select: { body: number; count: number }[] = []
    for (let iteration = 0; iteration < region.extent; iteration++) {
      const [source, kind] = [bodyAt(region, iteration), this.variant(iteration)]
      const known = found.findIndex((each) => each.source === source && each.kind === kind)
      const body = known < 0 ? found.push({ source, kind }) - 1 : known
      const last = select.at(-1)
      if (last?.body === body) last.count++
      else select.push({ body, count: 1 })
    }
    if (found.every(({ kind }) => kind === '')) return region
    for (const [source, body] of region.bodies.entries())
      this.declare(
        body,
        found.flatMap((each) => (each.source === source ? [each.kind] : [])),
      )
    const copies = found.map(({ source, kind }) => (kind ? copyOf(region.bodies[source], kind) : undefined))
    const bodies = found.map(({ source }, index): Body => {
      const body = region.bodies[source] ?? { name: '', items: [] }
      const copy = copies[index]
      return copy ? { name: copy.body, items: body.items.map((item) => this.renamed(item, copy)) } : body
    })
    const ports = region.ports.map((port): Port => {
      if (port.kind !== 'carry') return port
      return { ...port, next: found.map(({ source }, index) => this.named(port.next[source] ?? '', copies[index])) }
    })
    return { ...region, bodies, select, ports }
  }

  /** Declares what belongs to a body for each of its variants. */
  private declare(body: Body, kinds: readonly string[]): void {
    const kept = kinds.includes('')
    const copies = kinds.flatMap((kind) => (kind ? [copyOf(body, kind)] : []))
    const nodes = nodesOf(body.items)
    const outside = nodes
      .flatMap(({ inputs }) => inputs)
      .filter((id) => {
        const tensor = this.tensors.get(id)
        return tensor && tensor.role !== 'activation' && tensor.per.at(-1) === this.axis
      })
    for (const id of new Set([...outside, ...nodes.flatMap(({ outputs }) => outputs)])) {
      this.divided.set(id, { copies, kept })
      this.multiply(id, body.name, { copies, kept })
    }
  }

  private multiply(id: string, body: string, { copies, kept }: Divided): void {
    const tensor = this.tensors.get(id)
    if (!tensor) return
    this.tensors.delete(id)
    if (kept) this.tensors.set(id, { ...tensor, body })
    for (const copy of copies) this.tensors.set(copy.rename(id), { ...tensor, id: copy.rename(id), body: copy.body })
  }

  /** What a region around carries for a body, it carries for every variant of it. */
  private carried(port: Port): Port[] {
    const known = port.kind === 'carry' ? this.divided.get(port.next[0] ?? '') : undefined
    if (port.kind !== 'carry' || !known) return [port]
    const { initial, inner, next, result } = port
    const body = (this.tensors.get(initial)?.body ?? this.tensors.get(result)?.body) || bodyIn(initial, known)
    for (const id of [initial, result]) this.multiply(id, body, known)
    const others = known.copies.map(({ rename }): Port => {
      return {
        kind: 'carry',
        initial: rename(initial),
        inner: rename(inner),
        next: next.map(rename),
        result: rename(result),
      }
    })
    return known.kept ? [port, ...others] : others
  }

  private named(id: string, copy: Copy | undefined): string {
    return copy && this.divided.has(id) ? copy.rename(id) : id
  }

  private renamed(item: Item, copy: Copy): Item {
    if (item.type === 'region') {
      const bodies = item.bodies.map((body) => ({
        ...body,
        items: body.items.map((inner) => this.renamed(inner, copy)),
      }))
      return { ...item, id: copy.rename(item.id), bodies }
    }
    const { fusion } = item
    const [inputs, outputs] = [item.inputs, item.outputs].map((ids) => ids.map((id) => this.named(id, copy)))
    return {
      ...item,
      id: copy.rename(item.id),
      inputs: inputs ?? [],
      outputs: outputs ?? [],
      ...(fusion !== undefined && { fusion: copy.rename(fusion) }),
    }
  }
}

function copyOf(body: Body | undefined, kind: string): Copy {
  const [from, to] = [body?.name ?? '', `${body?.name}-${kind}`]
  return {
    body: to,
    rename: (id) =>
      id
        .split('/')
        .map((part) => (part === from ? to : part))
        .join('/'),
  }
}

/** The body whose name an id has as one of its parts, where its tensor does not say. */
function bodyIn(id: string, { copies }: Divided): string {
  const names = copies.map(({ body }) => body.slice(0, body.lastIndexOf('-')))
  return id.split('/').find((part) => names.includes(part)) ?? ''
}
