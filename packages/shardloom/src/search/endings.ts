import type { PlannedSpec } from '../sequence.js'
import type { Value } from './choices.js'
import { forwardOnly } from './pipelines.js'
import type { Cut, Stored } from './place.js'
import type { Question } from './question.js'
import type { StepModel } from './step-model.js'

/** What is decided last of a candidate, whatever its layers cost: how its pipeline runs, and what ranks of dp share. */
export class Endings {
  private readonly chunks = new Map<string, readonly number[]>()
  private readonly cutsOf = new Map<number, readonly Cut[]>()
  private readonly sharingsOf = new Map<number, readonly (readonly Stored[])[]>()
  private readonly storedOf = new Map<number, readonly Stored[]>()
  private readonly base: PlannedSpec
  private readonly isTraining: boolean

  constructor(
    private readonly model: StepModel,
    private readonly question: Question,
  ) {
    this.base = model.base
    this.isTraining = this.base.phase === 'training'
  }

  /** The ways to cut a model into the stages of so many ranks. */
  cuts(pp: number): readonly Cut[] {
    const known = this.cutsOf.get(pp) ?? this.allCuts(pp)
    this.cutsOf.set(pp, known)
    return known
  }

  private allCuts(pp: number): Cut[] {
    const plain = this.isTraining ? '1f1b' : forwardOnly
    if (pp === 1) return [{ schedule: plain, virtual: 1, split: 'even' }]
    const { choices } = this.question
    const { options } = this.base
    const virtuals = choices['virtual'] ?? [options.virtual ?? 1]
    const splits = choices['split'] ?? ['even']
    if (!this.isTraining)
      return splits.map((split) => ({
        schedule: plain,
        virtual: 1,
        split: split === 'balanced' ? split : 'even',
      }))
    return (choices['schedule'] ?? [options.schedule ?? '1f1b']).map(String).flatMap((schedule) =>
      this.chunksOf(schedule, virtuals)
        .flatMap((virtual) =>
          splits.map((split): Cut => ({ schedule, virtual, split: split === 'balanced' ? split : 'even' })),
        )
        .filter(
          ({ virtual, split }) =>
            virtual * pp <= this.model.layers.length + (split === 'even' ? 0 : this.model.emptyChunks),
        ),
    )
  }

  /** The numbers of chunks, of those to choose from, that a schedule may have; one that a schedule fixes needs no choice. */
  private chunksOf(schedule: string, virtuals: readonly Value[]): readonly number[] {
    const known = this.chunks.get(schedule)
    if (known) return known
    const works = (virtual: number) => typeof this.model.pipelines.of(schedule, 2, virtual, 8) !== 'string'
    const some = virtuals.map(Number).filter(works)
    const found = some.length > 0 ? some : [2, 1].filter(works).slice(0, 1)
    this.chunks.set(schedule, found)
    return found
  }

  /** The ways in which so many ranks of dp share what they store. */
  stored(dp: number): readonly Stored[] {
    const known = this.storedOf.get(dp) ?? this.allStored(dp)
    this.storedOf.set(dp, known)
    return known
  }

  /** The ways to share by how much is shared, of each the one with the fewest copies first. */
  sharings(dp: number): readonly (readonly Stored[])[] {
    const known = this.sharingsOf.get(dp)
    if (known) return known
    const all = this.stored(dp)
    const zeros = [...new Set(all.map(({ zero }) => zero))].sort((a, b) => a - b)
    const found = zeros.map((zero) =>
      all.filter((stored) => stored.zero === zero).sort((a, b) => a.replicate - b.replicate),
    )
    this.sharingsOf.set(dp, found)
    return found
  }

  private allStored(dp: number): Stored[] {
    const { choices } = this.question
    const zeros = (choices['zero'] ?? [this.base.options.zero]).map(Number)
    const replicates = (choices['dpReplicate'] ?? [this.base.parallel.dpReplicate]).map(Number)
    // A single rank has nobody to share with, whatever was asked for.
    if (dp === 1) return [{ zero: 0, replicate: 1 }]
    return zeros.flatMap((zero) =>
      replicates
        .filter((replicate) => (zero === 0 ? replicate === 1 : dp % replicate === 0 && replicate < dp))
        .map((replicate) => ({ zero, replicate })),
    )
  }
}
