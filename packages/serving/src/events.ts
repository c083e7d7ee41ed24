/** What happens when, the earliest first; what happens at the same time in the order in which it was planned. */
export class Events {
  private readonly heap: { readonly at: number; readonly number: number; readonly run: () => void }[] = []
  private count = 0

  plan(at: number, run: () => void): void {
    const { heap } = this
    const event = { at, number: this.count++, run }
    let place = heap.length
    heap.push(event)
    while (place > 0) {
      const up = (place - 1) >> 1
      const above = heap[up]
      if (!above || !isBefore(event, above)) break
      heap[place] = above
      place = up
    }
    heap[place] = event
  }

  /** Takes the next event out, or undefined. */
  next(): { readonly at: number; readonly run: () => void } | undefined {
    const { heap } = this
    const [first] = heap
    const last = heap.pop()
    if (!last || heap.length === 0) return first
    let place = 0
    for (;;) {
      const [left, right] = [heap[2 * place + 1], heap[2 * place + 2]]
      if (!left) break
      const goesRight = right !== undefined && isBefore(right, left)
      const below = goesRight ? right : left
      if (!isBefore(below, last)) break
      heap[place] = below
      place = 2 * place + (goesRight ? 2 : 1)
    }
    heap[place] = last
    return first
  }
}

function isBefore(a: { at: number; number: number }, b: { at: number; number: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.number < b.number)
}
