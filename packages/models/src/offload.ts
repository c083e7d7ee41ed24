import {
  type Body,
  compileSelector,
  type Earlier,
  edit,
  type Item,
  lookup,
  type Matcher,
  nodesOf,
  notBefore,
  type OperatorNode,
  operandText,
  type Pass,
  type Place,
  type Program,
  type Region,
  regionsOf,
  type Selector,
  ShardloomError,
  type Tensor,
} from '@shardloom/core'

/** Which of the tensors that layers save for backward wait in host memory. */
export interface OffloadChoice {
  /** The operators of forward whose results go; the input of a layer goes with its first reader. Default: all. */
  readonly where?: Selector
  /**
   * How many layers ahead of the one whose backward is at work saved tensors may come back; 0 brings back a layer's own when
   * backward gets there. Default 1: more would be there at once than there is room for.
   */
  readonly prefetch?: number
}

/** Where saved tensors wait: in the rank's own memory, or in that of its host. */
export type Offload = 'none' | 'activations' | OffloadChoice

/**
 * Sends what layers save for backward to host memory after it is made, and brings it back before its first reader (ZeRO-R,
 * Rajbhandari et al. 2020, section 6.1). It moves the versions that backward reads, each rank its own part, so that it runs
 * when all communication is there. Throws `OFFLOAD` for a choice that moves nothing.
 */
export function offloadPass(offload: Exclude<Offload, 'none'>): Pass {
  const choice: OffloadChoice = offload === 'activations' ? {} : offload
  return {
    name: 'models/offload',
    phase: 'schedule',
    run(program, { warn }) {
      if (program.phase !== 'training') throw movesNothing('only training has a backward')
      if (nodesOf(program.items).some(({ op }) => op === 'offload')) return program
      const regions = regionsOf(program.items).filter(({ axis }) => axis === 'layer')
      const of = (segment: OperatorNode['segment']) =>
        regions.find((region) => nodesOf([region])[0]?.segment === segment)
      const [forward, backward] = [of('forward'), of('backward')]
      if (!forward || !backward) throw movesNothing('there are no layers')
      const { prefetch = 1 } = choice
      const after = prefetch + 1 < backward.extent ? notBefore(backward, prefetch) : []
      if (choice.prefetch !== undefined && after.length === 0)
        warn(`\`prefetch: ${prefetch}\` changes nothing: no layer runs so far ahead`)
      const tensors = new Map<string, Tensor>()
      const replaced = new Map<Region, Region>([
        [forward, forward],
        [backward, backward],
      ])
      forward.bodies.forEach((body, index) => {
        const matches = compileSelector(choice.where, (id) => program.tensors.get(id))
        const place: Place = { path: [{ region: forward, body: index }], executions: 1 }
        const other = backward.bodies.find(({ name }) => name === body.name)
        if (!other) return
        const moved = moveBody(program, body, other, { forward, after, matches, place, tensors })
        replace(replaced, forward, moved.forward)
        replace(replaced, backward, moved.backward)
      })
      if (tensors.size === 0) throw movesNothing('no tensor is selected that a layer saves')
      const draft = edit(program)
      for (const tensor of tensors.values()) draft.setTensor(tensor)
      const visit = (items: readonly Item[]): Item[] =>
        items.map((item) =>
          item.type === 'node'
            ? item
            : (replaced.get(item) ?? {
                ...item,
                bodies: item.bodies.map((each) => ({ ...each, items: visit(each.items) })),
              }),
        )
      draft.setItems(visit(program.items))
      draft.set({ notes: { ...program.notes, offload: typeof offload === 'string' ? offload : 'chosen' } })
      return draft.commit()
    },
  }
}

function replace(replaced: Map<Region, Region>, region: Region, body: Body): void {
  const known = replaced.get(region) ?? region
  replaced.set(region, { ...known, bodies: known.bodies.map((each) => (each.name === body.name ? body : each)) })
}

interface Moving {
  readonly forward: Region
  readonly matches: Matcher
  readonly place: Place
  /** What reloads wait for. */
  readonly after: readonly Earlier[]
  readonly tensors: Map<string, Tensor>
}

