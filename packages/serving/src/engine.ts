import { Blocks, type Sequence } from './blocks.js'
import type { EngineStep, Scheduler, StepCost } from './scheduler.js'

/** An engine: what it can hold, how it chooses, and what its steps take. */
export interface EngineOptions {
  readonly scheduler: Scheduler
  readonly cost: StepCost
  /** Tokens whose KV cache has room. */
  readonly capacityTokens: number
  /** Batches that are in flight at a time at most: one for each pipeline stage, as vLLM and SGLang have it. Default 1. */
  readonly inFlight?: number
}

/** A step that is on its way: what it computes, when it ends, and which of those in flight at a time it is. */
export interface Batch {
  readonly lane: number
  readonly ends: number
  readonly parts: readonly Part[]
}

interface Part {
  readonly sequence: Sequence
  readonly tokens: number
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
  /** In which the first that waits has no room, where steps have tokens and places left. */
  roomlessSeconds: number
  blockSeconds: number
}

/**
 * An engine in time: sequences that wait, sequences that run, and the blocks that these hold. Its batches in flight have a lane each: what was
 * in the last one of a lane goes on in the next of that lane, and parts of a prompt follow each other in whichever come next.
 */
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
    roomlessSeconds: 0,
    blockSeconds: 0,
  }
  private readonly waiting: Sequence[] = []
  private running: Sequence[] = []
  /** Of each lane, whether a batch of it is in flight. */
  private readonly flying: boolean[]
  /** When each place that batches pass is free again. */
  private readonly free: number[] = []
  private parts: Part[] = []
  /** Tokens that went to the host or came back in this step, and whether any sequence made room. */
  private swapped = 0
  private preempted = false
  /** Whether the step that began last left the first that waits out for want of room. */
  private isRoomless = false
  private since = 0

  constructor(private readonly options: EngineOptions) {
    this.blocks = new Blocks(options.capacityTokens, options.scheduler.blockTokens)
    this.flying = Array.from({ length: options.inFlight ?? 1 }, () => false)
  }

  /** Sequences that wait or run. */
  get load(): number {
    return this.waiting.length + this.running.length
  }

  /** Whether no further step can begin until one has ended. */
  get isFull(): boolean {
    return this.flying.every((isFlying) => isFlying)
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
    if (this.isRoomless) totals.roomlessSeconds += seconds
    totals.blockSeconds += seconds * blocks.used
    this.since = now
  }

  /** Begins the steps of all lanes that have something to compute and none in flight. */
  begin(now: number): Batch[] {
    this.pass(now)
    return this.flying.flatMap((isFlying, lane) => (isFlying ? [] : (this.beginIn(lane, now) ?? [])))
  }

  private beginIn(lane: number, now: number): Batch | undefined {
    const { scheduler } = this.options
    this.swapped = 0
    this.preempted = false
    this.parts = []
    const isOwn = (sequence: Sequence) => sequence.lane === lane
    if (scheduler.batching === 'mixed') {
      const left = this.continueRunning(scheduler.maxTokens, (sequence) => isOwn(sequence) || isPrefill(sequence))
      this.admit(left, lane)
    } else {
      const left = this.continueRunning(scheduler.maxTokens, isPrefill)
      this.admit(left, lane)
      this.parts = this.parts.filter(({ sequence }) => isPrefill(sequence))
      if (this.parts.length === 0)
        this.continueRunning(Number.POSITIVE_INFINITY, (sequence) => isOwn(sequence) && !isPrefill(sequence))
    }
    const { parts } = this
    if (parts.length === 0) return undefined
    const ends = this.passThrough(this.describe(), now)
    for (const { sequence, tokens } of parts) {
      sequence.lane = lane
      sequence.issued += tokens
    }
    this.flying[lane] = true
    return { lane, ends, parts }
  }

  /** When a step ends that begins now: it passes one place after another, each when the step before it has left it. */
  private passThrough(step: EngineStep, now: number): number {
    const { totals } = this
    const { cost, scheduler } = this.options
    const { preemption } = scheduler
    const [first = 0, ...stages] = [cost(step)].flat()
    const swapping = preemption === 'recompute' ? 0 : this.swapped * preemption.swapSecondsPerToken
    let ends = now
    for (const [place, seconds] of [first + swapping, ...stages].entries()) {
      ends = Math.max(ends, this.free[place] ?? 0) + seconds
      this.free[place] = ends
    }
    const computing = stages.reduce((sum, seconds) => sum + seconds, 0)
    totals.busySeconds += stages.length > 1 ? computing / stages.length : first + swapping + computing
    totals.steps++
    totals.peakBlocks = Math.max(totals.peakBlocks, this.blocks.used)
    totals.decodeTokens += step.decode.length
    for (const { tokens } of step.prefill) totals.prefillTokens += tokens
    return ends
  }

  /** Ends a step and gives the sequences that got a token. Of these, those that are done leave, and keep their blocks until they are released. */
  end({ lane, parts }: Batch, now: number, isDone: (sequence: Sequence) => boolean): Sequence[] {
    this.pass(now)
    this.flying[lane] = false
    const given: Sequence[] = []
    const left = new Set<Sequence>()
    for (const { sequence, tokens } of parts) {
      sequence.computed += tokens
      sequence.issued -= tokens
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

  /** Goes on with running sequences in order, as far as tokens go; the latest that are not in flight make room for the earlier. */
  private continueRunning(budget: number, takes: (sequence: Sequence) => boolean): number {
    const { chunked } = this.options.scheduler
    let left = budget
    for (let index = 0; index < this.running.length; index++) {
      const sequence = this.running[index]
      if (!sequence || !takes(sequence)) continue
      const known = sequence.computed + sequence.issued
      const needed = sequence.length - known
      const tokens = chunked ? Math.min(needed, left) : needed
      if (tokens <= 0) continue
      let fits = this.blocks.grow(sequence, known + tokens)
      while (!fits) {
        const last = this.running.findLastIndex(({ issued }) => issued === 0)
        if (last < index) break
        this.preempt(last)
        if (last === index) break
        fits = this.blocks.grow(sequence, known + tokens)
      }
      if (!fits) break
      this.parts.push({ sequence, tokens })
      left -= tokens
    }
    return left
  }

  /** Lets waiting sequences in, first come first served, while there are tokens, places and room, and those of the lane are no more than its share. */
  private admit(budget: number, lane: number): void {
    const { chunked, maxSequences } = this.options.scheduler
    const isEven = this.options.scheduler.sharing !== 'greedy'
    const all = Math.min(this.load, maxSequences)
    const share = isEven ? Math.ceil(all / this.flying.length) : all
    let own = this.running.reduce((count, sequence) => (sequence.lane === lane ? count + 1 : count), 0)
    let left = budget
    let taken = 0
    let prompts = 0
    this.isRoomless = this.preempted
    // What was preempted in this step waits for the next, or it would be let in where it was thrown out.
    while (
      left > 0 &&
      own < share &&
      this.running.length < maxSequences &&
      !this.preempted &&
      taken < this.waiting.length
    ) {
      const sequence = this.waiting[taken]
      if (!sequence) break
      this.blocks.reuse(sequence)
      const cached = sequence.shared
      const restored = sequence.swapped
      const needed = sequence.length - sequence.computed - restored
      const tokens = chunked ? Math.min(needed, left) : needed
      // A whole prompt longer than a step's tokens, as one computed again may be, has a step for itself.
      if (tokens > left && prompts > 0) break
      if (!this.hasRoom(sequence) || !this.blocks.grow(sequence, sequence.computed + restored + tokens)) {
        if (sequence.computed === cached) this.forget(sequence)
        this.isRoomless = true
        break
      }
      sequence.computed += restored
      sequence.swapped = 0
      this.swapped += restored
      this.totals.cachedTokens += cached
      sequence.lane = lane
      this.running.push(sequence)
      this.parts.push({ sequence, tokens })
      left -= tokens
      own++
      prompts++
      taken++
    }
    this.waiting.splice(0, taken)
  }

  private forget(sequence: Sequence): void {
    this.blocks.release(sequence)
    sequence.computed = 0
  }

  /** Whether there is room for all of a sequence and the running ones, and for the share of what they are still to generate that is reserved. */
  private hasRoom(sequence: Sequence): boolean {
    const { reserve, admission } = this.options.scheduler
    if (reserve === 0 && admission === 'chunk') return true
    const later = ({ request, generated }: Sequence) => reserve * (request.output - generated - 1)
    const growth = this.running.reduce((sum, each) => {
      const most = this.blocks.count(each.length + later(each) - each.shared)
      return sum + Math.max(0, most - each.blocks)
    }, 0)
    return this.blocks.count(sequence.length + later(sequence) - sequence.shared) + growth <= this.blocks.available
  }

  private preempt(index: number): void {
    const { preemption } = this.options.scheduler
    const [sequence] = this.running.splice(index, 1)
    if (!sequence) return
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
      if (isPrefill(sequence)) prefill.push({ tokens, context: sequence.computed + sequence.issued })
      else decode.push(sequence.computed)
      if (sequence.computed + sequence.issued + tokens === sequence.length) sampled++
    }
    return { prefill, decode, sampled }
  }
}

/** Whether what a sequence computes next is prompt: its own, or what it generated before it was preempted. */
function isPrefill({ length, computed, generated }: Sequence): boolean {
  return generated === 0 || length - computed > 1
}
