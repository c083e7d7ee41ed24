import type { Choices, Value } from './choices.js'
import type { Question } from './question.js'
import type { StepModel } from './step-model.js'

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
}
