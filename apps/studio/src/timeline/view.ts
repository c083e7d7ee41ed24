/** The span of time that is looked at, in the unit of the timelines, and how far rows are scrolled, in pixels. */
export interface View {
  readonly from: number
  readonly to: number
  readonly scroll: number
}

/** How much of a whole is looked at at least: finer than that numbers have no digits for. */
const finest = 1e-9

/** All of the time. */
export const fitted = (end: number): View => ({ from: 0, to: end > 0 ? end : 1, scroll: 0 })

/** Keeps a view inside of what there is. */
export function inside(view: View, end: number, most: number): View {
  const whole = end > 0 ? end : 1
  const length = Math.min(whole, Math.max(whole * finest, view.to - view.from))
  const from = Math.min(Math.max(0, view.from), whole - length)
  return { from, to: from + length, scroll: Math.min(Math.max(0, view.scroll), Math.max(0, most)) }
}

/** Looks at `factor` times as much, with the time `at` where it is. */
export function zoomed(view: View, factor: number, at: number, end: number): View {
  const length = Math.min(end, Math.max(end * finest, (view.to - view.from) * factor))
  const share = (at - view.from) / (view.to - view.from)
  const from = at - share * length
  return { ...view, from, to: from + length }
}

/** Moves by a share of what is seen. */
export function moved(view: View, share: number): View {
  const by = share * (view.to - view.from)
  return { ...view, from: view.from + by, to: view.to + by }
}
