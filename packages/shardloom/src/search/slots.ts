import { greatestCommonDivisor } from '@shardloom/core'
import { byStage, dividing, multiplying } from './choices.js'
import { groupOf } from './groups.js'
import { OffloadingStaging } from './offloading-staging.js'
import { Orders } from './orders.js'
import type { Group } from './place.js'
import type { Question } from './question.js'
import { RecomputingStaging } from './recomputing-staging.js'
import { Staging } from './staging.js'
import { asksForMemory } from './step-metrics.js'
import type { StepModel } from './step-model.js'
import { Unaided } from './unaided.js'

/** A size of microbatches. */
export interface Slot {
  readonly microbatch: number
  readonly stagings: readonly Staging[]
  /**
   * The same and those of which smaller microbatches alone divide the batch, in the least size that this one and all smaller ones divide, as if
   * it divided the batch: nothing is faster in parts of it.
   */
  readonly wide: readonly Staging[]
}

/** Stages of a pipeline, and the ranks of dp of each. */
interface Stages {
  readonly pp: number
  readonly dp: number
}

/** The sizes of microbatches of a search, and the stages on which there may be such. */
export class Slots {
  readonly orders: Orders
  /** By all that decides them: of many groups they are the same. */
  private readonly known = new Map<string, readonly Stages[]>()

  constructor(
    private readonly model: StepModel,
    private readonly question: Question,
    /** Bytes that a rank may hold, of so many ranks. */
    private readonly roomOn: (ranks: number) => number,
  ) {
    this.orders = new Orders(model, question)
  }

  private get sizes(): number[] {
    return (this.question.choices['microbatch'] ?? [this.model.base.microbatch ?? 1]).map(Number)
  }

  /** The least size that all sizes divide. */
  get covering(): number {
    return this.sizes.reduce(leastCommonMultiple)
  }

  /** The sizes of a group, the largest first. */
  of(group: Group): Slot[] {
    const all = new Set<number>()
    let covering = 1
    const slots = this.sizes
      .sort((a, b) => a - b)
      .map((microbatch): Slot => {
        const stagings = this.stagings(group, microbatch)
        for (const { pp } of stagings) all.add(pp)
        if (stagings.length > 0) covering = leastCommonMultiple(covering, microbatch)
        const own = covering === microbatch ? stagings : []
        const wide = Array.from(
          all,
          (pp) => own.find((staging) => staging.pp === pp) ?? this.staging(group, covering, pp),
        )
        return { microbatch, stagings, wide }
      })
    return slots.filter(({ stagings }) => stagings.length > 0).reverse()
  }

  stagings(group: Group, microbatch: number): Staging[] {
    return this.stages(group, microbatch).map(({ pp }) => this.staging(group, microbatch, pp))
  }

  /** On how many stages microbatches of a size may be, and how many ranks of dp each has. */
  stages(group: Group, microbatch: number): readonly Stages[] {
    const { order } = group.choices
    const key = `${order} ${group.degrees} ${group.ranks} ${microbatch}`
    const known = this.known.get(key) ?? this.findStages(group, microbatch)
    this.known.set(key, known)
    return known
  }

  private findStages(group: Group, microbatch: number): readonly Stages[] {
    const { parallel } = this.model.base
    const degree = (name: string) => Number(group.choices[name] ?? parallel[name] ?? 1)
    const inner = multiplying.reduce((all, name) => all * degree(name), 1)
    const again = dividing.reduce((all, name) => all * degree(name), 1)
    const listed = this.question.choices[this.model.copies]
    return (this.question.choices['pp'] ?? [parallel.pp]).map(Number).flatMap((pp) => {
      const dp = group.ranks / pp
      const isWhole = Number.isInteger(dp) && Number.isInteger(this.microbatches(dp, microbatch))
      const fits = isWhole && pp <= this.model.layers.length
      if (!fits || (dp * inner) % again !== 0 || (listed && !listed.includes(dp))) return []
      const isFirst = this.orders.firstOf(group.choices, group.degrees, { dp, pp }) === group.choices['order']
      return isFirst ? [{ pp, dp }] : []
    })
  }

  /** How many each rank of dp has of a batch. */
  private microbatches(dp: number, microbatch: number): number {
    return this.model.base.batch / (this.model.base.parallel.replicas * dp * microbatch)
  }

  /** So many stages of a group. */
  staging(group: Group, microbatch: number, pp: number): Staging {
    const dp = group.ranks / pp
    const place = { group, microbatch, pp, dp, microbatches: this.microbatches(dp, microbatch) }
    const { model } = this
    const room = this.roomOn(group.world)
    const without = (name: string) => {
      const plain =
        this.hasOther(name, 'none') && groupOf({ ...group.choices, [name]: 'none' }, group.ranks, group.world, model)
      return plain ? new Unaided(this.staging(plain, microbatch, pp), room) : undefined
    }
    if (group.choices['recompute'] === byStage) {
      const others = { without: without('recompute'), full: this.hasOther('recompute', 'full') }
      return new RecomputingStaging(model, place, room, others)
    }
    const kept =
      group.choices['offload'] === 'activations' && !asksForMemory(this.question) ? without('offload') : undefined
    return kept ? new OffloadingStaging(model, place, kept) : new Staging(model, place)
  }

  /** Whether other candidates have this value of a choice. */
  private hasOther(name: string, value: string): boolean {
    return this.question.choices[name]?.includes(value) === true
  }
}

const leastCommonMultiple = (a: number, b: number) => (a / greatestCommonDivisor(a, b)) * b
