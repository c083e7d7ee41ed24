import type { Parts } from './parts.js'
import type { Cut, Place, Stored } from './place.js'
import type { BlockCosts } from './samples.js'
import { Staging } from './staging.js'
import type { Refusal, StepModel } from './step-model.js'
import type { Unaided } from './unaided.js'

/** A model on stages that keep activations in host memory, where the device has no room for them: nothing is faster for that. */
export class OffloadingStaging extends Staging {
  constructor(
    model: StepModel,
    place: Place,
    private readonly without: Unaided,
  ) {
    super(model, place)
  }

  override plainCosts(schedule = this.model.plain): BlockCosts | Refusal {
    return this.without.staging.plainCosts(schedule)
  }

  /** Nothing is faster for copies beside it. */
  protected override leastCosts(schedule: string): BlockCosts | Refusal {
    return this.plainCosts(schedule)
  }

  override leastBytes(cut: Cut, stored?: Stored, whole = false): number {
    return this.without.mayFit(cut, stored, whole) ? 0 : super.leastBytes(cut, stored, whole)
  }

  override partsOf(cut: Cut, stored: Stored): Parts | Refusal {
    if (this.without.fits(cut, stored)) return { rule: 'offload', why: 'It fits without offload.' }
    return super.partsOf(cut, stored)
  }
}
