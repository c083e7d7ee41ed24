import { nodesOf, type Program, type Tensor } from '@shardloom/core'

/** How a token chooses experts: `copies` of `experts`, from those of its best `chosen` of `groups` equal groups of neighbours. */
export interface Routing {
  readonly copies: number
  readonly experts: number
  readonly groups: number
  readonly chosen: number
}

/**
 * How the tokens of a tensor with a dim of experts have chosen among them, as their router says; undefined where nobody does. Where some
 * experts are held more than once, they stand in another order, and groups keep no token from any rank.
 */
export function routingOf({ items, tensors }: Program, { dims, shape }: Tensor): Routing | undefined {
  const experts = shape[dims.indexOf('experts')]
  const last = (id = '') => tensors.get(id)?.shape.at(-1)
  const routers = nodesOf(items).filter(({ op }) => op === 'router')
  const own = routers.find(({ inputs }) => last(inputs[0]) === experts)
  const copies = last((own ?? routers[0])?.outputs[0])
  if (experts === undefined || copies === undefined) return undefined
  const { groups, groupTopK } = own?.attributes ?? {}
  const limited = typeof groups === 'number' && typeof groupTopK === 'number'
  return { copies, experts, groups: limited ? groups : 1, chosen: limited ? groupTopK : 1 }
}

/**
 * Of `units` that divide the experts among them in order, how many have some of those that a token chooses, in the mean over equally
 * likely choices without repetition. Of a unit's groups some are chosen, and then each choice of experts inside of the chosen groups is
 * as likely: it misses the unit's E of M experts with C(M − E, k) / C(M, k). In DeepSeek-V3, whose groups are its nodes, no token
 * goes to more than the 4 chosen of 8 (DeepSeek-AI 2024, section 2.1.2).
 */
export function unitsReached({ copies, experts, groups, chosen }: Routing, units: number): number {
  const within = (chosen * experts) / groups
  // A unit has several whole groups, or a part of one.
  const own = Math.max(1, Math.round(groups / units))
  const part = experts / units / own
  let missed = 0
  for (let hit = Math.max(0, own + chosen - groups); hit <= Math.min(own, chosen); hit++) {
    let none = (combinations(own, hit) * combinations(groups - own, chosen - hit)) / combinations(groups, chosen)
    for (let drawn = 0; drawn < copies; drawn++) none *= Math.max(0, within - hit * part - drawn) / (within - drawn)
    missed += none
  }
  return units * (1 - missed)
}

function combinations(of: number, some: number): number {
  let count = 1
  for (let index = 0; index < some; index++) count *= (of - index) / (index + 1)
  return count
}
