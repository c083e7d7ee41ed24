import { lookup } from './draft.js'
import { placementsOf } from './flow.js'
import { findAxis, groupSize } from './mesh.js'
import type { OperatorTable } from './operator.js'
import { holdersOf } from './pipeline.js'
import {
  isSlice,
  localShape,
  type Placement,
  payloadOf,
  ringBytes,
  type TransitionStep,
  transition,
} from './placement.js'
import {
  dataTypes,
  type Item,
  type OperatorNode,
  type Program,
  type Region,
  regionsOf,
  type Segment,
  type Tensor,
} from './program.js'
import { operandText } from './rule.js'

/** A tensor under one placement: as its producer made it, or as a communication node turned it. */
interface Version {
  readonly tensor: string
  readonly placement: Placement
  /** The stages of a pipeline that have it; absent: all that read the tensor. */
  readonly stages?: OperatorNode['stages']
}

/** What is known at one point of one body. */
interface Scope {
  readonly versions: Map<string, Version[]>
  readonly outer: Scope | undefined
  /** Per tensor the atoms along which some reader of this body wants the whole value. */
  readonly whole: ReadonlyMap<string, ReadonlySet<string>>
  readonly segment: Segment
  /** The iteration axes around this body, and its name where its region has several. */
  readonly per: readonly string[]
  readonly body: string | undefined
}

/** Who reads: a node, or a region through a port. */
interface Reader {
  readonly id: string
  readonly type?: 'node'
  readonly module?: string
  readonly partition?: OperatorNode['partition']
  readonly stages?: OperatorNode['stages']
}

/**
 * Puts a communication node wherever a tensor is read under another placement than it was made. A local slice needs no
 * node. What one reader converted, later readers of the body share; backward reads the version of a saved tensor that is
 * smallest on a rank (the latest, when equal) and converts that again. Every node says why it exists.
 */
