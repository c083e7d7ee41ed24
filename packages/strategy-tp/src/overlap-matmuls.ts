import {
  assert,
  edit,
  findAxis,
  groupSize,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  operandText,
  orList,
  type Pass,
  type Placement,
  type Program,
  parseRule,
  placementsOf,
  rewriteItems,
  ShardloomError,
  samePlacement,
  type Tensor,
} from '@shardloom/core'
import { type Candidate, overlapCandidates, type Site } from './overlap-sites.js'
import type { PartOf } from './part-operators.js'

/**
 * `tp/overlap-matmuls`: matmuls and the collectives of their results, or of what they read, run in `parts` parts, so that
 * the collective of one part has nothing to wait for but its own matmul (Wang et al. 2023, ASPLOS, section 4). A part keeps
 * the positions of its elements: its tensors are as large as the whole, of which 1/`parts` exists. Runs when all
 * communication is there.
 */
export function overlapMatmuls(parts: number): Pass {
  if (!Number.isSafeInteger(parts) || parts < 2)
    throw new ShardloomError('OPTION', `\`overlap\` is ${parts}.`, {
      subject: 'tp',
      help: 'Give it the number of parts, 2 or more.',
    })
  return {
    name: 'tp/overlap-matmuls',
    phase: 'schedule',
    run(program, { operators }) {
      if (nodesOf(program.items).some(({ op }) => op === 'concatenate')) return program
      if (!findAxis(program.mesh, 'tp')?.atoms.length) throw changesNothing(parts, '`tp` is 1', 'set `tp` to 2 or more')
      const candidates = overlapCandidates(program, operators)
      if (candidates.length === 0)
        throw changesNothing(
          parts,
          'no collective over `tp` stands beside a matmul that is not divided already',
          'divide more operators over `tp`, or leave out what runs layers in parts',
        )
      const sites = new Map(candidates.map((each) => [each.collective, siteOf(each, parts, candidates)]))
      const tensors = new Map<string, Tensor>()
      const ends = new Map<string, string>()
      const divided = rewriteItems(program.items, (list) => {
        const own = list.flatMap((item) => (item.type === 'node' ? (sites.get(item) ?? []) : []))
        return own.length ? divide(list, own, { program, operators, parts, tensors, ends }) : list
      })
      const items = rewriteItems(divided, (list) => waiting(list, ends))
      const draft = edit(program)
      for (const tensor of tensors.values()) draft.setTensor(tensor)
      draft.setItems(items)
      return draft.commit()
    },
  }
}

function changesNothing(parts: number, why: string, instead: string): ShardloomError {
  return new ShardloomError('OPTION', `\`overlap: ${parts}\` changes nothing: ${why}.`, {
    subject: 'tp',
    help: `Leave \`overlap\` out, or ${instead}.`,
  })
}

/** The first dim of the collective's tensor that the parts divide. Throws `INDIVISIBLE` with the numbers that would work. */
function siteOf({ collective, dims }: Candidate, parts: number, all: readonly Candidate[]): Site {
  const found = dims.find(({ size }) => size % parts === 0)
  if (found) return found.site
  // No number above a size divides it.
  const most = Math.min(Math.max(64, 2 * parts), ...all.map((each) => Math.max(...each.dims.map(({ size }) => size))))
  const working = Array.from({ length: Math.max(0, most - 1) }, (_, index) => index + 2).filter((count) =>
    all.every((each) => each.dims.some(({ size }) => size % count === 0)),
  )
  const sizes = dims.map(({ dim, size }) => `${size} of dim \`${dim}\``).join(' and ')
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot divide \`${collective.id}\` and its matmuls into ${parts} parts: a rank has ${sizes}.`,
    {
      subject: 'tp',
      help: working.length
        ? `Use \`overlap: ${orList(working.map(String))}\`.`
        : 'No number of parts divides every collective: leave `overlap` out, or let ranks have more sequences or tokens.',
    },
  )
}

interface Scope {
  readonly program: Program
  readonly operators: OperatorTable
  readonly parts: number
  /** Tensors that are made anew. */
  readonly tensors: Map<string, Tensor>
  /** Node that is divided → the last of those that stand for it. */
  readonly ends: Map<string, string>
}

