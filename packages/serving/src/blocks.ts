import type { Request } from './workload.js'

/** A request inside of an engine. */
export interface Sequence {
  readonly request: Request
  readonly index: number
  /** Tokens known so far: the prompt, and what was generated. */
  length: number
  generated: number
  /** Tokens whose keys and values are in the cache. */
  computed: number
  /** Tokens behind them that steps in flight compute, and in which lane the last of these is or was. */
  issued: number
  lane?: number
  /** Blocks of its own, and tokens at its start that it shares. */
  blocks: number
  shared: number
  /** Tokens of it that wait on the host. */
  swapped: number
}

interface Prefix {
  readonly tokens: number
  users: number
}

/**
 * The KV cache of an engine in blocks. Prefixes that were computed are held once; those that no sequence uses make room when it is
 * needed, the one unused longest first.
 */
export class Blocks {
  readonly total: number
  private free: number
  private idle = 0
  private readonly prefixes = new Map<string, Prefix>()

  constructor(
    capacityTokens: number,
    readonly size: number,
  ) {
    this.total = Math.floor(capacityTokens / size)
    this.free = this.total
  }

  /** Blocks that sequences hold, and those that they could have. */
  get used(): number {
    return this.total - this.available
  }
  get available(): number {
    return this.free + this.idle
  }

  count(tokens: number): number {
    return Math.ceil(tokens / this.size)
  }

  /** Takes what a sequence of that many tokens lacks; false, and nothing is taken, where that is not there. */
  grow(sequence: Sequence, tokens: number): boolean {
    const more = this.count(tokens - sequence.shared) - sequence.blocks
    if (more > this.available) return false
    if (more <= 0) return true
    this.evict(more)
    this.free -= more
    sequence.blocks += more
    return true
  }

  /** Gives back all that a sequence holds. */
  release(sequence: Sequence): void {
    this.free += sequence.blocks
    sequence.blocks = 0
    this.leave(sequence)
  }

  /** Lets a new sequence begin behind its prefix, where that was computed: at least one token is left to compute. */
  reuse(sequence: Sequence): void {
    const { prefix } = sequence.request
    const known = prefix && this.prefixes.get(prefix.name)
    if (!prefix || !known || sequence.computed > 0) return
    const tokens = Math.min(known.tokens, this.whole(Math.min(prefix.tokens, sequence.length - 1)))
    if (tokens < known.tokens) return
    this.join(sequence, prefix.name, known)
    sequence.computed = tokens
  }

  /** Shares the prefix of a sequence whose prompt was computed: what others hold already is given back. */
  share(sequence: Sequence): void {
    const { prefix } = sequence.request
    if (!prefix || sequence.shared > 0) return
    const tokens = this.whole(Math.min(prefix.tokens, sequence.request.input - 1))
    if (tokens === 0) return
    const known = this.prefixes.get(prefix.name)
    if (known && known.tokens !== tokens) return
    sequence.blocks -= tokens / this.size
    if (known) {
      this.free += tokens / this.size
      this.join(sequence, prefix.name, known)
    } else {
      this.prefixes.set(prefix.name, { tokens, users: 1 })
      sequence.shared = tokens
    }
  }

  /** Stops sharing. */
  private leave(sequence: Sequence): void {
    const name = sequence.request.prefix?.name ?? ''
    const known = this.prefixes.get(name)
    if (sequence.shared === 0 || !known) return
    sequence.shared = 0
    known.users--
    if (known.users > 0) return
    this.idle += known.tokens / this.size
    // The end of the map is what was used last.
    this.prefixes.delete(name)
    this.prefixes.set(name, known)
  }

  private join(sequence: Sequence, name: string, known: Prefix): void {
    if (known.users === 0) this.idle -= known.tokens / this.size
    known.users++
    sequence.shared = known.tokens
    this.prefixes.delete(name)
    this.prefixes.set(name, known)
  }

  private evict(needed: number): void {
    for (const [name, { tokens, users }] of this.prefixes) {
      if (this.free >= needed) return
      if (users > 0) continue
      this.prefixes.delete(name)
      this.idle -= tokens / this.size
      this.free += tokens / this.size
    }
  }

  private whole(tokens: number): number {
    return Math.floor(tokens / this.size) * this.size
  }
}
