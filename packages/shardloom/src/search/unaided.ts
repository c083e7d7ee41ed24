import { leastOf } from './parts.js'
import type { Cut, Stored } from './place.js'
import type { Staging } from './staging.js'
import { isRefusal } from './step-model.js'

/** Candidates without something that saves memory and no time: where they fit, nothing needs it. */
export class Unaided {
  private readonly even = new Map<Cut, Cut>()

  /** `room`: bytes that a rank may hold. */
  constructor(
    readonly staging: Staging,
    private readonly room: number,
  ) {}

  /** Whether no bound tells that one does not fit: less is found out for it than for {@link fits}. */
  mayFit(cut: Cut, stored?: Stored, whole = false): boolean {
    return this.staging.leastBytes(this.own(cut), stored, whole) <= this.room
  }

  /** Whether one fits. */
  fits(cut: Cut, stored: Stored): boolean {
    const parts = this.staging.partsOf(this.own(cut), stored)
    return !isRefusal(parts) && leastOf(parts).bytes <= this.room
  }

  /** Layers that are balanced may be divided evenly. */
  private own(cut: Cut): Cut {
    if (cut.split === 'even' || !isRefusal(this.staging.divisionOf(cut))) return cut
    const even = this.even.get(cut) ?? { ...cut, split: 'even' }
    this.even.set(cut, even)
    return even
  }
}
