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

  /** The first of the orders that lay a candidate's ranks as its own does, so that nothing tells the two from each other. */
  firstOf(choices: Choices, outer: Choices): Value | undefined {
    const own = choices['order']
    const orders = this.question.choices['order'] ?? []
    if (own === undefined || orders.length < 2) return own
    const degrees = { ...choices, ...outer }
    const key = Object.entries(degrees)
      .map(([name, value]) => (this.model.isDegree(name) ? value : ''))
      .join(' ')
    const laying = this.layings.get(key) ?? new Map<Value, string>()
    this.layings.set(key, laying)
    const layingOf = (order: Value) => {
      const known = laying.get(order) ?? this.model.layingOf(this.model.specOf({ ...degrees, order }))
      laying.set(order, known)
      return known
    }
    return orders.find((order) => layingOf(order) === layingOf(own)) ?? own
  }
}