/** The items of one body with the operators of some sites taken apart. */
function divide(items: readonly Item[], sites: readonly Site[], scope: Scope): Item[] {
  const made = new Map(items.flatMap((item, at) => (item.type === 'node' ? item.outputs : []).map((id) => [id, at])))
  const place = new Map(items.map((item, at) => [item.id, at]))
  const { ends } = scope
  const inserted = new Map<number, OperatorNode[]>()
  const insert = (at: number, nodes: readonly OperatorNode[]) => {
    inserted.set(at, [...(inserted.get(at) ?? []), ...nodes])
  }
  const emptyRounds = () => Array.from({ length: scope.parts }, (): OperatorNode[] => [])
  for (const { collective, position, finest, before, behind, others } of sites) {
    // What reads a gathered value and is reduced itself has been divided with the former.
    if (before.some(({ id }) => ends.has(id))) continue
    const division = new Division(scope, finest)
    const rounds = emptyRounds()
    for (const node of before) ends.set(node.id, division.divideNode(node, position, rounds))
    ends.set(collective.id, division.divideCollective(collective, position, rounds))
    const join = (node: OperatorNode) => {
      const joined = division.join(node)
      ends.set(node.id, joined.id)
      return joined
    }
    const last = before.at(-1) ?? collective
    insert(place.get(last.id) ?? 0, [...rounds.flat(), ...(others ? [join(collective)] : [])])
    // Matmuls that have all they read at the first one's place take turns there, part by part.
    const first = Math.min(...behind.map(({ id }) => place.get(id) ?? 0))
    const slots = new Map<number, OperatorNode[]>()
    for (const node of behind) {
      const ready = node.inputs.every((id) => (made.get(id) ?? -1) < first)
      const slot = ready ? first : (place.get(node.id) ?? first)
      slots.set(slot, [...(slots.get(slot) ?? []), node])
    }
    for (const [slot, nodes] of slots) {
      const turns = emptyRounds()
      for (const node of nodes) {
        const { operands, results } = parseRule(node.rule)
        const dim = operands[node.inputs.indexOf(collective.outputs[0] ?? '')]?.[position] ?? ''
        division.divideNode(node, results[0]?.indexOf(dim) ?? 0, turns)
      }
      insert(slot, [...turns.flat(), ...nodes.map(join)])
    }
  }
  return items.flatMap((item, at) => [...(ends.has(item.id) ? [] : [item]), ...(inserted.get(at) ?? [])])
}

/** Lets items that waited for a divided node wait for its end; where that comes later now, for what they stand behind. */
function waiting(items: readonly Item[], ends: ReadonlyMap<string, string>): Item[] {
  const done = new Set<string>()
  let last: string | undefined
  return items.map((item) => {
    const before = last
    done.add(item.id)
    if (item.type !== 'node') return item
    if (item.kind === 'compute') last = item.id
    if (!item.after) return item
    const after = item.after.flatMap((wait) => {
      if (typeof wait !== 'string') return { ...wait, item: ends.get(wait.item) ?? wait.item }
      const end = ends.get(wait) ?? wait
      return done.has(end) ? end : (before ?? [])
    })
    return { ...item, after: after.filter((wait, at) => typeof wait !== 'string' || after.indexOf(wait) === at) }
  })
}

/** What one site's tensors became. */
class Division {
  /** Tensor → its parts. */
  private readonly known = new Map<string, readonly string[]>()

  constructor(
    private readonly scope: Scope,
    private readonly finest: readonly string[],
  ) {}

  /** Puts the parts of a node whose result is divided at `position` into `rounds`, with slices of what it reads; the last one's id. */
  divideNode(node: OperatorNode, position: number, rounds: OperatorNode[][]): string {
    const rule = parseRule(node.rule)
    const dim = rule.results[0]?.[position] ?? ''
    const { operands } = placementsOf(node, this.scope.operators)
    const inputs = node.inputs.map((id, index) => {
      const at = rule.operands[index]?.indexOf(dim) ?? -1
      return at < 0 ? undefined : this.partsOf(id, at, operands[index], node, rounds)
    })
    const { parts } = this.scope
    return this.copies(node, rounds, (index) => ({
      ...node,
      inputs: node.inputs.map((id, which) => inputs[which]?.[index] ?? id),
      density: [1, parts],
    }))
  }

  /** Puts the collectives of the parts into `rounds`; the last one's id. */
  divideCollective(node: OperatorNode, position: number, rounds: OperatorNode[][]): string {
    const { communication, inputs } = node
    assert(communication, `\`${node.id}\` does not communicate`)
    const from = this.partsOf(inputs[0] ?? '', position, communication.from, node, rounds)
    return this.copies(node, rounds, (index) => {
      const tensor = from[index] ?? ''
      const producer = rounds[index]?.find(({ outputs }) => outputs.includes(tensor))?.id ?? null
      const reason = { ...communication.reason, tensor, producer }
      return { ...node, inputs: [tensor], communication: { ...communication, reason } }
    })
  }

