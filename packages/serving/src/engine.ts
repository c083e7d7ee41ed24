import { Blocks, type Sequence } from './blocks.js'
import type { EngineStep, Scheduler, StepCost } from './scheduler.js'

/** An engine: what it can hold, how it chooses, and what its steps take. */
export interface EngineOptions {
  readonly scheduler: Scheduler
  readonly cost: StepCost
  /** Tokens whose KV cache has room. */
  readonly capacityTokens: number
}

/** What an engine did, for sums over time: seconds, and counts times seconds. */
export interface EngineTotals {
  steps: number
  busySeconds: number
  prefillTokens: number
  decodeTokens: number
  cachedTokens: number
  preemptions: number
  peakBlocks: number
  runningSeconds: number
  waitingSeconds: number
  blockSeconds: number
}

/** An engine in time: sequences that wait, sequences that run, and the blocks that these hold. */
export class Engine {
  readonly blocks: Blocks
  readonly totals: EngineTotals = {
    steps: 0,
    busySeconds: 0,
    prefillTokens: 0,
    decodeTokens: 0,
    cachedTokens: 0,
    preemptions: 0,
    peakBlocks: 0,
    runningSeconds: 0,
    waitingSeconds: 0,
    blockSeconds: 0,
  }
  busy = false
  private readonly waiting: Sequence[] = []
  private running: Sequence[] = []
  private parts: { readonly sequence: Sequence; readonly tokens: number }[] = []
  /** Tokens that went to the host or came back in this step, and whether any sequence made room. */
  private swapped = 0
  private preempted = false
  private since = 0

  constructor(private readonly options: EngineOptions) {
    this.blocks = new Blocks(options.capacityTokens, options.scheduler.blockTokens)
  }

  /** Sequences that wait or run. */
  get load(): number {
    return this.waiting.length + this.running.length
  }

  add(sequence: Sequence, now: number): void {
    this.pass(now)
    this.waiting.push(sequence)
  }

  /** Sums up what was true since the last change. */
  pass(now: number): void {
    const { totals, blocks } = this
    const seconds = now - this.since
    totals.runningSeconds += seconds * this.running.length
    totals.waitingSeconds += seconds * this.waiting.length
    totals.blockSeconds += seconds * blocks.used
    this.since = now
  }

  /** Begins a step and says what it takes; undefined when there is nothing to compute. */
  begin(now: number): number | undefined {
    this.pass(now)
    const { cost, scheduler } = this.options
    this.swapped = 0
    this.preempted = false
    this.parts = []
    if (scheduler.batching === 'mixed') {
      const left = this.continueRunning(scheduler.maxTokens, () => true)
      this.admit(left)
    } else {
      const left = this.continueRunning(scheduler.maxTokens, isPrefill)
      this.admit(left)
      this.parts = this.parts.filter(({ sequence }) => isPrefill(sequence))
      if (this.parts.length === 0) this.continueRunning(Number.POSITIVE_INFINITY, (sequence) => !isPrefill(sequence))
    }
    if (this.parts.length === 0) return undefined
    const step = this.describe()
    const { preemption } = scheduler
    const swapping = preemption === 'recompute' ? 0 : this.swapped * preemption.swapSecondsPerToken
    const seconds = cost(step) + swapping
    const { totals } = this
    totals.steps++
    totals.busySeconds += seconds
    totals.peakBlocks = Math.max(totals.peakBlocks, this.blocks.used)
    totals.decodeTokens += step.decode.length
    for (const { tokens } of step.prefill) totals.prefillTokens += tokens
    this.busy = true
    return seconds
  }

  /** Ends the step and gives the sequences that got a token. Of these, those that are done leave, and keep their blocks until they are released. */
  end(now: number, isDone: (sequence: Sequence) => boolean): Sequence[] {
    this.pass(now)
    this.busy = false
    const given: Sequence[] = []
    const left = new Set<Sequence>()
    for (const { sequence, tokens } of this.parts) {
      sequence.computed += tokens
      if (sequence.computed < sequence.length) continue
      if (sequence.generated === 0) this.blocks.share(sequence)
      sequence.generated++
      sequence.length++
      given.push(sequence)
      if (isDone(sequence)) left.add(sequence)
    }
    if (left.size > 0) this.running = this.running.filter((sequence) => !left.has(sequence))
    return given
  }