/** The two bodies of one kind of layer, with an offload behind each saved tensor's producer and a reload before its reader. */
function moveBody(program: Program, forward: Body, backward: Body, moving: Moving): { forward: Body; backward: Body } {
  const read = new Set(backward.items.flatMap((item) => (item.type === 'node' ? item.inputs : [])))
  const own = moving.forward.bodies.length > 1 ? { body: forward.name } : {}
  const host = new Map<string, string>()
  const out: Item[] = []
  const send = (id: string, maker: OperatorNode) => {
    const tensor = lookup(program.tensors, id)
    if (!read.has(id) || tensor.role !== 'activation' || !moving.matches(maker, moving.place)) return
    const node = mover(tensor, 'offload', `forward/${forward.name}/${tail(id, forward.name)}/offload`, id, maker)
    moving.tensors.set(node.id, { ...saved(tensor), ...own, id: node.id })
    host.set(id, node.id)
    out.push(node)
  }
  const carried = moving.forward.ports.flatMap((port) => (port.kind === 'carry' ? [port.inner] : []))
  for (const item of forward.items) {
    const first = item.type === 'node' ? carried.filter((id) => item.inputs.includes(id) && !host.has(id)) : []
    if (item.type === 'node') for (const id of first) send(id, item)
    out.push(item)
    if (item.type === 'node') for (const id of item.outputs) send(id, item)
  }
  return { forward: { ...forward, items: out }, backward: reload(program, backward, host, moving, own) }
}

function reload(
  program: Program,
  backward: Body,
  host: ReadonlyMap<string, string>,
  { after, tensors }: Moving,
  own: Pick<Tensor, 'body'>,
): Body {
  const back = new Map<string, string>()
  const reloads: OperatorNode[] = []
  const items = backward.items.map((item): Item => {
    if (item.type === 'region') return item
    for (const id of item.inputs) {
      const from = host.get(id)
      if (from === undefined || back.has(id)) continue
      const tensor = lookup(program.tensors, id)
      const name = from.replace(/^forward\//, 'backward/').replace(/\/offload$/, '/reload')
      const node = mover(tensor, 'reload', name, from, item)
      tensors.set(name, { ...saved(tensor), ...own, id: name })
      reloads.push(after.length > 0 ? { ...node, after } : node)
      back.set(id, name)
    }
    const inputs = item.inputs.map((id) => back.get(id) ?? id)
    return inputs.every((id, at) => id === item.inputs[at]) ? item : { ...item, inputs }
  })
  return { ...backward, items: [...reloads, ...items] }
}

/** A node that moves what the rank holds of a tensor between its memory and the host's. */
function mover(tensor: Tensor, op: 'offload' | 'reload', id: string, input: string, near: OperatorNode): OperatorNode {
  const dims = operandText(tensor.dims)
  const { shards = [], partial = {} } = tensor.placement ?? {}
  const splits = tensor.dims.flatMap((dim, position) =>
    shards[position]?.length ? [[dim, shards[position] ?? []] as const] : [],
  )
  const passed = Object.keys(partial).map((atom) => [atom, [0]] as const)
  return {
    type: 'node',
    id,
    kind: 'memory',
    op,
    rule: `${dims} -> ${dims}`,
    inputs: [input],
    outputs: [id],
    segment: op === 'offload' ? 'forward' : 'backward',
    module: near.module,
    partition: { splits: Object.fromEntries(splits), partial: Object.fromEntries(passed), by: {} },
  }
}

/** A copy of a tensor, which is a version of it like those that communication makes. */
function saved({ nextOf: _, ...tensor }: Tensor): Tensor {
  return { versionOf: tensor.id, ...tensor }
}

/** What a tensor's id says after the segment and the body: `attention/q`, `x`. */
function tail(id: string, body: string): string {
  const [segment, first, ...rest] = id.split('/')
  if (segment !== 'forward') return id
  return (first === body || first === 'layers' ? rest : [first, ...rest]).join('/')
}

function movesNothing(why: string): ShardloomError {
  return new ShardloomError('OFFLOAD', `\`offload\` changes nothing: ${why}.`, {
    subject: 'offload',
    help: 'Leave it out, or select operators whose results backward reads.',
  })
}
