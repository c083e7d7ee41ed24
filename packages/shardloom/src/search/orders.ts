import type { Choices, Value } from './choices.js'
import { isDividedAgain } from './groups.js'
import type { Question } from './question.js'
import { outside, type StepModel } from './step-model.js'

/** The orders of axes to choose from, of which several may lay ranks alike. */
export class Orders {
  private readonly layings = new Map<string, Map<Value, string>>()

  constructor(
    private readonly model: StepModel,
    private readonly question: Question,
  ) {}

  /** The first of the orders that lay a candidate's ranks as its own does, so that nothing tells the two from each other. `degrees` as in {@link degreesOf}. */
  firstOf(choices: Choices, degrees: string, outer: { readonly dp: number; readonly pp: number }): Value | undefined {
    const own = choices['order']
    const orders = this.question.choices['order'] ?? []
    if (own === undefined || own === orders[0] || orders.length < 2) return own
    const key = `${degrees} ${outer.dp} ${outer.pp}`
    const laying = this.layings.get(key) ?? new Map<Value, string>()
    this.layings.set(key, laying)
    const layingOf = (order: Value) => {
      const known = laying.get(order) ?? this.model.layingOf(this.model.specOf({ ...choices, ...outer, order }))
      laying.set(order, known)
      return known
    }
    return orders.find((order) => layingOf(order) === layingOf(own)) ?? own
  }

  /**
   * An order to choose from in which the ranks of a stage lie together, each of its axes with the same axes inside: where ranks fill units
   * of the cluster, no collective inside of a stage takes longer. A candidate's own where there is no other, or of experts, that lie on the
   * ranks of other axes.
   */
  closestOf(choices: Choices): Value | undefined {
    const own = choices['order']
    const together = innerOf(String(own))
    if (own === undefined || isDividedAgain(choices)) return own
    return [own, ...(this.question.choices['order'] ?? [])].find((order) => String(order).startsWith(together)) ?? own
  }
}

/** The axes of an order that are inside of a stage. */
const innerOf = (order: string) =>
  order
    .split(',')
    .filter((axis) => !outside.includes(axis))
    .join()