  /** Gives the KV cache of a sequence that has left back. */
  release(sequence: Sequence, now: number): void {
    this.pass(now)
    this.blocks.release(sequence)
  }

  /** Goes on with running sequences in order, as far as tokens go; the latest make room for the earlier. */
  private continueRunning(budget: number, takes: (sequence: Sequence) => boolean): number {
    const { chunked } = this.options.scheduler
    let left = budget
    for (let index = 0; index < this.running.length; index++) {
      const sequence = this.running[index]
      if (!sequence || !takes(sequence)) continue
      const needed = sequence.length - sequence.computed
      const tokens = chunked ? Math.min(needed, left) : needed
      if (tokens <= 0) continue
      let fits = this.blocks.grow(sequence, sequence.computed + tokens)
      while (!fits && this.running.length > index) {
        const last = this.running.pop()
        if (last) this.preempt(last)
        if (this.running.length > index) fits = this.blocks.grow(sequence, sequence.computed + tokens)
      }
      if (!fits) break
      this.parts.push({ sequence, tokens })
      left -= tokens
    }
    return left
  }

  /** Lets waiting sequences in, first come first served, while there are tokens, places and room. */
  private admit(budget: number): void {
    const { chunked, maxSequences } = this.options.scheduler
    let left = budget
    let taken = 0
    let prompts = 0
    // What was preempted in this step waits for the next, or it would be let in where it was thrown out.
    while (left > 0 && this.running.length < maxSequences && !this.preempted && taken < this.waiting.length) {
      const sequence = this.waiting[taken]
      if (!sequence || !this.hasRoom(sequence)) break
      this.blocks.reuse(sequence)
      const cached = sequence.shared
      const restored = sequence.swapped
      const needed = sequence.length - sequence.computed - restored
      const tokens = chunked ? Math.min(needed, left) : needed
      // A whole prompt longer than a step's tokens, as one computed again may be, has a step for itself.
      if (tokens > left && prompts > 0) break
      if (!this.blocks.grow(sequence, sequence.computed + restored + tokens)) {
        if (sequence.computed === cached) this.forget(sequence)
        break
      }
      sequence.computed += restored
      sequence.swapped = 0
      this.swapped += restored
      this.totals.cachedTokens += cached
      this.running.push(sequence)
      this.parts.push({ sequence, tokens })
      left -= tokens
      prompts++
      taken++
    }
    this.waiting.splice(0, taken)
  }

  private forget(sequence: Sequence): void {
    this.blocks.release(sequence)
    sequence.computed = 0
  }

  /** Whether there is room for the share of what a sequence and the running ones are still to generate that is reserved. */
  private hasRoom(sequence: Sequence): boolean {
    const { reserve } = this.options.scheduler
    if (reserve === 0) return true
    const later = ({ request, generated }: Sequence) => reserve * (request.output - generated - 1)
    const growth = this.running.reduce((sum, each) => {
      const most = this.blocks.count(each.length + later(each) - each.shared)
      return sum + Math.max(0, most - each.blocks)
    }, 0)
    return this.blocks.count(sequence.length + later(sequence)) + growth <= this.blocks.available
  }

  private preempt(sequence: Sequence): void {
    const { preemption } = this.options.scheduler
    this.preempted = true
    this.totals.preemptions++
    this.parts = this.parts.filter((part) => part.sequence !== sequence)
    this.blocks.release(sequence)
    if (preemption !== 'recompute') {
      sequence.swapped = sequence.computed
      this.swapped += sequence.computed
    }
    sequence.computed = 0
    this.waiting.unshift(sequence)
  }

  private describe(): EngineStep {
    const prefill: { tokens: number; context: number }[] = []
    const decode: number[] = []
    let sampled = 0
    for (const { sequence, tokens } of this.parts) {
      if (isPrefill(sequence)) prefill.push({ tokens, context: sequence.computed })
      else decode.push(sequence.computed)
      if (sequence.computed + tokens === sequence.length) sampled++
    }
    return { prefill, decode, sampled }
  }
}

/** Whether what a sequence computes next is prompt: its own, or what it generated before it was preempted. */
function isPrefill({ length, computed, generated }: Sequence): boolean {
  return generated === 0 || length - computed > 1
}
