/** A binary heap of nodes by a time and, of equal ones, by their number, in typed arrays. */
export class EventHeap {
  #keys: Float64Array
  #nodes: Int32Array
  size = 0

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity)
    this.#nodes = new Int32Array(capacity)
  }

  /** Infinity where it is empty. */
  get firstKey(): number {
    return this.size > 0 ? (this.#keys[0] as number) : Number.POSITIVE_INFINITY
  }

  /** −1 where it is empty. */
  get first(): number {
    return this.size > 0 ? (this.#nodes[0] as number) : -1
  }

  push(key: number, node: number): void {
    if (this.size === this.#nodes.length) this.#grow()
    const keys = this.#keys
    const nodes = this.#nodes
    let at = this.size++
    while (at > 0) {
      const up = (at - 1) >> 1
      const k = keys[up] as number
      if (k < key || (k === key && (nodes[up] as number) < node)) break
      keys[at] = k
      nodes[at] = nodes[up] as number
      at = up
    }
    keys[at] = key
    nodes[at] = node
  }

  pop(): void {
    const size = --this.size
    if (size <= 0) return
    const keys = this.#keys
    const nodes = this.#nodes
    const key = keys[size] as number
    const node = nodes[size] as number
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= size) break
      if (down + 1 < size && this.#before(down + 1, down)) down++
      const k = keys[down] as number
      if (key < k || (key === k && node < (nodes[down] as number))) break
      keys[at] = k
      nodes[at] = nodes[down] as number
      at = down
    }
    keys[at] = key
    nodes[at] = node
  }

  #before(a: number, b: number): boolean {
    const x = this.#keys[a] as number
    const y = this.#keys[b] as number
    return x < y || (x === y && (this.#nodes[a] as number) < (this.#nodes[b] as number))
  }

  #grow(): void {
    const keys = new Float64Array(this.#keys.length * 2)
    const nodes = new Int32Array(this.#nodes.length * 2)
    keys.set(this.#keys)
    nodes.set(this.#nodes)
    this.#keys = keys
    this.#nodes = nodes
  }
}