  /** The node that makes the divided node's result from its parts. */
  join(node: OperatorNode): OperatorNode {
    const whole = node.outputs[0] ?? ''
    const tensor = lookup(this.scope.program.tensors, whole)
    const dims = operandText(tensor.dims)
    const inputs = this.known.get(whole) ?? []
    return {
      ...this.view(node, tensor.placement, tensor.dims, inputs.length),
      id: `${node.id}/concatenate`,
      op: 'concatenate',
      rule: `${inputs.map(() => dims).join(', ')} -> ${dims}`,
      inputs,
      outputs: [whole],
    }
  }

  private copies(node: OperatorNode, rounds: OperatorNode[][], copy: (index: number) => OperatorNode): string {
    const [whole = ''] = node.outputs
    const { versionOf: _, nextOf: __, ...tensor } = lookup(this.scope.program.tensors, whole)
    const ids = rounds.map((round, index) => {
      const made = copy(index)
      const id = `${node.id}/part${index + 1}`
      const output = `${whole}/part${index + 1}`
      const part = { ...tensor, id: output, density: [1, this.scope.parts] as const }
      this.scope.tensors.set(output, node.communication ? { ...part, versionOf: made.inputs[0] ?? '' } : part)
      round.push({ ...made, id, outputs: [output] })
      return output
    })
    this.known.set(whole, ids)
    return rounds.at(-1)?.at(-1)?.id ?? node.id
  }

  /** The parts of a tensor as `reader` finds it placed; slices where nothing made it part by part. */
  private partsOf(
    id: string,
    position: number,
    placement: Placement | undefined,
    reader: OperatorNode,
    rounds: OperatorNode[][],
  ): readonly string[] {
    const known = this.known.get(id)
    if (known) return known
    const { mesh, tensors } = this.scope.program
    const { versionOf: _, nextOf: __, body: ___, ...tensor } = lookup(tensors, id)
    const { per, body } = lookup(tensors, reader.outputs[0] ?? '')
    const dims = operandText(tensor.dims)
    const blocks = groupSize(mesh, this.finest) / groupSize(mesh, placement?.shards[position] ?? [])
    const short = `${reader.id}/slice(${id.slice(id.lastIndexOf('/') + 1)})`
    const base = this.scope.tensors.has(`${short}/part1`) ? `${reader.id}/slice(${id})` : short
    const ids = rounds.map((round, index) => {
      const slice = `${base}/part${index + 1}`
      const part: PartOf = { dim: tensor.dims[position] ?? '', index, parts: this.scope.parts, blocks }
      this.scope.tensors.set(slice, {
        ...tensor,
        id: slice,
        role: 'activation',
        per,
        ...(body !== undefined && { body }),
        density: [1, this.scope.parts],
        ...(placement && { placement }),
      })
      round.push({
        ...this.view(reader, placement, tensor.dims, 1),
        id: slice,
        op: 'slice',
        rule: `${dims} -> ${dims}`,
        inputs: [id],
        outputs: [slice],
        attributes: { part },
      })
      return slice
    })
    // Readers that take another part of it from their rank have slices of their own.
    if (placement && tensor.placement && samePlacement(tensor.placement, placement)) this.known.set(id, ids)
    return ids
  }

  /** What a node that only names parts shares with the one beside which it stands. */
  private view(
    { segment, module, stages, recompute, gradient }: OperatorNode,
    placement: Placement | undefined,
    dims: readonly string[],
    operands: number,
  ) {
    const { shards = [], partial = {} } = placement ?? {}
    const splits = dims.flatMap((dim, at) => (shards[at]?.length ? [[dim, shards[at] ?? []] as const] : []))
    const every = Array.from({ length: operands }, (_, index) => index)
    const passed = Object.keys(partial).map((atom) => [atom, every] as const)
    return {
      type: 'node' as const,
      kind: 'compute' as const,
      segment,
      module,
      ...(stages && { stages }),
      ...(recompute && { recompute }),
      ...(gradient && { gradient }),
      partition: { splits: Object.fromEntries(splits), partial: Object.fromEntries(passed), by: {} },
    }
  }
}