export function communicateProgram(
  program: Program,
  operators: OperatorTable,
): { items: readonly Item[]; tensors: readonly Tensor[] } {
  const { mesh } = program
  const created = new Map<string, Tensor>()
  const tensor = (id: string) => created.get(id) ?? lookup(program.tensors, id)
  const producers = new Map<string, OperatorNode>()
  const saved = new Map<string, Version[]>()
  /** What regions that are done converted, by segment and tensor: a later region over the same axes reads it too. */
  const finished = new Map<Segment, Map<string, Version[]>>()
  const used = new Set<string>()
  /** Terms of sums over iterations: each is converted where it is made, and what came of it. */
  const sums = sumsOf(program)
  const ended = new Map<string, string>()
  const origin = new Map<string, number>()

  const placementOf = (id: string): Placement =>
    tensor(id).placement ?? { shards: tensor(id).shape.map(() => []), partial: {} }
  const bytesOf = (each: Tensor, placement: Placement) => {
    const elements = localShape(each.shape, placement, mesh, origin).reduce((product, size) => product * size, 1)
    return (each.density ? (elements * each.density[0]) / each.density[1] : elements) * dataTypes[each.dtype]
  }
  const versionsOf = (id: string, scope: Scope): readonly Version[] => {
    for (let at: Scope | undefined = scope; at; at = at.outer) {
      const found = at.versions.get(id)
      if (found) return found
    }
    const reachable = (version: Version) => {
      const { per, body } = tensor(version.tensor)
      return per.every((axis) => scope.per.includes(axis)) && (body === undefined || body === scope.body)
    }
    const elsewhere = finished.get(scope.segment)?.get(id)?.filter(reachable)
    return elsewhere?.length ? elsewhere : [{ tensor: id, placement: placementOf(id) }]
  }
  const smallest = (id: string): Version => {
    const original = { tensor: id, placement: placementOf(id) }
    const all = saved.get(id)
    if (!all) return original
    const bytes = all.map((version) => bytesOf(tensor(id), version.placement))
    return all[bytes.lastIndexOf(Math.min(...bytes))] ?? original
  }
  /** The conversions from one version: first whatever some other reader wants whole, then the rest. */
  const planFrom = (from: Version, id: string, wanted: Placement, scope: Scope) => {
    const { shards, partial } = from.placement
    const rest = Object.entries(partial).filter(([atom]) => !scope.whole.get(id)?.has(atom))
    const middle = { shards, partial: Object.fromEntries(rest) }
    const steps = [...transition(from.placement, middle, mesh), ...transition(middle, wanted, mesh)]
    const cost = (step: TransitionStep) => {
      const payload = payloadOf(step, (placement) => bytesOf(tensor(id), placement))
      return ringBytes(step.op, payload, groupSize(mesh, step.atoms))
    }
    return { from, steps, bytes: steps.reduce((sum, step) => sum + cost(step), 0) }
  }
  /** The tensor under which `id` can be read as `wanted`; the communication nodes that it takes go to `out`. */
  const get = (id: string, wanted: Placement, reader: Reader, scope: Scope, out: Item[]): string => {
    const isSaved = scope.segment === 'backward' && producers.get(id)?.segment === 'forward' && !scope.versions.has(id)
    const kept = scope.segment === 'backward' && tensor(id).storage === 'keep' ? saved.get(id) : undefined
    const all = isSaved ? [smallest(id)] : (kept ?? versionsOf(id, scope))
    const here = all.filter(({ stages }) => meet(stages, reader.stages, program))
    const candidates = here.length > 0 ? here : [{ tensor: id, placement: placementOf(id) }]
    const ready = candidates.find((version) => isSlice(version.placement, wanted))
    if (ready) return ready.tensor
    const plans = candidates.map((from) => planFrom(from, id, wanted, scope))
    const best = plans.reduce((a, b) => (b.bytes < a.bytes ? b : a))
    const list = [...all]
    let current = best.from.tensor
    for (const step of best.steps) {
      if (step.op === 'slice') continue
      const node = communicationNode(id, current, step, reader, scope)
      out.push(node)
      current = node.id
      list.push({ tensor: current, placement: step.to, ...(node.stages && { stages: node.stages }) })
    }
    scope.versions.set(id, list)
    if (scope.segment === 'forward') saved.set(id, list)
    return current
  }
  const communicationNode = (
    id: string,
    from: string,
    step: TransitionStep,
    reader: Reader,
    scope: Scope,
  ): OperatorNode => {
    const source = tensor(id)
    const maker = producers.get(id)
    const here = maker?.segment === scope.segment ? maker : undefined
    const segment = maker?.segment ?? scope.segment
    const path = id.startsWith(`${segment}/`) ? id.slice(segment.length + 1) : id
    const node = uniqueId(`${here?.id ?? `${scope.segment}/${path}`}/${step.op}(${step.atoms.join('.')})`, used)
    const { body: _, nextOf: __, storage: ___, ...rest } = source
    created.set(node, {
      ...rest,
      id: node,
      role: source.role === 'gradient' || source.role === 'parameter' ? source.role : 'activation',
      per: scope.per,
      ...(scope.body !== undefined && { body: scope.body }),
      placement: step.to,
      versionOf: id,
    })
    const text = operandText(source.dims)
    // An exchange has who asked for the dim before and for that after, also where a sum splits it as its terms do.
    const dims = source.dims.filter((_, at) => step.from.shards[at]?.length || step.to.shards[at]?.length)
    const askers =
      step.op !== 'all-to-all'
        ? []
        : program.preferences.filter(
            ({ atoms, axis, dims: wished }) =>
              wished.some((dim) => dims.includes(dim)) &&
              step.atoms.every((atom) => (atoms ?? findAxis(mesh, axis)?.atoms)?.includes(atom)),
          )
    const strategies = [
      ...claims(maker?.partition, step.atoms),
      ...claims(reader.partition, step.atoms),
      ...askers.map(({ strategy }) => strategy),
    ]
    return {
      type: 'node',
      id: node,
      kind: 'communication',
      op: step.op,
      rule: `${text} -> ${text}`,
      inputs: [from],
      outputs: [node],
      segment: scope.segment,
      module: here?.module ?? reader.module ?? '',
      ...stagesOf(reader, maker),
      communication: {
        atoms: step.atoms,
        ...(step.reduction && { reduction: step.reduction }),
        from: step.from,
        to: step.to,
        reason: {
          tensor: id,
          producer: maker?.id ?? null,
          consumer: reader.id,
          strategies: [...new Set(strategies)].sort(),
        },
      },
    }
  }
  const visit = (items: readonly Item[], outer: Scope, end: (scope: Scope, out: Item[]) => void): Item[] => {
    const out: Item[] = []
    let scope = outer
    for (const item of items) {
      const segment = segmentOf([item]) ?? scope.segment
      if (segment !== scope.segment) scope = { ...scope, versions: new Map(), segment }
      if (item.type === 'region') {
        out.push(visitRegion(item, scope, out))
        continue
      }
      const { operands } = placementsOf(item, operators)
      const inputs =
        item.kind === 'communication'
          ? item.inputs
          : item.inputs.map((id, index) => get(id, operands[index] ?? placementOf(id), item, scope, out))
      for (const id of item.outputs) producers.set(id, item)
      out.push(inputs.every((id, index) => id === item.inputs[index]) ? item : { ...item, inputs })
      for (const id of item.outputs) {
        const { nextOf } = tensor(id)
        if (nextOf !== undefined) get(id, placementOf(nextOf), { ...item, id: nextOf }, scope, out)
        const sum = sums.get(id)
        if (sum) ended.set(id, get(id, placementOf(sum.result), { id: sum.region }, scope, out))
      }
    }
    end(scope, out)
    finished.set(scope.segment, new Map([...(finished.get(scope.segment) ?? []), ...scope.versions]))
    return out
  }
  const visitRegion = (region: Region, scope: Scope, out: Item[]): Region => {
    const reader = { id: region.id }
    let ports = region.ports.map((port) =>
      port.kind === 'carry'
        ? { ...port, initial: get(port.initial, placementOf(port.inner), reader, scope, out) }
        : port,
    )
    const bodies = region.bodies.map((body, index) => {
      const inner: Scope = {
        versions: new Map(),
        outer: scope,
        whole: wholeAtoms(body.items, operators, carried(region, index), placementOf),
        segment: scope.segment,
        per: [...scope.per, region.axis],
        body: region.bodies.length > 1 ? body.name : undefined,
      }
      const handOver = (last: Scope, list: Item[]) => {
        ports = ports.map((port) => {
          if (port.kind === 'carry') {
            const next = get(port.next[index] ?? '', placementOf(port.inner), reader, last, list)
            return { ...port, next: port.next.map((id, which) => (which === index ? next : id)) }
          }
          const term = port.kind === 'reduce' ? port.inner[index] : undefined
          if (port.kind !== 'reduce' || !term) return port
          const sum = ended.get(term) ?? get(term, placementOf(port.result), reader, last, list)
          return { ...port, inner: port.inner.map((id, which) => (which === index ? sum : id)) }
        })
      }
      return { ...body, items: visit(body.items, inner, handOver) }
    })
    for (const port of region.ports) {
      const inside =
        port.kind === 'carry' ? port.next[0] : port.kind === 'reduce' ? port.inner.find((id) => id !== null) : undefined
      const maker = inside ? producers.get(inside) : undefined
      if (maker && (port.kind === 'carry' || port.kind === 'reduce')) producers.set(port.result, maker)
    }
    return { ...region, ports, bodies }
  }
  const top: Scope = {
    versions: new Map(),
    outer: undefined,
    whole: wholeAtoms(program.items, operators, [], placementOf),
    segment: segmentOf(program.items) ?? 'forward',
    per: [],
    body: undefined,
  }
  return { items: visit(program.items, top, () => {}), tensors: [...created.values()] }
}

