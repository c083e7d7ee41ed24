import type { Course, Sent } from './course.js'
import type { Sending } from './outcome.js'

/** What a rank goes on to send before that arrives which its next block waits for. */
export interface Ahead {
  /** The block that it stands before, and what of its arrivals is known. */
  readonly at: number
  readonly arrived: readonly (Sent | undefined)[]
  readonly sending: readonly Sending[]
  /** It may send more that ends from this time on. */
  readonly until: number
}

/**
 * Lets ranks go on that all wait for each other. Nothing that is unknown can arrive anywhere before the first of what they send ahead of
 * arrivals has ended, for it would have to be sent first: so that one is as it seems, and is told. False where it may not be the first.
 */
export function firstTeller(
  courses: readonly Course[],
  aheadOf: (course: Course, known: Ahead | undefined) => Ahead,
): () => boolean {
  const ahead: Ahead[] = []
  return () => {
    let [end, until] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    let first: { readonly course: Course; readonly sending: Sending; readonly arrived: Ahead['arrived'] } | undefined
    for (const [rank, course] of courses.entries()) {
      const own = aheadOf(course, ahead[rank])
      ahead[rank] = own
      until = Math.min(until, own.until)
      for (const sending of own.sending) {
        if (course.now + sending.end >= end || course.sent.has(course.keyOf(sending))) continue
        end = course.now + sending.end
        first = { course, sending, arrived: own.arrived }
      }
    }
    if (!first || end > until) return false
    first.course.tell(first.sending, first.arrived)
    return true
  }
}
