import type { State } from './block-run.js'
import type { Block } from './few-iterations.js'
import type { Hosts } from './hosts.js'
import { follow, type LiveChain, type Placed, timeIn } from './live-chain.js'
import type { Chain, Outcome, Sending } from './outcome.js'
import { Level } from './rise.js'

/** What another rank has sent: when it arrives, and what communicates up to then. */
export interface Sent {
  readonly end: number
  readonly chain: LiveChain
}

/** One rank whose blocks run one after the other, with what came of those that have. Times are ticks of the step. */
export class Course {
  /** The next block, and when the one before it has computed. */
  at = 0
  now = 0
  state: State
  /** Of each node in the state that runs what communicates up to its end. */
  chains: readonly (LiveChain | undefined)[] = []
  /** What communicates up to `now`. */
  gate: LiveChain | undefined
  first = Number.POSITIVE_INFINITY
  computing = 0
  /** Ticks in which nothing is computed, and what of them is communication, by axes. */
  idle = 0
  readonly exposed = new Map<string, number>()
  readonly busy: Float64Array
  readonly memory = new Level()
  readonly sent = new Map<number, Sent>()

  constructor(
    readonly blocks: readonly Block[],
    readonly hosts: Hosts,
    state: State,
    streams: number,
    /** More than any block has nodes. */
    readonly stride: number,
  ) {
    this.state = state
    this.busy = new Float64Array(streams)
  }

  /** Goes on by what a block comes to; what waits for an arrival comes `extra` later than in the outcome. */
  apply(outcome: Outcome, extra: number, arrived: readonly Sent[]): void {
    const placed = { base: this.now, quiet: outcome.quiet, extra }
    for (const sending of outcome.sent) this.#send(sending, placed, arrived)
    for (const [axes, ticks] of outcome.exposed) this.exposed.set(axes, (this.exposed.get(axes) ?? 0) + ticks)
    this.first = Math.min(this.first, timeIn(placed, outcome.first))
    for (const { tail, from, at } of outcome.open)
      follow(this.#tailOf(tail, arrived), Math.max(timeIn(placed, from), this.first), timeIn(placed, at), this.exposed)
    for (let stream = 0; stream < outcome.busy.length; stream++)
      this.busy[stream] = (this.busy[stream] as number) + (outcome.busy[stream] as number)
    this.computing += outcome.computing
    this.idle += outcome.idle + extra
    this.memory.add(outcome.memory, timeIn(placed, outcome.memory.at))
    const gate = outcome.gate && this.#live(outcome.gate, placed, arrived)
    this.chains = outcome.chains.map((chain) => chain && this.#live(chain, placed, arrived))
    if (gate) this.gate = gate
    this.state = outcome.next
    this.now = timeIn(placed, outcome.ticks)
    this.at++
  }

  /** Tells of something that it sends while its next block waits for others, of which some have `arrived`. */
  tell(sending: Sending, arrived: readonly (Sent | undefined)[]): void {
    this.#send(sending, { base: this.now, quiet: Number.POSITIVE_INFINITY, extra: 0 }, arrived)
  }

  /** The number of a node, `distance` blocks before the next one, among what is sent. */
  keyOf({ distance, offset }: { readonly distance: number; readonly offset: number }): number {
    return (this.at - distance) * this.stride + offset
  }

  #send(sending: Sending, placed: Placed, arrived: readonly (Sent | undefined)[]): void {
    const chain = this.#live(sending.chain, placed, arrived)
    this.sent.set(this.keyOf(sending), { end: timeIn(placed, sending.end), chain })
  }

  #live(chain: Chain, placed: Placed, arrived: readonly (Sent | undefined)[]): LiveChain {
    return { chain, placed, tail: this.#tailOf(chain.tail, arrived) }
  }

  #tailOf(tail: Chain['tail'], arrived: readonly (Sent | undefined)[]): LiveChain | undefined {
    if (tail?.of === 'gate') return this.gate
    return tail && (tail.of === 'arrival' ? arrived[tail.index]?.chain : this.chains[tail.index])
  }
}