/** Whether a rank of a pipeline stands with both; in two directions, with both in the same one. */
function meet(a: OperatorNode['stages'], b: OperatorNode['stages'], { pipeline }: Program): boolean {
  if (!pipeline || !a || !b) return true
  const there = holdersOf(pipeline, a, 0)
  return holdersOf(pipeline, b, 0).every((coordinate) => there.includes(coordinate))
}

/** A conversion runs where its reader and its maker do: a tensor that several stages hold is reduced among them. */
function stagesOf(reader: Reader, maker: OperatorNode | undefined): Pick<OperatorNode, 'stages'> {
  const own = reader.type === 'node' ? reader.stages : maker?.stages
  if (!own) return {}
  const all = [...own, ...(maker?.stages ?? [])]
  return { stages: (['first', 'last'] as const).filter((stage) => all.includes(stage)) }
}

/** For each term of a sum over iterations the sum, and the region that makes it. */
function sumsOf({ items }: Program): Map<string, { readonly result: string; readonly region: string }> {
  const sums = new Map<string, { result: string; region: string }>()
  for (const { id, ports } of regionsOf(items))
    for (const port of ports)
      if (port.kind === 'reduce')
        for (const term of port.inner) if (term) sums.set(term, { result: port.result, region: id })
  return sums
}

