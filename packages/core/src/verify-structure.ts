import { type Check, unless } from './finding.js'
import {
  type Item,
  nodesOf,
  outsideRoles,
  type Phase,
  type Program,
  type Region,
  regionsOf,
  type Segment,
} from './program.js'

/** Rule 1: in every body each value is made before it is read, and made once. */
export function* checkOrder(program: Program): ReturnType<Check> {
  const { tensors, items } = program
  const made = new Set<string>()
  const ids = new Set<string>()
  const nodes = new Set(nodesOf(items).map(({ id }) => id))
  const make = (id: string, by: string, known: Set<string>) => {
    const twice = made.has(id)
    made.add(id)
    known.add(id)
    return unless(!twice, by, `\`${id}\` is made twice.`, 'Give each result one producer.')
  }
  function* visit(list: readonly Item[], known: Set<string>, outer?: Set<string>, around?: Region): ReturnType<Check> {
    const done = new Set(outer)
    for (const item of list) {
      const { id } = item
      yield unless(!ids.has(id), id, `The id \`${id}\` stands twice.`, 'Give every node and region an id of its own.')
      ids.add(id)
      const carried =
        item.type === 'region' ? item.ports.flatMap((port) => (port.kind === 'carry' ? port.initial : [])) : []
      for (const read of item.type === 'node' ? item.inputs : carried) {
        const tensor = tensors.get(read)
        const ready = known.has(read) || (tensor !== undefined && outsideRoles.includes(tensor.role))
        const when = tensor ? 'before it is made' : 'which does not exist'
        yield unless(
          ready,
          id,
          `\`${id}\` reads \`${read}\` ${when}.`,
          'Move the producer before its reader, or break the cycle.',
        )
      }
      const after = (item.type === 'node' && item.after) || []
      for (const before of after)
        yield typeof before === 'string'
          ? unless(
              done.has(before),
              id,
              `\`${id}\` waits for \`${before}\`, which does not come before it.`,
              'Name an earlier item of the same body, or of one around it.',
            )
          : before.turns
            ? unless(
                nodes.has(before.item),
                id,
                `\`${id}\` waits for \`${before.item}\` of an earlier turn, which is not there.`,
                'Name a node of the program.',
              )
            : unless(
                around !== undefined && around.order !== 'parallel' && holds(around, before.item),
                id,
                `\`${id}\` waits for \`${before.item}\` of an earlier iteration, which is not there.`,
                'Name an item of a body of the region around it, one whose iterations have an order.',
              )
      if (item.type === 'region') yield* visitRegion(item, known, done)
      else for (const output of item.outputs) yield make(output, id, known)
      done.add(id)
    }
  }
  function* visitRegion(region: Region, known: Set<string>, done: Set<string>): ReturnType<Check> {
    const { id, bodies, ports } = region
    const after = new Set(known)
    for (const [index, body] of bodies.entries()) {
      const inner = new Set(known)
      for (const port of ports) if (port.kind === 'carry') inner.add(port.inner)
      yield* visit(body.items, inner, done, region)
      for (const port of ports) {
        const handed = port.kind === 'carry' ? port.next[index] : port.kind === 'reduce' ? port.inner[index] : undefined
        if (handed)
          yield unless(
            inner.has(handed),
            id,
            `\`${body.name}\` of \`${id}\` hands on \`${handed}\`, which it does not make.`,
            'Hand on a value of the body.',
          )
      }
      // A carry's inner value may be saved: a region over the same axis reads it iteration by iteration.
      for (const each of inner) after.add(each)
    }
    for (const each of after) known.add(each)
    for (const port of ports) if (port.kind === 'carry' || port.kind === 'reduce') yield make(port.result, id, known)
  }
  yield unless(items.length > 0, '', 'The program has no items.', 'Plan it again from its spec.')
  yield* visit(items, new Set())
  yield* checkRegions(program)
}

function holds({ bodies }: Region, item: string): boolean {
  return bodies.some(({ items }) => items.some(({ id }) => id === item))
}

/**
 * Regions over one axis stand for the same iterations; a carry needs an order, and its gradient the opposite one. A ring
 * has no end to turn back from.
 */
function* checkRegions({ items, tensors }: Program): ReturnType<Check> {
  const choices = new Map<string, string>()
  const orders = new Map<string, Region['order']>()
  for (const { id, axis, extent, order, select, bodies, ports } of regionsOf(items)) {
    const choice = JSON.stringify([extent, select, bodies.map((body) => body.name)])
    const known = choices.get(axis) ?? choice
    choices.set(axis, known)
    yield unless(
      known === choice,
      id,
      `\`${id}\` repeats over \`${axis}\` otherwise than the first region over it.`,
      'Give both one extent and one choice of bodies.',
    )
    const period = select.reduce((total, run) => total + run.count, 0)
    yield unless(
      period > 0 && extent > 0 && period <= extent,
      id,
      `\`${id}\` has ${extent} iterations, but chooses bodies for ${period}.`,
      'Let the choice cover the iterations, or divide them.',
    )
    const carries = ports.some((port) => port.kind === 'carry')
    yield unless(
      !carries || order !== 'parallel',
      id,
      `\`${id}\` hands values on, but has no order.`,
      'Make its order `forward` or `reverse`.',
    )
    const segment = nodesOf(bodies.flatMap((body) => body.items))[0]?.segment
    const isRing = ports.some((port) => port.kind === 'carry' && tensors.get(port.inner)?.rotation)
    if (!carries || isRing || (segment !== 'forward' && segment !== 'backward')) continue
    orders.set(segment, order)
    const [forward, backward] = [orders.get('forward'), orders.get('backward')]
    yield unless(
      !forward || !backward || forward !== backward,
      id,
      `\`${id}\` runs in the order of its forward region.`,
      'Reverse it.',
    )
  }
}

const segmentsOf: Readonly<Record<Phase, readonly Segment[]>> = {
  training: ['forward', 'backward', 'optimizer'],
  prefill: ['prefill'],
  decode: ['decode'],
}

/** Rule 6: a program holds the segments of its own phase alone, and a node stands in the one that its id begins with. */
export function* checkPhases({ phase, items }: Program): ReturnType<Check> {
  for (const { id, segment } of nodesOf(items)) {
    yield unless(
      segmentsOf[phase]?.includes(segment),
      id,
      `\`${id}\` belongs to \`${segment}\`, which is no part of ${phase}.`,
      'Plan each phase on its own.',
    )
    const [first = ''] = id.split('/')
    yield unless(
      first === segment || !Object.values(segmentsOf).some((all) => all.some((each) => each === first)),
      id,
      `\`${id}\` says that it belongs to \`${segment}\`.`,
      `Give it the segment \`${first}\`, or another id.`,
    )
  }
}

/** Rule 7: a node that hands a cache to attention reads what a memory node of the same step wrote. */
export function* checkCaches({ tensors, items }: Program): ReturnType<Check> {
  const written = new Set<string>()
  for (const { id, kind, inputs, outputs } of nodesOf(items)) {
    if (kind !== 'memory') continue
    const isCache = (tensor: string) => tensors.get(tensor)?.role === 'cache'
    const writes = outputs.some(isCache)
    if (writes) for (const output of outputs) written.add(output)
    else
      for (const input of inputs)
        yield unless(
          !isCache(input) || written.has(input),
          id,
          `\`${id}\` reads \`${input}\`, which nothing wrote in this step.`,
          'Read the cache after its write.',
        )
  }
}
