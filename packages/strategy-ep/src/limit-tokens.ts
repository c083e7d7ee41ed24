import {
  edit,
  type Item,
  lookup,
  type OperatorNode,
  type Pass,
  type Program,
  ShardloomError,
  walk,
} from '@shardloom/core'
import type { ExpertParallelOptions } from './index.js'

/**
 * `ep/limit-tokens`: each expert has a buffer of ceil(`capacityFactor` · tokens · topK / experts) tokens (Fedus et al. 2022,
 * equation 3, with Lepikhin et al. 2020 for topK > 1), counted over the tokens of a microbatch on all ranks. Buffers are sent
 * and computed whole: FLOPs and bytes count them, however tokens are spread. Tokens beyond them are dropped, which is
 * counted and not executed. Throws `CAPACITY` where it cannot.
 */
export function limitTokens({ capacityFactor, redundant, where }: ExpertParallelOptions): Pass {
  return {
    name: 'ep/limit-tokens',
    phase: 'partition',
    after: ['ep/load-experts'],
    run(program, { warn }) {
      if (capacityFactor === undefined || isLimited(program)) return program
      if (!(capacityFactor > 0 && Number.isFinite(capacityFactor)))
        throw refuse(`it is ${capacityFactor}`, 'It is a number above 0, such as 1.25.')
      if (redundant) throw refuse('`ep.redundant` divides tokens among copies', 'Leave one of the two out.')
      if (where) throw refuse('`ep.where` names some experts alone', 'Leave one of the two out.')
      const limited = padded(program, capacityFactor)
      if (limited === program) warn('`ep.capacityFactor` changes nothing: the model has no experts')
      const share = droppedShare(limited, program.loads?.['experts'])
      if (share > 0) warn(`\`ep.capacityFactor\` drops ${percent(share)} of what tokens send to experts`)
      return limited
    },
  }
}

/** Whether experts have buffers already. */
export function isLimited(program: Program): boolean {
  return capacities(program).length > 0
}

interface Capacity {
  readonly capacity: number
  readonly tokens: number
  readonly topK: number
  readonly experts: number
}

/** The buffers of each dispatch. */
function capacities(program: Program): Capacity[] {
  const found: Capacity[] = []
  walk(program.items, ({ op, attributes, inputs, outputs }) => {
    const capacity = attributes?.['capacity']
    if (op !== 'dispatch' || typeof capacity !== 'number') return
    const { shape } = lookup(program.tensors, inputs[1] ?? '')
    const [batch = 1, seq = 1, topK = 1] = shape
    const [experts = 1] = lookup(program.tensors, outputs[0] ?? '').shape
    found.push({ capacity, tokens: batch * seq, topK, experts })
  })
  return found
}

/** Dispatched tokens, and what is computed of them, with a buffer for each expert in the place of the tokens that it gets. */
function padded(program: Program, factor: number): Program {
  const draft = edit(program)
  const capacityOf = new Map<string, readonly [capacity: number, tokens: number]>()
  for (const tensor of program.tensors.values()) {
    const { density, dims, shape, id } = tensor
    const at = (dim: string) => shape[dims.indexOf(dim)] ?? 1
    if (!density || !dims.includes('experts')) continue
    const tokens = at('batch') * at('seq')
    // Factors such as 1.1 are no binary fractions: what rounding adds is no token.
    const wanted = Math.ceil((factor * tokens * density[0]) / density[1] - 1e-9)
    const limit: readonly [number, number] = [Math.min(tokens, Math.max(1, wanted)), tokens]
    capacityOf.set(id, limit)
    draft.setTensor({ ...tensor, density: limit })
  }
  if (capacityOf.size === 0) return program
  const limited = (node: OperatorNode): OperatorNode => {
    const limit = [...node.inputs, ...node.outputs].map((id) => capacityOf.get(id)).find((each) => each)
    if (!node.density || !limit) return node
    return { ...node, density: limit, attributes: { ...node.attributes, capacity: limit[0] } }
  }
  const visit = (items: readonly Item[]): Item[] =>
    items.map((item) =>
      item.type === 'node'
        ? limited(item)
        : { ...item, bodies: item.bodies.map((body) => ({ ...body, items: visit(body.items) })) },
    )
  draft.setItems(visit(program.items))
  const { experts: _, ...loads } = program.loads ?? {}
  if (program.loads) draft.set({ loads })
  return draft.commit()
}

/** The share of all copies of tokens that finds no room, by the loads of experts. */
function droppedShare(program: Program, loads: readonly number[] | undefined): number {
  let [lost, sent] = [0, 0]
  for (const { capacity, tokens, topK, experts } of capacities(program)) {
    const list = loads ?? Array.from({ length: experts }, () => 1)
    const sum = list.reduce((all, load) => all + load, 0)
    sent += tokens * topK
    for (const load of list) lost += Math.max(0, (load / sum) * tokens * topK - capacity)
  }
  return lost > 1e-9 * sent ? lost / sent : 0
}

const percent = (share: number) => `${Math.max(0.1, Math.round(1000 * share) / 10)} %`

function refuse(why: string, help: string): ShardloomError {
  return new ShardloomError('CAPACITY', `Cannot limit the tokens of experts by \`ep.capacityFactor\`: ${why}.`, {
    subject: 'ep',
    help,
  })
}