function carried(region: Region, body: number): { id: string; like: string }[] {
  return region.ports.flatMap((port) =>
    port.kind === 'carry' ? [{ id: port.next[body] ?? '', like: port.inner }] : [],
  )
}

/**
 * For each tensor that readers of a body want differently, the atoms along which one of them wants the whole value: a
 * partial sum is then all-reduced once, and the others slice.
 */
function wholeAtoms(
  items: readonly Item[],
  operators: OperatorTable,
  handedOn: readonly { id: string; like: string }[],
  placementOf: (id: string) => Placement,
): Map<string, Set<string>> {
  const readers = new Map<string, Placement[]>()
  const want = (id: string, wanted: Placement) => {
    const list = readers.get(id)
    if (list) list.push(wanted)
    else readers.set(id, [wanted])
  }
  for (const { id, like } of handedOn) want(id, placementOf(like))
  for (const item of items) {
    if (item.type === 'region') {
      for (const port of item.ports) if (port.kind === 'carry') want(port.initial, placementOf(port.inner))
    } else if (item.kind !== 'communication') {
      const { operands } = placementsOf(item, operators)
      item.inputs.forEach((id, index) => want(id, operands[index] ?? placementOf(id)))
    }
  }
  const whole = new Map<string, Set<string>>()
  for (const [id, list] of readers) {
    if (list.length < 2) continue
    const isWhole = (each: Placement, atom: string) =>
      !each.partial[atom] && !each.shards.some((atoms) => atoms.includes(atom))
    // Where all of them want it whole, the order of the steps is free: what is reduced last is then a shard.
    const differs = (atom: string) =>
      list.some((each) => isWhole(each, atom)) && !list.every((each) => isWhole(each, atom))
    const atoms = Object.keys(placementOf(id).partial).filter(differs)
    if (atoms.length) whole.set(id, new Set(atoms))
  }
  return whole
}

function claims(partition: OperatorNode['partition'], atoms: readonly string[]): string[] {
  return atoms.flatMap((atom) => partition?.by[atom] ?? [])
}

function segmentOf(items: readonly Item[]): Segment | undefined {
  for (const item of items) {
    if (item.type === 'node') return item.segment
    for (const body of item.bodies) {
      const found = segmentOf(body.items)
      if (found) return found
    }
  }
  return undefined
}

function uniqueId(name: string, used: Set<string>): string {
  let id = name
  for (let count = 2; used.has(id); count++) id = `${name}#${count}`
  used.add(id)
  return id
}
