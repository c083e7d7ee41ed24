import {
  atomDegree,
  edit,
  findAxis,
  type Item,
  type OperatorNode,
  type Pass,
  type Program,
  parseRule,
  type Selector,
  ShardloomError,
  shareOf,
  type Tensor,
  walk,
} from '@shardloom/core'
import { expertCounts } from './expert-counts.js'

/**
 * `ep/place-experts`: holds `redundant` experts once more, for inference. Experts become slots: weights, dispatched tokens
 * and what is computed of them have a position for each slot, and a control node before dispatch turns the experts of a
 * token into slots. Which experts get copies and where they stand follows DeepSeek's EPLB (global load balancing): the next
 * copy is of the expert whose copies have the largest load each; slots go to ranks in the order of their loads, each to the
 * rank with the smallest sum that has room. Throws `REDUNDANT` where it cannot.
 */
export function placeExperts(redundant: number | undefined, where: Selector | undefined): Pass {
  return {
    name: 'ep/place-experts',
    phase: 'partition',
    after: ['ep/load-experts'],
    run(program, { warn }) {
      if (!redundant || placedIn(program) !== undefined) return program
      const ep = findAxis(program.mesh, 'ep')
      const [experts, ...others] = expertCounts(program)
      if (!ep || ep.degree === 1 || experts === undefined) {
        const why = experts === undefined ? 'the model has no experts' : '`ep` is 1'
        warn(`\`ep.redundant\` changes nothing: ${why}`)
        return program
      }
      if (program.phase === 'training')
        throw refuse('copies would need one gradient', 'Leave `ep.redundant` out, or plan prefill or decode.')
      if (where) throw refuse('`ep.where` names some experts alone', 'Leave one of the two out.')
      if (others.length) throw refuse('layers have different numbers of experts', 'Leave `ep.redundant` out.')
      const most = experts * (ep.degree - 1)
      if (redundant > most)
        throw refuse(`each of the ${ep.degree} ranks would hold all ${experts} experts`, `Use at most ${most}.`)
      const loads = program.loads?.['experts'] ?? Array.from({ length: experts }, () => 1)
      const counts = copiesOf(loads, redundant)
      const room = ep.atoms.reduce(
        (sizes, atom) => {
          const degree = atomDegree(program.mesh, atom)
          return sizes.flatMap((size) => Array.from({ length: degree }, (_, index) => shareOf(size, degree, index)))
        },
        [experts + redundant],
      )
      const slots = packed(loads, counts, room)
      return widened(program, slots, loadsOf(slots, loads, counts))
    },
  }
}

/** How many experts are redundant, where experts have become slots already. */
export function placedIn(program: Program): number | undefined {
  let found: number | undefined
  walk(program.items, ({ op, attributes }) => {
    const slots = op === 'choose_copy' ? attributes?.['slots'] : undefined
    if (Array.isArray(slots)) found = slots.length - new Set(slots).size
  })
  return found
}

/** How often each expert is held: one more where the load of each copy is largest, the first of equal ones, again and again. */
function copiesOf(loads: readonly number[], redundant: number): number[] {
  const counts = loads.map(() => 1)
  for (let copy = 0; copy < redundant; copy++) {
    const each = loads.map((load, expert) => load / (counts[expert] ?? 1))
    const most = each.indexOf(Math.max(...each))
    counts[most] = (counts[most] ?? 0) + 1
  }
  return counts
}

/** The expert of each slot, rank after rank. */
function packed(loads: readonly number[], counts: readonly number[], room: readonly number[]): number[] {
  const load = (expert: number) => (loads[expert] ?? 0) / (counts[expert] ?? 1)
  const items = counts.flatMap((count, expert) => Array.from({ length: count }, () => expert))
  const ranks = room.map((size) => ({ size, sum: 0, experts: [] as number[] }))
  for (const expert of items.sort((a, b) => load(b) - load(a) || a - b)) {
    const free = ranks.filter((rank) => rank.experts.length < rank.size)
    const least = free.reduce((best, rank) => (rank.sum < best.sum ? rank : best))
    least.experts.push(expert)
    least.sum += load(expert)
  }
  return ranks.flatMap((rank) => rank.experts.sort((a, b) => a - b))
}

/** The largest sum of loads in whole numbers that stay exact. */
const mostLoad = 2 ** 48

/** What falls to each slot: the copies of an expert share its tokens. */
function loadsOf(slots: readonly number[], loads: readonly number[], counts: readonly number[]): number[] {
  const sum = loads.reduce((all, load) => all + load, 0)
  const unit = counts.reduce((all, count) => (all % count === 0 ? all : all * count), 1)
  const scale = Math.min(unit, Math.floor(mostLoad / sum))
  return slots.map((expert) => Math.round(((loads[expert] ?? 0) * scale) / (counts[expert] ?? 1)))
}

/** The program with slots in the place of experts, from dispatch to combine. */
function widened(program: Program, slots: readonly number[], loads: readonly number[]): Program {
  const draft = edit(program)
  const names = new Map<string, string>()
  /** The tensor with a position for each slot: weights are copies, what is made of tokens is another tensor. */
  const widen = (id: string, dims: readonly string[]) => {
    const position = dims.indexOf('experts')
    if (position < 0) return id
    const tensor = draft.tensor(id)
    if (tensor.copies) return id
    const shape = tensor.shape.map((size, at) => (at === position ? slots.length : size))
    const { density } = tensor
    const wide: Tensor = { ...tensor, shape, ...(density && { density: [density[0], slots.length] }) }
    const name = tensor.role === 'parameter' ? id : `${id}.slots`
    draft.setTensor(name === id ? { ...wide, copies: { position, of: slots } } : { ...wide, id: name })
    names.set(id, name)
    return name
  }
  const chosen = (node: OperatorNode): OperatorNode[] => {
    const [x = '', indices = ''] = node.inputs
    const id = `${node.id.slice(0, node.id.lastIndexOf('/') + 1)}choose_copy`
    const { attributes: _, density: __, ...rest } = node
    draft.setTensor({ ...draft.tensor(indices), id })
    names.set(indices, id)
    const rule = 'batch seq topk! -> batch seq topk!'
    const attributes = { slots }
    return [
      { ...rest, id, kind: 'control', op: 'choose_copy', rule, inputs: [indices], outputs: [id], attributes },
      { ...node, inputs: [x, id] },
    ]
  }
  const wideNode = (node: OperatorNode): OperatorNode => {
    const { operands, results, space } = parseRule(node.rule)
    if (!node.density || !space.includes('experts')) return node
    const inputs = node.inputs.map((id, index) => names.get(id) ?? widen(id, operands[index] ?? []))
    const outputs = node.outputs.map((id, index) => widen(id, results[index] ?? []))
    return { ...node, inputs, outputs, density: [node.density[0], slots.length] }
  }
  const visit = (items: readonly Item[]): Item[] =>
    items.flatMap((item): Item[] => {
      if (item.type === 'region')
        return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: visit(body.items) })) }]
      return item.op === 'dispatch' ? chosen(item).map(wideNode) : [wideNode(item)]
    })
  draft.setItems(visit(program.items))
  const { experts: _, ...rest } = program.loads ?? {}
  const even = loads.every((load) => load === loads[0])
  draft.set({ loads: even ? rest : { ...rest, experts: loads } })
  return draft.commit()
}

function refuse(why: string, help: string): ShardloomError {
  return new ShardloomError('REDUNDANT', `Cannot hold experts more than once by \`ep.redundant\`: ${why}.`, {
    subject: 'ep',
    help,
  })
}
